//! What stands behind the controller: a screen, sealing, the spool.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hindsight_agent_core::{
    controller::{Action, Controller, Input, KeptPause, Moment, StartCapture},
    recording::Mark,
};
use hindsight_seal::{PrivateKey, Recipient, Sealer, open_all};
use hindsight_spool::{Item, ItemInfo, ItemSummary, Limits, Phase, Spool};
use hindsight_wire::{
    CaptureId, ClockOffset, DeviceId, RecordingId, Timestamp,
    manifest::{Manifest, Media, Signed},
    policy::CapturePolicy,
};
use proptest::test_runner::TestCaseError;
use std::{collections::HashSet, fs, path::Path};
use tempfile::TempDir;

/// A picture: as long as it is telling.
const PICTURE: usize = 64;

pub struct Recorder {
    dir: TempDir,
    key: PrivateKey,
    /// PEM.
    pub recipient: String,
    controller: Controller,
    spool: Option<Spool>,
    run: Option<Run>,
    /// Pictures so far; the n-th is the hash of n.
    shown: u64,
    forbidden: HashSet<[u8; PICTURE]>,
    allowed: HashSet<[u8; PICTURE]>,
}

struct Run {
    start: StartCapture,
    part: u32,
    paused: bool,
    finishing: bool,
    told: bool,
    file: Option<File>,
}

struct File {
    recording: RecordingId,
    item: Item,
    sealer: Sealer,
}

