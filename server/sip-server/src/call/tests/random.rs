//! Calls whose messages are late, lost and refused at random, and SIP servers that are lost in them.

use super::*;

/// Random legs: late, lost, refused, hung up at any moment. Whatever happens, a call ends, every leg that was opened is
/// ended exactly once or was ended by its far end, and every request of the web services gets one answer.
#[test]
fn no_order_of_messages_leaves_a_leg_behind() {
    random_calls(0..4000, 0.0);
}

/// The same with a SIP server that is lost again and again: what was under way is lost with it, nothing else.
#[test]
fn no_order_of_messages_and_restarts_leaves_a_leg_behind() {
    let restarts = random_calls(10_000..14_000, 0.05);
    assert!(restarts > 900, "{restarts} restarts");
}

fn random_calls(seeds: std::ops::Range<u64>, lost: f64) -> u64 {
    let mut restarts = 0;
    for seed in seeds {
        let mut rng = StdRng::seed_from_u64(seed);
        let contacts = rng.random_range(1..4);
        let record = [rng.random(), rng.random()];
        let mut bench = Bench::new(contacts, record, rng.random_bool(0.8).then_some(PHONE_A));
        let mut open: BTreeMap<Leg, bool> = BTreeMap::from([(Leg::Caller, false)]);
        let mut pending: Vec<Input> = Vec::new();
        let mut requests = 0;
        let mut results = 0;
        let mut from = 0;
        let mut ended = 0;
        let mut next_fork = contacts;
        for step in 0.. {
            for action in &bench.seen[from..] {
                react(action, &mut rng, &mut pending, &mut open);
                results += u64::from(matches!(action, Action::Result { .. } | Action::Farewell { .. }));
                let (Action::Emit(what) | Action::EmitAt(_, what)) = action else { continue };
                ended += u32::from(matches!(what, What::CallEnded { .. }));
            }
            from = bench.seen.len();
            if bench.call.is_over() && pending.is_empty() {
                break;
            }
            assert!(step < 5000, "seed {seed}: never over");
            if lost > 0.0
                && rng.random_bool(lost)
                && let Some(kept) = bench.call.kept(bench.now)
            {
                restarts += 1;
                bench.restart(&kept, rng.random());
                pending.clear();
                requests = results;
            }
            if pending.is_empty() || rng.random_bool(0.1) {
                match bench.call.deadline() {
                    Some(at) => {
                        let time = at.saturating_duration_since(bench.now.instant);
                        bench.pass(time);
                    }
                    None if pending.is_empty() => {
                        bench.feed(Input::Unacknowledged { leg: Leg::Caller });
                    }
                    None => {}
                }
            } else {
                let input = pending.swap_remove(rng.random_range(0..pending.len()));
                bench.feed(input);
            }
            if rng.random_bool(0.05) {
                requests += 1;
                let action = [
                    RecordingAction::Start,
                    RecordingAction::Pause,
                    RecordingAction::Resume,
                    RecordingAction::Stop,
                ];
                bench.control(requests, action[rng.random_range(0..4)]);
            }
            if rng.random_bool(0.08) {
                requests += 1;
                let actions = [CallAction::Hold, CallAction::Retrieve, CallAction::Answer];
                let action = if step > 40 && rng.random_bool(0.1) {
                    CallAction::HangUp
                } else {
                    actions[rng.random_range(0..3)]
                };
                bench.desktop(requests, ["1001", "1002", "1003"][rng.random_range(0..3)], action);
            }
            if rng.random_bool(0.06) {
                transfer(&mut bench, &mut rng, &mut next_fork, &mut requests, &mut open);
            }
            no_word_passes_a_hold(&bench, seed);
            nobody_is_recorded_for_somebody_else(&bench, seed);
            if step > 60 && rng.random_bool(0.05) {
                // Anybody hangs up: a party, one that has left, one that is to join.
                let legs: Vec<Leg> =
                    open.keys().copied().filter(|leg| !matches!(leg, Leg::Media(_))).collect();
                let leg = legs[rng.random_range(0..legs.len())];
                if !open[&leg] && bench.is_up(leg) {
                    bench.feed(Input::Gone { leg, bye: true });
                    open.insert(leg, true);
                }
            }
        }
        assert_eq!(ended, 1, "seed {seed}");
        assert_eq!(requests, results, "seed {seed}");
        let left: Vec<_> = open.iter().filter(|(_, closed)| !**closed).collect();
        assert!(left.is_empty(), "seed {seed}: {left:?}");
    }
    restarts
}

