//! What changed on the screen, by the DAMAGE extension.

use super::{broken, refused};
use crate::capture::{CaptureError, Rect};
use x11rb::{
    NONE,
    connection::Connection,
    protocol::{
        Event,
        damage::{self, ConnectionExt as _, ReportLevel},
        xfixes::{self, ConnectionExt as _},
        xproto::Window,
    },
    rust_connection::RustConnection,
};

/// More rectangles than this are fetched as one: each costs a request of its own.
const RECTANGLES_MAX: usize = 16;

/// Collects damage of the root window and all windows on it. One event per burst: the server is silent until the
/// damage is collected, so a still screen costs nothing.
pub struct DamageWatch {
    damage: damage::Damage,
    region: xfixes::Region,
    damaged: bool,
}

impl DamageWatch {
    pub fn open(connection: &RustConnection, root: Window) -> Result<Self, CaptureError> {
        connection
            .damage_query_version(1, 1)
            .map_err(broken)?
            .reply()
            .map_err(|_| CaptureError::Unsupported("the DAMAGE extension".to_owned()))?;
        connection
            .xfixes_query_version(5, 0)
            .map_err(broken)?
            .reply()
            .map_err(|_| CaptureError::Unsupported("the XFIXES extension".to_owned()))?;
        let id = || connection.generate_id().map_err(|error| CaptureError::Display(error.to_string()));
        let (damage, region) = (id()?, id()?);
        connection.damage_create(damage, root, ReportLevel::NON_EMPTY).map_err(broken)?;
        connection.xfixes_create_region(region, &[]).map_err(broken)?;
        Ok(Self { damage, region, damaged: false })
    }

    pub fn take_in(&mut self, event: &Event) {
        if let Event::DamageNotify(_) = event {
            self.damaged = true;
        }
    }

    /// Areas of the root window that changed since the last call. They are taken from the server before the pixels
    /// are: what changes in between is reported again.
    pub fn collect(&mut self, connection: &RustConnection) -> Result<Vec<Rect>, CaptureError> {
        if !std::mem::take(&mut self.damaged) {
            return Ok(Vec::new());
        }
        connection.damage_subtract(self.damage, NONE, self.region).map_err(broken)?;
        let region = connection.xfixes_fetch_region(self.region).map_err(broken)?.reply().map_err(refused)?;
        let rects = region.rectangles.iter().map(from_x11);
        if region.rectangles.len() <= RECTANGLES_MAX {
            return Ok(rects.collect());
        }
        Ok(rects.reduce(|all, rect| all.union(&rect)).into_iter().collect())
    }
}

fn from_x11(rect: &x11rb::protocol::xproto::Rectangle) -> Rect {
    Rect { x: rect.x.into(), y: rect.y.into(), width: rect.width.into(), height: rect.height.into() }
}
