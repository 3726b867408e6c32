//! The spool across kills, power cuts and full disks.

use crate::{
    InterruptedItem, Item, ItemInfo, Limits, Phase, Spool, SpoolError,
    layout::{ENVELOPE, SEALED, SEGMENT, len_of, sendable_while_growing, whole_segments},
    sim::SimDisk,
    storage::Storage,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hindsight_wire::{
    CaptureId, ClockOffset, DeviceId, RecordingId, Timestamp,
    manifest::{Ending, Manifest, Media, Note, Signed},
};
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};
use std::{collections::BTreeMap, path::Path, sync::Arc};

pub(super) const DIR: &str = "/spool";

/// The group sync happens when a test says so.
pub(super) fn by_hand() -> Limits {
    Limits {
        sync_interval_ms: 3_600_000,
        sync_segments: u64::MAX,
        low_free_bytes: 0,
        min_free_bytes: 0,
        stop_free_bytes: 0,
        reserve_bytes: 0,
        guard_interval_ms: 3_600_000,
    }
}

pub(super) fn open(disk: &SimDisk) -> Spool {
    Spool::open_on(Arc::new(disk.clone()), DIR, by_hand()).unwrap()
}

pub(super) fn info() -> ItemInfo {
    ItemInfo {
        capture: CaptureId::new(),
        part: 1,
        previous: None,
        device: DeviceId::new(),
        person: None,
        dn: None,
        media: Media::Voice { tracks: Vec::new() },
        interactions: Vec::new(),
        started_at: Timestamp(1),
        clock: ClockOffset::default(),
        pauses: Vec::new(),
        notes: Vec::new(),
    }
}

pub(super) fn signed(manifest: &Manifest) -> Signed {
    let document = serde_json::to_vec(manifest).unwrap();
    Signed { document: BASE64.encode(document), signature: String::new() }
}

pub(super) fn bytes(rng: &mut StdRng, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    rng.fill_bytes(&mut bytes);
    bytes
}

pub(super) fn content(disk: &SimDisk, recording: RecordingId) -> Vec<u8> {
    disk.read(&Path::new(DIR).join(recording.to_string()).join(SEALED)).unwrap()
}

pub(super) fn interrupted(spool: &Spool) -> BTreeMap<RecordingId, InterruptedItem> {
    spool.interrupted().into_iter().map(|item| (item.recording(), item)).collect()
}

#[test]
fn a_killed_recorder_loses_nothing_but_the_torn_segment() {
    let (disk, mut rng) = (SimDisk::new(), StdRng::seed_from_u64(1));
    let spool = open(&disk);
    let recording = RecordingId::new();
    let mut item = spool.create(recording, info()).unwrap();
    let written = bytes(&mut rng, len_of(3) + 700);
    item.append(&written).unwrap();
    item.update_info(|info| info.notes.push(Note { at_ms: 5, text: "paused".to_owned() })).unwrap();

    let disk = disk.after_kill();
    let spool = open(&disk);
    let left = interrupted(&spool).remove(&recording).unwrap();
    assert_eq!(content(&disk, recording), written[..len_of(3) as usize]);
    assert_eq!(left.info().notes.len(), 1);
    let manifest = left.manifest().unwrap();
    assert_eq!((manifest.ending, manifest.payload_size), (Ending::Interrupted, 3 * SEGMENT));
    left.finish(&signed(&manifest)).unwrap();
    spool.sync();
    let summary = spool.item(recording).unwrap();
    assert_eq!((summary.phase, summary.total), (Phase::Finished, Some(len_of(3))));
    assert!(spool.interrupted().is_empty(), "it has its manifest");
}

#[test]
fn an_item_finished_just_before_a_kill_is_complete() {
    let (disk, mut rng) = (SimDisk::new(), StdRng::seed_from_u64(2));
    let spool = open(&disk);
    let recording = RecordingId::new();
    let mut item = spool.create(recording, info()).unwrap();
    let written = bytes(&mut rng, len_of(2) + 99);
    item.append(&written).unwrap();
    let manifest = signed(&item.manifest());
    item.finish(&manifest).unwrap();
    assert_eq!(spool.item(recording).unwrap().total, None, "not before it is durable");

    let disk = disk.after_kill();
    let spool = open(&disk);
    assert_eq!(spool.item(recording).unwrap().total, Some(written.len() as u64));
    assert_eq!(content(&disk, recording), written);
}

