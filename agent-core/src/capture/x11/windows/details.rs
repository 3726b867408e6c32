//! What one child of the root window says of itself.

use super::gone;
use crate::capture::{
    CaptureError, Rect, Region,
    windows::Identity,
    x11::{broken, refused},
};
use std::collections::HashMap;
use x11rb::{
    protocol::{
        shape::{self, ConnectionExt as _},
        xproto::{
            Atom, AtomEnum, ChangeWindowAttributesAux, ConnectionExt as _, EventMask, GetPropertyReply,
            Window,
        },
    },
    rust_connection::RustConnection,
};

/// A window manager's frame has its client within so many generations.
const DEPTH_MAX: usize = 3;
/// Four-byte units of a property that are read: a title of 4 KiB.
const PROPERTY_MAX: u32 = 1024;
/// A shape of more rectangles is taken as all of the window, nothing of it opaque.
const SHAPE_MAX: usize = 256;

/// The names of what is asked for.
pub struct Atoms {
    pub active: Atom,
    client_state: Atom,
    name: Atom,
    process: Atom,
    leader: Atom,
    opaque: Atom,
    opacity: Atom,
}

impl Atoms {
    pub fn intern(connection: &RustConnection) -> Result<Self, CaptureError> {
        Ok(Self {
            active: intern(connection, "_NET_ACTIVE_WINDOW")?,
            client_state: intern(connection, "WM_STATE")?,
            name: intern(connection, "_NET_WM_NAME")?,
            process: intern(connection, "_NET_WM_PID")?,
            leader: intern(connection, "WM_CLIENT_LEADER")?,
            opaque: intern(connection, "_NET_WM_OPAQUE_REGION")?,
            opacity: intern(connection, "_NET_WM_WINDOW_OPACITY")?,
        })
    }

    /// Whether a change of this property changes what is known of a window.
    pub fn matters(&self, atom: Atom) -> bool {
        let ours = [self.client_state, self.name, self.process, self.leader, self.opaque, self.opacity];
        let core = [AtomEnum::WM_NAME, AtomEnum::WM_CLASS, AtomEnum::WM_TRANSIENT_FOR];
        ours.contains(&atom) || core.iter().any(|core| Atom::from(*core) == atom)
    }
}

pub fn intern(connection: &RustConnection, name: &str) -> Result<Atom, CaptureError> {
    let reply = connection.intern_atom(false, name.as_bytes()).map_err(broken)?.reply().map_err(refused)?;
    Ok(reply.atom)
}

/// What is known of a child of the root window until an event makes it doubtful.
pub struct Details {
    pub identity: Identity,
    /// WM_TRANSIENT_FOR.
    pub opened_for: Option<Window>,
    pub leader: Option<Window>,
    pub process: Option<u32>,
    /// Where it is, of its upper left corner inside the border; `None`: all of it.
    pub shape: Option<Region>,
    /// Where an alpha channel is not used, of the same corner.
    pub opaque: Region,
    /// All of it may show what is below.
    pub translucent: bool,
}

