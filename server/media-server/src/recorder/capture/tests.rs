use super::*;
use hindsight_wire::manifest::{Reception, ReceptionFigures};

fn setups() -> [PartySetup; 2] {
    ["1001", "1002"].map(|number| PartySetup {
        both: false,
        number: number.into(),
        codecs: vec![(0, Codec::Pcmu)],
        events: vec![101],
        ..PartySetup::default()
    })
}

fn packet(payload_type: u8, n: u16, tag: u8) -> Vec<u8> {
    let mut bytes = vec![0x80, payload_type];
    bytes.extend(n.to_be_bytes());
    bytes.extend((u32::from(n) * 160).to_be_bytes());
    bytes.extend([0, 0, 0, 9]);
    bytes.extend([tag; 160]);
    bytes
}

struct Sim {
    capture: Capture,
    out: Vec<u8>,
}

impl Sim {
    fn new() -> Self {
        let mut out = Vec::new();
        let (capture, tracks) = Capture::start(setups(), RecordingId::new(), Timestamp(0), &mut out);
        assert_eq!(
            tracks.iter().map(|t| (t.number, t.party)).collect::<Vec<_>>(),
            [(1, Party::Agent), (2, Party::Customer)]
        );
        Self { capture, out }
    }

    fn both(&mut self, n: u16) {
        for side in [AGENT, CUSTOMER] {
            let taken = self.capture.packet(side, i64::from(n) * 20_000, &packet(0, n, 0x40 + side as u8));
            assert_eq!(taken, Taken::Done);
        }
        self.capture.poll(i64::from(n) * 20_000 + 1, &mut self.out);
    }

    fn end(mut self, at_ms: i64) -> (PartSummary, Vec<u8>) {
        let summary = self.capture.end_part(at_ms * 1000, &mut self.out);
        (summary, self.out)
    }
}

fn blocks(out: &[u8], tag: u8) -> usize {
    out.windows(160).filter(|window| window.iter().all(|byte| *byte == tag)).count()
}

#[test]
fn both_parties_are_on_their_tracks_for_the_whole_call() {
    let mut sim = Sim::new();
    for n in 0..250 {
        sim.both(n);
    }
    let (summary, out) = sim.end(5_000);
    assert_eq!(summary.duration_ms, 5_000);
    assert_eq!((blocks(&out, 0x40), blocks(&out, 0x41)), (250, 250));
    for quality in &summary.quality {
        assert_eq!((quality.received, quality.expected, quality.lost, &*quality.state), (250, 250, 0, "ok"));
    }
}

#[test]
fn a_pause_leaves_no_byte_and_the_timeline_goes_on() {
    let mut sim = Sim::new();
    for n in 0..50 {
        sim.both(n);
    }
    sim.capture.pause(1_000_000, "anna".into(), "card".into(), &mut sim.out);
    for n in 50..100u16 {
        for side in [AGENT, CUSTOMER] {
            assert_eq!(sim.capture.packet(side, i64::from(n) * 20_000, &packet(0, n, 0x7f)), Taken::Done);
        }
        sim.capture.poll(i64::from(n) * 20_000, &mut sim.out);
    }
    sim.capture.resume(2_000_000);
    // A packet of the paused span that comes after its end.
    assert_eq!(sim.capture.packet(AGENT, 2_000_100, &packet(0, 99, 0x7f)), Taken::Done);
    for n in 100..150 {
        sim.both(n);
    }
    let (summary, out) = sim.end(3_000);
    assert!(!out.contains(&0x7f) || blocks(&out, 0x7f) == 0);
    assert_eq!((blocks(&out, 0x40), blocks(&out, 0x41)), (100, 100));
    assert_eq!(summary.pauses.len(), 1);
    assert_eq!((summary.pauses[0].from_ms, summary.pauses[0].to_ms), (1_000, Some(2_000)));
    assert_eq!((summary.quality[0].lost, summary.quality[1].lost), (0, 0));
    assert_eq!(summary.index.last().map(|entry| entry.time_ms / 1000), Some(2));
}

#[test]
fn a_codec_that_no_track_holds_needs_a_part_with_both() {
    let mut sim = Sim::new();
    for n in 0..50 {
        sim.both(n);
    }
    let at = 50 * 20_000;
    assert_eq!(sim.capture.packet(CUSTOMER, at, &packet(8, 50, 9)), Taken::NeedsPart);
    let first = sim.capture.end_part(at, &mut sim.out);
    assert_eq!((first.duration_ms, first.quality[1].expected), (1_000, 50));
    let tracks = sim.capture.start_part(at, RecordingId::new(), Timestamp(at), &mut sim.out);
    assert_eq!(
        tracks.iter().map(|t| (t.number, t.codec.as_str())).collect::<Vec<_>>(),
        [(1, "PCMU"), (2, "PCMA"), (3, "PCMU")]
    );
    assert_eq!(sim.capture.packet(CUSTOMER, at, &packet(8, 50, 9)), Taken::Done);
    for n in 51..60u16 {
        let at = i64::from(n) * 20_000;
        assert_eq!(sim.capture.packet(CUSTOMER, at, &packet(8, n, 9)), Taken::Done);
        assert_eq!(sim.capture.packet(AGENT, at, &packet(0, n, 8)), Taken::Done);
    }
    let (summary, out) = sim.end(1_200);
    assert_eq!(summary.duration_ms, 200);
    assert_eq!((summary.quality[1].received, summary.quality[1].expected), (10, 10));
    assert_eq!(blocks(&out, 9), 10);
    assert_eq!(summary.index[0].time_ms, 0);
}

