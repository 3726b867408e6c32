//! A desktop's whole backlog against a simulated server that is away for a day, in simulated time.

use super::*;
use crate::upload::state::Answer;
use hindsight_wire::backoff::Backoff;
use rand::{SeedableRng as _, rngs::StdRng};
use std::collections::HashMap;

const MIB: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 3600);

fn pace() -> Pace {
    let backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(30) };
    Pace { chunk: MIB, growing_chunk: 64 << 10, growing_wait: Duration::from_secs(3), backoff }
}

/// Ids in order, whatever the clock's resolution.
fn recording(number: u32) -> RecordingId {
    RecordingId(uuid::Builder::from_unix_timestamp_millis(u64::from(number) * 1_000, &[7; 10]).into_uuid())
}

#[derive(Default)]
struct Site {
    /// Bytes taken, by recording.
    uploads: HashMap<RecordingId, u64>,
    sent: u64,
    manifests: Vec<RecordingId>,
    receipts: Vec<RecordingId>,
}

impl Site {
    fn serve(&mut self, recording: RecordingId, request: &Request, total: Option<u64>) -> Outcome {
        let answer = |status| Answer { status, ..Answer::default() };
        Outcome::Answered(match *request {
            Request::Create { .. } => {
                let offset = *self.uploads.entry(recording).or_default();
                Answer { offset: Some(offset), location: Some(format!("/u/{recording}")), ..answer(201) }
            }
            Request::Head => match self.uploads.get(&recording) {
                Some(offset) => Answer { offset: Some(*offset), length: total, ..answer(200) },
                None => answer(404),
            },
            Request::Patch { offset, len, .. } => {
                let at = self.uploads.get_mut(&recording).expect("created");
                assert_eq!(*at, offset, "never back, never ahead");
                *at += len;
                self.sent += len;
                Answer { offset: Some(*at), ..answer(204) }
            }
            Request::Manifest => {
                assert_eq!(self.uploads.get(&recording).copied(), total);
                assert!(!self.manifests.contains(&recording), "once");
                self.manifests.push(recording);
                answer(202)
            }
            Request::Receipt if self.manifests.contains(&recording) => {
                self.receipts.push(recording);
                Answer { receipt: Some(Ok(())), ..answer(200) }
            }
            Request::Receipt => answer(404),
        })
    }
}

/// A desktop and its server.
struct World {
    start: Instant,
    now: Instant,
    queue: Queue,
    site: Site,
    items: BTreeMap<RecordingId, Local>,
    /// Jobs under way, with when they end and whether the server heard them.
    jobs: Vec<(Instant, bool, Turn)>,
    asked: Vec<Duration>,
    rng: StdRng,
}

