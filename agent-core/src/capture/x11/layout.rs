//! Which monitors there are, by RandR, and when that changes.

use super::{broken, refused};
use crate::capture::{CaptureError, Layout, Monitor, Rect};
use x11rb::{
    protocol::{
        Event,
        randr::{self, ConnectionExt as _},
        xproto::{ChangeWindowAttributesAux, ConnectionExt as _, EventMask, Window},
    },
    rust_connection::RustConnection,
};

/// The list of monitors, and whether it may be out of date.
pub struct LayoutWatch {
    monitors: Vec<Monitor>,
    stale: bool,
}

impl LayoutWatch {
    /// Lists the monitors and asks the server to tell of changes.
    pub fn open(connection: &RustConnection, root: Window) -> Result<Self, CaptureError> {
        let version = connection
            .randr_query_version(1, 5)
            .map_err(broken)?
            .reply()
            .map_err(|_| CaptureError::Unsupported("the RandR extension".to_owned()))?;
        if (version.major_version, version.minor_version) < (1, 5) {
            return Err(CaptureError::Unsupported("RandR 1.5".to_owned()));
        }
        let notify = randr::NotifyMask::SCREEN_CHANGE
            | randr::NotifyMask::CRTC_CHANGE
            | randr::NotifyMask::OUTPUT_CHANGE;
        connection.randr_select_input(root, notify).map_err(broken)?;
        // `xrandr --setmonitor` is told by a ConfigureNotify of the root window only.
        let structure = ChangeWindowAttributesAux::new().event_mask(EventMask::STRUCTURE_NOTIFY);
        connection.change_window_attributes(root, &structure).map_err(broken)?;
        let monitors = list(connection, root)?;
        if monitors.is_empty() {
            return Err(CaptureError::NoMonitor);
        }
        Ok(Self { monitors, stale: false })
    }

    pub fn monitors(&self) -> &[Monitor] {
        &self.monitors
    }

    pub fn take_in(&mut self, event: &Event, root: Window) {
        match event {
            Event::RandrScreenChangeNotify(_) | Event::RandrNotify(_) => self.stale = true,
            Event::ConfigureNotify(configure) if configure.window == root => self.stale = true,
            _ => {}
        }
    }

    /// Lists the monitors again if an event made that necessary.
    pub fn refresh(&mut self, connection: &RustConnection, root: Window) -> Result<Layout, CaptureError> {
        if !std::mem::take(&mut self.stale) {
            return Ok(Layout::Same);
        }
        let same = list(connection, root)? == self.monitors;
        Ok(if same { Layout::Same } else { Layout::Changed })
    }
}

/// Active monitors, primary first, then from left to right and top to bottom.
fn list(connection: &RustConnection, root: Window) -> Result<Vec<Monitor>, CaptureError> {
    let reply = connection.randr_get_monitors(root, true).map_err(broken)?.reply().map_err(refused)?;
    let mut monitors = Vec::with_capacity(reply.monitors.len());
    for info in reply.monitors.iter().filter(|info| info.width > 0 && info.height > 0) {
        let name = connection.get_atom_name(info.name).map_err(broken)?.reply().map_err(refused)?;
        monitors.push(Monitor {
            name: String::from_utf8_lossy(&name.name).into_owned(),
            area: Rect {
                x: info.x.into(),
                y: info.y.into(),
                width: info.width.into(),
                height: info.height.into(),
            },
            primary: info.primary,
        });
    }
    monitors.sort_by_key(|monitor| (!monitor.primary, monitor.area.x, monitor.area.y));
    Ok(monitors)
}
