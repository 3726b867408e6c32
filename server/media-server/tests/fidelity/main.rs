//! What was recorded is what was said: every codec, plain and by SRTP, over a network that loses, delays and reorders,
//! with sources that change and clocks that drift. On a simulated clock, below the sockets, through the real recorder,
//! sealer, spool and replay. A foreign sender (libsrtp) protects.

// All of it is test code, also what stands outside of test functions.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests, which print the figures that they measured"
)]

mod network;
mod recording;
mod reports;
mod sound;

use hindsight_media_server::recorder::PartySetup;
use hindsight_sip::sdp::{Codec, Key, Suite};
use network::{Datagram, Network, Source, protect};
use recording::{ORIGIN_US, Part, Recording};
use sound::{Likeness, PACKETS, encoded, narrowed, speech};

/// Least correlation of what was said with what is replayed.
const LEAST: f64 = 0.95;
/// Furthest that a voice may stand from where it was said, milliseconds.
const MOST_OFFSET_MS: f64 = 20.0;

const CLEAN: Network = Network { loss: 0.0, reordered: 0.0, reorder_ms: 0, jitter_ms: 0 };
const LATE: Network = Network { loss: 0.0, reordered: 0.05, reorder_ms: 200, jitter_ms: 30 };
const POOR: Network = Network { loss: 0.05, reordered: 0.05, reorder_ms: 200, jitter_ms: 30 };

fn payload_type(codec: Codec) -> u8 {
    codec.static_payload_type().unwrap_or(96)
}

fn ticks(codec: Codec) -> u32 {
    codec.clock_rate() / PACKETS as u32
}

fn setup(codec: Codec, key: Option<Key>) -> PartySetup {
    PartySetup { codecs: vec![(payload_type(codec), codec)], events: vec![101], key, ..PartySetup::default() }
}

fn key_of(suite: Suite, side: usize) -> (Vec<u8>, Key) {
    let master: Vec<u8> =
        (0..suite.key_len() + suite.salt_len()).map(|n| (n * 7 + side * 91 + 3) as u8).collect();
    (master.clone(), Key::new(1, suite, master).unwrap())
}

/// Both parties' speech at 8 kHz, and the packets of it.
struct Voices {
    sound: [Vec<i16>; 2],
    packets: [Vec<Vec<u8>>; 2],
}

impl Voices {
    /// `loss_told`: with in-band error correction, where the codec has it (RFC 7587 `useinbandfec`).
    fn new(codec: Codec, loss_told: bool) -> Self {
        let sound = [0, 1].map(speech);
        let packets = [0, 1].map(|side: usize| encoded(codec, &sound[side], loss_told));
        Self { sound, packets }
    }
}

/// How a channel of a part follows a voice that began to be said at `from_ms`, one second after the other.
async fn likeness(
    part: &Part,
    side: usize,
    said: &[f32],
    from_ms: u64,
    seconds: std::ops::Range<u64>,
) -> Likeness {
    let mut all = Likeness::default();
    let factor = part.rate() / 8_000;
    for second in seconds {
        let at = from_ms + second * 1000;
        let heard = narrowed(&part.heard(at, at + 1000).await[side], factor);
        let place = (second * 8_000) as usize;
        let said = &said[place..(place + 8_000).min(said.len())];
        let found = Likeness::of(said, &heard);
        all.add(&found);
    }
    all
}

fn wide(sound: &[i16]) -> Vec<f32> {
    sound.iter().map(|sample| f32::from(*sample)).collect()
}

/// When the parties begin to speak, milliseconds into the recording.
const BEGIN_MS: [u64; 2] = [300, 700];

