//! What a recorder leaves when it is killed at any moment, and what that costs in bytes. Time is simulated.

use super::*;
use crate::{
    capture::{Frame, Rect, Region},
    encode::{Canvas, Scale},
    recording::{FIRST_LEAVES_US, Schedule},
};
use hindsight_seal::{
    DataKey, HEADER_LEN, Opener, PayloadShape, PrivateKey, open_envelope, reseal_last, split, trim_len,
};
use hindsight_spool::Limits;
use hindsight_wire::{CaptureId, DeviceId, Timestamp, manifest::Media};
use mp4_atom::{Any, Codec, DecodeMaybe};
use openh264::{decoder::Decoder, formats::YUVSource};
use std::path::PathBuf;

const SIZE: (u32, u32) = (64, 48);
const STEP_US: u64 = 50_000;
/// From this long after its first picture on, a recording that is cut off can be replayed.
const PLAYABLE_AFTER_US: u64 = 500_000;

/// One monitor's recording as its two threads make it.
struct Desk {
    dir: tempfile::TempDir,
    recipient: PrivateKey,
    recording: RecordingId,
    schedule: Schedule,
    writer: Writer,
    frame: Frame,
    canvas: Canvas,
    now_us: u64,
    /// Whether what settled leaves early, as it does.
    early: bool,
}

impl Desk {
    fn new() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&pair).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), Limits::default()).unwrap();
        let recording = RecordingId::new();
        let clock = ClockOffset { offset_us: 0, round_trip_us: 0, measured_at_us: 0, drift_ppm: 0.0 };
        let (width, height) = SIZE;
        let job = WriterJob {
            recording,
            info: ItemInfo {
                capture: CaptureId::new(),
                part: 1,
                previous: None,
                device: DeviceId::new(),
                person: None,
                dn: None,
                media: Media::Screen { monitor: 0, name: "one".to_owned(), width, height, monitors: 1 },
                interactions: Vec::new(),
                started_at: Timestamp::now(),
                clock,
                pauses: Vec::new(),
                notes: Vec::new(),
            },
            recipients: Arc::new(vec![Recipient::from_pem(&certificate.pem()).unwrap()]),
            size: SIZE,
            frame_rate: 5,
            quantiser: 26,
            sign: Arc::new(|_| Err("these recordings never end".to_owned())),
            clock: Arc::new(move || clock),
        };
        Self {
            dir,
            recipient: PrivateKey::from_pkcs8_pem(&pair.serialize_pem()).unwrap(),
            recording,
            schedule: Schedule::default(),
            writer: Writer::open(&spool, job).unwrap(),
            frame: Frame::new(width, height),
            canvas: Canvas::new(width, height, Scale::for_size(width, height, 100).unwrap(), false),
            now_us: 0,
            early: true,
        }
    }

    /// The next look at the screen.
    fn step(&mut self, changed: bool) {
        if changed {
            self.draw();
        }
        if let Some(shot) = self.schedule.look(self.now_us, changed) {
            self.writer
                .picture(self.canvas.picture(), self.now_us, false, shot.release && self.early)
                .unwrap();
            self.schedule.taken(self.now_us, shot);
        }
        if self.writer.idle_due_us().is_some_and(|due| self.now_us >= due) {
            self.writer.idle(self.now_us).unwrap();
        }
        self.now_us += STEP_US;
    }

    /// A cursor that blinks.
    fn draw(&mut self) {
        let area = Rect { x: 8, y: 8, width: 2, height: 16 };
        for row in 8..24 {
            let at = Rect { y: row, height: 1, ..area };
            self.frame.row_mut(&at, 0).iter_mut().for_each(|byte| *byte = !*byte);
        }
        self.canvas.update(&self.frame, &[area], &Region::default()).unwrap();
    }

    fn spooled(&self) -> Vec<u8> {
        let item: PathBuf = self.dir.path().join(self.recording.to_string());
        std::fs::read(item.join("sealed")).unwrap()
    }

    /// What is replayed of it if the recorder is killed now: pictures that decode, and milliseconds. Recovered as
    /// after a real kill: trimmed, re-sealed, opened.
    fn recovered(&self) -> (usize, u64) {
        let file = self.spooled();
        let (envelope, payload) = split(&file).unwrap();
        let key = open_envelope(envelope, &self.recipient).unwrap();
        let plain =
            plaintext(self.recording, &key, payload[..trim_len(payload.len() as u64) as usize].to_vec());
        play(&plain)
    }
}

fn plaintext(recording: RecordingId, key: &DataKey, mut payload: Vec<u8>) -> Vec<u8> {
    if payload.is_empty() {
        return Vec::new();
    }
    let len = payload.len() as u64;
    let header: [u8; HEADER_LEN] = payload[..HEADER_LEN].try_into().unwrap();
    let shape = PayloadShape::new(len).unwrap();
    let last = shape.segment(shape.last());
    let tail = last.start as usize..last.end as usize;
    let resealed = reseal_last(recording.0, key, &header, len, &payload[tail.clone()]).unwrap();
    payload[tail.clone()].copy_from_slice(&resealed);
    let opener = Opener::new(recording.0, key, &header, len).unwrap();
    opener.prove_length(&payload[tail]).unwrap();
    opener.open_range(0..opener.plaintext_len(), &payload[HEADER_LEN..]).unwrap()
}

