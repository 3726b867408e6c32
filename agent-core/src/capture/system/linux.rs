//! The backends of Linux.

use crate::capture::{Backend, CaptureError, Screens, scrap::ScrapScreens, x11::X11Screens};

/// What can be tried on this system.
pub const BACKENDS: &[Backend] = &[Backend::X11, Backend::Scrap];

/// Opens a backend on `display` (`None`: the environment's).
pub fn open(backend: Backend, display: Option<&str>) -> Result<Box<dyn Screens>, CaptureError> {
    match backend {
        Backend::Auto | Backend::X11 => Ok(Box::new(X11Screens::open(display)?)),
        Backend::Scrap => Ok(Box::new(ScrapScreens::open(display)?)),
        other @ (Backend::WindowsGraphics | Backend::ScreenCaptureKit) => {
            Err(CaptureError::Unsupported(format!("{other:?} on Linux")))
        }
    }
}