#[tokio::test]
async fn every_codec_and_protection_is_replayed_as_it_was_said_over_a_good_and_a_poor_network() {
    const SECONDS: usize = 16;
    let mut failed = Vec::new();
    for codec in Codec::ALL {
        let voices = Voices::new(codec, true);
        for suite in std::iter::once(None).chain(Suite::ALL.map(Some)) {
            for (kind, network) in [("good", CLEAN), ("poor", POOR)] {
                let keys = [0, 1].map(|side| suite.map(|suite| key_of(suite, side)));
                let setups =
                    [0, 1].map(|side: usize| setup(codec, keys[side].as_ref().map(|(_, key)| key.clone())));
                let mut recording = Recording::start(setups);
                let mut arrived = Vec::new();
                for side in [0, 1] {
                    let mut sent: Vec<Datagram> = Vec::new();
                    let mut source = Source::new(payload_type(codec), 77 + side as u32, ticks(codec));
                    let from_us = ORIGIN_US + BEGIN_MS[side] as i64 * 1000;
                    source.send(from_us, voices.packets[side].iter().take(SECONDS * PACKETS), &mut sent);
                    if let (Some(suite), Some((master, _))) = (suite, &keys[side]) {
                        protect(suite, master, &mut sent);
                    }
                    let carried = network.carry(11 + side as u64, sent);
                    arrived.extend(carried.into_iter().map(|(at, bytes)| (side, at, bytes)));
                }
                recording.hear(arrived);
                let parts = recording.finish(ORIGIN_US + (SECONDS as i64 + 1) * 1_000_000).await;
                assert_eq!(parts.len(), 1);
                for side in [0, 1] {
                    let said = wide(&voices.sound[side]);
                    let seconds = 0..SECONDS as u64 - 1;
                    let found = likeness(&parts[0], side, &said, BEGIN_MS[side], seconds).await;
                    let quality = &parts[0].manifest.quality[side];
                    let protection = suite.map_or("plain", Suite::name);
                    println!(
                        "{:<5} {protection:<24} {kind}: side {side} correlation {:.4}, offset {:5.2} ms; {} of {} packets",
                        codec.name(),
                        found.coefficient(),
                        found.offset_ms(),
                        quality.received,
                        quality.expected,
                    );
                    if found.coefficient() < LEAST || found.offset_ms().abs() > MOST_OFFSET_MS {
                        failed.push(format!("{} {protection} {kind} {side}: {found:?}", codec.name()));
                    }
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Part, side, what it said from which millisecond of the call on, and the seconds of it that are compared.
type Span<'a> = (usize, usize, &'a [f32], u64, std::ops::Range<u64>);

/// Each span is replayed as it was said, in its place in the call.
async fn checked(what: &str, parts: &[Part], spans: &[Span<'_>]) {
    let start = parts[0].manifest.started_at.0 / 1000;
    let mut worst = Vec::new();
    for (place, side, said, from_ms, seconds) in spans {
        let part = &parts[*place];
        let offset = (part.manifest.started_at.0 / 1000 - start) as u64;
        let found = likeness(part, *side, said, from_ms - offset, seconds.clone()).await;
        println!(
            "{what}: part {} side {side}, seconds {seconds:?}: correlation {:.4}, offset {:5.2} ms",
            place + 1,
            found.coefficient(),
            found.offset_ms()
        );
        if found.coefficient() < LEAST || found.offset_ms().abs() > MOST_OFFSET_MS {
            worst.push((side, found));
        }
    }
    assert!(worst.is_empty(), "{what}: {worst:?}");
}

#[tokio::test]
async fn a_codec_changed_in_the_call_goes_on_in_another_part_or_track_in_its_place() {
    const CHANGE: usize = 6;
    const SECONDS: usize = 12;
    let voices = Codec::ALL.map(|codec| (codec, Voices::new(codec, false)));
    for (before, first) in &voices {
        for (after, second) in voices.iter().filter(|(after, _)| after != before) {
            let setups = || [0, 1].map(|_| setup(*before, None));
            let mut recording = Recording::start(setups());
            let mut halves = [Vec::new(), Vec::new()];
            for side in [0, 1] {
                let from_us =
                    |second: usize| ORIGIN_US + BEGIN_MS[side] as i64 * 1000 + second as i64 * 1_000_000;
                let mut sent = [Vec::new(), Vec::new()];
                let mut source = Source::new(payload_type(*before), 7 + side as u32, ticks(*before));
                source.send(from_us(0), first.packets[side].iter().take(CHANGE * PACKETS), &mut sent[0]);
                source.payload_type = payload_type(*after);
                source.ticks = ticks(*after);
                let rest =
                    second.packets[side].iter().skip(CHANGE * PACKETS).take((SECONDS - CHANGE) * PACKETS);
                source.send(from_us(CHANGE), rest, &mut sent[1]);
                for (half, sent) in halves.iter_mut().zip(sent) {
                    half.extend(sent.into_iter().map(|(at, bytes)| (side, at, bytes)));
                }
            }
            let [one, other] = halves;
            // Both phones have agreed before the first of them changes, the second changes a moment later.
            let (before_us, late): (Vec<_>, Vec<_>) =
                one.into_iter().partition(|(_, at, _)| *at < other[0].1.min(other[other.len() / 2].1));
            recording.hear(before_us);
            for side in [0, 1] {
                let mut agreed = setup(*after, None);
                agreed.codecs.push((payload_type(*before), *before));
                recording.run().renegotiate(side, agreed);
            }
            recording.hear(late.into_iter().chain(other).collect());
            let parts = recording.finish(ORIGIN_US + (SECONDS as i64 + 1) * 1_000_000).await;
            assert_eq!(parts.iter().map(|part| part.manifest.part).collect::<Vec<_>>(), [1, 2]);
            let said = [0, 1].map(|side: usize| wide(&first.sound[side]));
            let what = format!("{} to {}", before.name(), after.name());
            let begin = BEGIN_MS;
            checked(
                &what,
                &parts,
                &[
                    (0, 0, &said[0], begin[0], 0..CHANGE as u64 - 1),
                    (0, 1, &said[1], begin[1], 0..CHANGE as u64 - 1),
                    (1, 0, &said[0], begin[0], CHANGE as u64 + 1..SECONDS as u64 - 1),
                    (1, 1, &said[1], begin[1], CHANGE as u64 + 1..SECONDS as u64 - 1),
                ],
            )
            .await;
        }
    }
}

/// How a hold sounds to the recorder.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hold {
    /// Nothing is sent, RTP time goes on.
    Silent,
    /// Nothing is sent, RTP time stands still.
    Stopped,
    /// Somebody else plays music; then the phone goes on as if nothing had been.
    Music,
}

#[tokio::test]
async fn another_source_and_a_hold_with_and_without_music_keep_every_voice_in_its_place() {
    const SECONDS: u64 = 24;
    for codec in [Codec::Pcma, Codec::G722, Codec::Opus] {
        let voices = Voices::new(codec, true);
        for (kind, network) in [("in time", CLEAN), ("out of order", LATE)] {
            for hold in [None, Some(Hold::Silent), Some(Hold::Stopped), Some(Hold::Music)] {
                let mut recording = Recording::start([0, 1].map(|_| setup(codec, None)));
                let packets = |side: usize, seconds: std::ops::Range<u64>| {
                    let number = |second: u64| second as usize * PACKETS;
                    voices.packets[side][number(seconds.start)..number(seconds.end)].iter()
                };
                let at_us = |second: u64| ORIGIN_US + (BEGIN_MS[0] + second * 1000) as i64 * 1000;
                let mut sent = [Vec::new(), Vec::new()];
                Source::new(payload_type(codec), 99, ticks(codec)).send(
                    ORIGIN_US + BEGIN_MS[1] as i64 * 1000,
                    packets(1, 0..SECONDS),
                    &mut sent[1],
                );
                let mut source = Source::new(payload_type(codec), 7, ticks(codec));
                source.send(at_us(0), packets(0, 0..8), &mut sent[0]);
                match hold {
                    // A transfer, or a phone that begins anew.
                    None => {
                        source = Source { ssrc: 0xdead_beef, sequence: 17, timestamp: 1 << 30, ..source };
                        source.send(at_us(8), packets(0, 8..16), &mut sent[0]);
                    }
                    Some(Hold::Silent) => {
                        source.timestamp = source.timestamp.wrapping_add(8 * codec.clock_rate())
                    }
                    Some(Hold::Stopped) => {}
                    Some(Hold::Music) => Source::new(payload_type(codec), 0x00c0_ffee, ticks(codec)).send(
                        at_us(8),
                        packets(1, 30..38),
                        &mut sent[0],
                    ),
                }
                source.send(at_us(16), packets(0, 16..SECONDS), &mut sent[0]);
                let arrived = sent.into_iter().enumerate().flat_map(|(side, sent)| {
                    let carried = network.carry(40 + side as u64, sent);
                    carried.into_iter().map(move |(at, bytes)| (side, at, bytes))
                });
                recording.hear(arrived.collect());
                let parts = recording.finish(at_us(SECONDS + 1)).await;
                assert_eq!(parts.len(), 1);
                let said = [0, 1].map(|side: usize| wide(&voices.sound[side]));
                let music = [&vec![0.0; 8 * 8_000][..], &said[1][30 * 8_000..]].concat();
                let mut spans: Vec<Span<'_>> = vec![
                    (0, 1, &said[1], BEGIN_MS[1], 0..SECONDS - 1),
                    (0, 0, &said[0], BEGIN_MS[0], 0..7),
                    (0, 0, &said[0], BEGIN_MS[0], 16..SECONDS - 1),
                ];
                match hold {
                    None => spans[2].4 = 8..SECONDS - 1,
                    Some(Hold::Music) => spans.push((0, 0, &music, BEGIN_MS[0], 8..15)),
                    Some(Hold::Silent | Hold::Stopped) => {
                        let [agent, _] = parts[0].heard(BEGIN_MS[0] + 8_500, BEGIN_MS[0] + 15_500).await;
                        assert!(agent.iter().all(|sample| *sample == 0), "a hold is not silent");
                    }
                }
                let hold = hold.map_or("another source".to_owned(), |hold| format!("hold {hold:?}"));
                checked(&format!("{} {kind}, {hold}", codec.name()), &parts, &spans).await;
            }
        }
    }
}

#[tokio::test]
async fn clocks_that_drift_for_an_hour_keep_both_voices_in_step_with_the_wall_clock() {
    const HOUR: usize = 3600;
    for (codec, suite) in [
        (Codec::Pcmu, None),
        (Codec::Pcma, Some(Suite::AesCm128HmacSha1_80)),
        (Codec::G722, None),
        (Codec::Opus, Some(Suite::AeadAes256Gcm)),
    ] {
        let voices = Voices::new(codec, true);
        // Whole seconds, said again and again.
        let seconds = [0, 1].map(|side: usize| voices.packets[side].len() / PACKETS);
        let keys = [0, 1].map(|side| suite.map(|suite| key_of(suite, side)));
        let setups = [0, 1].map(|side: usize| setup(codec, keys[side].as_ref().map(|(_, key)| key.clone())));
        let mut recording = Recording::start(setups);
        let mut arrived = Vec::new();
        let ppm = [100.0, -100.0];
        for side in [0, 1] {
            let mut source = Source { ppm: ppm[side], ..Source::new(payload_type(codec), 5, ticks(codec)) };
            let again = voices.packets[side][..seconds[side] * PACKETS].iter().cycle().take(HOUR * PACKETS);
            let mut sent = Vec::new();
            source.send(ORIGIN_US + BEGIN_MS[side] as i64 * 1000, again, &mut sent);
            if let (Some(suite), Some((master, _))) = (suite, &keys[side]) {
                protect(suite, master, &mut sent);
            }
            let network = Network { jitter_ms: 20, ..CLEAN };
            let carried = network.carry(side as u64, sent);
            arrived.extend(carried.into_iter().map(|(at, bytes)| (side, at, bytes)));
        }
        recording.hear(arrived);
        let parts = recording.finish(ORIGIN_US + (HOUR as i64 + 1) * 1_000_000).await;
        assert_eq!(parts.len(), 1);
        let part = &parts[0];
        let mut worst = [0.0f64; 3];
        let mut whole = [Likeness::default(); 2];
        let mut compared = 0;
        for minute in [0u64, 1, 7, 15, 30, 45, 59] {
            for second in minute * 60 + 20..minute * 60 + 30 {
                let heard = part.heard(second * 1000, second * 1000 + 1000).await;
                let heard = heard.map(|channel| narrowed(&channel, part.rate() / 8_000));
                // A correction of the clock moves what follows by a millisecond: quarters that hold one tell no lag.
                for quarter in 0..4u64 {
                    let mut offsets = [None; 2];
                    for side in [0, 1] {
                        // What its clock says that it said at this moment.
                        let at_ms = second * 1000 + quarter * 250 - BEGIN_MS[side];
                        let from = (at_ms as f64 / (1.0 + ppm[side] / 1e6) * 8.0) as usize;
                        let sound = &voices.sound[side][..seconds[side] * 8_000];
                        let said = sound.iter().copied().cycle().skip(from % sound.len()).take(2_000);
                        let said = wide(&said.collect::<Vec<i16>>());
                        let place = quarter as usize * 2_000;
                        let found = Likeness::of(&said, &heard[side][place..place + 2_000]);
                        whole[side].add(&found);
                        let tells = found.is_telling() && found.coefficient() >= 0.9;
                        offsets[side] = tells.then_some(found.offset_ms());
                        worst[side] = worst[side].max(offsets[side].unwrap_or(0.0).abs());
                    }
                    if let [Some(one), Some(other)] = offsets {
                        worst[2] = worst[2].max((one - other).abs());
                        compared += 1;
                    }
                }
            }
        }
        println!(
            "{} {}: an hour at {ppm:?} ppm: correlation {:.4} and {:.4}; off the wall clock by up to {:.2} and {:.2} ms, of each other by {:.2} ms in {compared} places",
            codec.name(),
            suite.map_or("plain", Suite::name),
            whole[0].coefficient(),
            whole[1].coefficient(),
            worst[0],
            worst[1],
            worst[2]
        );
        assert!(whole.iter().all(|found| found.coefficient() >= LEAST), "{whole:?}");
        assert!(worst.iter().all(|worst| *worst <= MOST_OFFSET_MS), "{worst:?}");
        assert!(compared > 100, "{compared} quarters of a second tell");
        let jumps = part.manifest.notes.iter().filter(|note| note.text.contains("jumped")).count();
        assert_eq!(jumps, 0, "{:?}", part.manifest.notes);
    }
}

/// Card data: what is said and keyed between pause and resumption, in clear and in SRTP. Keys of a phone (RFC 4733) are
/// recorded at no time.
#[tokio::test]
async fn nothing_said_or_keyed_in_a_pause_is_in_the_file_and_no_key_at_any_time() {
    const EVENTS: u8 = 101;
    for suite in [None, Some(Suite::AesCm128HmacSha1_80)] {
        let voices = Voices::new(Codec::Pcmu, false);
        let keys = [0, 1].map(|side| suite.map(|suite| key_of(suite, side)));
        let mut recording = Recording::start(
            [0, 1].map(|side: usize| setup(Codec::Pcmu, keys[side].as_ref().map(|k| k.1.clone()))),
        );
        let at_us = |second: f64| ORIGIN_US + (second * 1e6) as i64;
        let mut arrived = Vec::new();
        let mut keyed = Vec::new();
        for side in [0, 1] {
            let mut source = Source::new(0, 3, 160);
            let mut sent = Vec::new();
            for second in 0..12usize {
                let from = second * PACKETS;
                let spoken = voices.packets[side][from..from + 40].iter();
                source.send(at_us(second as f64), spoken, &mut sent);
                // The last fifth of each second: a key, its packets of one time as the RFC has them.
                source.payload_type = EVENTS;
                let time = source.timestamp;
                for n in 0..10u16 {
                    let over = if n >= 7 { 0x80 } else { 0 };
                    let event =
                        vec![(second % 10) as u8, over | 10, (n * 160).to_be_bytes()[0], (n * 160) as u8];
                    source.timestamp = time;
                    source.send(
                        at_us(second as f64 + 0.8 + f64::from(n) * 0.02),
                        std::iter::once(&event),
                        &mut sent,
                    );
                    keyed.push(event);
                }
                source.timestamp = time.wrapping_add(1_600);
                source.payload_type = 0;
            }
            if let (Some(suite), Some((master, _))) = (suite, &keys[side]) {
                protect(suite, master, &mut sent);
            }
            arrived.extend(sent.into_iter().map(|(at, bytes)| (side, at, bytes)));
        }
        let (pause_us, resume_us) = (at_us(4.0), at_us(8.0));
        let (before, rest): (Vec<_>, Vec<_>) = arrived.into_iter().partition(|(_, at, _)| *at < pause_us);
        let (paused, after): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(_, at, _)| *at < resume_us);
        recording.hear(before);
        recording.run().pause(pause_us, "anna".into(), "card data".into());
        // The relay hands on nothing in a pause; were it to, nothing would be kept.
        recording.hear(paused);
        recording.run().resume(resume_us);
        recording.hear(after);
        let parts = recording.finish(at_us(12.0)).await;
        let [part] = &parts[..] else { panic!("{} parts", parts.len()) };
        let holds = |what: &[u8]| part.media.windows(what.len()).any(|window| window == what);
        let (mut found, mut spoken) = (0, 0);
        for side in [0, 1] {
            for second in 0..12 {
                for packet in &voices.packets[side][second * PACKETS..second * PACKETS + 40] {
                    // Silence is alike everywhere.
                    if packet.iter().collect::<std::collections::HashSet<_>>().len() < 12 {
                        continue;
                    }
                    let is_there = holds(&packet[..64]);
                    assert_eq!(is_there, !(4..8).contains(&second), "side {side}, second {second}");
                    found += usize::from(is_there);
                    spoken += usize::from(!is_there);
                }
            }
        }
        println!(
            "{}: {found} packets of before and after are there, {spoken} of the pause are not",
            suite.map_or("plain", Suite::name)
        );
        assert!(found > 300 && spoken > 150);
        // A payload of four octets would be a block of eight behind its size and track.
        for event in &keyed {
            for track in [1u8, 2] {
                let blocks = part
                    .media
                    .windows(10)
                    .filter(|w| w[..3] == [0xa3, 0x88, 0x80 | track] && w[6..] == event[..]);
                assert_eq!(blocks.count(), 0, "a key is in the file");
            }
        }
        assert_eq!(part.manifest.duration_ms, Some(12_000));
        let pause = &part.manifest.pauses[0];
        assert_eq!(
            (pause.from_ms, pause.to_ms, &*pause.by, &*pause.reason),
            (4_000, Some(8_000), "anna", "card data")
        );
        let silent = part.heard(4_000, 8_000).await;
        assert!(silent.iter().flatten().all(|sample| *sample == 0));
    }
}
