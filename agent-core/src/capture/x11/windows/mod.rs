//! Which windows an X display shows, from the topmost down: root's children as the server stacks them, each with what the
//! program in it says of itself.
//!
//! Nothing is asked again that no event made doubtful: a look at a desktop on which nothing happened costs one round
//! trip. It has a connection of its own: events of before a look have arrived when its round trip has.

mod details;

use super::{broken, connect, refused};
use crate::capture::{
    CaptureError, Rect, Region,
    windows::{Desktop, Identity, Owner, Trace, Window, Windows},
};
use details::{Atoms, Details};
use std::collections::{HashMap, HashSet};
use x11rb::{
    NONE,
    connection::Connection,
    protocol::{
        Event,
        shape::ConnectionExt as _,
        xproto::{
            self, ChangeWindowAttributesAux, ConnectionExt as _, EventMask, InputFocus, MapState, WindowClass,
        },
    },
    rust_connection::RustConnection,
};

/// A desktop that changes faster than it is listed is taken as it is after so many tries: its traces say the rest.
const TRIES: usize = 4;
/// More places than this of one window are taken as the rectangle around them.
const TRACES_MAX: usize = 16;
/// So many windows that belong to each other are followed.
const OWNERS_MAX: usize = 8;

/// The windows of an X display.
pub struct X11Windows {
    connection: RustConnection,
    root: xproto::Window,
    compositor: xproto::Atom,
    atoms: Atoms,
    /// Children of root, mapped or not: where they are.
    areas: HashMap<xproto::Window, Rect>,
    mapped: HashSet<xproto::Window>,
    details: HashMap<xproto::Window, Details>,
    /// Which child of root a window lies in.
    within: HashMap<xproto::Window, xproto::Window>,
    stale: bool,
    moves: Vec<(xproto::Window, Rect)>,
    active: Option<xproto::Window>,
    /// Numbers of `desktop.windows`.
    order: Vec<xproto::Window>,
    desktop: Desktop,
}

impl X11Windows {
    /// Connects, and asks to be told of changes.
    pub fn open(display: Option<&str>) -> Result<Self, CaptureError> {
        let (connection, screen) = connect(display)?;
        let root = connection.setup().roots[screen].root;
        connection
            .shape_query_version()
            .map_err(broken)?
            .reply()
            .map_err(|_| CaptureError::Unsupported("the SHAPE extension".to_owned()))?;
        let events = EventMask::SUBSTRUCTURE_NOTIFY | EventMask::PROPERTY_CHANGE;
        connection
            .change_window_attributes(root, &ChangeWindowAttributesAux::new().event_mask(events))
            .map_err(broken)?;
        let atoms = Atoms::intern(&connection)?;
        let compositor = details::intern(&connection, &format!("_NET_WM_CM_S{screen}"))?;
        let mut windows = Self {
            connection,
            root,
            compositor,
            atoms,
            areas: HashMap::new(),
            mapped: HashSet::new(),
            details: HashMap::new(),
            within: HashMap::new(),
            stale: true,
            moves: Vec::new(),
            active: None,
            order: Vec::new(),
            desktop: Desktop::default(),
        };
        windows.read_active()?;
        Ok(windows)
    }

    /// Takes in all that happened before now; tells who has the focus.
    fn catch_up(&mut self) -> Result<xproto::Window, CaptureError> {
        let focus = self.connection.get_input_focus().map_err(broken)?.reply().map_err(refused)?.focus;
        let mut active_changed = false;
        while let Some(event) = self.connection.poll_for_event().map_err(broken)? {
            active_changed |= self.take_in(&event);
        }
        if active_changed {
            self.read_active()?;
        }
        Ok(focus)
    }