#[test]
fn an_item_without_a_whole_segment_is_reported_and_gone() {
    let disk = SimDisk::new();
    let spool = open(&disk);
    let recording = RecordingId::new();
    let mut item = spool.create(recording, info()).unwrap();
    item.append(&[7; ENVELOPE as usize + 40]).unwrap();
    let spool = open(&disk.after_kill());
    assert_eq!(spool.empty()[0].recording, recording);
    assert!(spool.items().is_empty() && spool.interrupted().is_empty());
}

#[test]
fn only_durable_bytes_and_never_the_newest_segment_may_be_sent() {
    let (disk, mut rng) = (SimDisk::new(), StdRng::seed_from_u64(3));
    let spool = open(&disk);
    let recording = RecordingId::new();
    let mut item = spool.create(recording, info()).unwrap();
    item.append(&bytes(&mut rng, len_of(4))).unwrap();
    assert_eq!(spool.item(recording).unwrap().sendable, 0);
    spool.sync();
    assert_eq!(spool.item(recording).unwrap().sendable, len_of(3));
    item.append(&bytes(&mut rng, SEGMENT)).unwrap();
    assert_eq!(spool.item(recording).unwrap().sendable, len_of(3));
    item.sync().unwrap();
    assert_eq!(spool.item(recording).unwrap().sendable, len_of(4));
}

#[test]
fn another_process_leaves_a_locked_item_alone() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), by_hand()).unwrap();
    let recording = RecordingId::new();
    let mut item = spool.create(recording, info()).unwrap();
    item.append(&[1; 3 * 4096]).unwrap();
    let second = Spool::open(dir.path(), by_hand()).unwrap();
    assert!(second.items().is_empty() && second.interrupted().is_empty());
    assert!(matches!(spool.create(recording, info()), Err(SpoolError::Exists(_))));
    drop((item, spool));
    let third = Spool::open(dir.path(), by_hand()).unwrap();
    assert_eq!(third.interrupted().len(), 1);
}

#[test]
fn a_full_disk_refuses_whole_writes_and_takes_them_again_later() {
    let (disk, mut rng) = (SimDisk::new(), StdRng::seed_from_u64(4));
    let spool = open(&disk);
    let recording = RecordingId::new();
    let mut item = spool.create(recording, info()).unwrap();
    let first = bytes(&mut rng, len_of(1));
    item.append(&first).unwrap();
    disk.set_room(Some(1_000));
    let second = bytes(&mut rng, SEGMENT);
    assert!(matches!(item.append(&second), Err(SpoolError::Storage { .. })));
    assert_eq!(content(&disk, recording), first, "nothing of a failed write stays");
    disk.set_room(None);
    item.append(&second).unwrap();
    assert_eq!(content(&disk, recording), [first, second].concat());
    assert_eq!(item.payload().size, 2 * SEGMENT);
}

#[test]
fn no_item_is_begun_on_a_disk_that_is_nearly_full() {
    let disk = SimDisk::new();
    let limits = Limits { min_free_bytes: 5_000, ..by_hand() };
    let spool = Spool::open_on(Arc::new(disk.clone()), DIR, limits).unwrap();
    disk.set_room(Some(4_999));
    assert!(matches!(spool.create(RecordingId::new(), info()), Err(SpoolError::Full { free: 4_999, .. })));
}

#[test]
fn an_item_whose_sync_failed_is_never_trusted_again() {
    let disk = SimDisk::new();
    let spool = open(&disk);
    let mut item = spool.create(RecordingId::new(), info()).unwrap();
    item.append(&[1; 3 * 4096]).unwrap();
    disk.fail_syncs(true);
    assert!(matches!(item.sync(), Err(SpoolError::Broken { .. })));
    disk.fail_syncs(false);
    assert!(matches!(item.append(&[1; 4096]), Err(SpoolError::Broken { .. })));
    assert_eq!(spool.items()[0].sendable, 0);
}