fn picture(number: u64) -> [u8; PICTURE] {
    let mut picture = [0; PICTURE];
    for (at, chunk) in picture.chunks_exact_mut(8).enumerate() {
        let mut word = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ (at as u64).wrapping_mul(0xd1b5_4a32_d192_ed03);
        word = (word ^ (word >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        chunk.copy_from_slice(&(word ^ (word >> 29)).to_le_bytes());
    }
    picture
}

fn unsigned(manifest: &Manifest) -> Signed {
    Signed { document: BASE64.encode(serde_json::to_vec(manifest).unwrap()), signature: String::new() }
}

impl Recorder {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["test".to_owned()]).unwrap().self_signed(&key).unwrap();
        let spool = Spool::open(dir.path().join("spool"), Limits { min_free_bytes: 0, ..Limits::default() });
        Self {
            spool: Some(spool.unwrap()),
            dir,
            key: PrivateKey::from_pkcs8_pem(&key.serialize_pem()).unwrap(),
            recipient: certificate.pem(),
            controller: Controller::new(None),
            run: None,
            shown: 0,
            forbidden: HashSet::new(),
            allowed: HashSet::new(),
        }
    }

    pub fn take(&mut self, input: Input, now: Moment) -> Vec<Action> {
        let actions = self.controller.handle(input, now, &mut CaptureId::new);
        for action in &actions {
            match action {
                Action::Start(start) => {
                    assert!(self.run.is_none(), "two captures at once");
                    let (part, paused) = (start.part, start.paused.is_some());
                    let mut run =
                        Run { start: start.clone(), part, paused, finishing: false, told: false, file: None };
                    run.file = Some(self.open(&run));
                    self.run = Some(run);
                }
                Action::Mark(Mark::Pause { .. }) => self.run.as_mut().unwrap().paused = true,
                Action::Mark(Mark::Resume) => self.run.as_mut().unwrap().paused = false,
                Action::Finish => self.run.as_mut().unwrap().finishing = true,
                Action::NextPart | Action::Recipients(_) => {
                    let mut run = self.run.take().unwrap();
                    close(run.file.take());
                    run.part += 1;
                    if let Action::Recipients(recipients) = action {
                        run.start.recipients.clone_from(recipients);
                    }
                    run.file = Some(self.open(&run));
                    self.run = Some(run);
                }
                _ => {}
            }
        }
        actions
    }

    fn open(&self, run: &Run) -> File {
        let recording = RecordingId::new();
        let recipients: Vec<Recipient> =
            run.start.recipients.iter().map(|pem| Recipient::from_pem(pem).unwrap()).collect();
        let (sealer, begin) = Sealer::new(recording.0, &recipients).unwrap();
        let media = Media::Screen { monitor: 0, name: "m".to_owned(), width: 16, height: 16, monitors: 1 };
        let info = ItemInfo {
            capture: run.start.capture,
            part: run.part,
            previous: None,
            device: DeviceId::new(),
            person: None,
            dn: None,
            media,
            interactions: Vec::new(),
            started_at: Timestamp(1),
            clock: ClockOffset::default(),
            pauses: Vec::new(),
            notes: Vec::new(),
        };
        let mut item = self.spool.as_ref().unwrap().create(recording, info).unwrap();
        item.append(&begin).unwrap();
        File { recording, item, sealer }
    }

    /// The screen shows a picture that it never showed before; a capture that runs records it. A capture that was told to
    /// end records nothing more: its thread takes commands before pictures.
    pub fn show(&mut self, forbidden: bool) {
        let picture = picture(self.shown);
        self.shown += 1;
        if forbidden {
            self.forbidden.insert(picture);
        }
        let Some(Run { paused: false, finishing: false, file: Some(file), .. }) = &mut self.run else {
            return;
        };
        self.allowed.insert(picture);
        let mut sealed = Vec::new();
        file.sealer.write(&picture, &mut sealed).unwrap();
        // Enough to push a segment out now and then.
        file.sealer.write(&[0; 700], &mut sealed).unwrap();
        if !sealed.is_empty() {
            file.item.append(&sealed).unwrap();
        }
    }

    /// The first picture of a part was taken.
    pub fn part_started(&mut self) -> Option<Input> {
        let run = self.run.as_mut().filter(|run| !run.told)?;
        run.told = true;
        let recordings = vec![run.file.as_ref().unwrap().recording];
        Some(Input::PartStarted { part: run.part, recordings, at: Timestamp(2) })
    }

    /// A capture that was told to end, or broke, is over.
    pub fn end(&mut self, broke: bool) -> Option<Input> {
        self.run.as_ref().filter(|run| run.finishing || broke)?;
        close(self.run.take().unwrap().file);
        Some(Input::Ended { error: broke.then(|| "broke".to_owned()) })
    }

    /// kill -9: what was written is in the files, what was held in memory is gone.
    pub fn crash(&mut self, policy: CapturePolicy, kept: Vec<KeptPause>) {
        self.run = None;
        self.spool = None;
        let limits = Limits { min_free_bytes: 0, ..Limits::default() };
        let spool = Spool::open(self.dir.path().join("spool"), limits).unwrap();
        for item in spool.interrupted() {
            let manifest = item.manifest().unwrap();
            item.finish(&unsigned(&manifest)).unwrap();
        }
        self.spool = Some(spool);
        self.controller = Controller::new(Some((policy, vec![self.recipient.clone()]))).with_pauses(kept);
    }

    pub fn items(&self) -> Vec<ItemSummary> {
        let spool = self.spool.as_ref().unwrap();
        spool.sync();
        spool.items()
    }

    fn sealed(&self, recording: RecordingId) -> Vec<u8> {
        fs::read(self.dir.path().join("spool").join(recording.to_string()).join("sealed")).unwrap()
    }

    /// No file holds anything that the screen showed.
    pub fn nothing_in_the_clear(&self) -> Result<(), TestCaseError> {
        let beginnings: HashSet<[u8; 16]> =
            (0..self.shown).map(|number| picture(number)[..16].try_into().unwrap()).collect();
        for path in files_below(self.dir.path()) {
            for window in fs::read(&path).unwrap().windows(16) {
                let clear = beginnings.contains(window);
                proptest::prop_assert!(!clear, "a picture lies in the clear in {path:?}");
            }
        }
        Ok(())
    }

    /// Opened, the whole recordings hold what was allowed and nothing that was not; how many pictures.
    pub fn only_what_was_allowed(&self) -> Result<usize, TestCaseError> {
        proptest::prop_assert!(self.allowed.is_disjoint(&self.forbidden), "recorded what was forbidden");
        let mut found = 0;
        for item in self.items() {
            // What a crash cut has no end: the server mends that.
            let Ok(media) = open_all(item.recording.0, &self.sealed(item.recording), &self.key) else {
                continue;
            };
            for recorded in media.chunks(PICTURE + 700) {
                let picture: [u8; PICTURE] = recorded[..PICTURE].try_into().unwrap();
                proptest::prop_assert!(self.allowed.contains(&picture), "not what the screen showed");
                proptest::prop_assert!(!self.forbidden.contains(&picture), "a picture of a pause");
                found += 1;
            }
        }
        Ok(found)
    }

    /// Finished and durable, with its size.
    pub fn whole(&self, recording: RecordingId) -> Option<u64> {
        let item = self.items().into_iter().find(|item| item.recording == recording)?;
        (item.phase == Phase::Finished).then_some(item.bytes)
    }
}

fn close(file: Option<File>) {
    let Some(File { mut item, sealer, .. }) = file else { return };
    let mut sealed = Vec::new();
    sealer.finish(&mut sealed).unwrap();
    item.append(&sealed).unwrap();
    let manifest = item.manifest();
    item.finish(&unsigned(&manifest)).unwrap();
}

fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
