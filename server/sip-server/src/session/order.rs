//! Commands to the recorder as MSML, and its results.

use crate::call::{Failure, Order};
use hindsight_msml::{Command, DialogId, Params, Request, ResultCode, parse_result, write_request};
use hindsight_sip::Response;
use hindsight_wire::{InteractionId, component::RecordingAction};

/// One name for the one recording of a conference.
const RECORDING: &str = "rec";
/// Longest `by` and `reason` that are passed on.
const MAX_TEXT: usize = 200;

fn shortened(text: &str) -> String {
    text.chars().take(MAX_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub(super) fn outcome(response: Option<&Response>, status: u16) -> Result<(), Failure> {
    let Some(response) = response.filter(|response| response.status.is_success()) else {
        return Err(Failure::Refused(format!("the media server answered {status}")));
    };
    let outcome = parse_result(&response.body)
        .map_err(|error| Failure::Refused(format!("the media server's result cannot be read: {error}")))?;
    if outcome.is_ok() {
        return Ok(());
    }
    let code = outcome.response;
    let reason = outcome.description.unwrap_or_else(|| format!("the media server answered {code}"));
    Err(if code == ResultCode::NoSuchObject.number() {
        Failure::NoRecording(reason)
    } else {
        Failure::Refused(reason)
    })
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
            part: Some(order.part).filter(|part| *part > 1),
            paused: order.paused,
            whole: order.whole,
            agent: order.whose.as_ref().map(|whose| whose.agent.clone()),
            customer: order.whose.as_ref().map(|whose| whose.customer.clone()),
            swapped: order.whose.as_ref().is_some_and(|whose| whose.swapped),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_msml::{Outcome, write_result};
    use hindsight_sip::{Method, Request, StatusCode, Uri};

    fn answered(outcome: &Outcome) -> Result<(), Failure> {
        let info = Request::new(Method::Info, Uri::parse("sip:media@192.0.2.1").unwrap());
        let response = Response::to(&info, StatusCode::OK);
        let response = response.with_body(hindsight_msml::CONTENT_TYPE, write_result(outcome).into_bytes());
        super::outcome(Some(&response), 200)
    }

    #[test]
    fn a_recording_that_is_not_there_is_told_from_every_other_failure() {
        assert_eq!(answered(&Outcome::ok(None)), Ok(()));
        let failed = |code| answered(&Outcome::failed(code, "why"));
        assert_eq!(failed(ResultCode::NoSuchObject), Err(Failure::NoRecording("why".to_owned())));
        assert_eq!(failed(ResultCode::Internal), Err(Failure::Refused("why".to_owned())));
        assert!(matches!(outcome(None, 408), Err(Failure::Refused(_))));
    }
}