impl Bench {
    /// Whether a phone has answered, or is the caller's: others have no dialog to end.
    fn is_up(&self, leg: Leg) -> bool {
        let acknowledged = |action: &Action| matches!(action, Action::Acknowledge { leg: of } if *of == leg);
        leg == Leg::Caller || self.seen.iter().any(acknowledged)
    }
}

/// Somebody wants one of the two to speak with somebody else: who may be called, may be nobody, may come from another call.
fn transfer(
    bench: &mut Bench,
    rng: &mut StdRng,
    next_fork: &mut u8,
    requests: &mut u64,
    open: &mut BTreeMap<Leg, bool>,
) {
    let by = Side::BOTH[rng.random_range(0..2)];
    let Some(leg) = bench.call.leg_of(by).filter(|leg| bench.call.may_transfer(*leg).is_ok()) else { return };
    let who = transfer::somebody(&format!("20{next_fork:02}"), rng.random());
    let to = match rng.random_range(0..5) {
        0 => Target::Nobody { number: who.number, status: [404, 480][rng.random_range(0..2)] },
        1 | 2 => {
            let mut other = Bench::established([false, rng.random()]);
            other.call.phones[Side::Callee as usize].who = who;
            let (_, phone) = other.call.hand_over(Side::Callee).unwrap();
            let leg = Leg::Callee(*next_fork);
            *next_fork += 1;
            open.insert(leg, false);
            Target::Consulted { phone, leg }
        }
        _ => {
            let forks = *next_fork..*next_fork + rng.random_range(1..3);
            *next_fork = forks.end;
            Target::Called { who, forks }
        }
    };
    let asked = if rng.random_bool(0.7) {
        Asked::Refer { leg, notify: rng.random_bool(0.8) }
    } else {
        *requests += 1;
        Asked::Desktop { request: *requests, by }
    };
    bench.feed(Input::Transfer { asked, to });
}

/// What is recorded was begun for those who speak, and policy's recordings only of whom policy records.
fn nobody_is_recorded_for_somebody_else(bench: &Bench, seed: u64) {
    let call = &bench.call;
    if call.recorder.confirmed() == recorder::Confirmed::Off || call.recorder.is_busy() || call.is_over() {
        return;
    }
    let whose = last_start(bench).whose.unwrap();
    let now = (call.number(call.agent), call.number(call.agent.other()));
    assert_eq!((whose.agent, whose.customer), now, "seed {seed}");
    assert_eq!(whose.swapped, call.agent != call.opened_agent, "seed {seed}");
    let policy = call.phones.iter().any(|phone| phone.who.record_voice);
    assert!(policy || !call.recorder.runs_by_policy(), "seed {seed}");
}

fn last_start(bench: &Bench) -> Order {
    let mut starts = bench.seen.iter().filter_map(|action| match action {
        Action::Order { order, .. } if order.action == RecordingAction::Start => Some(order.clone()),
        _ => None,
    });
    starts.next_back().unwrap()
}