    /// Gives true when another window became the active one.
    fn take_in(&mut self, event: &Event) -> bool {
        match event {
            Event::CreateNotify(e) if e.parent == self.root => {
                let border = e.border_width;
                self.areas.insert(e.window, outer(e.x, e.y, e.width, e.height, border));
                self.stale = true;
            }
            Event::ConfigureNotify(e) if e.event == self.root => {
                let area = outer(e.x, e.y, e.width, e.height, e.border_width);
                self.areas.insert(e.window, area);
                if self.mapped.contains(&e.window) {
                    self.moves.push((e.window, area));
                }
                self.doubt(e.window);
            }
            Event::MapNotify(e) if e.event == self.root => {
                self.mapped.insert(e.window);
                self.moves.extend(self.areas.get(&e.window).map(|area| (e.window, *area)));
                self.doubt(e.window);
            }
            Event::UnmapNotify(e) if e.event == self.root => {
                self.mapped.remove(&e.window);
                self.stale = true;
            }
            Event::DestroyNotify(e) if e.event == self.root => self.forget(e.window),
            Event::ReparentNotify(e) if e.event == self.root => {
                if e.parent == self.root {
                    self.stale = true;
                } else {
                    self.forget(e.window);
                }
            }
            Event::CirculateNotify(e) if e.event == self.root => {
                self.moves.extend(self.areas.get(&e.window).map(|area| (e.window, *area)));
                self.stale = true;
            }
            // Within a child of root.
            Event::CreateNotify(e) => self.doubt(e.parent),
            Event::ConfigureNotify(e) => self.doubt(e.event),
            Event::MapNotify(e) => self.doubt(e.event),
            Event::UnmapNotify(e) => self.doubt(e.event),
            Event::DestroyNotify(e) => self.doubt(e.event),
            Event::ReparentNotify(e) => self.doubt(e.event),
            Event::ShapeNotify(e) => self.doubt(e.affected_window),
            Event::PropertyNotify(e) if e.window == self.root => return e.atom == self.atoms.active,
            Event::PropertyNotify(e) if self.atoms.matters(e.atom) => self.doubt(e.window),
            _ => {}
        }
        false
    }

    /// What is known of the window is to be asked again.
    fn doubt(&mut self, window: xproto::Window) {
        let top = self.within.get(&window).copied().unwrap_or(window);
        self.details.remove(&top);
        self.stale = true;
    }

    fn forget(&mut self, window: xproto::Window) {
        self.areas.remove(&window);
        self.mapped.remove(&window);
        self.details.remove(&window);
        self.within.retain(|_, top| *top != window);
        self.stale = true;
    }

    fn read_active(&mut self) -> Result<(), CaptureError> {
        let reply = self
            .connection
            .get_property(false, self.root, self.atoms.active, xproto::AtomEnum::WINDOW, 0, 1)
            .map_err(broken)?
            .reply()
            .map_err(refused)?;
        self.active = reply.value32().and_then(|mut windows| windows.next());
        Ok(())
    }

    /// Lists the windows again, the topmost first.
    fn list(&mut self) -> Result<(), CaptureError> {
        let connection = &self.connection;
        let owner = connection.get_selection_owner(self.compositor).map_err(broken)?;
        let tree = connection.query_tree(self.root).map_err(broken)?.reply().map_err(refused)?;
        let composited = owner.reply().map_err(refused)?.owner != NONE;
        let mut asked = Vec::with_capacity(tree.children.len());
        for &child in tree.children.iter().rev() {
            asked.push((
                child,
                connection.get_window_attributes(child).map_err(broken)?,
                connection.get_geometry(child).map_err(broken)?,
            ));
        }
        let mut shown = Vec::new();
        for (child, attributes, geometry) in asked {
            // A window that has gone meanwhile is told of by an event.
            let (Some(attributes), Some(geometry)) = (gone(attributes.reply())?, gone(geometry.reply())?)
            else {
                continue;
            };
            let area = outer(geometry.x, geometry.y, geometry.width, geometry.height, geometry.border_width);
            self.areas.insert(child, area);
            if attributes.map_state == MapState::VIEWABLE && attributes.class != WindowClass::INPUT_ONLY {
                self.mapped.insert(child);
                shown.push((child, geometry, attributes.override_redirect));
            }
        }
        let mut listed = Vec::with_capacity(shown.len());
        for (child, geometry, by_itself) in shown {
            if !self.details.contains_key(&child) {
                let found = Details::read(&self.connection, &self.atoms, child, &mut self.within)?;
                let Some(found) = found else { continue };
                self.details.insert(child, found);
            }
            let details = &self.details[&child];
            let origin = (
                i32::from(geometry.x) + i32::from(geometry.border_width),
                i32::from(geometry.y) + i32::from(geometry.border_width),
            );
            let area = match &details.shape {
                Some(shape) => shape.relative_to(-origin.0, -origin.1),
                None => [self.areas[&child]].into_iter().collect(),
            };
            let opaque = match (composited, details.translucent, geometry.depth) {
                (true, true, _) => Region::default(),
                (true, false, 32) => details
                    .opaque
                    .relative_to(-origin.0, -origin.1)
                    .rects()
                    .iter()
                    .flat_map(|rect| area.within(rect).rects().to_vec())
                    .collect(),
                (true, false, _) | (false, _, _) => area.clone(),
            };
            listed.push((child, by_itself, area, opaque));
        }
        self.order = listed.iter().map(|(child, ..)| *child).collect();
        let groups: Vec<(xproto::Window, bool)> =
            listed.iter().map(|(child, by_itself, ..)| (*child, *by_itself)).collect();
        self.desktop.windows = listed
            .into_iter()
            .map(|(child, by_itself, area, opaque)| Window {
                identity: self.details[&child].identity.clone(),
                owner: self.owner(child, by_itself, &groups),
                area: area.rects().to_vec(),
                opaque: opaque.rects().to_vec(),
            })
            .collect();
        Ok(())
    }

