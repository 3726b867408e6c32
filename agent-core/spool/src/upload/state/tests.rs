//! One upload against a simulated server that fails in every way it can, in simulated time.

use super::*;
use hindsight_wire::backoff::Backoff;
use rand::{SeedableRng as _, rngs::StdRng};
use std::collections::BTreeSet;

const KIB: u64 = 1024;

fn pace() -> Pace {
    let backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(30) };
    Pace { chunk: 256 * KIB, growing_chunk: 64 * KIB, growing_wait: Duration::from_secs(3), backoff }
}

/// What a recording looks like from outside at a time: it grows, then it is finished.
#[derive(Clone, Copy)]
struct Recording {
    segments_a_second: f64,
    ends_after: Duration,
}

impl Recording {
    fn at(self, elapsed: Duration) -> Local {
        let segments = |time: Duration| (time.as_secs_f64() * self.segments_a_second) as u64;
        if elapsed >= self.ends_after {
            let total = 4096 + segments(self.ends_after) * 4096 + 1234;
            return Local { sendable: total, total: Some(total) };
        }
        Local {
            sendable: crate::layout::sendable_while_growing(4096 + segments(elapsed) * 4096),
            total: None,
        }
    }
}

/// A tus server with faults.
#[derive(Default)]
struct Server {
    upload: Option<(u64, Option<u64>)>,
    manifest: bool,
    polls: u32,
    received: bool,
    creations: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fault {
    None,
    RequestLost,
    ResponseLost,
    /// Half of the bytes arrive and are kept.
    Torn,
    ChecksumMismatch,
    Busy,
    /// The server restarts and has lost what it had not synced, although it had acknowledged it.
    LostTail,
    /// The server has lost the upload.
    LostUpload,
}

impl Server {
    fn serve(&mut self, request: &Request, local: Local, fault: Fault) -> Outcome {
        match fault {
            Fault::RequestLost => return Outcome::Lost("request lost".to_owned()),
            Fault::Busy => {
                let retry_after = Some(Duration::from_secs(7));
                return Outcome::Answered(Answer { status: 503, retry_after, ..Answer::default() });
            }
            Fault::LostUpload if !self.manifest => self.upload = None,
            Fault::LostTail if !self.manifest => {
                if let Some((offset, _)) = &mut self.upload {
                    *offset = offset.saturating_sub(100 * KIB);
                }
            }
            _ => {}
        }
        let answer = self.answer(request, local, fault);
        match fault {
            Fault::ResponseLost | Fault::Torn => Outcome::Lost("response lost".to_owned()),
            _ => Outcome::Answered(answer),
        }
    }

