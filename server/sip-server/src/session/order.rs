//! Commands to the recorder as MSML, and its results.

use crate::call::Order;
use hindsight_msml::{Command, DialogId, Params, Request, parse_result, write_request};
use hindsight_sip::Response;
use hindsight_wire::{InteractionId, component::RecordingAction};

/// One name for the one recording of a conference.
const RECORDING: &str = "rec";
/// Longest `by` and `reason` that are passed on.
const MAX_TEXT: usize = 200;

fn shortened(text: &str) -> String {
    text.chars().take(MAX_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub(super) fn outcome(response: Option<&Response>, status: u16) -> Result<(), String> {
    let Some(response) = response.filter(|response| response.status.is_success()) else {
        return Err(format!("the media server answered {status}"));
    };
    match parse_result(&response.body) {
        Ok(outcome) if outcome.is_ok() => Ok(()),
        Ok(outcome) => Err(outcome
            .description
            .unwrap_or_else(|| format!("the media server answered {}", outcome.response))),
        Err(error) => Err(format!("the media server's result cannot be read: {error}")),
    }
}

pub(super) fn body(interaction: InteractionId, order: &Order) -> String {
    write_request(&Request {
        command: match order.action {
            RecordingAction::Start => Command::Start,
            RecordingAction::Pause => Command::Pause,
            RecordingAction::Resume => Command::Resume,
            RecordingAction::Stop => Command::Stop,
        },
        dialog: DialogId { conference: interaction.to_session_id(), name: RECORDING.to_owned() },
        params: Params {
            capture: Some(order.capture.to_string()),
            by: Some(shortened(&order.by)),
            reason: Some(shortened(&order.reason)),
        },
    })
}