    /// Who is behind a window: what it was opened for, or for one that opened by itself the other windows of its program.
    fn owner(&self, window: xproto::Window, by_itself: bool, all: &[(xproto::Window, bool)]) -> Owner {
        let details = &self.details[&window];
        let mut owners: Vec<Identity> = Vec::new();
        let mut next = details.opened_for;
        while let Some(other) = next.filter(|_| owners.len() < OWNERS_MAX) {
            let top = self.within.get(&other).copied().unwrap_or(other);
            let Some(found) = self.details.get(&top).filter(|_| top != window) else { break };
            owners.push(found.identity.clone());
            next = found.opened_for;
        }
        if owners.is_empty() && by_itself {
            let akin = |other: &&(xproto::Window, bool)| {
                let found = &self.details[&other.0];
                let same = |one: Option<u32>, two: Option<u32>| one.is_some() && one == two;
                !other.1 && (same(details.leader, found.leader) || same(details.process, found.process))
            };
            owners.extend(all.iter().filter(akin).map(|(other, _)| self.details[other].identity.clone()));
        }
        match (owners.is_empty(), by_itself) {
            (false, _) => Owner::Among(owners),
            (true, true) => Owner::Unknown,
            (true, false) => Owner::Itself,
        }
    }

    fn traces(&mut self) -> Vec<Trace> {
        let mut places: HashMap<xproto::Window, Vec<Rect>> = HashMap::new();
        for (window, area) in self.moves.drain(..) {
            places.entry(window).or_default().push(area);
        }
        let trace = |(window, areas): (xproto::Window, Vec<Rect>)| {
            let number = self.order.iter().position(|other| *other == window);
            let areas = if areas.len() <= TRACES_MAX {
                areas
            } else {
                areas.into_iter().reduce(|all, area| all.union(&area)).into_iter().collect()
            };
            areas.into_iter().map(move |area| Trace { window: number, area })
        };
        places.into_iter().flat_map(trace).collect()
    }

    /// The active window; without a window manager that tells it what has the focus; else the topmost.
    fn front(&self, focus: xproto::Window) -> Option<usize> {
        let number = |window: xproto::Window| {
            let top = self.within.get(&window).copied().unwrap_or(window);
            self.order.iter().position(|other| *other == top)
        };
        let pointed = [NONE, u32::from(InputFocus::POINTER_ROOT), self.root].contains(&focus);
        self.active
            .filter(|window| *window != NONE)
            .and_then(number)
            .or_else(|| if pointed { None } else { number(focus) })
            .or_else(|| self.desktop.windows.iter().position(|window| window.owner != Owner::Unknown))
    }
}

impl Windows for X11Windows {
    fn look(&mut self) -> Result<&Desktop, CaptureError> {
        let mut focus = self.catch_up()?;
        for _ in 0..TRIES {
            if !std::mem::take(&mut self.stale) {
                break;
            }
            self.list()?;
            focus = self.catch_up()?;
        }
        self.desktop.traces = self.traces();
        self.desktop.front = self.front(focus);
        Ok(&self.desktop)
    }
}

/// Where a window is, border included.
fn outer(x: i16, y: i16, width: u16, height: u16, border: u16) -> Rect {
    let border = u32::from(border);
    Rect {
        x: x.into(),
        y: y.into(),
        width: u32::from(width) + 2 * border,
        height: u32::from(height) + 2 * border,
    }
}

/// A reply about a window that may have gone.
fn gone<T>(reply: Result<T, x11rb::errors::ReplyError>) -> Result<Option<T>, CaptureError> {
    match reply {
        Ok(reply) => Ok(Some(reply)),
        Err(x11rb::errors::ReplyError::X11Error(_)) => Ok(None),
        Err(error) => Err(refused(error)),
    }
}
