//! The real recorder, sealer, spool and replay on a simulated clock.

use crate::network::is_rtcp;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hindsight_media_server::recorder::{
    PartySetup, Site,
    run::{Run, Subject},
};
use hindsight_model::{CaptureId, DeviceId, Event, InteractionId, Timestamp};
use hindsight_playback::{Plaintext, Voice};
use hindsight_seal::{PrivateKey, open_envelope, split};
use hindsight_spool::{Limits, Spool};
use hindsight_wire::{
    ClockOffset,
    manifest::{Manifest, Media, Signed},
};

/// The recorder's turns.
const TICK_US: i64 = 50_000;
/// The media server's clock when the recording begins, microseconds.
pub const ORIGIN_US: i64 = 5_000_000;

struct Surroundings {
    certificate: String,
}

impl Site for Surroundings {
    fn is_configured(&self) -> bool {
        true
    }

    fn device(&self) -> DeviceId {
        DeviceId::new()
    }
    fn recipients(&self) -> Vec<String> {
        vec![self.certificate.clone()]
    }
    fn clock_offset(&self) -> ClockOffset {
        ClockOffset { offset_us: 0, round_trip_us: 0, measured_at_us: 0, drift_ppm: 0.0 }
    }
    fn sign(&self, document: &[u8]) -> Result<Signed, String> {
        Ok(Signed { document: STANDARD.encode(document), signature: String::new() })
    }
    fn records_screen_of(&self, _: &str) -> Option<bool> {
        None
    }
    fn journal(&self, _: &Event) {}
}

/// A recording that runs.
pub struct Recording {
    dir: tempfile::TempDir,
    spool: Spool,
    site: Surroundings,
    key: String,
    run: Run,
    turned_us: i64,
}

/// A part of it that has ended.
pub struct Part {
    pub manifest: Manifest,
    /// Plaintext of the Matroska file.
    pub media: Vec<u8>,
    pub voice: Voice<Vec<u8>>,
}

impl Recording {
    pub fn start(parties: [PartySetup; 2]) -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
        let site = Surroundings { certificate: certificate.pem() };
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path().join("spool"), Limits::default()).unwrap();
        let subject = Subject {
            interaction: InteractionId::new(),
            capture: CaptureId::new(),
            part: 1,
            parties,
            counters: Vec::new(),
            broken: None,
        };
        let run = Run::start(&spool, &site, subject, ORIGIN_US, Timestamp(1_795_000_000_000_000)).unwrap();
        Self { dir, spool, site, key: key.serialize_pem(), run, turned_us: ORIGIN_US }
    }

    pub fn run(&mut self) -> &mut Run {
        &mut self.run
    }

    /// Takes what arrives at the two legs, RTP and RTCP, with the recorder's turns between.
    pub fn hear(&mut self, mut arrived: Vec<(usize, i64, Vec<u8>)>) {
        arrived.sort_by_key(|(_, at, _)| *at);
        for (side, at, bytes) in arrived {
            self.until(at);
            if is_rtcp(&bytes) {
                self.run.control(side, at, &bytes);
                continue;
            }
            self.run.packet(&self.spool, &self.site, side, at, &bytes).unwrap();
        }
    }

    /// Lets time go by.
    pub fn until(&mut self, at_us: i64) {
        while self.turned_us + TICK_US <= at_us {
            self.turned_us += TICK_US;
            self.run.poll(self.turned_us).unwrap();
        }
    }

    /// Ends it and opens every part.
    pub async fn finish(mut self, at_us: i64) -> Vec<Part> {
        self.until(at_us);
        self.run.finish(&self.site, at_us).unwrap();
        let mut parts = Vec::new();
        for entry in std::fs::read_dir(self.dir.path().join("spool")).unwrap() {
            let dir = entry.unwrap().path();
            let Ok(signed) = std::fs::read(dir.join("manifest.json")) else { continue };
            let signed: Signed = serde_json::from_slice(&signed).unwrap();
            let manifest: Manifest =
                serde_json::from_slice(&STANDARD.decode(&signed.document).unwrap()).unwrap();
            let sealed = std::fs::read(dir.join("sealed")).unwrap();
            let (envelope, payload) = split(&sealed).unwrap();
            let key = open_envelope(envelope, &PrivateKey::from_pkcs8_pem(&self.key).unwrap()).unwrap();
            let open = || Plaintext::open(payload.to_vec(), manifest.recording.0, &key);
            let media = open().await.unwrap().read(0..u64::MAX).await.unwrap();
            let Media::Voice { tracks } = &manifest.media else { panic!("no voice") };
            let index = manifest.index.clone();
            let voice =
                Voice::open(open().await.unwrap(), index, manifest.duration_ms.unwrap()).await.unwrap();
            parts.push(Part { voice: voice.with_tracks(tracks), media, manifest });
        }
        parts.sort_by_key(|part| part.manifest.part);
        parts
    }
}

impl Part {
    /// The sample rate of the replay, Hz.
    pub fn rate(&self) -> usize {
        let Media::Voice { tracks } = &self.manifest.media else { panic!("no voice") };
        let rates =
            tracks.iter().map(|t| hindsight_sip::sdp::Codec::from_name(&t.codec).unwrap().sample_rate());
        rates.max().unwrap() as usize
    }

    /// Both channels of a stretch, at the replay's rate.
    pub async fn heard(&self, from_ms: u64, to_ms: u64) -> [Vec<i16>; 2] {
        let rate = self.rate() as u64;
        let place = |ms: u64| 44 + ms * rate / 1000 * 4;
        let (mut at, end) = (place(from_ms), place(to_ms).min(self.voice.len()));
        let mut bytes = Vec::new();
        while at < end {
            let some = self.voice.read(at..end).await.unwrap();
            at += some.len() as u64;
            bytes.extend(some);
        }
        [0, 2].map(|o| bytes.chunks_exact(4).map(|f| i16::from_le_bytes([f[o], f[o + 1]])).collect())
    }
}
