//! What windows are shown, and the way their requests come in.

use super::ServiceError;
use crate::{config::RecorderConfig, health::Health};
use hindsight_local::{Asked, Listener, serve, socket_path};
use hindsight_wire::{
    Timestamp,
    agent::{ProblemKind, RecordingState},
    local::{CaptureState, DesktopStatus, LOCAL_PROTOCOL, TrayState},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// Requests of windows that may wait for the recorder.
const ASKS: usize = 64;

/// The local socket's recorder side.
pub struct Desk {
    status: watch::Sender<DesktopStatus>,
    /// For other ways in than the socket.
    pub asker: mpsc::Sender<Asked>,
    /// What windows ask for.
    pub asks: mpsc::Receiver<Asked>,
    /// What is wrong.
    pub health: Health,
    /// What never changes while the recorder runs.
    fixed: DesktopStatus,
    server: JoinHandle<()>,
}

impl Desk {
    /// Listens on the socket of the data directory.
    pub fn open(config: &RecorderConfig) -> Result<Self, ServiceError> {
        let path = socket_path(&config.data_dir);
        let listener = Listener::bind(&path).map_err(|error| ServiceError::Socket(path, error))?;
        let data_dir = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
        let backend = serde_json::to_value(config.backend).ok();
        let fixed = DesktopStatus {
            protocol: LOCAL_PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            backend: backend.as_ref().and_then(|name| name.as_str()).unwrap_or_default().to_owned(),
            data_dir: data_dir.to_string_lossy().into_owned(),
            ..DesktopStatus::default()
        };
        let (status, watched) = watch::channel(fixed.clone());
        let (asker, asks) = mpsc::channel(ASKS);
        let server = tokio::spawn(serve(listener, watched, asker.clone()));
        Ok(Self { status, asker, asks, health: Health::default(), fixed, server })
    }

    /// How the recorder is, as it changes.
    pub fn watch(&self) -> watch::Receiver<DesktopStatus> {
        self.status.subscribe()
    }

    /// There is this problem, or it is over.
    pub fn problem(&mut self, kind: ProblemKind, detail: Option<String>) {
        self.health.set(kind, detail, Timestamp::now());
    }

    /// Shows a status; what never changes and what is wrong are filled in.
    pub fn publish(&self, status: DesktopStatus) {
        let DesktopStatus { protocol, version, pid, backend, data_dir, .. } = self.fixed.clone();
        let mut next = DesktopStatus {
            protocol,
            version,
            pid,
            backend,
            data_dir,
            problems: self.health.list(),
            ..status
        };
        next.tray = tray(&next, self.health.is_serious());
        self.status.send_if_modified(|shown| {
            let changed = *shown != next;
            *shown = next;
            changed
        });
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The first that holds, in the order of [`TrayState`].
fn tray(status: &DesktopStatus, serious: bool) -> TrayState {
    let voice = |state| status.interactions.iter().any(|interaction| interaction.voice == state);
    if serious {
        TrayState::Problem
    } else if status.capture == CaptureState::Paused || voice(RecordingState::Paused) {
        TrayState::Paused
    } else if status.capture == CaptureState::Recording || voice(RecordingState::Recording) {
        TrayState::Recording
    } else if status.spool.waiting > 0 {
        TrayState::Uploading
    } else {
        TrayState::Idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tray_shows_the_first_that_holds() {
        let mut status = DesktopStatus::default();
        assert_eq!(tray(&status, false), TrayState::Idle);
        status.spool.waiting = 1;
        assert_eq!(tray(&status, false), TrayState::Uploading);
        status.capture = CaptureState::Recording;
        assert_eq!(tray(&status, false), TrayState::Recording);
        status.capture = CaptureState::Paused;
        assert_eq!(tray(&status, false), TrayState::Paused);
        assert_eq!(tray(&status, true), TrayState::Problem);
    }
}
