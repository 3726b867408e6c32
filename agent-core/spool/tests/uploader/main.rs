//! The uploader against a real tus server over real sockets, and over a line that breaks.

// A test's fixtures may fail the test; clippy knows only the test functions themselves.
#![allow(clippy::unwrap_used)]

mod limits;
mod line;
mod site;

use axum::http::StatusCode;
use hindsight_spool::{Phase, Spool, layout};
use hindsight_wire::{RecordingId, manifest::Receipt};
use line::breaking_line;
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};
use site::{Authority, Fixture, Signer, info};
use std::{collections::HashMap, sync::Arc, time::Duration};

const LIMIT: Duration = Duration::from_secs(60);

fn random(rng: &mut StdRng, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// Waits until the spool is empty.
async fn drained(spool: &Spool) {
    wait(spool, |spool| spool.items().is_empty()).await;
}

async fn wait(spool: &Spool, done: impl Fn(&Spool) -> bool) {
    let mut changed = spool.changed();
    let waiting = async {
        while !done(spool) {
            changed.changed().await.unwrap();
        }
    };
    if tokio::time::timeout(LIMIT, waiting).await.is_err() {
        panic!("not in time: {:?}", spool.items());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn growing_recordings_arrive_over_a_line_that_breaks_and_are_deleted_on_their_receipts() {
    let fixture = Fixture::new().await;
    {
        let mut books = fixture.site.books.lock().unwrap();
        (books.mismatch_every, books.forget_every) = (Some(7), Some(11));
    }
    let (line, _proxy) = breaking_line(fixture.address, 40, 1).await;
    let spool = fixture.spool();
    let uploader = fixture.uploader(&spool, line);
    let mut status = uploader.status();
    let running = tokio::spawn(uploader.run());

    let mut rng = StdRng::seed_from_u64(2);
    let mut open = Vec::new();
    let mut expected = HashMap::new();
    for _ in 0..20 {
        let recording = RecordingId::new();
        open.push(spool.create(recording, info()).unwrap());
        expected.insert(recording, Vec::new());
    }
    for round in 0..30 {
        for item in &mut open {
            let bytes = random(&mut rng, if round == 0 { 4136 } else { 8192 });
            item.append(&bytes).unwrap();
            expected.get_mut(&item.recording()).unwrap().extend(bytes);
        }
        spool.sync();
        tokio::task::yield_now().await;
    }
    // Of any of them: what the server forgets again is noticed only with the next bytes.
    let arrived = async {
        while expected.keys().all(|recording| fixture.site.bytes(*recording).is_empty()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, arrived).await.expect("sent while it grows");
    for (recording, whole) in &expected {
        let sent = fixture.site.bytes(*recording);
        assert!(whole.starts_with(&sent));
        assert!(sent.len() as u64 <= layout::sendable_while_growing(whole.len() as u64));
    }
    for mut item in open {
        let bytes = random(&mut rng, 777);
        item.append(&bytes).unwrap();
        expected.get_mut(&item.recording()).unwrap().extend(bytes);
        fixture.finish(item);
    }
    drained(&spool).await;
    for (recording, whole) in &expected {
        assert!(fixture.site.bytes(*recording) == *whole, "{recording} differs");
        assert!(!fixture.dir.path().join("spool").join(recording.to_string()).exists());
    }
    let all = status.wait_for(|status| status.received == 20 && status.waiting == 0);
    assert!(tokio::time::timeout(LIMIT, all).await.unwrap().unwrap().failures > 0);
    assert!(
        fixture.site.books.lock().unwrap().busiest <= 5,
        "bounded; a broken request may still be at work"
    );
    running.abort();
}

#[tokio::test]
async fn an_item_in_trouble_does_not_hold_up_the_others() {
    let fixture = Fixture::new().await;
    let (spool, mut rng) = (fixture.spool(), StdRng::seed_from_u64(3));
    let troubled: Vec<_> = (0..8).map(|_| RecordingId::new()).collect();
    for recording in &troubled {
        fixture.site.books.lock().unwrap().failing.insert(*recording, StatusCode::SERVICE_UNAVAILABLE);
    }
    let healthy: Vec<_> = (0..8).map(|_| RecordingId::new()).collect();
    for recording in troubled.iter().chain(&healthy) {
        let mut item = spool.create(*recording, info()).unwrap();
        item.append(&random(&mut rng, 50_000)).unwrap();
        fixture.finish(item);
    }
    let uploader = fixture.uploader(&spool, fixture.address);
    let mut status = uploader.status();
    let running = tokio::spawn(uploader.run());
    wait(&spool, |spool| healthy.iter().all(|id| spool.item(*id).is_none())).await;
    assert_eq!(spool.items().len(), 8);
    assert_eq!(
        tokio::time::timeout(LIMIT, status.wait_for(|status| status.waiting == 8))
            .await
            .unwrap()
            .unwrap()
            .waiting_bytes,
        400_000
    );
    fixture.site.books.lock().unwrap().failing.clear();
    drained(&spool).await;
    running.abort();
}

#[tokio::test]
async fn a_refused_item_is_kept_with_its_reason_over_restarts_until_somebody_tries_again() {
    let fixture = Fixture::new().await;
    let recording = RecordingId::new();
    fixture.site.books.lock().unwrap().failing.insert(recording, StatusCode::FORBIDDEN);
    let spool = fixture.spool();
    let mut item = spool.create(recording, info()).unwrap();
    item.append(&random(&mut StdRng::seed_from_u64(4), 50_000)).unwrap();
    fixture.finish(item);
    let uploader = fixture.uploader(&spool, fixture.address);
    let mut status = uploader.status();
    let running = tokio::spawn(uploader.run());
    tokio::time::timeout(LIMIT, status.wait_for(|status| status.refused == 1)).await.unwrap().unwrap();
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    drop(spool);

    let spool = fixture.spool();
    let reason = "status 403: no: not this one".to_owned();
    assert_eq!(spool.item(recording).unwrap().phase, Phase::Refused(reason));
    let running = tokio::spawn(fixture.uploader(&spool, fixture.address).run());
    fixture.site.books.lock().unwrap().failing.clear();
    assert!(spool.retry_refused(recording).unwrap());
    drained(&spool).await;
    running.abort();
}

#[tokio::test]
async fn a_recording_refused_while_it_grows_goes_on_and_is_offered_again_at_its_end() {
    let fixture = Fixture::new().await;
    let recording = RecordingId::new();
    fixture.site.books.lock().unwrap().failing.insert(recording, StatusCode::FORBIDDEN);
    let (spool, mut rng) = (fixture.spool(), StdRng::seed_from_u64(7));
    let running = tokio::spawn(fixture.uploader(&spool, fixture.address).run());
    let mut item = spool.create(recording, info()).unwrap();
    item.append(&random(&mut rng, layout::len_of(9))).unwrap();
    let asked = async {
        while fixture.site.books.lock().unwrap().busiest == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, asked).await.expect("offered while it grows");
    item.append(&random(&mut rng, 500)).unwrap();
    assert_eq!(spool.item(recording).unwrap().phase, Phase::Growing);
    fixture.site.books.lock().unwrap().failing.clear();
    fixture.finish(item);
    drained(&spool).await;
    assert_eq!(fixture.site.bytes(recording).len() as u64, layout::len_of(9) + 500);
    running.abort();
}

#[tokio::test]
async fn only_the_sites_web_services_can_make_the_spool_delete_and_only_for_these_bytes() {
    let fixture = Fixture::new().await;
    let spool = fixture.spool();
    let recording = RecordingId::new();
    let mut item = spool.create(recording, info()).unwrap();
    item.append(&random(&mut StdRng::seed_from_u64(5), 50_000)).unwrap();
    fixture.finish(item);
    let right = fixture.site.signer.lock().unwrap().clone();
    let signer = |signer: Signer| *fixture.site.signer.lock().unwrap() = Arc::new(signer);
    signer(Authority::new().signer("web-services"));
    let uploader = fixture.uploader(&spool, fixture.address);
    let mut status = uploader.status();
    let running = tokio::spawn(uploader.run());
    let mut seen = async |expected: &'static str| {
        let reason =
            status.wait_for(|status| status.last_failure.as_ref().is_some_and(|why| why.contains(expected)));
        tokio::time::timeout(LIMIT, reason).await.expect(expected).unwrap();
        assert!(spool.item(recording).is_some());
    };
    seen("not signed by this site").await;
    signer(fixture.authority.signer("desktop"));
    seen("another component").await;
    *fixture.site.signer.lock().unwrap() = right;
    let falsehoods: [fn(&mut Receipt); 3] = [
        |receipt| receipt.payload_size += 1,
        |receipt| receipt.manifest_sha256 = "00".repeat(32),
        |receipt| receipt.recording = RecordingId::new(),
    ];
    for falsify in falsehoods {
        *fixture.site.falsify.lock().unwrap() = Some(falsify);
        seen("about other bytes").await;
    }
    *fixture.site.falsify.lock().unwrap() = None;
    drained(&spool).await;
    running.abort();
}

#[tokio::test]
async fn a_killed_recorder_goes_on_where_the_server_stands_and_sends_nothing_twice() {
    let fixture = Fixture::new().await;
    let (mut rng, recording) = (StdRng::seed_from_u64(6), RecordingId::new());
    let whole = random(&mut rng, layout::len_of(40) + 100);
    let sent = {
        let spool = fixture.spool();
        let running = tokio::spawn(fixture.uploader(&spool, fixture.address).run());
        let mut item = spool.create(recording, info()).unwrap();
        item.append(&whole).unwrap();
        let arrived = async {
            while fixture.site.bytes(recording).len() as u64 != layout::len_of(39) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, arrived).await.expect("all but the newest segment");
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        // As after a kill: never finished.
        drop(item);
        fixture.site.books.lock().unwrap().taken
    };
    let spool = fixture.spool();
    let left = spool.interrupted().pop().unwrap();
    let manifest = left.manifest().unwrap();
    left.finish(&fixture.recorder.sign(&serde_json::to_vec(&manifest).unwrap())).unwrap();
    let running = tokio::spawn(fixture.uploader(&spool, fixture.address).run());
    drained(&spool).await;
    assert_eq!(fixture.site.bytes(recording), whole[..layout::len_of(40) as usize]);
    assert_eq!(fixture.site.books.lock().unwrap().taken - sent, layout::SEGMENT);
    running.abort();
}
