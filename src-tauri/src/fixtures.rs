//! What the shell knows in every situation that the window is drawn for. The window's mock mode and its tests work with
//! the file made from these, so that they see what Rust really sends.

use crate::controller::View;
use hindsight_wire::{
    Timestamp,
    agent::{
        AgentState, CallAction, Hold, InteractionView, Medium, Problem, ProblemKind, Progress, RecordingState,
    },
    component::RecordingAction,
    local::{
        CaptureState, DesktopStatus, LOCAL_PROTOCOL, LinkState, PauseView, SignedInPerson, SpoolStatus,
        TrayState,
    },
};
use std::{collections::BTreeMap, path::Path};

/// The present of all fixtures.
const NOW: &str = "2026-11-22T12:00:00Z";

fn ago(seconds: i64) -> Timestamp {
    NOW.parse::<Timestamp>().unwrap().plus_ms(-seconds * 1_000)
}

/// Enrolled, connected, nobody there.
pub fn signed_out() -> DesktopStatus {
    DesktopStatus {
        protocol: LOCAL_PROTOCOL,
        version: "0.1.0".to_owned(),
        pid: 4711,
        server: Some("hindsight.example.org:8443".to_owned()),
        link: LinkState::Up,
        backend: "x11".to_owned(),
        spool: SpoolStatus { free_bytes: 52_000_000_000, ..SpoolStatus::default() },
        clock_offset_ms: Some(12.5),
        may_quit: true,
        data_dir: "/home/alice/.local/share/hindsight".to_owned(),
        reasons: ["Break", "Training", "After-call work", "Meeting"].map(str::to_owned).to_vec(),
        ..DesktopStatus::default()
    }
}

/// Alice, ready.
pub fn idle() -> DesktopStatus {
    DesktopStatus {
        person: Some(SignedInPerson {
            login: "alice".to_owned(),
            name: "Alice Adams".to_owned(),
            dn: "1001".to_owned(),
        }),
        agent: AgentState { ready: true, reason: None, since: Some(ago(760)) },
        own_recordings: true,
        ..signed_out()
    }
}