#[test]
fn telephone_events_are_counted_and_not_written() {
    let mut sim = Sim::new();
    for n in 0..50u16 {
        let at = i64::from(n) * 20_000;
        let kind = if (20..25).contains(&n) { 101 } else { 0 };
        assert_eq!(sim.capture.packet(AGENT, at, &packet(kind, n, kind)), Taken::Done);
    }
    let (summary, out) = sim.end(1_000);
    assert_eq!(blocks(&out, 101), 0);
    let quality = &summary.quality[0];
    assert_eq!((quality.received, quality.expected, quality.lost), (45, 45, 0));
}

#[test]
fn silence_is_known_as_such() {
    let (summary, _) = Sim::new().end(7_000);
    assert_eq!(summary.quality.iter().map(|q| q.state.as_str()).collect::<Vec<_>>(), ["no-rtp", "no-rtp"]);
    let mut sim = Sim::new();
    for n in 0..10u16 {
        assert_eq!(sim.capture.packet(CUSTOMER, i64::from(n) * 20_000, &packet(0, n, 1)), Taken::Done);
        assert_eq!(sim.capture.packet(AGENT, i64::from(n) * 20_000, &packet(96, n, 1)), Taken::Done);
    }
    let (summary, _) = sim.end(7_000);
    assert_eq!(summary.quality.iter().map(|q| q.state.as_str()).collect::<Vec<_>>(), ["one-way", "ok"]);
    assert_eq!(summary.notes.len(), 1, "an unknown payload type is noted once");
}

fn report(kind: u8, words: &[u32]) -> Vec<u8> {
    let mut bytes = vec![if words.len() > 6 || kind == 201 { 0x81 } else { 0x80 }, kind];
    bytes.extend((words.len() as u16).to_be_bytes());
    bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    bytes
}

/// The customer's phone reports on the agent's stream (both have SSRC 9) with so many 256ths lost.
fn heard(fraction: u32, lost: u32, jitter: u32, last_report: u32) -> Vec<u8> {
    report(201, &[5, 9, fraction << 24 | lost, 100, jitter, last_report, 65_536])
}

#[test]
fn what_a_phone_reports_of_what_it_hears_is_in_the_figures_of_its_track() {
    let mut sim = Sim::new();
    for n in 0..250 {
        sim.both(n);
    }
    // The agent's sender report passes; the phone keeps it for a second, and the way to it and back takes 80 ms.
    sim.capture.control(AGENT, 1_000_000, &report(200, &[9, 0xe000_1234, 0x5678_0000, 8_000, 50, 8_000]));
    sim.capture.control(CUSTOMER, 2_080_000, &heard(64, 12, 240, 0x1234_5678));
    // To the RTP port, as some phones do without asking.
    assert_eq!(sim.capture.packet(CUSTOMER, 3_000_000, &heard(3, 13, 80, 0)), Taken::Done);
    // Of another source, no RTCP at all, and in no pause.
    sim.capture.control(CUSTOMER, 3_100_000, &report(201, &[5, 77, 0xff00_0000, 100, 8_000, 0, 0]));
    sim.capture.control(CUSTOMER, 3_200_000, &[0x80, 200, 0, 9, 1, 2, 3, 4]);
    let (summary, _) = sim.end(5_000);
    assert_eq!(summary.quality[AGENT].reception, None);
    let reception = summary.quality[CUSTOMER].reception.clone().unwrap();
    let last = ReceptionFigures { loss_percent: 1.2, jitter_ms: 10, round_trip_ms: Some(80) };
    let worst = ReceptionFigures { loss_percent: 25.0, jitter_ms: 30, round_trip_ms: Some(80) };
    assert_eq!(reception, Reception { reports: 2, lost: 13, last, worst });
}

#[test]
fn reports_of_a_pause_are_not_kept_and_a_second_part_has_its_own() {
    let mut sim = Sim::new();
    for n in 0..50 {
        sim.both(n);
    }
    sim.capture.control(CUSTOMER, 900_000, &heard(10, 1, 80, 0));
    sim.capture.pause(1_000_000, "anna".into(), "card".into(), &mut sim.out);
    sim.capture.control(CUSTOMER, 1_500_000, &heard(255, 200, 8_000, 0));
    sim.capture.resume(2_000_000);
    let first = sim.capture.end_part(2_100_000, &mut sim.out);
    sim.capture.start_part(2_100_000, RecordingId::new(), Timestamp(0), &mut sim.out);
    sim.capture.control(CUSTOMER, 2_500_000, &heard(20, 3, 80, 0));
    let second = sim.capture.end_part(3_000_000, &mut sim.out);
    let figures = |summary: &PartSummary| {
        let reception = summary.quality[CUSTOMER].reception.clone().unwrap();
        (reception.reports, reception.lost, reception.worst.loss_percent)
    };
    assert_eq!((figures(&first), figures(&second)), ((1, 1, 3.9), (1, 3, 7.8)));
}
