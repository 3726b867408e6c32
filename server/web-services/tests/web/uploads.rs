//! How recordings arrive: by our uploader, by tuspy, and what is refused.

use crate::{
    matroska,
    recorder::{self, create, patch, receipt},
    site::{LIMIT, Site, answer},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use hindsight_seal::{Sealer, verify_detached};
use hindsight_spool::{Limits, Spool, UploadConfig, Uploader};
use hindsight_store::{ObjectKey, ObjectKind, ObjectStore, recordings, uploads};
use hindsight_wire::{
    InteractionId, RecordingId, Timestamp,
    enrolment::DeviceKind,
    manifest::{Manifest, Receipt},
};
use ring::digest::{SHA256, digest};
use serde_json::json;
use std::process::Command;

#[tokio::test]
async fn our_uploader_sends_a_growing_file_and_deletes_it_on_the_receipt() {
    let site = Site::start().await;
    let device = site.device(DeviceKind::MediaServer).await;
    let spool = Spool::open(site.directory.path().join("spool"), Limits::default()).unwrap();
    let config = UploadConfig {
        base_url: site.url(""),
        growing_chunk: 4096,
        growing_wait_ms: 20,
        retry_base_ms: 20,
        ..UploadConfig::default()
    };
    let uploader =
        Uploader::new(spool.clone(), device.http_client().unwrap(), device.ca_pem(), &config).unwrap();
    let mut status = uploader.status();
    let running = tokio::spawn(uploader.run());
    let (id, interaction) = (RecordingId::new(), InteractionId::new());
    let started_at = Timestamp::now();
    let info = recorder::info(&device, recorder::voice_media(), &[interaction], started_at);
    let mut item = spool.create(id, info).unwrap();
    let (mut sealer, mut bytes) = Sealer::new(id.0, std::slice::from_ref(&site.recipient)).unwrap();
    let plaintext = matroska::voice(20);
    let (first, second) = plaintext.split_at(plaintext.len() / 2);
    sealer.write(first, &mut bytes).unwrap();
    item.append(&bytes).unwrap();
    // The first half is on the server while the file still grows.
    tokio::time::timeout(LIMIT, async {
        while site.area.length(id).await.unwrap().is_none_or(|length| length < 100_000) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the growing file is uploaded");
    bytes.clear();
    sealer.write(second, &mut bytes).unwrap();
    sealer.finish(&mut bytes).unwrap();
    item.append(&bytes).unwrap();
    let mut manifest = item.manifest();
    manifest.duration_ms = Some(20_000);
    item.finish(&device.sign_json(&manifest).unwrap()).unwrap();
    tokio::time::timeout(LIMIT, status.wait_for(|status| status.received == 1))
        .await
        .expect("in time")
        .unwrap();
    assert!(spool.items().is_empty());
    running.abort();
    let kept = recordings::by_id(&mut site.database.read().await.unwrap(), id).await.unwrap().unwrap();
    assert_eq!((kept.manifest, kept.state), (manifest.clone(), recordings::State::Ready));
    for (kind, sha256) in
        [(ObjectKind::Payload, manifest.payload_sha256), (ObjectKind::Envelope, manifest.envelope_sha256)]
    {
        let object = site.objects.get(ObjectKey::new(id, kind)).await.unwrap().unwrap();
        assert_eq!(hex::encode(digest(&SHA256, &object)), sha256);
    }
    site.stop().await;
}

const TUSPY: &str = r#"
import sys, os
from tusclient import client
url, cert, key, path, recording, part = sys.argv[1:7]
tus = client.TusClient(url + "/api/v2/uploads", client_cert=(cert, key))
chunk = 40_000
meta = {"recording": recording, "kind": "voice"}
if part == "first":
    up = tus.uploader(path, chunk_size=chunk, metadata=meta, upload_checksum=True)
    up.upload_chunk(); up.upload_chunk()
    print(up.url, up.offset)
else:
    up = tus.uploader(path, chunk_size=chunk, metadata=meta, upload_checksum=True, url=part)
    print("resumed at", up.offset)
    up.upload()
    print("done", up.offset)
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tuspy_uploads_stops_and_resumes() {
    let cache = std::env::var("HINDSIGHT_CACHE")
        .unwrap_or(format!("{}/.cache/hindsight", std::env::var("HOME").unwrap()));
    let python = format!("{cache}/venv/bin/python");
    assert!(std::path::Path::new(&python).exists(), "packaging/setup.sh test makes {python}");
    let site = Site::start().await;
    let string = site.enrolment_string(&[DeviceKind::MediaServer]).await;
    let home = site.directory.path().join("tuspy");
    let device =
        hindsight_link::Identity::load_or_enrol(&home, DeviceKind::MediaServer, "tuspy", Some(&string))
            .await
            .unwrap();
    let sealed = recorder::voice(&site, &device, InteractionId::new(), Timestamp::now(), 10);
    std::fs::write(home.join("recording"), &sealed.bytes).unwrap();
    let run = async |part: &str| {
        let (base, home, id) = (site.url(""), home.clone(), sealed.id.to_string());
        let (python, part) = (python.clone(), part.to_owned());
        let out = tokio::task::spawn_blocking(move || {
            Command::new(python)
                .args(["-c", TUSPY, &base])
                .args([home.join("device.pem"), home.join("device.key"), home.join("recording")])
                .args([&id, &part])
                .env("REQUESTS_CA_BUNDLE", home.join("ca.pem"))
                .output()
                .unwrap()
        });
        let out = out.await.unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let first = run("first").await;
    let (url, offset) = first.trim().rsplit_once(' ').unwrap();
    assert_eq!(offset, "80000");
    let second = run(url).await;
    assert_eq!(second.trim(), format!("resumed at 80000\ndone {}", sealed.bytes.len()));
    let (status, body) = sealed.hand_in(&site, &device, &device.sign_json(&sealed.manifest).unwrap()).await;
    assert_eq!(status, 202, "{body}");
    site.stop().await;
}

#[tokio::test]
async fn the_receipt_is_signed_by_the_web_services_and_handing_in_twice_changes_nothing() {
    let site = Site::start().await;
    let device = site.device(DeviceKind::MediaServer).await;
    let sealed = recorder::voice(&site, &device, InteractionId::new(), Timestamp::now(), 5);
    let (status, first) = sealed.deliver(&site, &device).await;
    assert_eq!(status, 200);
    let bytes = |field: &str| BASE64_STANDARD.decode(first[field].as_str().unwrap()).unwrap();
    let now = (Timestamp::now().0 / 1_000_000) as u64;
    let signer =
        verify_detached(&bytes("document"), &bytes("signature"), site.authority.certificate_pem(), now)
            .unwrap();
    assert_eq!(signer.organizational_unit.as_deref(), Some("web-services"));
    let given: Receipt = serde_json::from_slice(&bytes("document")).unwrap();
    assert_eq!(given.payload_sha256, sealed.manifest.payload_sha256);
    let (status, _) = sealed.hand_in(&site, &device, &device.sign_json(&sealed.manifest).unwrap()).await;
    assert_eq!(status, 202);
    assert_eq!(receipt(&site, &device, sealed.id).await, (200, first));
    // The upload is found again, whole.
    let again = create(&site, &device, sealed.id, "voice", None).send().await.unwrap();
    assert_eq!(again.headers()["upload-offset"], sealed.bytes.len().to_string().as_str());
    site.stop().await;
}

#[tokio::test]
async fn an_upload_belongs_to_one_device() {
    let site = Site::start().await;
    let (mine, other) =
        (site.device(DeviceKind::MediaServer).await, site.device(DeviceKind::MediaServer).await);
    let sealed = recorder::voice(&site, &mine, InteractionId::new(), Timestamp::now(), 5);
    sealed.upload(&site, &mine).await;
    assert_eq!(answer(create(&site, &other, sealed.id, "voice", None)).await.0, 403);
    assert_eq!(answer(patch(&site, &other, sealed.id, 0, vec![0; 10])).await.0, 403);
    assert_eq!(receipt(&site, &other, sealed.id).await.0, 403);
    let signed = mine.sign_json(&sealed.manifest).unwrap();
    assert_eq!(sealed.hand_in(&site, &other, &signed).await.0, 403);
    // A manifest that another device signed is forged, whoever brings it.
    let forged = other.sign_json(&sealed.manifest).unwrap();
    let (status, body) = sealed.hand_in(&site, &mine, &forged).await;
    assert_eq!((status, &body["error"]["code"]), (422, &json!("refused")));
    let browser = site.browser();
    let path = format!("/api/v2/uploads/{}", sealed.id);
    let head = browser.request("HEAD", &path).header("tus-resumable", "1.0.0").send().await.unwrap();
    assert_eq!(head.status(), 401);
    site.stop().await;
}

#[tokio::test]
async fn what_is_damaged_is_refused_with_its_reason() {
    let site = Site::start().await;
    let device = site.device(DeviceKind::MediaServer).await;
    type Damage = fn(&mut Vec<u8>, &mut Manifest);
    let cases: [(&str, Damage); 6] = [
        ("the payload's SHA-256 is not the manifest's", |bytes, _| bytes[9000] ^= 1),
        ("the envelope's SHA-256 is not the manifest's", |bytes, _| bytes[100] ^= 1),
        ("the manifest is of another recording", |_, manifest| manifest.recording = RecordingId::new()),
        ("the manifest names another device", |_, manifest| {
            manifest.device = hindsight_wire::DeviceId::new()
        }),
        ("the upload's length is not the manifest's", |_, manifest| manifest.payload_size += 1),
        ("this kind of device does not record this kind of media", |_, manifest| {
            manifest.media = recorder::screen_media();
        }),
    ];
    for (reason, damage) in cases {
        let mut sealed = recorder::voice(&site, &device, InteractionId::new(), Timestamp::now(), 5);
        damage(&mut sealed.bytes, &mut sealed.manifest);
        sealed.upload(&site, &device).await;
        let (status, body) =
            sealed.hand_in(&site, &device, &device.sign_json(&sealed.manifest).unwrap()).await;
        assert_eq!((status, &body["error"]["message"]), (422, &json!(reason)));
        assert_eq!(receipt(&site, &device, sealed.id).await.0, 422);
        let kept = uploads::by_recording(&mut site.database.read().await.unwrap(), sealed.id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(kept.state, uploads::State::Refused(reason.to_owned()));
    }
    // Whoever begins anew may: with the right bytes it goes through.
    let sealed = recorder::voice(&site, &device, InteractionId::new(), Timestamp::now(), 5);
    sealed.upload(&site, &device).await;
    let mut wrong = sealed.manifest.clone();
    wrong.version = 9;
    assert_eq!(sealed.hand_in(&site, &device, &device.sign_json(&wrong).unwrap()).await.0, 422);
    assert_eq!(sealed.deliver(&site, &device).await.0, 200);
    site.stop().await;
}

#[tokio::test]
async fn the_protocol_is_tus() {
    let site = Site::start().await;
    let device = site.device(DeviceKind::MediaServer).await;
    let client = device.http_client().unwrap();
    let options =
        client.request("OPTIONS".parse().unwrap(), site.url("/api/v2/uploads")).send().await.unwrap();
    assert_eq!(options.status(), 204);
    assert_eq!(options.headers()["tus-extension"], "creation,creation-defer-length,checksum,expiration");
    let sealed = recorder::voice(&site, &device, InteractionId::new(), Timestamp::now(), 5);
    let id = sealed.id;
    let untold = client.post(site.url("/api/v2/uploads")).send().await.unwrap();
    assert_eq!(
        (untold.status().as_u16(), &untold.headers()["tus-version"]),
        (412, &"1.0.0".parse().unwrap())
    );
    let created = create(&site, &device, id, "voice", None).send().await.unwrap();
    assert_eq!(
        (created.status().as_u16(), &created.headers()["upload-offset"]),
        (201, &"0".parse().unwrap())
    );
    assert_eq!(created.headers()["location"], format!("/api/v2/uploads/{id}").as_str());
    assert!(created.headers()["upload-expires"].to_str().unwrap().ends_with("GMT"));
    let head =
        || client.head(site.url(&format!("/api/v2/uploads/{id}"))).header("tus-resumable", "1.0.0").send();
    assert_eq!(head().await.unwrap().headers()["upload-defer-length"], "1");
    // A wrong checksum: nothing is taken.
    let first = sealed.bytes[..5000].to_vec();
    let checksum = |bytes: &[u8]| format!("sha256 {}", BASE64_STANDARD.encode(digest(&SHA256, bytes)));
    let wrong = patch(&site, &device, id, 0, first.clone()).header("upload-checksum", checksum(b"other"));
    assert_eq!(answer(wrong).await.0, 460);
    assert_eq!(head().await.unwrap().headers()["upload-offset"], "0");
    let unknown = patch(&site, &device, id, 0, first.clone()).header("upload-checksum", "crc32 AAAA");
    assert_eq!(answer(unknown).await.0, 400);
    let right = patch(&site, &device, id, 0, first.clone()).header("upload-checksum", checksum(&first));
    assert_eq!(answer(right).await.0, 204);
    // Another offset than the one that comes next.
    assert_eq!(answer(patch(&site, &device, id, 0, first.clone())).await.0, 409);
    assert_eq!(answer(patch(&site, &device, id, 6000, first.clone())).await.0, 409);
    // Bytes are missing.
    let signed = device.sign_json(&sealed.manifest).unwrap();
    let (status, body) = sealed.hand_in(&site, &device, &signed).await;
    assert_eq!((status, &body["error"]["code"]), (409, &json!("not_whole")));
    // The rest, with the length at last; more than that is refused.
    let length = sealed.bytes.len() as u64;
    let rest = sealed.bytes[5000..].to_vec();
    let long = [rest.clone(), vec![0; 10]].concat();
    let long = patch(&site, &device, id, 5000, long).header("upload-length", length);
    assert_eq!(answer(long).await.0, 413);
    let rest = patch(&site, &device, id, 5000, rest).header("x-http-method-override", "PATCH");
    assert_eq!(answer(rest).await.0, 204);
    assert_eq!(head().await.unwrap().headers()["upload-length"], length.to_string().as_str());
    assert_eq!(sealed.hand_in(&site, &device, &signed).await.0, 202);
    assert_eq!(receipt(&site, &device, id).await.0, 200);
    assert_eq!(receipt(&site, &device, RecordingId::new()).await.0, 404);
    site.stop().await;
}
