//! What devices of an older version of the link are sent: N-2. Pure.
//!
//! Version 1 refuses fields that it does not know in a policy, and messages that it does not know as a whole.

use hindsight_wire::link::Down;
use serde_json::Value;

/// What version 1 knows of a policy.
const POLICY_1: [&str; 4] = ["frameRate", "quantiser", "maxMinutes", "offline"];

/// A message as a device that speaks `protocol` reads it; `None`: it knows nothing like it.
pub fn message(protocol: u32, down: &Down) -> Result<Option<String>, serde_json::Error> {
    if protocol >= 2 {
        return serde_json::to_string(down).map(Some);
    }
    match down {
        Down::Agent { .. }
        | Down::Answer { .. }
        | Down::CallControl { .. }
        | Down::TraceStored { .. }
        | Down::Unknown => Ok(None),
        Down::Welcome { .. } | Down::StartCapture { .. } => {
            let mut json = serde_json::to_value(down)?;
            if let Some(Value::Object(policy)) = json.get_mut("policy") {
                policy.retain(|name, _| POLICY_1.contains(&name.as_str()));
            }
            serde_json::to_string(&json).map(Some)
        }
        Down::Refused { .. }
        | Down::Clock { .. }
        | Down::Accepted { .. }
        | Down::Config(_)
        | Down::Control { .. }
        | Down::StopCapture { .. }
        | Down::PauseCapture { .. }
        | Down::ResumeCapture { .. } => serde_json::to_string(down).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_wire::{InteractionId, agent::Resume, policy::CapturePolicy};
    use serde::Deserialize;

    /// The policy as version 1 read it.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
    #[derive(Default)]
    #[allow(dead_code, reason = "only whether it can be read matters")]
    struct PolicyOfVersion1 {
        frame_rate: u32,
        quantiser: u8,
        max_minutes: u32,
        offline: Value,
    }

    #[test]
    fn a_desktop_of_version_1_reads_every_policy_it_is_sent() {
        let policy = CapturePolicy { greyscale: true, may_quit: true, ..CapturePolicy::default() };
        let start = Down::StartCapture {
            interaction: InteractionId::new(),
            recipients: vec![],
            policy: policy.clone(),
        };
        let (protocol, policy, recipients) = (2, Some(policy), vec![]);
        let welcome = Down::Welcome { protocol, policy, recipients, journalled: None, traces: false };
        for down in [start, welcome] {
            let json: Value = serde_json::from_str(&message(1, &down).unwrap().unwrap()).unwrap();
            let read: PolicyOfVersion1 = serde_json::from_value(json["policy"].clone()).unwrap();
            assert_eq!(read.frame_rate, 5);
            let now: Value = serde_json::from_str(&message(2, &down).unwrap().unwrap()).unwrap();
            assert_eq!(now["policy"]["greyscale"], true);
        }
    }

    #[test]
    fn what_version_1_does_not_know_it_is_not_sent() {
        let at = Resume { stream: uuid::Uuid::nil(), sequence: 1 };
        let event = hindsight_wire::agent::AgentEvent::Unknown;
        assert_eq!(message(1, &Down::Agent { at, event }).unwrap(), None);
        assert_eq!(message(1, &Down::Answer { request: 1, error: None }).unwrap(), None);
    }
}
