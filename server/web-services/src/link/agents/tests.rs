//! The stream against desktops that lose their links at any moment.

use super::*;
use hindsight_model::event::{Announcement, CallParty, EndCause};
use hindsight_wire::{
    CaptureId,
    agent::{CallAction, Hold, Medium, RecordingState},
    component::RecordingAction,
    manifest::Party,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

fn seat(dn: &str) -> Seat {
    Seat {
        person: PersonId::new(),
        name: "Ann Berg".into(),
        roles: BTreeSet::from([PersonRole::Agent]),
        dn: dn.into(),
        since: NOW,
    }
}

fn event(interaction: InteractionId, what: What) -> Event {
    Event { interaction, at: NOW, what }
}

fn offered(to: &str) -> What {
    let (caller, dialled) = ("0701".to_owned(), to.to_owned());
    What::CallOffered { caller, dialled, record_voice: vec![to.to_owned()], record_screen: vec![] }
}

fn established(dn: &str) -> What {
    let party = CallParty { number: dn.to_owned(), role: Party::Agent, is_dn: true };
    What::CallEstablished { parties: vec![party] }
}

fn over() -> What {
    What::CallEnded { cause: EndCause::HungUp, by: None }
}

fn chat(dn: &str) -> What {
    What::InteractionAnnounced(Announcement {
        medium: Medium::Chat,
        from: "a visitor".into(),
        to: "sales".into(),
        dn: dn.into(),
        person: None,
        record_screen: true,
        attached: BTreeMap::from([("Ticket".into(), "7".into())]),
        by: "chat".into(),
    })
}

/// A desktop that keeps what it is told, and complains of what is missing or comes twice.
#[derive(Default)]
struct Desktop {
    seen: Option<Resume>,
    state: AgentState,
    interactions: BTreeMap<InteractionId, InteractionView>,
}

impl Desktop {
    fn take(&mut self, down: Down) {
        let Down::Agent { at, event } = down else { panic!("not of the stream") };
        match event {
            AgentEvent::Snapshot { state, interactions, .. } => {
                self.state = state;
                self.interactions = interactions.into_iter().map(|view| (view.id, view)).collect();
            }
            step => {
                let seen = self.seen.expect("a snapshot comes first");
                assert_eq!(
                    (at.stream, at.sequence),
                    (seen.stream, seen.sequence + 1),
                    "none missed, none twice"
                );
                match step {
                    AgentEvent::State { state } => self.state = state,
                    AgentEvent::Interaction { interaction } if interaction.progress == Progress::Ended => {
                        self.interactions.remove(&interaction.id).expect("it was shown before it ended");
                    }
                    AgentEvent::Interaction { interaction } => {
                        self.interactions.insert(interaction.id, interaction);
                    }
                    AgentEvent::Snapshot { .. } | AgentEvent::Unknown => unreachable!(),
                }
            }
        }
        self.seen = Some(at);
    }
}

fn up(agents: &mut Agents, device: DeviceId, seat: &Seat, link: u64, resume: Option<Resume>) -> Vec<Output> {
    agents.up(device, (seat.clone(), AgentState::default()), link, resume, Uuid::now_v7(), NOW)
}

/// Links break with messages on their way, desktops come back on new ones, events go on: in the end every desktop knows
/// exactly what the server shows it, and no step came twice or out of order.
#[test]
fn nothing_is_missed_and_nothing_comes_twice_whatever_happens_to_the_links() {
    for seed in 0..600 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut agents = Agents::default();
        let seats = ["1001", "1002", "1003"].map(seat);
        let devices = [(); 3].map(|()| DeviceId::new());
        let mut desktops = [(); 3].map(|()| Desktop::default());
        let mut links: [Option<u64>; 3] = [None; 3];
        let mut on_the_way: [VecDeque<(u64, Down)>; 3] = Default::default();
        let mut calls: Vec<InteractionId> = Vec::new();
        let mut next_link = 0;
        let steps = if seed % 10 == 0 { 1500 } else { 200 };
        for _ in 0..steps {
            let who = rng.random_range(0..3);
            let outputs = match rng.random_range(0..100) {
                // Its link breaks: what was on the way is gone.
                0..8 => {
                    on_the_way[who].clear();
                    // The server may learn of it later than the desktop is back.
                    if rng.random() && links[who].is_some() {
                        agents.down(devices[who], NOW);
                    }
                    links[who] = None;
                    Vec::new()
                }
                8..20 if links[who].is_none() => {
                    next_link += 1;
                    links[who] = Some(next_link);
                    up(&mut agents, devices[who], &seats[who], next_link, desktops[who].seen)
                }
                // Of an older link of its own, whose end the server had not seen.
                20..24 => {
                    let state = AgentState {
                        ready: rng.random(),
                        reason: None,
                        since: Some(Timestamp(rng.random())),
                    };
                    agents.set_state(seats[who].person, &state)
                }
                24..50 => {
                    let id = InteractionId::new();
                    calls.push(id);
                    let what = if rng.random() { offered(&seats[who].dn) } else { chat(&seats[who].dn) };
                    agents.events(&[event(id, what)], NOW)
                }
                50..90 if !calls.is_empty() => {
                    let id = calls[rng.random_range(0..calls.len())];
                    let what = match rng.random_range(0..6) {
                        0 => established(&seats[who].dn),
                        1 => What::CallHeld { by: seats[who].dn.clone(), at_phone: rng.random() },
                        2 => What::RecordingStarted { capture: CaptureId::new(), by: "full-time".into() },
                        3 => What::RecordingPaused { by: "ann".into(), reason: "card".into() },
                        4 => What::RecordingResumed { by: "ann".into() },
                        _ => over(),
                    };
                    agents.events(&[event(id, what)], NOW)
                }
                _ => {
                    // Some of what is on the way arrives.
                    for _ in 0..rng.random_range(0..20) {
                        let Some((link, down)) = on_the_way[who].pop_front() else { break };
                        assert_eq!(Some(link), links[who]);
                        desktops[who].take(down);
                    }
                    Vec::new()
                }
            };
            for Output { device, link, down } in outputs {
                let to = devices.iter().position(|one| *one == device).unwrap();
                // What is sent on a link that is gone arrives nowhere.
                if links[to] == Some(link) {
                    on_the_way[to].push_back((link, down));
                }
            }
        }
        for (who, device) in devices.iter().enumerate() {
            if links[who].is_none() {
                next_link += 1;
                for output in up(&mut agents, *device, &seats[who], next_link, desktops[who].seen) {
                    on_the_way[who].push_back((output.link, output.down));
                }
            }
            for (_, down) in on_the_way[who].drain(..) {
                desktops[who].take(down);
            }
            let stream = &agents.streams[device];
            assert_eq!(desktops[who].interactions, stream.shown, "seed {seed}");
            assert_eq!(desktops[who].state, stream.state, "seed {seed}");
            assert_eq!(stream.shown, shown_to(&stream.seat, &agents.stories), "seed {seed}");
        }
    }
}