#[test]
fn a_dropped_writer_leaves_an_interrupted_item_in_the_same_process() {
    let (disk, mut rng) = (SimDisk::new(), StdRng::seed_from_u64(5));
    let spool = open(&disk);
    let recording = RecordingId::new();
    let mut item = spool.create(recording, info()).unwrap();
    item.append(&bytes(&mut rng, len_of(2) + 5)).unwrap();
    drop(item);
    assert_eq!(interrupted(&spool).len(), 1, "dropped without a manifest, so");
    let left = interrupted(&spool).remove(&recording).expect("handed out again");
    assert!(spool.interrupted().is_empty(), "to one at a time");
    assert_eq!(left.payload().unwrap().size, 2 * SEGMENT);
    let manifest = left.manifest().unwrap();
    left.finish(&signed(&manifest)).unwrap();
    spool.sync();
    assert_eq!(spool.item(recording).unwrap().phase, Phase::Finished);
}

#[test]
fn a_manifest_about_other_bytes_is_refused() {
    let disk = SimDisk::new();
    let spool = open(&disk);
    let mut item = spool.create(RecordingId::new(), info()).unwrap();
    item.append(&[1; 3 * 4096]).unwrap();
    let mut manifest = item.manifest();
    manifest.payload_size += 1;
    assert!(matches!(item.finish(&signed(&manifest)), Err(SpoolError::Manifest { .. })));
}

#[test]
fn a_directory_without_a_readable_state_is_set_aside_and_counted() {
    let disk = SimDisk::new();
    let spool = open(&disk);
    let recording = RecordingId::new();
    let mut item = spool.create(recording, info()).unwrap();
    item.append(&[1; 3 * 4096]).unwrap();
    spool.sync();
    let disk = disk.after_kill();
    disk.write(&Path::new(DIR).join(recording.to_string()).join("state.json"), b"{").unwrap();
    assert_eq!(open(&disk).damaged(), 1);
    assert_eq!(open(&disk).damaged(), 1, "and stays");
}

/// What a test knows of an item of the random histories below.
struct Known {
    item: Option<Item>,
    written: Vec<u8>,
    /// Notes given, and how many of them a sync made durable.
    notes: usize,
    /// After the last sync: length, notes, finished. `None`: never synced.
    durable: Option<(u64, usize, bool)>,
    finished: bool,
}

fn note_durable(spool: &Spool, known: &mut BTreeMap<RecordingId, Known>) {
    for (recording, known) in known {
        let finished = spool.item(*recording).unwrap().phase == Phase::Finished;
        known.durable = Some((known.written.len() as u64, known.notes, finished));
    }
}

fn random_step(spool: &Spool, known: &mut BTreeMap<RecordingId, Known>, rng: &mut StdRng, most: usize) {
    let open: Vec<_> = known.iter().filter(|(_, known)| known.item.is_some()).map(|(id, _)| *id).collect();
    let choice = rng.random_range(0..10);
    if (choice == 0 || open.is_empty()) && known.len() < most {
        let (recording, written) = (RecordingId::new(), bytes(rng, ENVELOPE + 40));
        let mut item = spool.create(recording, info()).unwrap();
        item.append(&written).unwrap();
        let known_item = Known { item: Some(item), written, notes: 0, durable: None, finished: false };
        known.insert(recording, known_item);
        return;
    }
    if open.is_empty() {
        return;
    }
    let known = known.get_mut(&open[rng.random_range(0..open.len())]).unwrap();
    let item = known.item.as_mut().unwrap();
    match choice {
        1..=6 => {
            // To the end of a segment, as a sealer does.
            let segments = rng.random_range(1..4);
            let len =
                len_of(whole_segments(known.written.len() as u64) + segments) - known.written.len() as u64;
            let more = bytes(rng, len);
            item.append(&more).unwrap();
            known.written.extend(more);
        }
        7 | 8 => {
            known.notes += 1;
            item.update_info(|info| info.notes.push(Note { at_ms: 1, text: "note".to_owned() })).unwrap();
        }
        _ => {
            let last = rng.random_range(1..4096);
            let last = bytes(rng, last);
            item.append(&last).unwrap();
            known.written.extend(last);
            let item = known.item.take().unwrap();
            let manifest = signed(&item.manifest());
            item.finish(&manifest).unwrap();
            known.finished = true;
        }
    }
}