/// Decodes the pictures of the whole fragments.
fn play(mut file: &[u8]) -> (usize, u64) {
    let mut decoder = Decoder::new().unwrap();
    let (mut pictures, mut ticks, mut sizes) = (0, 0, Vec::new());
    // What is cut off at the end does not decode.
    while let Ok(Some(atom)) = Any::decode_maybe(&mut file) {
        match atom {
            Any::Moov(moov) => {
                let Codec::Avc1(entry) = &moov.trak[0].mdia.minf.stbl.stsd.codecs[0] else { panic!("codec") };
                for set in entry.avcc.sequence_parameter_sets.iter().chain(&entry.avcc.picture_parameter_sets)
                {
                    decoder.decode(&[&[0, 0, 0, 1], set.as_slice()].concat()).unwrap();
                }
            }
            Any::Moof(moof) => {
                sizes = moof.traf[0].trun[0]
                    .samples
                    .iter()
                    .map(|s| (s.size.unwrap() as usize, u64::from(s.duration.unwrap())))
                    .collect();
            }
            Any::Mdat(mdat) => {
                let mut data = mdat.data.as_slice();
                for (size, duration) in std::mem::take(&mut sizes) {
                    let (sample, later) = data.split_at(size);
                    data = later;
                    let shown = decoder.decode(&annex_b(sample)).unwrap().unwrap();
                    assert_eq!(shown.dimensions(), (SIZE.0 as usize, SIZE.1 as usize));
                    pictures += 1;
                    ticks += duration;
                }
            }
            _ => {}
        }
    }
    (pictures, ticks / 90)
}

/// Lengths become start codes.
fn annex_b(mut sample: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let Some((len, rest)) = sample.split_first_chunk::<4>() {
        let (unit, later) = rest.split_at(u32::from_be_bytes(*len) as usize);
        stream.extend([0, 0, 0, 1]);
        stream.extend(unit);
        sample = later;
    }
    stream
}

/// Runs until `until_ms` with changes where `changes` says so, and shows what a kill leaves at each step.
fn killed_at_each_step(until_ms: u64, changes: impl Fn(u64) -> bool, mut check: impl FnMut(u64, usize, u64)) {
    let mut desk = Desk::new();
    while desk.now_us < until_ms * 1000 {
        let now_ms = desk.now_us / 1000;
        desk.step(changes(now_ms));
        let (pictures, kept_ms) = desk.recovered();
        check(now_ms, pictures, kept_ms);
    }
}

#[test]
fn a_still_screen_can_be_replayed_from_half_a_second_on() {
    const { assert!(FIRST_LEAVES_US <= PLAYABLE_AFTER_US / 2) };
    killed_at_each_step(
        25_000,
        |_| false,
        |now_ms, pictures, kept_ms| {
            let playable = now_ms * 1000 >= PLAYABLE_AFTER_US;
            assert!(
                !playable || (pictures >= 1 && kept_ms >= 200),
                "{now_ms} ms: {pictures} pictures, {kept_ms} ms"
            );
        },
    );
}

#[test]
fn a_screen_that_changes_from_the_start_can_be_replayed_from_half_a_second_on() {
    killed_at_each_step(
        20_000,
        |now_ms| now_ms.is_multiple_of(100),
        |now_ms, pictures, kept_ms| {
            let playable = now_ms * 1000 >= PLAYABLE_AFTER_US;
            assert!(!playable || pictures >= 1, "{now_ms} ms: nothing");
            // Two seconds in the open fragment, ten in the open segment.
            assert!(kept_ms + 12_000 + STEP_US / 1000 >= now_ms, "{now_ms} ms: {kept_ms} kept");
        },
    );
}

#[test]
fn a_change_that_settled_is_kept() {
    killed_at_each_step(
        14_000,
        |now_ms| now_ms == 6_000 || now_ms == 8_500,
        |now_ms, pictures, kept_ms| {
            let (settled, least) = match now_ms {
                0..500 => (0, 0),
                500..8_000 => (200, 1),
                // The second change settles 2 s later, but padding was written less than 5 s before.
                8_000..13_000 => (8_000, 3),
                _ => (10_500, 5),
            };
            assert!(
                kept_ms >= settled && pictures >= least,
                "{now_ms} ms: {pictures} pictures, {kept_ms} ms"
            );
        },
    );
}

/// Bytes that an hour takes when something small changes every so often; `early`: what settled leaves early.
fn hour(every_ms: u64, early: bool) -> usize {
    let mut desk = Desk { early, ..Desk::new() };
    while desk.now_us < 3_600_000_000 {
        let now_ms = desk.now_us / 1000;
        desk.step(every_ms > 0 && now_ms > 0 && now_ms.is_multiple_of(every_ms));
    }
    desk.spooled().len()
}

#[test]
fn letting_settled_changes_leave_early_costs_two_megabytes_an_hour_at_most() {
    for every_ms in [0, 60_000, 10_000, 5_000, 3_000, 1_000, 500] {
        let (late, early) = (hour(every_ms, false), hour(every_ms, true));
        println!("a change every {every_ms} ms: {} KB an hour, {} KB without", early / 1000, late / 1000);
        assert!(early < late + 2_000_000 && early < 4_500_000, "a change every {every_ms} ms: {early} bytes");
    }
}
