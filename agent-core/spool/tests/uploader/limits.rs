//! The limit of bytes a second, and networks that are waited out, measured.

use crate::{
    drained, random,
    site::{Fixture, info},
};
use hindsight_spool::{Conditions, Network};
use hindsight_wire::{RecordingId, policy::UploadPolicy};
use rand::{SeedableRng as _, rngs::StdRng};
use std::time::{Duration, Instant};

fn limited(bytes_per_second: Option<u64>, in_call: Option<u64>) -> UploadPolicy {
    UploadPolicy { bytes_per_second, bytes_per_second_in_call: in_call, ..UploadPolicy::default() }
}

/// Puts finished recordings of so many bytes into the spool; how long their upload takes.
async fn upload(conditions: Conditions, recordings: usize, bytes: u64) -> Duration {
    let fixture = Fixture::new().await;
    let (spool, mut rng) = (fixture.spool(), StdRng::seed_from_u64(8));
    for _ in 0..recordings {
        let mut item = spool.create(RecordingId::new(), info()).unwrap();
        item.append(&random(&mut rng, bytes)).unwrap();
        fixture.finish(item);
    }
    spool.sync();
    let uploader = fixture.uploader(&spool, fixture.address);
    uploader.control().change(|now| *now = conditions);
    let start = Instant::now();
    let running = tokio::spawn(uploader.run());
    drained(&spool).await;
    running.abort();
    assert_eq!(fixture.site.books.lock().unwrap().taken, recordings as u64 * bytes, "each byte once");
    start.elapsed()
}

#[tokio::test]
async fn uploads_keep_to_the_limit_and_to_the_lower_one_in_a_call() {
    let policy = limited(Some(400_000), Some(100_000));
    let conditions = |in_call| Conditions { policy: Some(policy.clone()), in_call, ..Conditions::default() };
    let free = upload(Conditions::default(), 4, 200_000).await;
    let out_of_call = upload(conditions(false), 4, 200_000).await;
    let in_call = upload(conditions(true), 4, 75_000).await;
    println!(
        "800,000 bytes: {free:?} without a limit, {out_of_call:?} at 400,000/s; 300,000 bytes: {in_call:?} at 100,000/s"
    );
    // 2 s and 3 s, but for a burst; the rest is the receipts.
    assert!((1.8..3.5).contains(&out_of_call.as_secs_f64()), "{out_of_call:?}");
    assert!((2.7..4.5).contains(&in_call.as_secs_f64()), "{in_call:?}");
    assert!(free < out_of_call / 2, "{free:?}");
}

#[tokio::test]
async fn a_call_that_begins_slows_down_what_is_under_way_and_its_end_speeds_it_up() {
    let fixture = Fixture::new().await;
    let (spool, mut rng) = (fixture.spool(), StdRng::seed_from_u64(9));
    let mut item = spool.create(RecordingId::new(), info()).unwrap();
    item.append(&random(&mut rng, 3_000_000)).unwrap();
    fixture.finish(item);
    spool.sync();
    let uploader = fixture.uploader(&spool, fixture.address);
    let control = uploader.control();
    control.change(|now| (now.policy, now.in_call) = (Some(limited(None, Some(50_000))), true));
    let mut arrived = fixture.site.arrived.subscribe();
    let begin = Instant::now();
    let running = tokio::spawn(uploader.run());
    let arrives = arrived.wait_for(|arrived| *arrived >= 100_000);
    let in_call = *tokio::time::timeout(crate::LIMIT, arrives).await.unwrap().unwrap();
    let slow = begin.elapsed();
    // 2 s, but for a burst.
    assert!(slow >= Duration::from_millis(1_900), "{in_call} bytes in {slow:?} of a call");
    let end = Instant::now();
    control.change(|now| now.in_call = false);
    drained(&spool).await;
    let rest = end.elapsed();
    println!("{in_call} bytes in {slow:?} of a call, the other {} in {rest:?} after it", 3_000_000 - in_call);
    assert!(rest < Duration::from_secs(6), "{rest:?}");
    running.abort();
}

#[tokio::test]
async fn a_metered_network_is_waited_out_and_the_wait_is_told() {
    let fixture = Fixture::new().await;
    let (spool, mut rng) = (fixture.spool(), StdRng::seed_from_u64(10));
    let mut item = spool.create(RecordingId::new(), info()).unwrap();
    item.append(&random(&mut rng, 50_000)).unwrap();
    fixture.finish(item);
    let uploader = fixture.uploader(&spool, fixture.address);
    let (control, mut status) = (uploader.control(), uploader.status());
    control.change(|now| {
        now.policy = Some(UploadPolicy::default());
        now.network = Network { metered: true, vpn: false };
    });
    let running = tokio::spawn(uploader.run());
    let waits = status.wait_for(|status| status.waits.is_some() && status.waiting == 1);
    let waits = tokio::time::timeout(crate::LIMIT, waits).await.unwrap().unwrap().waits;
    assert_eq!(waits, Some("uploads wait for a network that is not metered"));
    assert_eq!(fixture.site.books.lock().unwrap().busiest, 0, "nobody was asked");
    control.change(|now| now.network.metered = false);
    drained(&spool).await;
    running.abort();
}
