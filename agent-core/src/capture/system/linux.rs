//! The backends of Linux.

use crate::capture::{Backend, CaptureError, Screens, scrap::ScrapScreens, wayland, x11::X11Screens};

/// What can be tried on this system.
pub const BACKENDS: &[Backend] = &[Backend::X11, Backend::Scrap, Backend::Wayland];

/// Opens a backend on `display` (`None`: the environment's).
pub fn open(backend: Backend, display: Option<&str>) -> Result<Box<dyn Screens>, CaptureError> {
    match fitting(backend, display) {
        Backend::Scrap => Ok(Box::new(ScrapScreens::open(display)?)),
        Backend::Wayland => wayland::open(),
        other @ (Backend::WindowsGraphics | Backend::ScreenCaptureKit) => {
            Err(CaptureError::Unsupported(format!("{other:?} on Linux")))
        }
        Backend::Auto | Backend::X11 => Ok(Box::new(X11Screens::open(display)?)),
    }
}

/// What [`Backend::Auto`] stands for here. Under a Wayland compositor an X server shows its own clients only, so that X11
/// would record an empty screen.
pub fn fitting(backend: Backend, display: Option<&str>) -> Backend {
    let wayland = std::env::var_os("WAYLAND_DISPLAY").is_some_and(|name| !name.is_empty());
    match backend {
        Backend::Auto if display.is_none() && wayland => Backend::Wayland,
        Backend::Auto => Backend::X11,
        other => other,
    }
}
