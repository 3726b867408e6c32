//! The lists of windows of Linux: X11 has one, Wayland keeps it to itself.

use super::Windows;
use crate::capture::{Backend, CaptureError, x11::X11Windows};

/// Opens the list of the windows that `backend` captures on `display` (`None`: the environment's).
pub fn open(backend: Backend, display: Option<&str>) -> Result<Box<dyn Windows>, CaptureError> {
    // Under a Wayland compositor an X server lists its own clients only: a list with gaps is worse than none.
    let wayland = display.is_none() && std::env::var_os("WAYLAND_DISPLAY").is_some();
    match backend {
        Backend::X11 | Backend::Scrap => Ok(Box::new(X11Windows::open(display)?)),
        Backend::Auto if !wayland => Ok(Box::new(X11Windows::open(display)?)),
        other => Err(CaptureError::Unsupported(format!("a list of windows to {other:?}"))),
    }
}