impl World {
    fn new(parallel: usize, seed: u64) -> Self {
        let start = Instant::now();
        Self {
            start,
            now: start,
            queue: Queue::new(pace(), parallel),
            site: Site::default(),
            items: BTreeMap::new(),
            jobs: Vec::new(),
            asked: Vec::new(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    fn offer(&mut self, recording: RecordingId) {
        let Some(local) = self.items.get(&recording).copied() else {
            return self.queue.retain(|other| *other != recording);
        };
        self.queue.offer(&Offer { recording, local, refused: false, saved: None }, self.now);
    }

    fn add(&mut self, number: u32, bytes: u64, finished: bool) {
        let local = Local { sendable: bytes, total: finished.then_some(bytes) };
        self.items.insert(recording(number), local);
        self.offer(recording(number));
    }

    /// Lets time go on until `until`, with a server that answers or not.
    fn run(&mut self, until: Instant, there: bool) {
        loop {
            while let Some(turn) = self.queue.next(self.now) {
                if matches!(turn.job, Job::Ask(_)) {
                    self.asked.push(self.now - self.start);
                }
                // A request is answered soon; one to nobody ends by its time-out or at once.
                let takes = if there { 20 } else { self.rng.random_range(1..10_000) };
                self.jobs.push((self.now + Duration::from_millis(takes), there, turn));
            }
            let end = self.jobs.iter().map(|(at, ..)| *at).min();
            let next = end.into_iter().chain(self.queue.next_timer()).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(next);
            if let Some(index) = self.jobs.iter().position(|(at, ..)| *at <= self.now) {
                let (_, there, turn) = self.jobs.swap_remove(index);
                self.end(turn, there);
            }
            while let Some(recording) = self.queue.due(self.now) {
                self.offer(recording);
            }
        }
    }

    fn end(&mut self, Turn { recording, job, .. }: Turn, there: bool) {
        let outcome = match &job {
            Job::Delete => {
                self.items.remove(&recording);
                Outcome::Answered(Answer::default())
            }
            Job::Keep(reason) => panic!("refused: {reason}"),
            Job::Ask(_) if !there => Outcome::Lost("no answer".to_owned()),
            Job::Ask(request) => {
                let total = self.items.get(&recording).and_then(|local| local.total);
                self.site.serve(recording, request, total)
            }
        };
        self.queue.done(recording, &job, outcome, self.now, &mut self.rng);
        self.offer(recording);
    }

    fn at(&self, after: Duration) -> Instant {
        self.start + after
    }
}

#[test]
fn forty_recordings_of_a_day_without_the_server_arrive_once_and_oldest_first() {
    for seed in 0..20 {
        let mut world = World::new(4, seed);
        // One every 36 minutes, of some MiB.
        let mut bytes = 0;
        for number in 0..40u32 {
            let size = 8_192 + u64::from(number % 7) * 3 * MIB + 77;
            bytes += size;
            world.add(number, size, true);
            let until = world.at(DAY / 40 * (number + 1));
            world.run(until, false);
        }
        assert_eq!(
            (world.items.len(), world.queue.len()),
            (40, 40),
            "nothing is lost and nothing else is kept"
        );
        let requests = world.asked.len() as u64;
        let rate = requests as f64 / DAY.as_secs_f64();
        // One request at a time, then 15 to 30 s: for one recording or forty.
        assert!(rate <= 1.0 / 14.0, "seed {seed}: {requests} requests in a day");
        assert!(requests > 24 * 60, "seed {seed}: asked often enough to notice the server: {requests}");
        let worst_minute = (0..world.asked.len())
            .map(|first| {
                let from = world.asked[first];
                world.asked[first..].iter().take_while(|at| **at < from + Duration::from_secs(60)).count()
            })
            .max()
            .unwrap();
        assert!(worst_minute <= 12, "seed {seed}: {worst_minute} requests in a minute");
        let held = world.queue.timers.len() + world.queue.backlog.len() + world.queue.growing.len();
        assert!(held <= 40 * 4, "seed {seed}: {held} entries for 40 recordings");

        let back = world.now;
        world.run(back + Duration::from_secs(120), true);
        assert!(world.items.is_empty(), "seed {seed}: {} are left", world.items.len());
        assert_eq!(world.site.sent, bytes, "seed {seed}: each byte once");
        assert_eq!(world.site.receipts.len(), 40);
        let order: Vec<usize> = world
            .site
            .manifests
            .iter()
            .map(|id| (0..40).position(|number| recording(number) == *id).unwrap())
            .collect();
        for (place, number) in order.iter().enumerate() {
            // Four at a time, of different sizes.
            assert!(place.abs_diff(*number) <= 6, "seed {seed}: {order:?}");
        }
        if seed == 0 {
            println!(
                "{requests} requests in a day without the server, at most {worst_minute} in a minute; {held} entries held"
            );
        }
    }
}

#[test]
fn one_at_a_time_the_oldest_is_first() {
    let mut world = World::new(1, 1);
    for number in (0..10).rev() {
        world.add(number, 3 * MIB, true);
    }
    let until = world.at(Duration::from_secs(60));
    world.run(until, true);
    assert_eq!(world.site.manifests, (0..10).map(recording).collect::<Vec<_>>());
}

#[test]
fn a_growing_recording_is_sent_beside_a_long_backlog() {
    let mut world = World::new(1, 1);
    for number in 0..20 {
        world.add(number, 50 * MIB, true);
    }
    world.add(99, 1 << 20, false);
    let until = world.at(Duration::from_secs(1));
    world.run(until, true);
    assert_eq!(world.site.uploads[&recording(99)], 1 << 20);
    assert!(world.site.manifests.is_empty(), "long before the backlog is through");
}

#[test]
fn on_hold_nothing_is_asked_and_afterwards_everything_arrives() {
    let mut world = World::new(4, 1);
    world.queue.hold(true);
    for number in 0..5 {
        world.add(number, MIB, true);
    }
    let until = world.at(Duration::from_secs(3_600));
    world.run(until, true);
    assert!(world.asked.is_empty());
    world.queue.hold(false);
    let until = world.now + Duration::from_secs(30);
    world.run(until, true);
    assert!(world.items.is_empty());
}

#[test]
fn under_a_limit_a_patch_carries_some_seconds_of_it() {
    let mut world = World::new(4, 1);
    world.queue.limit(Some(20_000));
    world.add(0, MIB, true);
    let until = world.at(Duration::from_secs(60));
    world.run(until, true);
    assert!(world.items.is_empty());
    // 1 MiB in pieces of 80,000 bytes, and four requests around them.
    assert!((14..=22).contains(&world.asked.len()), "{}", world.asked.len());
}

#[test]
fn an_answer_wakes_what_failed_while_the_server_was_away() {
    let mut world = World::new(2, 5);
    for number in 0..10 {
        world.add(number, 10_000, true);
    }
    let until = world.at(Duration::from_secs(3_600));
    world.run(until, false);
    assert!(world.queue.is_away());
    // The longest delay until somebody asks, and then no more.
    let until = world.now + Duration::from_secs(45);
    world.run(until, true);
    assert!(world.items.is_empty(), "{} wait on", world.items.len());
    assert!(!world.queue.is_away());
}
