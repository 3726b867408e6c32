//! Systems whose windows are not listed yet: everything that a mask could be about is masked.

use super::Windows;
use crate::capture::{Backend, CaptureError};

/// Opens the list of the windows that `backend` captures on `display`.
pub fn open(backend: Backend, _display: Option<&str>) -> Result<Box<dyn Windows>, CaptureError> {
    Err(CaptureError::Unsupported(format!("a list of windows to {backend:?}")))
}
