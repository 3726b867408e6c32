//! The spool on a disk that fills, and on one that cannot be written.

use super::tests::{DIR, by_hand, bytes, content, info, interrupted, open, signed};
use crate::{
    Limits, Phase, Room, Spool, SpoolError,
    layout::{RESERVE, TRASH, len_of},
    sim::SimDisk,
    storage::Storage,
};
use hindsight_wire::RecordingId;
use rand::{SeedableRng as _, rngs::StdRng};
use std::{path::Path, sync::Arc};

const KIB: usize = 1024;

fn guarded() -> Limits {
    Limits {
        low_free_bytes: 400 << 10,
        min_free_bytes: 200 << 10,
        stop_free_bytes: 50 << 10,
        reserve_bytes: 20 << 10,
        ..by_hand()
    }
}

fn open_guarded(disk: &SimDisk) -> Spool {
    Spool::open_on(Arc::new(disk.clone()), DIR, guarded()).unwrap()
}

/// A finished recording of so many segments.
fn record(spool: &Spool, segments: u64, rng: &mut StdRng) -> RecordingId {
    let recording = RecordingId::new();
    let mut item = spool.create(recording, info()).unwrap();
    item.append(&bytes(rng, len_of(segments))).unwrap();
    let manifest = signed(&item.manifest());
    item.finish(&manifest).unwrap();
    spool.sync();
    recording
}

#[test]
fn on_a_full_disk_what_runs_closes_cleanly_and_nothing_new_begins() {
    let (disk, mut rng) = (SimDisk::new(), StdRng::seed_from_u64(1));
    disk.set_room(Some(500 * KIB));
    let spool = open_guarded(&disk);
    let room = spool.room();
    let kept = record(&spool, 2, &mut rng);
    let recording = RecordingId::new();
    let mut running = spool.create(recording, info()).unwrap();
    let (mut seen, mut written) = (vec![room.borrow().clone()], bytes(&mut rng, len_of(1)));
    running.append(&written).unwrap();
    while !room.borrow().ends_running() {
        let segment = bytes(&mut rng, 4096);
        running.append(&segment).unwrap();
        written.extend(segment);
        spool.inner.syncer.look();
        let now = room.borrow().clone();
        if seen.last() != Some(&now) {
            if now == Room::Full {
                let refused = spool.create(RecordingId::new(), info()).err().unwrap();
                assert!(matches!(refused, SpoolError::Full { .. }), "{refused}");
            }
            seen.push(now);
        }
    }
    assert_eq!(seen, [Room::Enough, Room::Low, Room::Full, Room::Exhausted]);
    // Somebody else takes the rest: the recording is closed and signed at the cost of the reserve.
    disk.set_room(Some(0));
    let manifest = signed(&running.manifest());
    running.finish(&manifest).unwrap();
    spool.sync();
    assert!(disk.len(&Path::new(DIR).join(RESERVE)).is_err(), "the reserve is used");
    assert_eq!(spool.item(recording).unwrap().phase, Phase::Finished);
    assert_eq!(content(&disk, recording), written);
    assert_eq!(spool.item(kept).unwrap().phase, Phase::Finished, "what was never sent stays");

    let spool = open_guarded(&disk.after_kill());
    assert_eq!(spool.item(recording).unwrap().phase, Phase::Finished, "and is whole after a restart");
    assert_eq!(content(&disk, recording), written);
    drop(spool);
    disk.set_room(Some(900 * KIB));
    let spool = open_guarded(&disk);
    assert_eq!(*spool.room().borrow(), Room::Enough);
    assert_eq!(disk.len(&Path::new(DIR).join(RESERVE)).unwrap(), 20 << 10, "held back again");
}

#[test]
fn a_writer_that_meets_a_full_disk_leaves_an_interrupted_item_that_can_be_signed() {
    let (disk, mut rng) = (SimDisk::new(), StdRng::seed_from_u64(2));
    disk.set_room(Some(500 * KIB));
    let spool = open_guarded(&disk);
    let recording = RecordingId::new();
    let mut item = spool.create(recording, info()).unwrap();
    let whole = bytes(&mut rng, len_of(3));
    item.append(&whole).unwrap();
    disk.set_room(Some(100));
    assert!(item.append(&bytes(&mut rng, 4096)).is_err());
    drop(item);
    disk.set_room(Some(0));
    let left = interrupted(&spool).remove(&recording).unwrap();
    let manifest = left.manifest().unwrap();
    left.finish(&signed(&manifest)).unwrap();
    spool.sync();
    assert_eq!(spool.item(recording).unwrap().phase, Phase::Finished);
    assert_eq!(content(&disk, recording), whole);
}