/// A call, `index` makes its id.
pub fn call(index: u32, progress: Progress, recording: RecordingState) -> InteractionView {
    let on = progress != Progress::Ringing;
    InteractionView {
        id: format!("01934f00-0000-7000-8000-{index:012}").parse().unwrap(),
        medium: Medium::Voice,
        from: "+49 30 1234567".to_owned(),
        to: "1001".to_owned(),
        progress,
        since: ago(if on { 197 } else { 4 }),
        voice: recording,
        screen: recording,
        calls: match progress {
            Progress::Ringing => vec![CallAction::Answer, CallAction::HangUp],
            Progress::Established => vec![CallAction::Hold, CallAction::HangUp],
            Progress::Held => vec![CallAction::Retrieve, CallAction::HangUp],
            Progress::Ended => Vec::new(),
        },
        holds: if progress == Progress::Held { vec![Hold::Agent] } else { Vec::new() },
        recording: match recording {
            RecordingState::Recording => vec![RecordingAction::Pause],
            RecordingState::Paused => vec![RecordingAction::Resume],
            RecordingState::Off if on => vec![RecordingAction::Start],
            RecordingState::Off | RecordingState::Failed => Vec::new(),
        },
        attached: BTreeMap::from(
            [("Customer", "Weber, Johanna"), ("Contract", "K-2231-889"), ("Queue", "Billing")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        ),
    }
}

/// A call with this state of recording.
pub fn on_a_call(recording: RecordingState) -> DesktopStatus {
    let (tray, capture) = match recording {
        RecordingState::Off => (TrayState::Idle, CaptureState::Idle),
        RecordingState::Recording => (TrayState::Recording, CaptureState::Recording),
        RecordingState::Paused => (TrayState::Paused, CaptureState::Paused),
        RecordingState::Failed => (TrayState::Problem, CaptureState::Failed),
    };
    DesktopStatus {
        tray,
        capture,
        monitors: if capture == CaptureState::Idle { 0 } else { 2 },
        interactions: vec![call(1, Progress::Established, recording)],
        ..idle()
    }
}

/// One problem.
pub fn problem(kind: ProblemKind, detail: &str) -> DesktopStatus {
    let since = ago(95);
    DesktopStatus {
        tray: TrayState::Problem,
        problems: vec![Problem { kind, detail: detail.to_owned(), since }],
        ..idle()
    }
}

fn blended() -> DesktopStatus {
    let chat = |index, from: &str, medium, recording: RecordingState| InteractionView {
        medium,
        from: from.to_owned(),
        to: "support".to_owned(),
        voice: RecordingState::Off,
        screen: recording,
        calls: Vec::new(),
        ..call(index, Progress::Established, recording)
    };
    DesktopStatus {
        interactions: vec![
            call(1, Progress::Held, RecordingState::Recording),
            call(2, Progress::Ringing, RecordingState::Off),
            chat(3, "johanna.weber@example.org", Medium::Chat, RecordingState::Recording),
            chat(4, "m.okafor@example.org", Medium::Email, RecordingState::Recording),
        ],
        ..on_a_call(RecordingState::Recording)
    }
}

/// Both hold, the agent by the phone's own key.
fn held_at_phone() -> DesktopStatus {
    let held = InteractionView {
        calls: vec![CallAction::HangUp],
        holds: vec![Hold::AgentsPhone, Hold::OtherParty],
        ..call(1, Progress::Held, RecordingState::Recording)
    };
    DesktopStatus { interactions: vec![held], ..on_a_call(RecordingState::Recording) }
}

/// A window's title asks for it.
pub fn paused_by_rule(voice_not: Option<&str>) -> DesktopStatus {
    let pause = PauseView {
        by: "rule".to_owned(),
        reason: "the window \u{201c}Payment\u{201d}".to_owned(),
        voice_not: voice_not.map(str::to_owned),
    };
    let mut status = DesktopStatus { pause: Some(pause), ..on_a_call(RecordingState::Paused) };
    if voice_not.is_some() {
        status.interactions[0].voice = RecordingState::Recording;
    }
    status
}

fn failing() -> DesktopStatus {
    let kinds = [
        (ProblemKind::Link, "connection refused (10.1.0.4:8443)"),
        (ProblemKind::DiskLow, "1.2 GB left on /home"),
        (ProblemKind::UploadBacklog, "the oldest has waited 3 hours"),
        (ProblemKind::Clock, "41 s ahead of the server"),
        (ProblemKind::KeyStore, "no secret service; the key is kept in a file of this user"),
    ];
    let problem =
        |(kind, detail): (ProblemKind, &str)| Problem { kind, detail: detail.to_owned(), since: ago(95) };
    DesktopStatus {
        tray: TrayState::Problem,
        link: LinkState::Down,
        capture: CaptureState::Recording,
        monitors: 1,
        interactions: vec![call(1, Progress::Established, RecordingState::Recording)],
        spool: SpoolStatus {
            waiting: 37,
            waiting_bytes: 4_812_000_000,
            refused: 1,
            free_bytes: 1_200_000_000,
        },
        clock_offset_ms: Some(41_250.0),
        problems: kinds.into_iter().map(problem).collect(),
        ..idle()
    }
}

fn views() -> BTreeMap<&'static str, View> {
    let mut views: BTreeMap<&str, View> = BTreeMap::from([
        ("starting", View::Starting),
        ("down", View::Down { reason: "it ended with status 1".to_owned() }),
    ]);
    let uploading = SpoolStatus { waiting: 3, waiting_bytes: 41_700_000, ..idle().spool };
    let statuses = [
        (
            "not-enrolled",
            DesktopStatus {
                server: None,
                link: LinkState::NotEnrolled,
                clock_offset_ms: None,
                ..signed_out()
            },
        ),
        ("signed-out", signed_out()),
        ("signed-out-sso", DesktopStatus { sso: true, ..signed_out() }),
        (
            "signed-out-sso-refused",
            DesktopStatus {
                sso: true,
                sso_failure: Some(
                    "the sign-in was refused: The link of the browser came too late; begin again.".into(),
                ),
                ..signed_out()
            },
        ),
        ("idle", idle()),
        (
            "not-ready",
            DesktopStatus {
                agent: AgentState { ready: false, reason: Some("Break".to_owned()), since: Some(ago(340)) },
                own_recordings: false,
                may_quit: false,
                ..idle()
            },
        ),
        (
            "ringing",
            DesktopStatus { interactions: vec![call(1, Progress::Ringing, RecordingState::Off)], ..idle() },
        ),
        ("call-unrecorded", on_a_call(RecordingState::Off)),
        ("held-at-phone", held_at_phone()),
        ("recording", on_a_call(RecordingState::Recording)),
        ("paused", on_a_call(RecordingState::Paused)),
        ("paused-by-rule", paused_by_rule(None)),
        ("voice-not-paused", paused_by_rule(Some("the call is of another site"))),
        ("blended", blended()),
        ("uploading", DesktopStatus { tray: TrayState::Uploading, spool: uploading, ..idle() }),
        ("failing", failing()),
        (
            "problem-link",
            DesktopStatus {
                link: LinkState::Down,
                ..problem(ProblemKind::Link, "connection refused (10.1.0.4:8443)")
            },
        ),
        (
            "problem-refused",
            DesktopStatus {
                person: None,
                ..problem(ProblemKind::Refused, "the session has ended; sign in again")
            },
        ),
        (
            "problem-capture",
            DesktopStatus {
                capture: CaptureState::Failed,
                ..problem(ProblemKind::Capture, "the display :0 cannot be opened")
            },
        ),
        ("problem-disk-low", problem(ProblemKind::DiskLow, "1.2 GB left on /home")),
        ("problem-disk-full", problem(ProblemKind::DiskFull, "the spool cannot be written: no space left")),
        ("problem-upload-refused", problem(ProblemKind::UploadRefused, "a recording of 12:03 was refused")),
        ("problem-upload-backlog", problem(ProblemKind::UploadBacklog, "the oldest has waited 3 hours")),
        (
            "problem-clock",
            DesktopStatus {
                clock_offset_ms: Some(-41_250.0),
                ..problem(ProblemKind::Clock, "41 s behind the server")
            },
        ),
        ("problem-key-store", problem(ProblemKind::KeyStore, "the key store is locked; asked at each start")),
        ("problem-restarted", problem(ProblemKind::Restarted, "signal 9 ended it")),
        ("problem-other", problem(ProblemKind::Other, "something of a newer version")),
    ];
    views.extend(statuses.map(|(name, status)| (name, View::Running { status: Box::new(status) })));
    views
}

/// `HINDSIGHT_WRITE_FIXTURES=1 cargo nextest run -p hindsight-desktop fixtures` writes it anew.
#[test]
fn the_windows_fixtures_are_what_rust_sends() {
    let views = serde_json::json!({ "now": NOW, "views": views() });
    let expected = serde_json::to_string_pretty(&views).unwrap() + "\n";
    let path = Path::new("../ui/desktop/src/fixtures/views.json");
    if std::env::var_os("HINDSIGHT_WRITE_FIXTURES").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap();
    assert!(found == expected, "{} is not what Rust sends: write it anew", path.display());
}
