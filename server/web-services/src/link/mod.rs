//! The live link of a device: a WebSocket with mutual TLS (`hindsight_wire::link`).
//!
//! - [`hub`]: which devices have a link, and how to reach them.
//! - [`captures`]: which desktop captures for which interaction (pure).
//! - [`agents`], [`story`]: what each agent is shown, as a stream that a reconnect goes on with (pure).
//! - [`director`]: the task around both.
//! - [`session`]: one link, from `Hello` to its end; [`requests`]: what agents ask for; [`reports`]: what desktops say of
//!   themselves; [`lost_calls`]: what a SIP server has lost; [`older`]: what desktops of an older version are sent.

pub mod agents;
pub mod captures;
pub mod director;
pub mod hub;
pub mod lost_calls;
mod older;
mod reports;
mod requests;
pub mod session;
pub mod story;

use crate::{error::ApiError, peer::Caller, state::App};
use axum::{
    Router,
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    response::Response,
    routing::any,
};
use hindsight_wire::link::LINK_PATH;

/// Largest message of a device: 100 events.
const LARGEST_MESSAGE: usize = 1 << 20;

/// Routes of the link.
pub fn routes() -> Router<App> {
    Router::new().route(LINK_PATH, any(open))
}

async fn open(
    State(app): State<App>,
    caller: Caller,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade =
        upgrade.map_err(|error| ApiError::new(error.status(), "websocket_expected", error.body_text()))?;
    let upgrade = upgrade.max_message_size(LARGEST_MESSAGE).max_frame_size(LARGEST_MESSAGE);
    Ok(upgrade.on_upgrade(move |socket| session::run(app, caller.0, socket)))
}
