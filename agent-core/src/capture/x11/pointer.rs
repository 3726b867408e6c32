//! Where the mouse is and what it looks like.

use super::{broken, refused};
use crate::capture::{CaptureError, CursorImage, Rect};
use x11rb::{
    protocol::{
        Event,
        xfixes::{ConnectionExt as _, CursorNotifyMask},
        xproto::{ConnectionExt as _, Window},
    },
    rust_connection::RustConnection,
};

/// The mouse cursor. XFIXES tells when its look changes; its place is asked for at each poll.
pub struct Pointer {
    image: CursorImage,
    serial: u32,
    at: (i32, i32),
    stale: bool,
}

impl Pointer {
    pub fn open(connection: &RustConnection, root: Window) -> Result<Self, CaptureError> {
        connection
            .xfixes_query_version(5, 0)
            .map_err(broken)?
            .reply()
            .map_err(|_| CaptureError::Unsupported("the XFIXES extension".to_owned()))?;
        connection.xfixes_select_cursor_input(root, CursorNotifyMask::DISPLAY_CURSOR).map_err(broken)?;
        Ok(Self { image: CursorImage::default(), serial: 0, at: (0, 0), stale: true })
    }

    pub fn take_in(&mut self, event: &Event) {
        if let Event::XfixesCursorNotify(_) = event {
            self.stale = true;
        }
    }

    pub fn refresh(&mut self, connection: &RustConnection, root: Window) -> Result<(), CaptureError> {
        let place = connection.query_pointer(root).map_err(broken)?;
        if std::mem::take(&mut self.stale) {
            let cursor = connection.xfixes_get_cursor_image().map_err(broken)?.reply().map_err(refused)?;
            self.serial = cursor.cursor_serial;
            self.image = CursorImage {
                width: cursor.width.into(),
                height: cursor.height.into(),
                hot_x: cursor.xhot.into(),
                hot_y: cursor.yhot.into(),
                pixels: cursor.cursor_image,
            };
        }
        let place = place.reply().map_err(refused)?;
        self.at = (place.root_x.into(), place.root_y.into());
        Ok(())
    }

    pub fn image(&self) -> &CursorImage {
        &self.image
    }

    /// Serial and place (of the monitor's frame) of the cursor, if any of it shows on that monitor.
    pub fn on(&self, monitor: &Rect) -> Option<(u32, (i32, i32))> {
        self.image.area_at(self.at.0, self.at.1).intersection(monitor)?;
        Some((self.serial, (self.at.0 - monitor.x, self.at.1 - monitor.y)))
    }
}