fn react(action: &Action, rng: &mut StdRng, pending: &mut Vec<Input>, open: &mut BTreeMap<Leg, bool>) {
    match action {
        Action::Invite { leg, offer } => {
            open.insert(*leg, false);
            if matches!(leg, Leg::Callee(_)) && rng.random_bool(0.7) {
                pending.push(Input::Ringing { leg: *leg, talk: rng.random() });
            }
            if rng.random_bool(0.85) {
                pending.push(Input::Answered { leg: *leg, body: answer_of(*leg, offer, rng) });
            } else {
                open.insert(*leg, true);
                let status = [404, 408, 480, 486, 488, 503, 603][rng.random_range(0..7)];
                pending.push(Input::Refused { leg: *leg, status });
            }
        }
        Action::Reinvite { leg, offer } => {
            if rng.random_bool(0.9) {
                pending.push(Input::Answered { leg: *leg, body: answer_of(*leg, offer, rng) });
            } else {
                let status = [481, 488, 491][rng.random_range(0..3)];
                // With a 481 the far end has ended the dialog itself.
                open.insert(*leg, open[leg] || status == 481);
                pending.push(Input::Refused { leg: *leg, status });
            }
        }
        Action::Accept { leg, .. } => {
            let body = rng.random_bool(0.5).then(|| PHONE_A.as_bytes().to_vec());
            pending.push(Input::Acknowledged { leg: *leg, body });
            if rng.random_bool(0.5) {
                let hold =
                    if rng.random() { PHONE_A.replace("sendrecv", "sendonly") } else { PHONE_A.to_owned() };
                pending.push(Input::Offered {
                    leg: *leg,
                    body: rng.random_bool(0.9).then(|| hold.into_bytes()),
                });
            }
        }
        Action::Order { order, .. } if rng.random_bool(0.8) => {
            let failure = if rng.random() { Failure::Refused } else { Failure::NoRecording };
            let outcome = if rng.random_bool(0.8) { Ok(()) } else { Err(failure("no".to_owned())) };
            pending.push(Input::Ordered { serial: order.serial, outcome });
        }
        Action::Probe { leg } if rng.random_bool(0.1) => pending.push(Input::ProbeUnanswered { leg: *leg }),
        Action::Probe { leg } if rng.random_bool(0.9) => {
            let status = if rng.random_bool(0.95) { 200 } else { 481 };
            open.insert(*leg, open[leg] || status == 481);
            pending.push(Input::Probed { leg: *leg, status });
        }
        Action::Notify { .. } => {}
        Action::Talk { leg } => {
            let status = if rng.random_bool(0.7) { 200 } else { 489 };
            pending.push(Input::Talked { leg: *leg, status });
        }
        Action::End { leg } => {
            open.insert(*leg, true);
        }
        Action::Reject { leg, status } if *leg == Leg::Caller && *status != 491 => {
            open.insert(*leg, true);
        }
        Action::Acknowledge { .. }
        | Action::Ring
        | Action::Reject { .. }
        | Action::Order { .. }
        | Action::Probe { .. }
        | Action::Emit(_)
        | Action::EmitAt(..)
        | Action::Farewell { .. }
        | Action::Result { .. } => {}
    }
}

/// While a desktop holds a call, the media server was told to pass nothing on to the other phone.
fn no_word_passes_a_hold(bench: &Bench, seed: u64) {
    let Phase::Established(state) = &bench.call.phase else { return };
    for side in Side::BOTH {
        if bench.call.phones[side as usize].held_by_desktop && !state.is_changing() {
            let told = bench.direction_of_offer(Leg::Media(side.other()));
            assert_eq!(told, hindsight_sip::sdp::Direction::Inactive, "seed {seed}");
        }
    }
}

fn answer_of(leg: Leg, offer: &[u8], rng: &mut StdRng) -> Vec<u8> {
    match leg {
        Leg::Media(side) => media(side, offer),
        Leg::Caller | Leg::Callee(_) if rng.random_bool(0.05) => b"v=0".to_vec(),
        Leg::Caller | Leg::Callee(_) => {
            let direction = Description::parse(offer)
                .unwrap()
                .audio
                .direction
                .answer(hindsight_sip::sdp::Direction::SendRecv);
            let audio = Description::parse(PHONE_B.as_bytes()).unwrap().audio.with_direction(direction);
            Writer::new(3).write(&audio, &Shape::default())
        }
    }
}