impl Details {
    /// Asks the server; `None`: the window has gone. Asks first to be told of changes, so that none is missed.
    pub fn read(
        connection: &RustConnection,
        atoms: &Atoms,
        top: Window,
        within: &mut HashMap<Window, Window>,
    ) -> Result<Option<Self>, CaptureError> {
        let events = EventMask::SUBSTRUCTURE_NOTIFY | EventMask::PROPERTY_CHANGE;
        watch(connection, top, events)?;
        ignore(connection.shape_select_input(top, true).map_err(broken)?);
        within.insert(top, top);
        let client = client_of(connection, atoms, top)?;
        if client != top {
            watch(connection, client, events)?;
            within.insert(client, top);
        }
        let ask = |window, atom: Atom| {
            connection.get_property(false, window, atom, AtomEnum::ANY, 0, PROPERTY_MAX).map_err(broken)
        };
        let names = [ask(client, atoms.name)?, ask(client, AtomEnum::WM_NAME.into())?];
        let class = ask(client, AtomEnum::WM_CLASS.into())?;
        let opened_for = ask(client, AtomEnum::WM_TRANSIENT_FOR.into())?;
        let (leader, process) = (ask(client, atoms.leader)?, ask(client, atoms.process)?);
        let opaque = ask(client, atoms.opaque)?;
        let opacities = [ask(client, atoms.opacity)?, ask(top, atoms.opacity)?];
        let extents = connection.shape_query_extents(top).map_err(broken)?;
        let rectangles = connection.shape_get_rectangles(top, shape::SK::BOUNDING).map_err(broken)?;
        let inner = connection.get_geometry(client).map_err(broken)?;
        let place = connection.translate_coordinates(client, top, 0, 0).map_err(broken)?;

        let mut titles = Vec::new();
        for name in names {
            let Some(name) = gone(name.reply())? else { return Ok(None) };
            let title = String::from_utf8_lossy(&name.value).trim_end_matches('\0').to_lowercase();
            if !title.is_empty() && !titles.contains(&title) {
                titles.push(title);
            }
        }
        let Some(class) = gone(class.reply())? else { return Ok(None) };
        let programs = class
            .value
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .map(|name| String::from_utf8_lossy(name).to_lowercase())
            .collect();
        let (Some(opened_for), Some(leader), Some(process), Some(opaque)) =
            (gone(opened_for.reply())?, gone(leader.reply())?, gone(process.reply())?, gone(opaque.reply())?)
        else {
            return Ok(None);
        };
        let mut translucent = false;
        for opacity in opacities {
            let Some(opacity) = gone(opacity.reply())? else { return Ok(None) };
            translucent |= first(&opacity).is_some_and(|opacity| opacity != u32::MAX);
        }
        let (Some(extents), Some(rectangles), Some(inner), Some(place)) =
            (gone(extents.reply())?, gone(rectangles.reply())?, gone(inner.reply())?, gone(place.reply())?)
        else {
            return Ok(None);
        };
        let shape = extents.bounding_shaped.then(|| {
            rectangles.rectangles.iter().map(|rect| Rect {
                x: rect.x.into(),
                y: rect.y.into(),
                width: rect.width.into(),
                height: rect.height.into(),
            })
        });
        let (shape, intricate) = match shape {
            Some(rects) if rects.len() <= SHAPE_MAX => (Some(rects.collect()), false),
            Some(_) => (None, true),
            None => (None, false),
        };
        let (x, y) = (i32::from(place.dst_x), i32::from(place.dst_y));
        let mut solid: Region = rectangles_of(&opaque).map(|rect| rect.relative_to(-x, -y)).collect();
        if client != top && inner.depth != 32 {
            solid.add(&Rect { x, y, width: inner.width.into(), height: inner.height.into() });
        }
        Ok(Some(Self {
            identity: Identity { titles, programs },
            opened_for: first(&opened_for).filter(|window| *window != 0),
            leader: first(&leader),
            process: first(&process),
            shape,
            opaque: solid,
            translucent: translucent || intricate,
        }))
    }
}

/// The window of the program in a window manager's frame: the first that has WM_STATE, else WM_CLASS; else `top`.
fn client_of(connection: &RustConnection, atoms: &Atoms, top: Window) -> Result<Window, CaptureError> {
    let mut named = None;
    let mut generation = vec![top];
    for _ in 0..DEPTH_MAX {
        let mut asked = Vec::with_capacity(generation.len());
        for &window in &generation {
            let length = |atom: Atom| {
                connection.get_property(false, window, atom, AtomEnum::ANY, 0, 0).map_err(broken)
            };
            asked.push((
                window,
                length(atoms.client_state)?,
                length(AtomEnum::WM_CLASS.into())?,
                connection.query_tree(window).map_err(broken)?,
            ));
        }
        generation = Vec::new();
        let mut managed = None;
        for (window, state, class, tree) in asked {
            if gone(state.reply())?.is_some_and(|state| state.type_ != 0) {
                managed = managed.or(Some(window));
            }
            if gone(class.reply())?.is_some_and(|class| class.type_ != 0) {
                named = named.or(Some(window));
            }
            generation.extend(gone(tree.reply())?.into_iter().flat_map(|tree| tree.children));
        }
        if let Some(managed) = managed {
            return Ok(managed);
        }
        if named.is_some() && generation.is_empty() {
            break;
        }
    }
    Ok(named.unwrap_or(top))
}

fn watch(connection: &RustConnection, window: Window, events: EventMask) -> Result<(), CaptureError> {
    let aux = ChangeWindowAttributesAux::new().event_mask(events);
    ignore(connection.change_window_attributes(window, &aux).map_err(broken)?);
    Ok(())
}

/// The window may have gone; then an event says so.
fn ignore(cookie: x11rb::cookie::VoidCookie<'_, RustConnection>) {
    cookie.ignore_error();
}

fn first(property: &GetPropertyReply) -> Option<u32> {
    property.value32()?.next()
}

/// _NET_WM_OPAQUE_REGION: four numbers a rectangle.
fn rectangles_of(property: &GetPropertyReply) -> impl Iterator<Item = Rect> + use<> {
    let numbers: Vec<u32> = property.value32().into_iter().flatten().collect();
    let rects: Vec<Rect> = numbers
        .chunks_exact(4)
        .map(|numbers| Rect {
            x: numbers[0] as i32,
            y: numbers[1] as i32,
            width: numbers[2].min(u16::MAX.into()),
            height: numbers[3].min(u16::MAX.into()),
        })
        .collect();
    rects.into_iter()
}
