//! Calls and desktops that come and go.

use super::*;
use hindsight_model::event::{CallParty, EndCause};
use hindsight_wire::manifest::Party;

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

fn event(interaction: InteractionId, what: What) -> Event {
    Event { interaction, at: NOW, what }
}

fn offered(interaction: InteractionId, dns: &[&str]) -> Event {
    let record_screen = dns.iter().map(|dn| (*dn).to_owned()).collect();
    let (caller, dialled) = ("0701".to_owned(), "1001".to_owned());
    event(interaction, What::CallOffered { caller, dialled, record_voice: vec![], record_screen })
}

fn established(interaction: InteractionId, dn: &str) -> Event {
    let party = CallParty { number: dn.to_owned(), role: Party::Agent, is_dn: true };
    event(interaction, What::CallEstablished { parties: vec![party] })
}

fn ended(interaction: InteractionId) -> Event {
    event(interaction, What::CallEnded { cause: EndCause::HungUp, by: None })
}

fn desktop(dn: &str) -> Desktop {
    Desktop { person: PersonId::new(), dn: dn.to_owned() }
}

fn told(outputs: Vec<Output>) -> Vec<String> {
    let name = |output: Output| match output {
        Output::Send(_, Down::StartCapture { .. }) => "start".to_owned(),
        Output::Send(_, Down::StopCapture { .. }) => "stop".to_owned(),
        Output::Send(_, Down::PauseCapture { reason, .. }) => format!("pause {reason}"),
        Output::Send(_, Down::ResumeCapture { .. }) => "resume".to_owned(),
        Output::Send(..) => "other".to_owned(),
        Output::Log(event) => format!("log {:?}", event.what),
    };
    outputs.into_iter().map(name).collect()
}

#[test]
fn a_desktop_captures_from_the_answer_to_the_end() {
    let (mut captures, call) = (Captures::default(), InteractionId::new());
    captures.desktop_up(DeviceId::new(), desktop("1001"));
    assert!(captures.events(&[offered(call, &["1001"])], NOW).is_empty());
    assert_eq!(told(captures.events(&[established(call, "1001")], NOW)), ["start"]);
    assert!(captures.events(&[established(call, "1001")], NOW).is_empty(), "an event may come twice");
    assert_eq!(told(captures.events(&[ended(call)], NOW)), ["stop"]);
}

#[test]
fn a_dn_whose_policy_asks_for_no_screens_starts_nothing() {
    let (mut captures, call) = (Captures::default(), InteractionId::new());
    captures.desktop_up(DeviceId::new(), desktop("1002"));
    assert!(captures.events(&[offered(call, &["1001"]), established(call, "1002")], NOW).is_empty());
}

#[test]
fn a_call_that_came_and_went_while_the_server_was_away_starts_nothing() {
    let (mut captures, call) = (Captures::default(), InteractionId::new());
    captures.desktop_up(DeviceId::new(), desktop("1001"));
    let batch = [offered(call, &["1001"]), established(call, "1001"), ended(call)];
    assert!(captures.events(&batch, NOW).is_empty());
}

#[test]
fn a_desktop_that_comes_back_is_told_of_active_and_of_ended_calls() {
    let (mut captures, device) = (Captures::default(), DeviceId::new());
    let (active, over) = (InteractionId::new(), InteractionId::new());
    captures.desktop_up(device, desktop("1001"));
    captures.events(&[offered(over, &["1001"]), established(over, "1001")], NOW);
    captures.desktop_down(device);
    captures.events(&[ended(over), offered(active, &["1001"]), established(active, "1001")], NOW);
    assert_eq!(told(captures.desktop_up(device, desktop("1001"))), ["stop", "start"]);
}

#[test]
fn a_pause_reaches_a_capture_that_runs_and_one_that_begins_later() {
    let (mut captures, call) = (Captures::default(), InteractionId::new());
    let paused = event(call, What::RecordingPaused { by: "ann".into(), reason: "card".into() });
    let first = DeviceId::new();
    captures.desktop_up(first, desktop("1001"));
    captures.events(&[offered(call, &["1001"]), established(call, "1001")], NOW);
    assert_eq!(told(captures.events(&[paused], NOW)), ["pause card"]);
    captures.desktop_down(first);
    assert_eq!(told(captures.desktop_up(first, desktop("1001"))), ["start", "pause card"]);
    let resumed = event(call, What::RecordingResumed { by: "ann".into() });
    assert_eq!(told(captures.events(&[resumed], NOW)), ["resume"]);
}

#[test]
fn of_two_desktops_at_one_dn_the_last_to_come_captures() {
    let (mut captures, call) = (Captures::default(), InteractionId::new());
    captures.desktop_up(DeviceId::new(), desktop("1001"));
    captures.events(&[offered(call, &["1001"]), established(call, "1001")], NOW);
    let mut outputs = told(captures.desktop_up(DeviceId::new(), desktop("1001")));
    outputs.sort();
    assert_eq!(outputs, ["start", "stop"]);
}