#[test]
fn a_desktop_that_was_away_too_long_or_signed_in_anew_gets_everything() {
    let (mut agents, device, seat) = (Agents::default(), DeviceId::new(), seat("1001"));
    let mut desktop = Desktop::default();
    let back = |desktop: &mut Desktop, agents: &mut Agents, seat: &Seat, link| {
        let outputs = up(agents, device, seat, link, desktop.seen);
        let count = outputs.len();
        outputs.into_iter().for_each(|output| desktop.take(output.down));
        count
    };
    assert_eq!(back(&mut desktop, &mut agents, &seat, 1), 1);
    agents.down(device, NOW);
    for _ in 0..KEPT {
        agents.events(&[event(InteractionId::new(), chat("1001"))], NOW);
    }
    assert_eq!(back(&mut desktop, &mut agents, &seat, 2), KEPT);
    agents.down(device, NOW);
    for _ in 0..=KEPT {
        agents.events(&[event(InteractionId::new(), chat("1001"))], NOW);
    }
    assert_eq!(back(&mut desktop, &mut agents, &seat, 3), 1, "a snapshot");
    assert_eq!(desktop.interactions.len(), 2 * KEPT + 1);
    let before = desktop.seen.unwrap();
    let anew = Seat { since: NOW.plus_ms(1), ..seat };
    back(&mut desktop, &mut agents, &anew, 4);
    assert_ne!(desktop.seen.unwrap().stream, before.stream);
}

