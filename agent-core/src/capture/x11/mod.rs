//! X11 by x11rb: DAMAGE says what changed, MIT-SHM with a memfd fetches it, XFIXES gives the cursor, RandR the monitors.
//!
//! No `unsafe`: the shared memory is read with `pread`, not mapped, so the X server may write to it at any time
//! without breaking Rust's rules; the copy costs less than a twentieth of encoding.

mod damage;
mod layout;
mod pointer;
mod transfer;
mod windows;

pub(in crate::capture) use layout::LayoutWatch;
pub(in crate::capture) use pointer::Pointer;
pub use windows::X11Windows;

use super::{CaptureError, Frame, Layout, Monitor, Rect, Screens, Stamp};
use damage::DamageWatch;
use transfer::Transfer;
use x11rb::{
    connection::Connection,
    errors::{ConnectionError, ReplyError},
    protocol::xproto,
    rust_connection::RustConnection,
};

/// Error code `BadMatch` of the core protocol: the area asked for is not on the screen any more.
const BAD_MATCH: u8 = 8;

/// The screens of an X display.
pub struct X11Screens {
    connection: RustConnection,
    root: xproto::Window,
    layout: LayoutWatch,
    damage: DamageWatch,
    pointer: Pointer,
    transfer: Transfer,
    /// One per monitor.
    views: Vec<View>,
}

/// What is known of one monitor's frame.
#[derive(Default)]
struct View {
    /// Areas of the frame that are out of date.
    stale: Vec<Rect>,
    stamp: Stamp,
}

impl X11Screens {
    /// Connects and lists the monitors.
    pub fn open(display: Option<&str>) -> Result<Self, CaptureError> {
        let (connection, screen) = connect(display)?;
        let root = connection.setup().roots[screen].root;
        check_pixels(&connection, screen)?;
        let layout = LayoutWatch::open(&connection, root)?;
        let damage = DamageWatch::open(&connection, root)?;
        let pointer = Pointer::open(&connection, root)?;
        let largest = layout.monitors().iter().map(|monitor| monitor.area.area()).max().unwrap_or(0);
        let transfer = Transfer::open(&connection, root, largest as usize * 4)?;
        let mut screens = Self { connection, root, layout, damage, pointer, transfer, views: Vec::new() };
        screens.invalidate();
        Ok(screens)
    }

    /// The memory shared with the X server, when there is any (for the proof that nobody else can read it).
    pub fn shared_memory(&self) -> Option<&std::fs::File> {
        self.transfer.memory()
    }
}

impl Screens for X11Screens {
    fn monitors(&self) -> &[Monitor] {
        self.layout.monitors()
    }

    fn poll(&mut self) -> Result<Layout, CaptureError> {
        while let Some(event) = self.connection.poll_for_event().map_err(broken)? {
            self.layout.take_in(&event, self.root);
            self.damage.take_in(&event);
            self.pointer.take_in(&event);
        }
        if self.layout.refresh(&self.connection, self.root)? == Layout::Changed {
            return Ok(Layout::Changed);
        }
        self.pointer.refresh(&self.connection, self.root)?;
        for rect in self.damage.collect(&self.connection)? {
            for (view, monitor) in self.views.iter_mut().zip(self.layout.monitors()) {
                if let Some(visible) = rect.intersection(&monitor.area) {
                    view.stale.push(visible.relative_to(monitor.area.x, monitor.area.y));
                }
            }
        }
        Ok(Layout::Same)
    }

    fn grab(
        &mut self,
        monitor: usize,
        frame: &mut Frame,
        changed: &mut Vec<Rect>,
    ) -> Result<(), CaptureError> {
        let view = &mut self.views[monitor];
        let area = self.layout.monitors()[monitor].area;
        let cursor = self.pointer.on(&area);
        if view.stale.is_empty() && view.stamp.shows(cursor) {
            return Ok(());
        }
        changed.extend(view.stamp.lift(frame));
        let stale = std::mem::take(&mut view.stale);
        self.transfer.fetch(&self.connection, self.root, &area, &stale, frame)?;
        changed.extend(stale);
        if let Some((serial, at)) = cursor {
            changed.extend(view.stamp.draw(frame, self.pointer.image(), serial, at));
        }
        Ok(())
    }

    fn invalidate(&mut self) {
        let all = |monitor: &Monitor| View {
            stale: vec![Rect::of_size(monitor.area.width, monitor.area.height)],
            stamp: Stamp::default(),
        };
        self.views = self.layout.monitors().iter().map(all).collect();
    }
}

/// Connects to `display` (`None`: `$DISPLAY`).
pub(super) fn connect(display: Option<&str>) -> Result<(RustConnection, usize), CaptureError> {
    RustConnection::connect(display).map_err(|error| CaptureError::Display(error.to_string()))
}

/// Only the pixels that every X server of this century has: 32 bits, blue first.
pub(super) fn check_pixels(connection: &RustConnection, screen: usize) -> Result<(), CaptureError> {
    let setup = connection.setup();
    let depth = setup.roots[screen].root_depth;
    let bits =
        setup.pixmap_formats.iter().find(|format| format.depth == depth).map(|format| format.bits_per_pixel);
    if bits != Some(32) || setup.image_byte_order != xproto::ImageOrder::LSB_FIRST {
        return Err(CaptureError::Unsupported("pixels of 32 bits, blue first".to_owned()));
    }
    Ok(())
}

fn broken(error: ConnectionError) -> CaptureError {
    CaptureError::Display(error.to_string())
}

fn refused(error: ReplyError) -> CaptureError {
    match error {
        ReplyError::ConnectionError(error) => broken(error),
        ReplyError::X11Error(error) if error.error_code == BAD_MATCH => CaptureError::LayoutChanged,
        ReplyError::X11Error(error) => CaptureError::Refused(format!("{:?}", error.error_kind)),
    }
}