    fn answer(&mut self, request: &Request, local: Local, fault: Fault) -> Answer {
        let status = |status| Answer { status, ..Answer::default() };
        match *request {
            Request::Create { total } => {
                self.creations += 1;
                let (offset, _) = *self.upload.get_or_insert((0, total));
                let location = Some("/api/v2/uploads/1".to_owned());
                Answer { offset: Some(offset), location, ..status(201) }
            }
            Request::Head if self.received => status(404),
            Request::Head => match self.upload {
                Some((offset, length)) => Answer { offset: Some(offset), length, ..status(200) },
                None => status(404),
            },
            Request::Patch { offset, len, declare } => match &mut self.upload {
                None => status(404),
                Some((at, _)) if *at != offset => status(409),
                Some(_) if fault == Fault::ChecksumMismatch => status(460),
                Some((at, length)) => {
                    *at += if fault == Fault::Torn { len / 2 } else { len };
                    if let Some(declared) = declare {
                        assert!(length.is_none_or(|known| known == declared));
                        *length = Some(declared);
                    }
                    Answer { offset: Some(*at), ..status(204) }
                }
            },
            Request::Manifest if self.manifest => status(202),
            Request::Manifest => match self.upload {
                None => status(404),
                Some((offset, length)) if Some(offset) == local.total && length == local.total => {
                    self.manifest = true;
                    status(202)
                }
                Some(_) => status(409),
            },
            Request::Receipt if self.manifest && self.polls > 3 => {
                (self.received, self.upload) = (true, None);
                Answer { receipt: Some(Ok(())), ..status(200) }
            }
            Request::Receipt if self.manifest => {
                self.polls += 1;
                status(202)
            }
            Request::Receipt => status(404),
        }
    }
}

struct Run {
    elapsed: Duration,
    sent: u64,
    requests: u32,
    creations: u32,
}

/// Runs an upload to its end; `fault` chooses what befalls each request.
fn run(seed: u64, recording: Recording, mut fault: impl FnMut(&Request, &mut StdRng) -> Fault) -> Run {
    let (start, mut rng) = (Instant::now(), StdRng::seed_from_u64(seed));
    let (mut now, mut upload, mut server) = (start, Upload::new(pace()), Server::default());
    let (mut sent, mut requests, mut acknowledged) = (0, 0, 0);
    loop {
        let local = recording.at(now - start);
        match upload.poll(now, local) {
            Next::Delete => break,
            Next::Keep(reason) => panic!("seed {seed}: refused: {reason}"),
            Next::At(at) => {
                // A change of the item may come first, as the driver has it.
                now = at.min(now + Duration::from_millis(500)).max(now + Duration::from_millis(1));
            }
            Next::Growth => now += Duration::from_millis(500),
            Next::Request(request) => {
                requests += 1;
                let fault = fault(&request, &mut rng);
                if matches!(fault, Fault::LostTail | Fault::LostUpload) {
                    acknowledged = 0;
                }
                if let Request::Patch { offset, len, .. } = request {
                    assert!(offset + len <= local.sendable, "seed {seed}: sent what may not be");
                    assert!(offset >= acknowledged, "seed {seed}: acknowledged bytes sent again");
                    sent += len;
                }
                let outcome = server.serve(&request, local, fault);
                if let (Request::Patch { .. }, Outcome::Answered(Answer { status: 204, offset, .. })) =
                    (&request, &outcome)
                {
                    acknowledged = acknowledged.max(offset.unwrap());
                }
                now += Duration::from_millis(20);
                upload.handle(&request, outcome, now, &mut rng);
            }
        }
        assert!(now - start < Duration::from_secs(24 * 3600), "seed {seed}: no end");
    }
    assert!(server.received, "seed {seed}: deleted before the receipt");
    Run { elapsed: now - start, sent, requests, creations: server.creations }
}

const CALL: Recording = Recording { segments_a_second: 4.0, ends_after: Duration::from_secs(300) };

#[test]
fn a_growing_recording_arrives_soon_after_its_end_and_each_byte_once() {
    let run = run(0, CALL, |_, _| Fault::None);
    assert_eq!(run.sent, CALL.at(CALL.ends_after).sendable);
    assert!(run.elapsed < CALL.ends_after + Duration::from_secs(5), "{:?}", run.elapsed);
    // Some 3 s or 64 KiB each, not one per segment.
    assert!(run.requests < 110, "{} requests", run.requests);
    assert_eq!(run.creations, 1);
}

#[test]
fn a_finished_recording_is_sent_in_whole_chunks() {
    let backlog = Recording { segments_a_second: 1_000.0, ends_after: Duration::ZERO };
    let backlog = Recording { ends_after: Duration::from_secs(1), ..backlog };
    let run = run(0, backlog, |_, _| Fault::None);
    assert_eq!(run.sent, 4096 + 1_000 * 4096 + 1234);
    assert!(run.requests < 40, "{} requests", run.requests);
}

#[test]
fn every_fault_is_overcome_and_nothing_acknowledged_is_sent_again() {
    use Fault::*;
    let mut seen = BTreeSet::new();
    for seed in 0..500 {
        let faults = [RequestLost, ResponseLost, Torn, ChecksumMismatch, Busy, LostTail, LostUpload];
        run(seed, CALL, |request, rng| {
            if !rng.random_bool(0.3) {
                return None;
            }
            let fault = faults[rng.random_range(0..faults.len())];
            let applies = match fault {
                Torn | ChecksumMismatch | LostTail => matches!(request, Request::Patch { .. }),
                LostUpload => rng.random_bool(0.1),
                RequestLost | ResponseLost | Busy | None => true,
            };
            seen.insert(fault);
            if applies { fault } else { None }
        });
    }
    assert_eq!(seen.len(), 7);
}

#[test]
fn a_server_down_for_hours_is_asked_with_growing_and_scattered_delays() {
    let mut asked = 0;
    let back_after = 1_000;
    run(3, CALL, |_, _| {
        asked += 1;
        if asked < back_after { Fault::RequestLost } else { Fault::None }
    });
    let mut upload = Upload::new(pace());
    let (now, mut rng) = (Instant::now(), StdRng::seed_from_u64(9));
    let mut longest = Duration::ZERO;
    for _ in 0..100 {
        upload.not_before = None;
        let Next::Request(request) = upload.poll(now, CALL.at(CALL.ends_after)) else { panic!("a request") };
        upload.handle(&request, Outcome::Lost("down".to_owned()), now, &mut rng);
        let Next::At(at) = upload.poll(now, CALL.at(CALL.ends_after)) else { panic!("a delay") };
        longest = longest.max(at - now);
    }
    assert!(longest <= Duration::from_secs(30) && longest > Duration::from_secs(25));
}

fn answered(status: u16) -> Outcome {
    Outcome::Answered(Answer { status, reason: "because".to_owned(), ..Answer::default() })
}

fn sending() -> (Upload, Request) {
    let (mut upload, mut rng) = (Upload::new(pace()), StdRng::seed_from_u64(1));
    let local = CALL.at(CALL.ends_after);
    let now = Instant::now();
    let Next::Request(create) = upload.poll(now, local) else { panic!("create") };
    let created = Answer { status: 201, location: Some("/u/1".to_owned()), ..Answer::default() };
    upload.handle(&create, Outcome::Answered(created), now, &mut rng);
    let Next::Request(patch) = upload.poll(now, local) else { panic!("patch") };
    (upload, patch)
}

#[test]
fn a_definite_refusal_keeps_the_item_and_its_reason() {
    for status in [400, 401, 403, 412, 413, 415, 422] {
        let (mut upload, patch) = sending();
        let now = Instant::now();
        upload.handle(&patch, answered(status), now, &mut StdRng::seed_from_u64(1));
        let Next::Keep(reason) = upload.poll(now, CALL.at(CALL.ends_after)) else {
            panic!("{status} is a refusal")
        };
        assert_eq!(reason, format!("status {status}: because"));
    }
}

#[test]
fn what_may_pass_is_tried_again() {
    for status in [301, 404, 408, 409, 410, 423, 425, 429, 460, 500, 502, 503, 504] {
        let (mut upload, patch) = sending();
        let now = Instant::now();
        upload.handle(&patch, answered(status), now, &mut StdRng::seed_from_u64(1));
        let later = now + Duration::from_secs(60);
        let next = upload.poll(later, CALL.at(CALL.ends_after));
        assert!(matches!(next, Next::Request(Request::Head | Request::Receipt)), "{status}: {next:?}");
    }
}

#[test]
fn an_upload_that_the_server_has_forgotten_because_it_is_complete_is_not_sent_again() {
    for saved in [Some("/u/1".to_owned()), None] {
        let mut upload = Upload::resume(pace(), saved, false);
        let (mut now, mut rng) = (Instant::now(), StdRng::seed_from_u64(1));
        let mut server = Server { manifest: true, received: true, polls: 9, ..Server::default() };
        let local = CALL.at(CALL.ends_after);
        loop {
            match upload.poll(now, local) {
                Next::Request(request) => {
                    assert!(
                        !matches!(request, Request::Create { .. } | Request::Patch { .. }),
                        "{request:?}"
                    );
                    let outcome = server.serve(&request, local, Fault::None);
                    upload.handle(&request, outcome, now, &mut rng);
                }
                Next::At(at) => now = at,
                Next::Delete => break,
                Next::Growth | Next::Keep(_) => panic!("neither grows nor is refused"),
            }
        }
    }
}

#[test]
fn a_receipt_that_does_not_verify_deletes_nothing() {
    let mut upload = Upload::resume(pace(), Some("/u/1".to_owned()), true);
    let (mut now, mut rng) = (Instant::now(), StdRng::seed_from_u64(1));
    for _ in 0..50 {
        match upload.poll(now, CALL.at(CALL.ends_after)) {
            Next::Request(Request::Receipt) => {
                let receipt = Some(Err("signed by somebody else".to_owned()));
                let answer = Answer { status: 200, receipt, ..Answer::default() };
                upload.handle(&Request::Receipt, Outcome::Answered(answer), now, &mut rng);
                assert_eq!(upload.last_failure(), Some("signed by somebody else"));
            }
            Next::At(at) => now = at,
            next => panic!("{next:?}"),
        }
    }
}

#[test]
fn a_manifest_that_the_server_lost_is_handed_in_again() {
    let mut upload = Upload::resume(pace(), Some("/u/1".to_owned()), true);
    let (mut now, mut rng) = (Instant::now(), StdRng::seed_from_u64(1));
    let mut polls = 0;
    loop {
        match upload.poll(now, CALL.at(CALL.ends_after)) {
            Next::Request(Request::Receipt) => {
                polls += 1;
                upload.handle(&Request::Receipt, answered(202), now, &mut rng);
            }
            Next::Request(Request::Manifest) => break,
            Next::At(at) => now = at,
            next => panic!("{next:?}"),
        }
    }
    assert_eq!(polls, POLLS_PER_MANIFEST);
}

#[test]
fn a_server_with_more_bytes_than_the_file_is_asked_once_for_a_new_upload() {
    let mut upload = Upload::resume(pace(), Some("/u/1".to_owned()), false);
    let (now, mut rng) = (Instant::now(), StdRng::seed_from_u64(1));
    let local = CALL.at(CALL.ends_after);
    let mut creations = 0;
    let kept = loop {
        match upload.poll(now, local) {
            Next::Request(Request::Head) => {
                let answer = Answer { status: 200, offset: Some(local.sendable + 1), ..Answer::default() };
                upload.handle(&Request::Head, Outcome::Answered(answer), now, &mut rng);
            }
            Next::Request(request @ Request::Create { .. }) => {
                creations += 1;
                let (offset, location) = (Some(local.sendable + 1), Some("/u/1".to_owned()));
                let answer = Answer { status: 201, offset, location, ..Answer::default() };
                upload.handle(&request, Outcome::Answered(answer), now, &mut rng);
            }
            Next::Keep(reason) => break reason,
            next => panic!("{next:?}"),
        }
    };
    assert_eq!(creations, 1);
    assert!(kept.contains("more bytes"));
}
