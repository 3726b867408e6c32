//! What happened to an interaction, in words.

use hindsight_model::event::{CallParty, EndCause, Event, What};
use hindsight_store::interactions::Interaction;
use hindsight_wire::{Timestamp, agent::Medium};
use serde::Serialize;
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// Something that happened.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    #[schema(format = DateTime)]
    at: String,
    offset_ms: i64,
    /// As in the event log: `call-offered`, `recording-paused`, …
    #[serde(rename = "type")]
    kind: String,
    /// For people.
    text: String,
}

/// As [`kind`] names it.
const SESSION_ENDED: &str = "session-ended";

/// Everything that happened, in order.
pub fn history(this: &Interaction, log: &[Event]) -> Vec<EventView> {
    let is_established = |event: &&Event| matches!(event.what, What::CallEstablished { .. });
    let answered_at = log.iter().filter(is_established).map(|event| event.at).min();
    let view = |event: &Event| EventView {
        at: event.at.to_string(),
        offset_ms: event.at.ms_since(this.started_at),
        kind: kind(event),
        text: match &event.what {
            // Answered once; later the parties are others.
            What::CallEstablished { parties } if Some(event.at) != answered_at => {
                format!("now speaking: {}", numbers(parties))
            }
            what => describe(what),
        },
    };
    let mut views: Vec<(Timestamp, EventView)> = log.iter().map(|event| (event.at, view(event))).collect();
    views.sort_by_key(|(at, _)| *at);
    // Each party's leg has a session of its own: those that ended alike are one line.
    let mut told = BTreeSet::new();
    views.retain(|(_, view)| view.kind != SESSION_ENDED || told.insert(view.text.clone()));
    views.into_iter().map(|(_, view)| view).collect()
}

fn numbers(parties: &[CallParty]) -> String {
    parties.iter().map(|party| party.number.as_str()).collect::<Vec<_>>().join(", ")
}

fn kind(event: &Event) -> String {
    let json = serde_json::to_value(&event.what).unwrap_or_default();
    json.get("type").and_then(|kind| kind.as_str()).unwrap_or_default().to_owned()
}

fn describe(what: &What) -> String {
    match what {
        What::CallOffered { caller, dialled, .. } => format!("{caller} calls {dialled}"),
        What::CallEstablished { parties } => format!("answered: {}", numbers(parties)),
        What::CallHeld { by, at_phone: false } => format!("{by} put the call on hold"),
        What::CallHeld { by, at_phone: true } => format!("{by} put the call on hold at the phone"),
        What::CallRetrieved { by } => format!("{by} took the call back"),
        What::CallEnded { cause: EndCause::Transferred, .. } => {
            "the call ended: its parties speak in another call, by a transfer".to_owned()
        }
        What::CallEnded { by: Some(by), .. } => format!("{by} ended the call"),
        What::CallEnded { cause: EndCause::NotFound, by: None } => {
            "the call ended: no phone is registered at the number called, or there is no such number"
                .to_owned()
        }
        What::CallEnded { cause, by: None } => {
            let cause = serde_json::to_value(cause).unwrap_or_default();
            format!("the call ended: {}", cause.as_str().unwrap_or_default().replace('-', " "))
        }
        What::RecordingStarted { by, .. } => format!("recording started ({by})"),
        What::RecordingPaused { by, reason } => format!("recording paused by {by}: {reason}"),
        What::RecordingResumed { by } => format!("recording resumed by {by}"),
        What::CallTransferred { by, to, attended: false, .. } => format!("{by} transferred the call to {to}"),
        What::CallTransferred { by, to, attended: true, .. } => {
            format!("{by} transferred the call to {to}, after speaking with them")
        }
        What::TransferFailed { by, to, status } => {
            format!("{by} could not transfer the call to {to} (SIP status {status})")
        }
        What::RecordingStopped { voice_only: true, .. } => {
            "recording stopped: the party that it was for has left".to_owned()
        }
        What::RecordingStopped { by, .. } => format!("recording stopped ({by})"),
        What::RecordingFailed { reason } => format!("recording failed: {reason}"),
        What::RecordingLost { reason, .. } => reason.clone(),
        What::RecordingOpened { .. } => "the media server opened a recording".to_owned(),
        What::ScreenStarted { dn, recordings, .. } => {
            format!("screen capture started at {dn}, monitors: {}", recordings.len())
        }
        What::ScreenGap { dn, reason } => format!("no screen from {dn}: {reason}"),
        What::CallRinging { dn, .. } => format!("{dn} rings"),
        What::InteractionAnnounced(announced) => {
            let kind = match announced.medium {
                Medium::Voice => "call",
                Medium::Chat => "chat",
                Medium::Email => "e-mail",
                Medium::WorkItem => "piece of work",
            };
            format!("{} announced a {kind} from {} for {}", announced.by, announced.from, announced.dn)
        }
        What::InteractionEnded { by } => format!("{by} ended it"),
        What::SessionEnded(record) if record.status == 200 => {
            "the voices' connections were closed".to_owned()
        }
        What::SessionEnded(record) => {
            format!("the voices' connections broke off (SIP status {})", record.status)
        }
    }
}
