//! A capture with a key of its own, and what came out of it.

use crate::display::Display;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hindsight_agent_core::{
    capture::Backend,
    recording::{Command, Origin, RecordingError, Run, RunEvent, RunJob},
};
use hindsight_seal::{PrivateKey, Recipient, open_all};
use hindsight_spool::{Limits, Spool};
use hindsight_wire::{
    CaptureId, ClockOffset, DeviceId, RecordingId,
    manifest::{Manifest, Signed},
    policy::CapturePolicy,
};
use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(20);

pub struct Rig {
    pub run: Run,
    events: mpsc::Receiver<RunEvent>,
    started: Instant,
    directory: tempfile::TempDir,
    key: PrivateKey,
    /// Held: its thread makes the files durable.
    _spool: Spool,
}

/// A recording, opened.
pub struct Recorded {
    pub id: RecordingId,
    pub manifest: Manifest,
    pub mp4: Vec<u8>,
}

impl Recorded {
    /// What is noted of it. On a busy machine pictures are dropped, and told so: what is there must hold all the same.
    pub fn notes(&self) -> Vec<&str> {
        let texts = self.manifest.notes.iter().map(|note| note.text.as_str());
        texts.filter(|text| !text.contains("pictures dropped")).collect()
    }
}

impl Rig {
    pub fn start(display: &Display, change: impl FnOnce(&mut RunJob)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["test".to_owned()]).unwrap().self_signed(&key).unwrap();
        let spool = Spool::open(directory.path().join("spool"), Limits::default()).unwrap();
        let mut job = RunJob {
            backend: Backend::X11,
            display: Some(display.name().to_owned()),
            policy: CapturePolicy::default(),
            recipients: Arc::new(vec![Recipient::from_pem(&certificate.pem()).unwrap()]),
            spool: spool.clone(),
            sign: Arc::new(|document| {
                Ok(Signed { document: BASE64.encode(document), signature: String::new() })
            }),
            clock: Arc::new(ClockOffset::default),
            device: DeviceId::new(),
            person: None,
            dn: Some("1001".to_owned()),
            origin: Origin::new(CaptureId::new()),
            interactions: Vec::new(),
            paused: None,
        };
        change(&mut job);
        let (sender, events) = mpsc::channel();
        let run = Run::start(job, move |event| {
            let _ = sender.send(event);
        })
        .unwrap();
        let key = PrivateKey::from_pkcs8_pem(&key.serialize_pem()).unwrap();
        Self { run, events, started: Instant::now(), directory, key, _spool: spool }
    }

    /// Waits for the first pictures of the next part.
    pub fn wait_part(&self) -> Vec<RecordingId> {
        match self.events.recv_timeout(LIMIT).expect("a part begins") {
            RunEvent::PartStarted { recordings, .. } => recordings,
            RunEvent::Ended(result) => panic!("the capture ended: {result:?}"),
        }
    }

    /// Waits for the end that nobody asked for.
    pub fn wait_end(&self) -> Result<(), RecordingError> {
        match self.events.recv_timeout(LIMIT).expect("the capture ends") {
            RunEvent::Ended(result) => result,
            RunEvent::PartStarted { .. } => panic!("another part"),
        }
    }

    /// Waits until the pause is in what is kept for a crash: then no pixel is taken any more.
    pub fn wait_for_pause(&self) {
        wait_until("the pause is kept", || {
            std::fs::read_dir(self.spool_dir()).unwrap().flatten().any(|item| {
                let names = ["state.json", "state.json.new", "state.json.sync"];
                names.iter().any(|name| {
                    std::fs::read_to_string(item.path().join(name))
                        .is_ok_and(|text| text.contains("card number"))
                })
            })
        });
    }

    /// Bytes in the spool's file.
    pub fn sealed_len(&self, recording: RecordingId) -> u64 {
        let path = self.spool_dir().join(recording.to_string()).join("sealed");
        std::fs::metadata(path).map_or(0, |file| file.len())
    }

    pub fn wait_sealed(&self, recording: RecordingId, len: u64) {
        wait_until("bytes are in the spool", || self.sealed_len(recording) >= len);
    }

    /// Ends the capture; everything recorded, by part and monitor.
    pub fn finish(self) -> Vec<Recorded> {
        self.run.command(Command::Finish);
        loop {
            match self.events.recv_timeout(LIMIT).expect("the capture ends") {
                RunEvent::Ended(result) => break result.unwrap(),
                RunEvent::PartStarted { .. } => {}
            }
        }
        self.recorded()
    }

    /// Ends the capture of one monitor in one part; and how long it was, from its start.
    pub fn finish_one(self) -> (Recorded, Duration) {
        let took = self.started.elapsed();
        let mut recorded = self.finish();
        assert_eq!(recorded.len(), 1);
        (recorded.remove(0), took)
    }

    /// Opens everything in the spool.
    pub fn recorded(&self) -> Vec<Recorded> {
        let mut recorded: Vec<Recorded> = std::fs::read_dir(self.spool_dir())
            .unwrap()
            .flatten()
            .filter_map(|item| {
                let id: RecordingId = item.file_name().to_str()?.parse().ok()?;
                let signed: Signed =
                    serde_json::from_slice(&std::fs::read(item.path().join("manifest.json")).ok()?).ok()?;
                let manifest = serde_json::from_slice(&BASE64.decode(signed.document).ok()?).ok()?;
                let sealed = std::fs::read(item.path().join("sealed")).unwrap();
                Some(Recorded { id, manifest, mp4: open_all(id.0, &sealed, &self.key).unwrap() })
            })
            .collect();
        recorded.sort_by_key(|recorded| recorded.id);
        recorded
    }

    fn spool_dir(&self) -> PathBuf {
        self.directory.path().join("spool")
    }
}

/// Waits for something, with a limit.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < LIMIT, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Processor time of this process.
pub fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A System V segment.
#[derive(Debug, PartialEq)]
pub struct Segment {
    pub id: u32,
    pub mode: u32,
    pub creator: u32,
    pub attached: u32,
}

pub fn shared_segments() -> Vec<Segment> {
    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let segment = |line: &str| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let (id, mode) = (columns[1].parse().unwrap(), u32::from_str_radix(columns[2], 8).unwrap());
        let (creator, attached) = (columns[4].parse().unwrap(), columns[6].parse().unwrap());
        Segment { id, mode, creator, attached }
    };
    table.lines().skip(1).map(segment).collect()
}
