//! Linux: DPMS and MIT-SCREEN-SAVER of the X server say whether the screens are off; systemd-logind, by the files that it
//! keeps for everybody to read, whether another session is in front.

use super::Condition;
use crate::capture::{Backend, x11};
use std::path::PathBuf;
use x11rb::{
    protocol::{
        dpms::{ConnectionExt as _, DPMSMode},
        screensaver::{ConnectionExt as _, State},
        xproto::Window,
    },
    rust_connection::RustConnection,
};

/// Where logind keeps a file for each session.
const SESSIONS: &str = "/run/systemd/sessions";

/// What is asked.
pub struct Source {
    x11: Option<(RustConnection, Window)>,
    session: Option<PathBuf>,
}

impl Source {
    pub fn open(backend: Backend, display: Option<&str>) -> Self {
        let x11 = match backend {
            Backend::Auto | Backend::X11 | Backend::Scrap => x11::connect(display).ok(),
            _ => None,
        };
        let x11 = x11.map(|(connection, screen)| {
            let root = x11rb::connection::Connection::setup(&connection).roots[screen].root;
            (connection, root)
        });
        let id = std::env::var("XDG_SESSION_ID").ok();
        // An id is letters and digits: nothing that leads out of the directory.
        let id = id.filter(|id| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric()));
        Self { x11, session: id.map(|id| PathBuf::from(SESSIONS).join(id)) }
    }

    pub fn look(&mut self) -> Condition {
        let mut condition = Condition::default();
        if let Some((connection, root)) = &self.x11 {
            condition.screens_off = screens_off(connection);
            condition.saver = saver(connection, *root);
        }
        let state = self.session.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        if let Some(state) = state {
            let says = |key: &str| state.lines().find_map(|line| line.strip_prefix(key));
            condition.background = says("ACTIVE=").map(|active| active == "0");
            condition.locked = says("LOCKED_HINT=").map(|locked| locked == "1");
        }
        condition
    }
}

/// `None`: the server has no DPMS.
fn screens_off(connection: &RustConnection) -> Option<bool> {
    let info = connection.dpms_info().ok()?.reply().ok()?;
    Some(info.state && info.power_level != DPMSMode::ON)
}

/// `None`: the server has no such extension.
fn saver(connection: &RustConnection, root: Window) -> Option<bool> {
    let info = connection.screensaver_query_info(root).ok()?.reply().ok()?;
    Some(State::from(info.state) == State::ON)
}