#[test]
fn a_stop_by_a_person_ends_the_screens_too_and_a_start_brings_them_back() {
    let (mut captures, call) = (Captures::default(), InteractionId::new());
    captures.desktop_up(DeviceId::new(), desktop("1001"));
    captures.events(&[offered(call, &["1001"]), established(call, "1001")], NOW);
    let stopped = event(call, What::RecordingStopped { by: "ann".into(), voice_only: false });
    assert_eq!(told(captures.events(&[stopped], NOW)), ["stop"]);
    let started = event(call, What::RecordingStarted { capture: CaptureId::new(), by: "ann".into() });
    assert_eq!(told(captures.events(&[started], NOW)), ["start"]);
}

#[test]
fn a_transfer_ends_the_screen_of_who_left_and_begins_that_of_who_joined() {
    let (mut captures, call) = (Captures::default(), InteractionId::new());
    captures.desktop_up(DeviceId::new(), desktop("1001"));
    captures.desktop_up(DeviceId::new(), desktop("1002"));
    captures.events(&[offered(call, &["1001"]), established(call, "1001")], NOW);
    let stopped = event(call, What::RecordingStopped { by: "transfer".into(), voice_only: true });
    assert!(captures.events(&[stopped], NOW).is_empty(), "the voice only");
    let transferred = What::CallTransferred {
        by: "1001".into(),
        to: "1002".into(),
        attended: true,
        record_voice: vec![],
        record_screen: vec!["1002".into()],
        consultation: Some(InteractionId::new()),
    };
    let mut outputs = told(captures.events(&[event(call, transferred), established(call, "1002")], NOW));
    outputs.sort();
    assert_eq!(outputs, ["start", "stop"]);
    assert_eq!(told(captures.events(&[ended(call)], NOW)), ["stop"]);
}

#[test]
fn after_call_work_is_captured_for_as_long_as_policy_says_and_only_where_the_call_was() {
    let (mut captures, call) = (Captures::default(), InteractionId::new());
    let policy = CapturePolicy { after_call_seconds: 20, ..CapturePolicy::default() };
    captures.set_terms(Terms { policy, ..Terms::default() });
    let device = DeviceId::new();
    captures.desktop_up(device, desktop("1001"));
    captures.desktop_up(DeviceId::new(), desktop("1002"));
    captures.events(&[offered(call, &["1001", "1002"]), established(call, "1001")], NOW);
    assert!(captures.events(&[ended(call)], NOW).is_empty());
    assert_eq!(captures.deadline(), Some(NOW.plus_ms(20_000)));
    assert!(captures.on_time(NOW.plus_ms(19_999)).is_empty());
    captures.desktop_down(device);
    assert_eq!(told(captures.desktop_up(device, desktop("1001"))), ["start"], "it may have lost its way");
    assert_eq!(told(captures.on_time(NOW.plus_ms(20_000))), ["stop"]);
    assert_eq!(captures.deadline(), None);
    captures.desktop_down(device);
    assert_eq!(told(captures.desktop_up(device, desktop("1001"))), ["stop"]);
}

#[test]
fn an_announced_interaction_is_captured_as_a_call_is() {
    use hindsight_model::event::Announcement;
    let announced = |record_screen| {
        What::InteractionAnnounced(Announcement {
            medium: hindsight_wire::agent::Medium::Chat,
            from: "a visitor".into(),
            to: "sales".into(),
            dn: "1001".into(),
            person: None,
            record_screen,
            attached: BTreeMap::new(),
            by: "chat".into(),
        })
    };
    let (mut captures, chat) = (Captures::default(), InteractionId::new());
    captures.desktop_up(DeviceId::new(), desktop("1001"));
    assert!(captures.events(&[event(InteractionId::new(), announced(false))], NOW).is_empty());
    assert_eq!(told(captures.events(&[event(chat, announced(true))], NOW)), ["start"]);
    let paused = What::RecordingPaused { by: "crm".into(), reason: "card".into() };
    assert_eq!(told(captures.events(&[event(chat, paused)], NOW)), ["pause card"]);
    let over = What::InteractionEnded { by: "chat".into() };
    assert_eq!(told(captures.events(&[event(chat, over)], NOW)), ["stop"]);
}

#[test]
fn a_device_cannot_speak_of_calls_that_do_not_exist() {
    let (mut captures, device) = (Captures::default(), DeviceId::new());
    captures.desktop_up(device, desktop("1001"));
    assert!(captures.failed(device, &[InteractionId::new()], "no display", NOW).is_empty());
    let call = InteractionId::new();
    captures.events(&[offered(call, &["1001"])], NOW);
    assert_eq!(captures.failed(device, &[call], "no display", NOW).len(), 1);
}