#[test]
fn a_change_of_roles_is_not_missed_when_its_message_is_lost() {
    let (mut agents, device, seat) = (Agents::default(), DeviceId::new(), seat("1001"));
    let call = InteractionId::new();
    let mut desktop = Desktop::default();
    up(&mut agents, device, &seat, 1, None).into_iter().for_each(|output| desktop.take(output.down));
    let recorded = What::RecordingStarted { capture: CaptureId::new(), by: "full-time".into() };
    let begin = [event(call, offered("1001")), event(call, established("1001")), event(call, recorded)];
    agents.events(&begin, NOW).into_iter().for_each(|output| desktop.take(output.down));
    assert_eq!(desktop.interactions[&call].recording, [RecordingAction::Pause], "policy records it");
    let promoted = Seat { roles: BTreeSet::from([PersonRole::Supervisor]), ..seat };
    drop(up(&mut agents, device, &promoted, 2, desktop.seen));
    up(&mut agents, device, &promoted, 3, desktop.seen)
        .into_iter()
        .for_each(|output| desktop.take(output.down));
    assert_eq!(desktop.interactions[&call].recording, [RecordingAction::Pause, RecordingAction::Stop]);
}

#[test]
fn an_agent_sees_what_they_can_do_at_each_step() {
    let (mut agents, device, seat) = (Agents::default(), DeviceId::new(), seat("1001"));
    let call = InteractionId::new();
    up(&mut agents, device, &seat, 1, None);
    let mut after = |what: What| {
        agents.events(&[event(call, what)], NOW);
        agents.shown(device, call).cloned()
    };
    let view = after(offered("1001")).unwrap();
    assert_eq!((view.progress, view.calls), (Progress::Ringing, vec![CallAction::HangUp]));
    let view = after(What::CallRinging { dn: "1001".into(), answerable: true }).unwrap();
    assert_eq!(view.calls, [CallAction::Answer, CallAction::HangUp]);
    assert!(view.recording.is_empty());
    let view = after(established("1001")).unwrap();
    assert_eq!(
        (view.progress, view.calls),
        (Progress::Established, vec![CallAction::Hold, CallAction::HangUp])
    );
    assert_eq!(view.recording, [RecordingAction::Start]);
    let held = |by: &str, at_phone| What::CallHeld { by: by.into(), at_phone };
    let view = after(held("1001", false)).unwrap();
    assert_eq!((view.progress, view.calls), (Progress::Held, vec![CallAction::Retrieve, CallAction::HangUp]));
    assert_eq!(view.holds, [Hold::Agent]);
    after(What::CallRetrieved { by: "1001".into() });
    let view = after(held("1001", true)).unwrap();
    assert_eq!((view.progress, view.calls), (Progress::Held, vec![CallAction::HangUp]), "only the phone can");
    assert_eq!(view.holds, [Hold::AgentsPhone]);
    after(What::CallRetrieved { by: "1001".into() });
    let view = after(held("2001", true)).unwrap();
    assert_eq!((view.progress, view.calls), (Progress::Held, vec![CallAction::Hold, CallAction::HangUp]));
    assert_eq!(view.holds, [Hold::OtherParty]);
    let view = after(What::CallRetrieved { by: "2001".into() }).unwrap();
    assert!(view.progress == Progress::Established && view.holds.is_empty());
    let view = after(What::RecordingStarted { capture: CaptureId::new(), by: "ann".into() }).unwrap();
    assert_eq!(view.voice, RecordingState::Recording);
    assert_eq!(after(over()), None);
}