fn check_after_power_cut(disk: &SimDisk, known: &BTreeMap<RecordingId, Known>, seed: u64) {
    let spool = open(disk);
    let mut left = interrupted(&spool);
    // Bytes that happened to survive without the state that was written before them.
    let fresh = known.values().filter(|known| known.durable.is_none()).count() as u64;
    assert!(spool.damaged() <= fresh, "seed {seed}");
    for (recording, known) in known {
        let Some(summary) = spool.item(*recording) else {
            let lost = known.durable.map_or(0, |(len, ..)| whole_segments(len));
            assert_eq!(lost, 0, "seed {seed}: durable segments of {recording} are gone");
            continue;
        };
        let found = content(disk, *recording);
        let (durable, notes, finished) = known.durable.unwrap_or_default();
        if summary.phase == Phase::Finished {
            assert!(known.finished && found == known.written, "seed {seed}: a finished item is whole");
            continue;
        }
        assert!(!finished, "seed {seed}: {recording} was durably finished");
        assert_eq!(
            found.len() as u64,
            len_of(whole_segments(found.len() as u64)),
            "seed {seed}: whole segments"
        );
        let sent = sendable_while_growing(durable);
        let same = found.iter().zip(&known.written).take_while(|(a, b)| a == b).count() as u64;
        assert!(same >= len_of(whole_segments(durable)).min(same.max(sent)), "seed {seed}");
        assert!(
            found.len() as u64 >= len_of(whole_segments(durable)),
            "seed {seed}: durable segments are kept"
        );
        assert!(same >= durable.min(found.len() as u64), "seed {seed}: durable bytes are unchanged");
        let item = left.remove(recording).expect("an unfinished item is handed out");
        assert!((notes..=known.notes).contains(&item.info().notes.len()), "seed {seed}: notes");
        let manifest = item.manifest().unwrap();
        item.finish(&signed(&manifest)).unwrap();
    }
    spool.sync();
    assert!(spool.items().iter().all(|item| item.phase == Phase::Finished), "seed {seed}: all can be ended");
}

#[test]
fn a_power_cut_at_any_moment_loses_only_what_was_not_synced() {
    for seed in 0..400 {
        let (disk, mut rng) = (SimDisk::new(), StdRng::seed_from_u64(seed));
        // Few items are synced file by file, many in one go.
        let most = if seed % 2 == 0 { 4 } else { 24 };
        let spool = open(&disk);
        let mut known = BTreeMap::new();
        for _ in 0..rng.random_range(1..60) {
            if rng.random_bool(0.15) {
                spool.sync();
                note_durable(&spool, &mut known);
            } else {
                random_step(&spool, &mut known, &mut rng, most);
            }
        }
        // The cut falls between two operations or inside a sync.
        let inside = rng.random_bool(0.5);
        let disk_after = if inside {
            disk.watch(disk.operations() + rng.random_range(1..40));
            spool.sync();
            disk.picture_after_power_cut(&mut rng).unwrap_or_else(|| {
                note_durable(&spool, &mut known);
                disk.after_power_cut(&mut rng)
            })
        } else {
            disk.after_power_cut(&mut rng)
        };
        check_after_power_cut(&disk_after, &known, seed);
    }
}

#[test]
fn an_item_is_deleted_whole_or_not_at_all() {
    for seed in 0..50 {
        let (disk, mut rng) = (SimDisk::new(), StdRng::seed_from_u64(seed));
        let spool = open(&disk);
        let recording = RecordingId::new();
        let mut item = spool.create(recording, info()).unwrap();
        item.append(&bytes(&mut rng, len_of(2) + 9)).unwrap();
        let manifest = signed(&item.manifest());
        item.finish(&manifest).unwrap();
        spool.sync();
        disk.watch(disk.operations() + rng.random_range(1..5));
        let entry = spool.entry(recording).unwrap();
        spool.inner.delete(&entry).unwrap();
        let after = disk.picture_after_power_cut(&mut rng).unwrap_or_else(|| disk.after_power_cut(&mut rng));
        let spool = open(&after);
        assert_eq!(spool.damaged(), 0);
        assert!(spool.items().iter().all(|item| item.phase == Phase::Finished));
    }
}
