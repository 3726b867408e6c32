//! What a recorder makes: sealed bytes and a signed manifest.

use crate::{
    matroska,
    site::{Site, answer},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use hindsight_link::Identity;
use hindsight_seal::{Sealer, trim_len};
use hindsight_spool::ItemInfo;
use hindsight_wire::{
    CaptureId, ClockOffset, InteractionId, PersonId, RecordingId, Timestamp,
    manifest::{Ending, InteractionRange, Manifest, Media, Party, Signed, VoiceTrack},
};
use ring::digest::{SHA256, digest};
use serde_json::Value;

/// A sealed recording with what is known of it.
pub struct Sealed {
    pub id: RecordingId,
    pub bytes: Vec<u8>,
    pub manifest: Manifest,
}

pub fn voice_media() -> Media {
    let track = |number, party, number_or_dn: &str| VoiceTrack {
        number,
        party,
        number_or_dn: number_or_dn.to_owned(),
        codec: "PCMU".into(),
        clock_rate: 8000,
    };
    Media::Voice { tracks: vec![track(1, Party::Agent, "1001"), track(2, Party::Customer, "0701234567")] }
}

pub fn screen_media() -> Media {
    Media::Screen { monitor: 0, name: "DP-1".into(), width: 1920, height: 1080, monitors: 1 }
}

/// What is known while it runs.
pub fn info(
    device: &Identity,
    media: Media,
    interactions: &[InteractionId],
    started_at: Timestamp,
) -> ItemInfo {
    let range = |&interaction| InteractionRange { interaction, from_ms: 0, to_ms: None };
    ItemInfo {
        capture: CaptureId::new(),
        part: 1,
        previous: None,
        device: device.device(),
        person: None,
        dn: None,
        media,
        interactions: interactions.iter().map(range).collect(),
        started_at,
        clock: ClockOffset::default(),
        pauses: Vec::new(),
        notes: Vec::new(),
    }
}

/// A whole voice recording.
pub fn voice(
    site: &Site,
    device: &Identity,
    interaction: InteractionId,
    started_at: Timestamp,
    seconds: u32,
) -> Sealed {
    sealed(site, info(device, voice_media(), &[interaction], started_at), &matroska::voice(seconds), seconds)
}

/// A screen recording by a person at DN 1001; its picture is noise.
pub fn screen(
    site: &Site,
    device: &Identity,
    person: PersonId,
    interactions: &[InteractionId],
    started_at: Timestamp,
    seconds: u32,
) -> Sealed {
    let mut info = info(device, screen_media(), interactions, started_at);
    info.person = Some(person);
    info.dn = Some("1001".to_owned());
    sealed(site, info, &vec![7; 30_000], seconds)
}

fn sealed(site: &Site, info: ItemInfo, plaintext: &[u8], seconds: u32) -> Sealed {
    let id = RecordingId::new();
    let (mut sealer, mut bytes) = Sealer::new(id.0, std::slice::from_ref(&site.recipient)).unwrap();
    sealer.write(plaintext, &mut bytes).unwrap();
    sealer.finish(&mut bytes).unwrap();
    let mut manifest = info.manifest(id, payload(&bytes), Ending::Complete);
    manifest.duration_ms = Some(u64::from(seconds) * 1000);
    Sealed { id, bytes, manifest }
}

impl Sealed {
    /// As a crash leaves it after so many bytes: trimmed to whole segments.
    pub fn cut(mut self, after: u64) -> Self {
        let kept = 4096 + trim_len(after - 4096);
        self.bytes.truncate(kept as usize);
        let payload = payload(&self.bytes);
        self.manifest.payload_size = payload.size;
        self.manifest.payload_sha256 = payload.sha256;
        self.manifest.ending = Ending::Interrupted;
        self.manifest.duration_ms = None;
        self
    }

    pub fn kind(&self) -> &'static str {
        if matches!(self.manifest.media, Media::Voice { .. }) { "voice" } else { "screen" }
    }

    /// Uploads the bytes in one go.
    pub async fn upload(&self, site: &Site, device: &Identity) {
        let (status, _) = answer(create(site, device, self.id, self.kind(), Some(self.bytes.len()))).await;
        assert_eq!(status, 201);
        let (status, body) = answer(patch(site, device, self.id, 0, self.bytes.clone())).await;
        assert_eq!(status, 204, "{body}");
    }

    pub async fn hand_in(&self, site: &Site, device: &Identity, signed: &Signed) -> (u16, Value) {
        let client = device.http_client().unwrap();
        answer(client.put(site.url(&format!("/api/v2/recordings/{}/manifest", self.id))).json(signed)).await
    }

    /// Uploads, hands the manifest in and returns the receipt's answer.
    pub async fn deliver(&self, site: &Site, device: &Identity) -> (u16, Value) {
        self.upload(site, device).await;
        let (status, body) = self.hand_in(site, device, &device.sign_json(&self.manifest).unwrap()).await;
        assert_eq!(status, 202, "{body}");
        receipt(site, device, self.id).await
    }
}

fn payload(bytes: &[u8]) -> hindsight_spool::Payload {
    let sha256 = |bytes: &[u8]| hex::encode(digest(&SHA256, bytes));
    hindsight_spool::Payload {
        size: bytes.len() as u64 - 4096,
        sha256: sha256(&bytes[4096..]),
        envelope_sha256: sha256(&bytes[..4096]),
    }
}

pub async fn receipt(site: &Site, device: &Identity, id: RecordingId) -> (u16, Value) {
    let client = device.http_client().unwrap();
    answer(client.get(site.url(&format!("/api/v2/recordings/{id}/receipt")))).await
}

pub fn create(
    site: &Site,
    device: &Identity,
    id: RecordingId,
    kind: &str,
    length: Option<usize>,
) -> reqwest::RequestBuilder {
    let encode = |text: &str| BASE64_STANDARD.encode(text);
    let metadata = format!("recording {},kind {}", encode(&id.to_string()), encode(kind));
    let request = device.http_client().unwrap().post(site.url("/api/v2/uploads"));
    let request = request.header("tus-resumable", "1.0.0").header("upload-metadata", metadata);
    match length {
        Some(length) => request.header("upload-length", length),
        None => request.header("upload-defer-length", "1"),
    }
}

pub fn patch(
    site: &Site,
    device: &Identity,
    id: RecordingId,
    offset: u64,
    bytes: Vec<u8>,
) -> reqwest::RequestBuilder {
    let request = device.http_client().unwrap().patch(site.url(&format!("/api/v2/uploads/{id}")));
    let request =
        request.header("tus-resumable", "1.0.0").header("content-type", "application/offset+octet-stream");
    request.header("upload-offset", offset).body(bytes)
}
