//! Stands in for the Wayland backend in a build without the feature `wayland`.

use crate::capture::{CaptureError, Screens};

/// Says that it is not there.
pub fn open() -> Result<Box<dyn Screens>, CaptureError> {
    Err(CaptureError::Unsupported("Wayland: this recorder was built without it".to_owned()))
}
