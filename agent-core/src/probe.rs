//! What this machine offers: for people who set up a recorder.

use crate::capture::{self, Backend, Frame, Layout};
use serde::Serialize;

/// One backend, and what it sees.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// Its name in the settings.
    pub backend: Backend,
    /// Its monitors.
    pub monitors: Vec<FoundMonitor>,
    /// What is not as it should be, such as a monitor that the agent did not share.
    pub remarks: Vec<String>,
    /// Why it cannot be used.
    pub error: Option<String>,
}

/// A monitor as a backend sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundMonitor {
    /// The system's name of it.
    pub name: String,
    /// Left edge on the desktop.
    pub x: i32,
    /// Upper edge.
    pub y: i32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// How long the first picture took, milliseconds.
    pub first_picture_ms: u64,
}

/// Tries every backend. Pictures are taken and thrown away. Under Wayland this asks for the agent's consent, and keeps it.
pub fn probe(display: Option<&str>) -> Vec<Found> {
    capture::BACKENDS.iter().map(|&backend| probe_one(backend, display)).collect()
}

fn probe_one(backend: Backend, display: Option<&str>) -> Found {
    match monitors(backend, display) {
        Ok((monitors, remarks)) => Found { backend, monitors, remarks, error: None },
        Err(error) => {
            Found { backend, monitors: Vec::new(), remarks: Vec::new(), error: Some(error.to_string()) }
        }
    }
}

fn monitors(
    backend: Backend,
    display: Option<&str>,
) -> Result<(Vec<FoundMonitor>, Vec<String>), capture::CaptureError> {
    let mut screens = capture::open(backend, display)?;
    if screens.poll()? == Layout::Changed {
        return Err(capture::CaptureError::LayoutChanged);
    }
    let mut found = Vec::new();
    for (index, monitor) in screens.monitors().to_vec().into_iter().enumerate() {
        let started = std::time::Instant::now();
        let mut frame = Frame::new(monitor.area.width, monitor.area.height);
        screens.grab(index, &mut frame, &mut Vec::new())?;
        found.push(FoundMonitor {
            name: monitor.name,
            x: monitor.area.x,
            y: monitor.area.y,
            width: monitor.area.width,
            height: monitor.area.height,
            first_picture_ms: started.elapsed().as_millis() as u64,
        });
    }
    Ok((found, screens.remarks().to_vec()))
}
