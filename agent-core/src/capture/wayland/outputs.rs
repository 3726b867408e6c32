//! The compositor's own list of monitors: what a consent is compared with, and how changes are noticed.

use super::consent::Place;
use crate::capture::{CaptureError, Layout};
use wayland_client::{
    Connection, Dispatch, EventQueue, Proxy as _, QueueHandle, WEnum,
    backend::WaylandError,
    protocol::{
        wl_output::{self, WlOutput},
        wl_registry::{self, WlRegistry},
    },
};
use wayland_protocols::xdg::xdg_output::zv1::client::{
    zxdg_output_manager_v1::ZxdgOutputManagerV1,
    zxdg_output_v1::{self, ZxdgOutputV1},
};

/// A monitor of the compositor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The compositor's name of it, such as `DP-1`.
    pub name: String,
    /// Where it lies, in the compositor's coordinates.
    pub place: Option<Place>,
    /// Its mode, in pixels.
    pub mode: (i32, i32),
}

impl Output {
    /// The one that a portal means.
    pub fn meant<'a>(outputs: &'a [Self], place: &Place) -> Option<&'a Self> {
        let of_size = || outputs.iter().filter(|output| output.has_size_of(place));
        let there =
            of_size().find(|output| output.place.is_some_and(|own| (own.x, own.y) == (place.x, place.y)));
        // xdg-desktop-portal-wlr says 0, 0 of all of them.
        let only = || match (place.x, place.y) {
            (0, 0) => of_size().next().filter(|_| of_size().count() == 1),
            _ => None,
        };
        there.or_else(only)
    }

    /// Portals give the size in the compositor's coordinates or in pixels, turned or not.
    fn has_size_of(&self, place: &Place) -> bool {
        let size = (place.width, place.height);
        let own = self.place.map(|own| (own.width, own.height)).into_iter().chain([self.mode]);
        own.into_iter().any(|(width, height)| size == (width, height) || size == (height, width))
    }
}

/// A connection that follows the compositor's monitors.
pub struct Outputs {
    connection: Connection,
    queue: EventQueue<State>,
    state: State,
    listed: Vec<Output>,
}

#[derive(Default)]
struct State {
    manager: Option<ZxdgOutputManagerV1>,
    outputs: Vec<(u32, WlOutput, Option<ZxdgOutputV1>, Output)>,
}

impl Outputs {
    /// Connects to the compositor of the environment.
    pub fn open() -> Result<Self, CaptureError> {
        let connection = Connection::connect_to_env().map_err(unreachable)?;
        let mut queue = connection.new_event_queue();
        connection.display().get_registry(&queue.handle(), ());
        let mut state = State::default();
        // Globals, what is bound of them, and what the extensions of those say.
        for _ in 0..3 {
            queue.roundtrip(&mut state).map_err(unreachable)?;
        }
        let listed = state.list();
        if listed.is_empty() {
            Err(CaptureError::NoMonitor)
        } else {
            Ok(Self { connection, queue, state, listed })
        }
    }

    /// The monitors when it was opened.
    pub fn list(&self) -> &[Output] {
        &self.listed
    }

    /// Takes in what came since; never waits.
    pub fn poll(&mut self) -> Result<Layout, CaptureError> {
        self.connection.flush().map_err(unreachable)?;
        if let Some(guard) = self.queue.prepare_read() {
            match guard.read() {
                Err(WaylandError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                read => drop(read.map_err(unreachable)?),
            }
        }
        self.queue.dispatch_pending(&mut self.state).map_err(unreachable)?;
        Ok(if self.state.list() == self.listed { Layout::Same } else { Layout::Changed })
    }
}

impl State {
    /// All that can show something.
    fn list(&self) -> Vec<Output> {
        let mut listed: Vec<Output> = self
            .outputs
            .iter()
            .map(|(_, _, _, output)| output.clone())
            .filter(|output| output.mode != (0, 0))
            .collect();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        listed
    }

    fn follow(&mut self, handle: &QueueHandle<Self>) {
        let Some(manager) = &self.manager else { return };
        for (name, output, extension, _) in &mut self.outputs {
            extension.get_or_insert_with(|| manager.get_xdg_output(output, handle, *name));
        }
    }

    fn output(&mut self, name: u32) -> Option<&mut Output> {
        self.outputs.iter_mut().find(|(other, ..)| *other == name).map(|(.., output)| output)
    }
}

impl Dispatch<WlRegistry, ()> for State {
    fn event(
        state: &mut Self,
        registry: &WlRegistry,
        event: wl_registry::Event,
        (): &(),
        _: &Connection,
        handle: &QueueHandle<Self>,
    ) {
        match event {
            wl_registry::Event::Global { name, interface, version } => {
                if interface == WlOutput::interface().name {
                    let output = registry.bind(name, version.min(4), handle, name);
                    state.outputs.push((name, output, None, Output::default()));
                } else if interface == ZxdgOutputManagerV1::interface().name {
                    state.manager = Some(registry.bind(name, version.min(3), handle, ()));
                }
                state.follow(handle);
            }
            wl_registry::Event::GlobalRemove { name } => state.outputs.retain(|(other, ..)| *other != name),
            _ => {}
        }
    }
}

impl Dispatch<WlOutput, u32> for State {
    fn event(
        state: &mut Self,
        _: &WlOutput,
        event: wl_output::Event,
        name: &u32,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let Some(output) = state.output(*name) else { return };
        match event {
            wl_output::Event::Mode { flags: WEnum::Value(flags), width, height, .. }
                if flags.contains(wl_output::Mode::Current) =>
            {
                output.mode = (width, height);
            }
            wl_output::Event::Name { name } => output.name = name,
            _ => {}
        }
    }
}

impl Dispatch<ZxdgOutputV1, u32> for State {
    fn event(
        state: &mut Self,
        _: &ZxdgOutputV1,
        event: zxdg_output_v1::Event,
        name: &u32,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let Some(output) = state.output(*name) else { return };
        let place = output.place.get_or_insert(Place { x: 0, y: 0, width: 0, height: 0 });
        match event {
            zxdg_output_v1::Event::LogicalPosition { x, y } => (place.x, place.y) = (x, y),
            zxdg_output_v1::Event::LogicalSize { width, height } => {
                (place.width, place.height) = (width, height);
            }
            _ => {}
        }
    }
}

impl Dispatch<ZxdgOutputManagerV1, ()> for State {
    fn event(
        _: &mut Self,
        _: &ZxdgOutputManagerV1,
        _: <ZxdgOutputManagerV1 as wayland_client::Proxy>::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

fn unreachable(error: impl std::fmt::Display) -> CaptureError {
    CaptureError::Display(format!("the Wayland compositor: {error}"))
}
