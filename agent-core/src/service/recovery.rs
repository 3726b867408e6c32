//! What a crash left: signed as it is, and remembered so that its capture can go on.

use crate::{controller::Continuation, recording::RecordingError};
use hindsight_link::Identity;
use hindsight_spool::{InterruptedItem, ItemInfo, Spool};
use hindsight_wire::{CaptureId, InteractionId, RecordingId, manifest::Media};
use std::collections::BTreeMap;

/// Signs an `interrupted` manifest for every item that has none. Gives the captures that were cut, each with its last
/// part. An item that cannot be signed is left for the next start.
pub fn sign_interrupted(spool: &Spool, identity: &Identity) -> Result<Vec<Continuation>, RecordingError> {
    let mut cut: BTreeMap<CaptureId, Continuation> = BTreeMap::new();
    for lost in spool.empty() {
        tracing::warn!(recording = %lost.recording, "a recording was cut before its first segment was whole");
    }
    for item in spool.interrupted() {
        let (recording, info) = (item.recording(), item.info());
        match sign(item, identity) {
            Ok(()) => tracing::info!(%recording, "a recording that was cut is signed as such"),
            Err(error) => tracing::error!(%recording, %error, "a recording that was cut could not be signed"),
        }
        remember(&mut cut, recording, &info);
    }
    Ok(cut.into_values().collect())
}

fn sign(item: InterruptedItem, identity: &Identity) -> Result<(), RecordingError> {
    let manifest = item.manifest()?;
    let signed = identity.sign_json(&manifest).map_err(|error| RecordingError::Sign(error.to_string()))?;
    Ok(item.finish(&signed)?)
}

fn remember(cut: &mut BTreeMap<CaptureId, Continuation>, recording: RecordingId, info: &ItemInfo) {
    let Media::Screen { monitor, .. } = info.media else { return };
    let open: Vec<InteractionId> = info
        .interactions
        .iter()
        .filter(|range| range.to_ms.is_none())
        .map(|range| range.interaction)
        .collect();
    let this = cut.entry(info.capture).or_insert_with(|| Continuation {
        capture: info.capture,
        last_part: info.part,
        recordings: Vec::new(),
        interactions: open.clone(),
    });
    if info.part > this.last_part {
        (this.last_part, this.interactions) = (info.part, open);
        this.recordings.clear();
    }
    if info.part == this.last_part {
        let monitor = monitor as usize;
        this.recordings.resize(this.recordings.len().max(monitor + 1), None);
        this.recordings[monitor] = Some(recording);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_spool::{Limits, Phase};
    use hindsight_wire::{
        ClockOffset, DeviceId, Timestamp,
        manifest::{Ending, InteractionRange, Manifest},
    };

    /// An identity of a site of its own.
    fn identity() -> Identity {
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::default();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let mut device = rcgen::CertificateParams::default();
        device.distinguished_name.push(rcgen::DnType::CommonName, DeviceId::new().to_string());
        device.distinguished_name.push(rcgen::DnType::OrganizationalUnitName, "desktop");
        let certificate = device.signed_by(&key, &issuer).unwrap();
        Identity::new(key.serialize_pem().into(), certificate.pem(), ca_pem, None).unwrap()
    }

    fn info(
        capture: CaptureId,
        part: u32,
        monitor: u32,
        interactions: &[(InteractionId, Option<u64>)],
    ) -> ItemInfo {
        let range = |&(interaction, to_ms): &_| InteractionRange { interaction, from_ms: 0, to_ms };
        ItemInfo {
            capture,
            part,
            previous: None,
            device: DeviceId::new(),
            person: None,
            dn: None,
            media: Media::Screen { monitor, name: "m".to_owned(), width: 16, height: 16, monitors: 2 },
            interactions: interactions.iter().map(range).collect(),
            started_at: Timestamp(1),
            clock: ClockOffset::default(),
            pauses: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn what_a_crash_cut_is_signed_as_cut_and_its_capture_can_go_on() {
        let directory = tempfile::tempdir().unwrap();
        let (over, open) = (InteractionId::new(), InteractionId::new());
        let capture = CaptureId::new();
        let ids: Vec<RecordingId> = (0..3).map(|_| RecordingId::new()).collect();
        {
            let spool = Spool::open(directory.path(), Limits::default()).unwrap();
            for (id, part, monitor) in [(ids[0], 1, 0), (ids[1], 2, 0), (ids[2], 2, 1)] {
                let interactions = [(over, Some(5)), (open, None)];
                let mut item = spool.create(id, info(capture, part, monitor, &interactions)).unwrap();
                item.append(&[7; 4096 + 2 * 4096 + 99]).unwrap();
            }
        }
        let spool = Spool::open(directory.path(), Limits::default()).unwrap();
        let identity = identity();
        let cut = sign_interrupted(&spool, &identity).unwrap();
        assert_eq!(
            cut,
            [Continuation {
                capture,
                last_part: 2,
                recordings: vec![Some(ids[1]), Some(ids[2])],
                interactions: vec![open],
            }]
        );
        spool.sync();
        for id in ids {
            assert_eq!(spool.item(id).unwrap().phase, Phase::Finished);
            let signed = std::fs::read(directory.path().join(id.to_string()).join("manifest.json")).unwrap();
            let signed: hindsight_wire::manifest::Signed = serde_json::from_slice(&signed).unwrap();
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            let document = STANDARD.decode(signed.document).unwrap();
            let manifest: Manifest = serde_json::from_slice(&document).unwrap();
            assert_eq!((manifest.ending, manifest.duration_ms), (Ending::Interrupted, None));
            let signature = STANDARD.decode(signed.signature).unwrap();
            let now = Timestamp::now().0 as u64 / 1_000_000;
            hindsight_seal::verify_detached(&document, &signature, identity.ca_pem(), now).unwrap();
        }
        assert!(sign_interrupted(&spool, &identity).unwrap().is_empty());
    }
}
