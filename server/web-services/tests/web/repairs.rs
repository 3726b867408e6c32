//! Recordings that a crash cut, repaired through a real crypto server.

use crate::{
    links::{Link, ended, established, event, offered},
    recorder,
    site::Site,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use hindsight_model::event::What;
use hindsight_recording_processor::repair::RecoveryRecord;
use hindsight_seal::verify_detached;
use hindsight_store::{ObjectKey, ObjectKind, ObjectStore, recordings, repairs};
use hindsight_wire::{CaptureId, InteractionId, RecordingId, Timestamp, enrolment::DeviceKind};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

#[tokio::test]
async fn a_cut_recording_gets_its_receipt_at_once_is_repaired_and_can_be_replayed() {
    let mut site = Site::start().await;
    let device = site.device(DeviceKind::MediaServer).await;
    let (call, begun) = (InteractionId::new(), Timestamp::now());
    let cut = recorder::voice(&site, &device, call, begun, 20).cut(200_000);
    assert_eq!(cut.deliver(&site, &device).await.0, 200);
    let stored = site.objects.size(ObjectKey::new(cut.id, ObjectKind::Payload)).await.unwrap();
    assert_eq!(stored, None, "the object that stays is written once, repaired");
    site.start_processor();
    let sue = site.signed_in("sue").await;
    let ready = |body: &Value| body["mediaFiles"][0]["state"] == "recovered";
    let seen = site.until(&sue, &call.to_string(), ready).await;
    assert_eq!(seen["recovered"], true);
    let duration = seen["mediaFiles"][0]["durationMs"].as_u64().unwrap();
    assert!((10_000..12_500).contains(&duration), "{duration}");
    let payload = site.objects.get(ObjectKey::new(cut.id, ObjectKind::Payload)).await.unwrap().unwrap();
    assert_eq!(payload.len() as u64, cut.manifest.payload_size);
    let unchanged = payload.len() - 4096;
    assert_eq!(
        payload[..unchanged],
        cut.bytes[4096..4096 + unchanged],
        "only the last segment is sealed anew"
    );
    let signed = recordings::recovered_record(&mut site.database.read().await.unwrap(), cut.id)
        .await
        .unwrap()
        .unwrap();
    let document = BASE64_STANDARD.decode(&signed.document).unwrap();
    let signature = BASE64_STANDARD.decode(&signed.signature).unwrap();
    let now = (Timestamp::now().0 / 1_000_000) as u64;
    let signer = verify_detached(&document, &signature, site.authority.certificate_pem(), now).unwrap();
    assert_eq!(signer.organizational_unit.as_deref(), Some("recording-processor"));
    let record: RecoveryRecord = serde_json::from_slice(&document).unwrap();
    assert_eq!(record.original_sha256, cut.manifest.payload_sha256);
    assert_eq!(record.recovered_sha256, hex::encode(digest(&SHA256, &payload)));
    let url = seen["mediaFiles"][0]["mediaUrl"].as_str().unwrap();
    let media = sue.request("GET", url).header("range", "bytes=0-99").send().await.unwrap();
    assert_eq!(
        (media.status().as_u16(), &media.headers()["content-type"]),
        (206, &"audio/wav".parse().unwrap())
    );
    assert_eq!(&media.bytes().await.unwrap()[..4], b"RIFF");
    assert_eq!(site.signed_in("bob").await.get(url).await.0, 404);
    site.stop().await;
}

#[tokio::test]
async fn what_cannot_be_repaired_goes_to_the_failed_list_with_its_reason() {
    let mut site = Site::start().await;
    let device = site.device(DeviceKind::MediaServer).await;
    let call = InteractionId::new();
    let mut swapped = recorder::voice(&site, &device, call, Timestamp::now(), 20).cut(200_000);
    // Envelope and payload of two recordings: signed by the recorder, and yet no key opens it.
    let other = recorder::voice(&site, &device, call, Timestamp::now(), 20);
    swapped.bytes[..4096].copy_from_slice(&other.bytes[..4096]);
    swapped.manifest.envelope_sha256 = other.manifest.envelope_sha256;
    assert_eq!(swapped.deliver(&site, &device).await.0, 200);
    site.start_processor();
    let sue = site.signed_in("sue").await;
    let failed = |body: &Value| body["mediaFiles"][0]["state"] == "failed" && body["voice"] == "missing";
    let seen = site.until(&sue, &call.to_string(), failed).await;
    assert_eq!(seen["gaps"][0]["kind"], json!("voice"));
    assert!(seen["mediaFiles"][0]["failure"].as_str().unwrap().contains("crypto server refuses"), "{seen}");
    let list = repairs::failed(&mut site.database.read().await.unwrap(), 10).await.unwrap();
    assert_eq!(list[0].recording, swapped.id);
    site.stop().await;
}

#[tokio::test]
async fn a_recording_of_which_nothing_survived_has_failed_at_once_with_its_reason() {
    let mut site = Site::start().await;
    site.start_processor();
    let (sip, media) = (site.device(DeviceKind::SipServer).await, site.device(DeviceKind::MediaServer).await);
    let (mut sip, mut media) = (Link::component(&site, &sip).await, Link::component(&site, &media).await);
    let (call, recording) = (InteractionId::new(), RecordingId::new());
    sip.events(1, &[offered(call), established(call)]).await;
    media.events(1, &[event(call, What::RecordingOpened { recording, capture: CaptureId::new() })]).await;
    let sue = site.signed_in("sue").await;
    let file = |call: &Value| (call["voice"].clone(), call["mediaFiles"][0]["state"].clone());
    site.until(&sue, &call.to_string(), |call| file(call) == (json!("pending"), json!("recording"))).await;
    let reason = "nothing of a recording survived a crash of the media server".to_owned();
    media.events(2, &[event(call, What::RecordingLost { recording, reason: reason.clone() })]).await;
    sip.events(3, &[ended(call)]).await;
    let failed = (json!("missing"), json!("failed"));
    let seen = site.until(&sue, &call.to_string(), |call| file(call) == failed).await;
    assert_eq!(
        (&seen["mediaFiles"][0]["failure"], &seen["gaps"][0]["reason"]),
        (&json!(reason), &json!(reason))
    );
    site.stop().await;
}