#[test]
fn received_leftovers_go_oldest_first_and_what_has_no_receipt_never() {
    let (disk, mut rng) = (SimDisk::new(), StdRng::seed_from_u64(3));
    let spool = open_guarded(&disk);
    let received: Vec<_> = (0..3).map(|_| record(&spool, 2, &mut rng)).collect();
    let unsent = record(&spool, 2, &mut rng);
    disk.fail_removals(true);
    for recording in &received {
        spool.inner.delete(&spool.entry(*recording).unwrap()).unwrap();
    }
    let trash = |disk: &SimDisk| {
        let names = disk.list(Path::new(DIR)).unwrap();
        names.into_iter().filter(|name| name.starts_with(TRASH)).count()
    };
    disk.set_room(Some(100));
    spool.inner.syncer.look();
    assert_eq!(trash(&disk), 3);
    disk.fail_removals(false);
    spool.inner.syncer.look();
    assert_eq!(trash(&disk), 0);
    assert_eq!(spool.items().len(), 1);
    assert_eq!(spool.item(unsent).unwrap().phase, Phase::Finished);
    assert_eq!(
        *spool.room().borrow(),
        Room::Exhausted,
        "the room that is left decides, not what was removed"
    );
}

#[test]
fn a_read_only_spool_is_opened_for_what_is_finished_and_recovered_when_it_can_be_written() {
    let (disk, mut rng) = (SimDisk::new(), StdRng::seed_from_u64(4));
    let cut = RecordingId::new();
    let finished = {
        let spool = open(&disk);
        let finished = record(&spool, 2, &mut rng);
        let mut item = spool.create(cut, info()).unwrap();
        item.append(&bytes(&mut rng, len_of(3) + 5)).unwrap();
        spool.sync();
        std::mem::forget(item);
        finished
    };
    let disk = disk.after_kill();
    disk.set_read_only(true);
    let spool = open(&disk);
    assert!(matches!(*spool.room().borrow(), Room::Unwritable(_)));
    assert_eq!(spool.items().iter().map(|item| item.recording).collect::<Vec<_>>(), [finished]);
    assert_eq!(spool.item(finished).unwrap().sendable, len_of(2));
    assert!(spool.interrupted().is_empty());
    let refused = spool.create(RecordingId::new(), info()).err().unwrap();
    assert!(refused.to_string().starts_with("the spool cannot be written: "), "{refused}");
    spool.inner.syncer.look();
    spool.inner.looked();
    assert_eq!(spool.items().len(), 1, "still so");

    disk.set_read_only(false);
    spool.inner.syncer.look();
    spool.inner.looked();
    assert_eq!(*spool.room().borrow(), Room::Enough);
    let left = interrupted(&spool).remove(&cut).unwrap();
    let manifest = left.manifest().unwrap();
    left.finish(&signed(&manifest)).unwrap();
    record(&spool, 1, &mut rng);
    assert_eq!(spool.items().len(), 3);
}

#[test]
fn a_disk_that_becomes_read_only_under_a_writer_gives_the_recording_back_when_it_is_mended() {
    let (disk, mut rng) = (SimDisk::new(), StdRng::seed_from_u64(5));
    let spool = open(&disk);
    let recording = RecordingId::new();
    let mut item = spool.create(recording, info()).unwrap();
    let whole = bytes(&mut rng, len_of(3));
    item.append(&whole).unwrap();
    spool.sync();
    disk.set_read_only(true);
    assert!(item.append(&bytes(&mut rng, 4096)).is_err());
    drop(item);
    assert!(spool.interrupted().is_empty());
    disk.set_read_only(false);
    spool.inner.syncer.look();
    spool.inner.looked();
    let left = interrupted(&spool).remove(&recording).unwrap();
    let manifest = left.manifest().unwrap();
    left.finish(&signed(&manifest)).unwrap();
    spool.sync();
    assert_eq!(content(&disk, recording), whole);
}

#[test]
fn a_directory_that_could_not_even_be_made_is_made_when_it_can_be() {
    let disk = SimDisk::new();
    disk.set_read_only(true);
    let spool = open(&disk);
    assert!(matches!(*spool.room().borrow(), Room::Unwritable(_)));
    disk.set_read_only(false);
    spool.inner.syncer.look();
    spool.inner.looked();
    let (mut rng, limits) = (StdRng::seed_from_u64(6), by_hand());
    assert_eq!(limits.reserve_bytes, 0);
    record(&spool, 1, &mut rng);
    assert_eq!(spool.items().len(), 1);
}