#[test]
fn a_chat_has_no_call_control_and_its_recording_is_that_of_the_screen() {
    let (mut agents, device, seat) = (Agents::default(), DeviceId::new(), seat("1001"));
    let id = InteractionId::new();
    up(&mut agents, device, &seat, 1, None);
    agents.events(&[event(id, chat("1001"))], NOW);
    let view = agents.shown(device, id).unwrap();
    assert!(view.calls.is_empty() && view.recording.is_empty() && view.attached["Ticket"] == "7");
    let (person, capture) = (seat.person, CaptureId::new());
    let started = What::ScreenStarted { person, dn: "1001".into(), capture, recordings: vec![] };
    agents.events(&[event(id, started)], NOW);
    let view = agents.shown(device, id).unwrap();
    assert_eq!(
        (view.screen, &view.recording[..]),
        (RecordingState::Recording, &[RecordingAction::Pause][..])
    );
    agents.events(&[event(id, What::RecordingPaused { by: "ann".into(), reason: "card".into() })], NOW);
    let view = agents.shown(device, id).unwrap();
    assert_eq!((view.screen, &view.recording[..]), (RecordingState::Paused, &[RecordingAction::Resume][..]));
}

#[test]
fn nobody_sees_the_interactions_of_another_dn() {
    let (mut agents, device, seat) = (Agents::default(), DeviceId::new(), seat("1001"));
    up(&mut agents, device, &seat, 1, None);
    let other = InteractionId::new();
    assert!(
        agents.events(&[event(other, offered("1002")), event(other, established("1002"))], NOW).is_empty()
    );
    assert_eq!(agents.shown(device, other), None);
}

#[test]
fn a_transferred_call_rings_at_the_next_desktop_and_leaves_the_first() {
    let mut agents = Agents::default();
    let (first, second) = (DeviceId::new(), DeviceId::new());
    for (device, dn, link) in [(first, "1001", 1), (second, "1002", 2)] {
        up(&mut agents, device, &seat(dn), link, None);
    }
    let call = InteractionId::new();
    let mut after = |what: What| {
        agents.events(&[event(call, what)], NOW);
        [first, second].map(|device| agents.shown(device, call).cloned())
    };
    after(offered("1001"));
    after(established("1001"));
    let rings = || What::CallRinging { dn: "1002".into(), answerable: false };
    let [speaks, ringing] = after(rings()).map(Option::unwrap);
    assert_eq!((speaks.progress, ringing.progress), (Progress::Established, Progress::Ringing));
    assert_eq!((ringing.from.as_str(), ringing.to.as_str()), ("0701", "1002"));
    assert!(ringing.calls.is_empty() && ringing.recording.is_empty(), "it is not theirs yet");
    let failed = What::TransferFailed { by: "1001".into(), to: "1002".into(), status: 486 };
    let [speaks, ringing] = after(failed);
    assert!(speaks.is_some() && ringing.is_none());
    after(rings());
    after(What::RecordingStarted { capture: CaptureId::new(), by: "full-time".into() });
    after(What::RecordingStopped { by: "transfer".into(), voice_only: true });
    let transferred = What::CallTransferred {
        by: "1001".into(),
        to: "1002".into(),
        attended: false,
        record_voice: vec!["1002".into()],
        record_screen: vec![],
        consultation: None,
    };
    after(transferred);
    let [left, joined] = after(established("1002"));
    assert_eq!(left, None);
    let joined = joined.unwrap();
    assert_eq!((joined.progress, joined.to.as_str()), (Progress::Established, "1002"));
    assert_eq!(joined.voice, RecordingState::Off);
}
