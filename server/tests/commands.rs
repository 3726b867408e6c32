//! The commands of the built binary, on data directories of their own.

// In a test an assumption that does not hold is a failure of the test.
#![allow(clippy::unwrap_used)]

mod built;

use built::{Running, free_port, output, refusal};
use hindsight_store::{DirectoryObjects, ObjectKey, ObjectKind, ObjectStore};
use hindsight_wire::{RecordingId, component::VoiceConfig};
use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const SITE: &str = include_str!("../../packaging/demo-site.toml");

fn text(data: &Path, arguments: &[&str]) -> String {
    let output = output(data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// An INVITE as the SIP server sends it to a conference, from a phone's offer.
fn invite(from: SocketAddr, to: SocketAddr) -> String {
    let conference = uuid::Uuid::now_v7().simple();
    let sdp =
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
    let length = sdp.len();
    format!(
        "INVITE sip:msml={conference}@{to};role=agent SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{conference}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:1001@{from}>;tag=a\r\nTo: <sip:msml={conference}@{to}>\r\n\
         Call-ID: {conference}\r\nCSeq: 1 INVITE\r\nContact: <sip:{from}>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {length}\r\n\r\n{sdp}"
    )
}

/// Sends a request until it is answered finally; the answer.
fn answered(socket: &UdpSocket, request: &str, to: SocketAddr) -> String {
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut buffer = [0; 4096];
    loop {
        assert!(Instant::now() < deadline, "no answer from {to}");
        socket.send_to(request.as_bytes(), to).unwrap();
        while let Ok(length) = socket.recv(&mut buffer) {
            let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if !answer.starts_with("SIP/2.0 1") {
                return answer;
            }
        }
    }
}

#[test]
fn a_site_made_with_an_address_tells_phones_to_send_media_there() {
    // An address of no host (RFC 5737), as one that a router has.
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    text(&data, &["init", "--host", "phones.example", "--host", "192.0.2.77"]);
    // Without its configuration it takes no call; this one it has from an earlier link.
    let known = VoiceConfig { version: 1, ..VoiceConfig::default() };
    fs::create_dir_all(data.join("media-server")).unwrap();
    fs::write(data.join("media-server/config.json"), serde_json::to_vec(&known).unwrap()).unwrap();
    let sip: SocketAddr = format!("127.0.0.1:{}", free_port()).parse().unwrap();
    let environment = [("HINDSIGHT_MEDIA_SERVER__LISTEN", sip.to_string())];
    let mut running = Running::start(&data, "media-server", &environment);
    running.wait_for("media server ready");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let answer = answered(&socket, &invite(socket.local_addr().unwrap(), sip), sip);
    assert!(answer.starts_with("SIP/2.0 200") && answer.contains("c=IN IP4 192.0.2.77\r\n"), "{answer}");
    let contact = answer.lines().find(|line| line.starts_with("Contact:")).unwrap();
    assert!(contact.contains(&format!("@{sip}")), "SIP is spoken where it is listened for: {contact}");
    drop(running);
    let settings = fs::read_to_string(data.join("hindsight.toml")).unwrap();
    assert!(settings.contains("[sip-server]\nlisten = \"0.0.0.0:5060\""), "phones reach it: {settings}");
}

#[test]
fn without_an_address_the_settings_say_what_to_set() {
    let (directory, _) = site(8443);
    let settings = fs::read_to_string(directory.path().join("data/hindsight.toml")).unwrap();
    assert!(settings.contains("[media-server]") && settings.contains("\n# advertised = "), "{settings}");
}

/// A new site; what `init` has printed.
fn site(port: u16) -> (TempDir, serde_json::Value) {
    let directory = tempfile::tempdir().unwrap();
    let printed =
        text(&directory.path().join("data"), &["init", "--json", "--https-port", &port.to_string()]);
    (directory, serde_json::from_str(&printed).unwrap())
}

#[test]
fn init_makes_a_whole_site_once() {
    let (directory, printed) = site(8443);
    let data = directory.path().join("data");
    assert_eq!(printed["administrator"]["login"], "admin");
    let enrolment: hindsight_wire::enrolment::EnrolmentString =
        printed["desktopEnrolment"].as_str().unwrap().parse().unwrap();
    assert_eq!(enrolment.address, "localhost:8443");
    for secret in ["ca/ca.key", "tls/web.key", "components/media-server/device.key", "store/hindsight.db"] {
        let mode = fs::metadata(data.join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{secret} is its owner's only");
    }
    assert!(refusal(&data, &["init"]).contains("holds a site already"));
    fs::remove_file(data.join("hindsight.toml")).unwrap();
    assert!(refusal(&data, &["init"]).contains("not empty"), "half a site is not built upon");
}

#[test]
fn the_identities_that_init_makes_load_as_what_they_are() {
    let (directory, _) = site(8443);
    for role in hindsight_model::Role::ALL.into_iter().filter(|role| role.is_device()) {
        let path = directory.path().join("data/components").join(role.as_str());
        let identity = hindsight_link::Identity::load(&path).unwrap().unwrap();
        assert_eq!(identity.kind(), role.as_str());
        assert_eq!(identity.address(), Some("127.0.0.1:8443"));
    }
}

#[test]
fn check_is_content_with_a_new_site_and_names_what_is_wrong_with_a_damaged_one() {
    let (directory, _) = site(free_port());
    let data = directory.path().join("data");
    let found = text(&data, &["check"]);
    assert!(!found.contains("FAIL"), "{found}");
    let log = data.join("crypto/audit.jsonl");
    let tampered = fs::read_to_string(&log).unwrap().replace("command line", "nobody here");
    fs::write(&log, tampered).unwrap();
    fs::remove_file(data.join("tls/web.pem")).unwrap();
    let found = output(&data, &["check"]);
    let lines = String::from_utf8(found.stdout).unwrap();
    assert_eq!(found.status.code(), Some(1));
    assert!(lines.contains("FAIL  key audit log: audit log: line 1: it was changed"), "{lines}");
    assert!(lines.contains("FAIL  HTTPS certificate"), "{lines}");
}

#[test]
fn a_site_file_is_planned_applied_once_and_exported_without_secrets() {
    let (directory, _) = site(8443);
    let data = directory.path().join("data");
    let file = directory.path().join("site.toml");
    fs::write(&file, SITE).unwrap();
    let file = file.to_str().unwrap();
    let planned = text(&data, &["config", "plan", file]);
    assert!(planned.contains("+ dn/1001") && planned.contains("+ person/anna"), "{planned}");
    assert!(text(&data, &["config", "plan", file]).contains("+ dn/1001"), "a plan changes nothing");
    let applied = text(&data, &["config", "apply", file, "--reason", "first phones"]);
    assert!(applied.ends_with("configuration version 3\n"), "{applied}");
    assert_eq!(text(&data, &["config", "apply", file]), "nothing changes\nconfiguration version 3\n");
    let exported = text(&data, &["config", "export"]);
    assert!(
        exported.contains("record_voice = \"full-time\"") && exported.contains("dn = \"1001\""),
        "{exported}"
    );
    for secret in ["anna-demo-password", "phone-1001", "argon2"] {
        assert!(
            !exported.contains(secret) && !planned.contains(secret) && !applied.contains(secret),
            "{secret}"
        );
    }
    let again = directory.path().join("again.toml");
    fs::write(&again, exported).unwrap();
    assert!(text(&data, &["config", "plan", again.to_str().unwrap()]).contains("nothing changes"));
}

#[test]
fn a_wrong_site_file_is_refused_with_its_line() {
    let (directory, _) = site(8443);
    let file = directory.path().join("site.toml");
    fs::write(&file, "realm = \"a\"\n[[dn]]\nnumbr = \"1\"\n").unwrap();
    let refused = refusal(&directory.path().join("data"), &["config", "apply", file.to_str().unwrap()]);
    assert!(refused.contains("line 3, column 1"), "{refused}");
}

#[test]
fn an_exported_key_is_audited_and_no_file_is_written_over() {
    let (directory, _) = site(8443);
    let data = directory.path().join("data");
    let out = directory.path().join("key.pem");
    text(&data, &["key", "export", "--out", out.to_str().unwrap()]);
    assert!(fs::read_to_string(&out).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    refusal(&data, &["key", "export", "--out", out.to_str().unwrap()]);
    let log = fs::read_to_string(data.join("crypto/audit.jsonl")).unwrap();
    assert_eq!(log.matches("key.export").count(), 1);
}

#[test]
fn enrolment_strings_are_for_this_site_and_all_different() {
    let (directory, printed) = site(8443);
    let data = directory.path().join("data");
    let first: hindsight_wire::enrolment::EnrolmentString =
        text(&data, &["enrol", "new", "--kind", "media-server"]).parse().unwrap();
    let second = text(&data, &["enrol", "new", "--kind", "desktop"]);
    assert!(printed["desktopEnrolment"].as_str().unwrap().contains(&first.ca_sha256));
    assert!(!second.contains(&first.code));
    for kind in ["toaster", "web-services", "crypto-server"] {
        assert!(refusal(&data, &["enrol", "new", "--kind", kind]).contains(kind));
    }
}

const MEDIA: &[u8] = &[0x17; 20_000];

/// A committed recording, as the web services would leave it.
async fn recorded(data: &Path) -> RecordingId {
    let read = |path: &str| fs::read_to_string(data.join(path)).unwrap();
    let certificate = fs::read_dir(data.join("crypto/keys")).unwrap().map(|entry| entry.unwrap().path());
    let certificate = certificate.into_iter().find(|path| path.extension().unwrap() == "pem").unwrap();
    let recipient = hindsight_seal::Recipient::from_pem(&fs::read_to_string(certificate).unwrap()).unwrap();
    let id = RecordingId::new();
    let (mut sealer, mut sealed) = hindsight_seal::Sealer::new(id.0, &[recipient]).unwrap();
    sealer.write(MEDIA, &mut sealed).unwrap();
    sealer.finish(&mut sealed).unwrap();
    let (envelope, payload) = hindsight_seal::split(&sealed).unwrap();
    let sha256 = |bytes: &[u8]| hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes));
    let identity = hindsight_link::Identity::load(&data.join("components/media-server")).unwrap().unwrap();
    let manifest = serde_json::json!({
        "version": 1, "recording": id, "capture": hindsight_wire::CaptureId::new(), "part": 1,
        "device": identity.device(), "media": { "kind": "voice", "tracks": [] }, "interactions": [],
        "ending": "complete", "payloadSize": payload.len(), "payloadSha256": sha256(payload),
        "envelopeSha256": sha256(envelope), "startedAt": hindsight_wire::Timestamp::now(),
        "clock": hindsight_wire::ClockOffset::default(),
    });
    let manifest = manifest.to_string();
    let (key, own) = (read("components/media-server/device.key"), read("components/media-server/device.pem"));
    let signature = hindsight_seal::sign_detached(manifest.as_bytes(), &key, &own).unwrap();
    let objects = DirectoryObjects::open(&data.join("objects")).unwrap();
    for (kind, bytes) in [
        (ObjectKind::Envelope, envelope.to_vec()),
        (ObjectKind::Payload, payload.to_vec()),
        (ObjectKind::Manifest, manifest.into_bytes()),
        (ObjectKind::ManifestSignature, signature),
    ] {
        objects.put(ObjectKey::new(id, kind), bytes.into()).await.unwrap();
    }
    id
}

#[tokio::test]
async fn a_recording_is_verified_exported_and_opened_and_damage_is_found() {
    let (directory, _) = site(8443);
    let data = directory.path().join("data");
    let id = recorded(&data).await;
    let name = id.to_string();
    let verified = text(&data, &["recording", "verify", &name]);
    assert!(verified.contains("ok  payload") && verified.contains("final one last"), "{verified}");
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    text(&data, &["recording", "export", &name, "--out", &path("out")]);
    text(&data, &["key", "export", "--out", &path("key.pem")]);
    let sealed = path(&format!("out/{name}.sealed"));
    text(&data, &["recording", "open", &sealed, "--key", &path("key.pem"), "--out", &path("media")]);
    assert_eq!(fs::read(path("media")).unwrap(), MEDIA);
    let other = RecordingId::new().to_string();
    let arguments = ["recording", "open", &sealed, "--key", &path("key.pem"), "--recording", &other, "--out"];
    let refused = refusal(&data, &[&arguments[..], &[&path("foreign")]].concat());
    assert!(refused.contains("another recording"), "{refused}");
    assert!(!Path::new(&path("foreign")).exists(), "nothing is written of what is refused");
    let payload = DirectoryObjects::open(&data.join("objects")).unwrap();
    let payload = payload.path(ObjectKey::new(id, ObjectKind::Payload));
    let mut bytes = fs::read(&payload).unwrap();
    bytes[9000] ^= 1;
    fs::write(&payload, bytes).unwrap();
    assert!(refusal(&data, &["recording", "verify", &name]).contains("another SHA-256 than in the manifest"));
}

/// How often this recording's export stands in the audit log.
async fn audited_exports(data: &Path, id: RecordingId) -> usize {
    let database = hindsight_store::Database::open(&data.join("store")).await.unwrap();
    let mut read = database.read().await.unwrap();
    let entries = hindsight_store::audit::of_object(&mut read, &id.to_string()).await.unwrap();
    drop(read);
    database.close().await;
    entries.iter().filter(|entry| entry.action == "recording.export").count()
}

#[tokio::test]
async fn an_export_that_is_refused_leaves_neither_a_file_nor_a_record() {
    let (directory, _) = site(8443);
    let data = directory.path().join("data");
    let id = recorded(&data).await;
    let (name, other) = (id.to_string(), RecordingId::new());
    let out = directory.path().join("out");
    let refused = |id: &str| refusal(&data, &["recording", "export", id, "--out", out.to_str().unwrap()]);
    assert!(refused(&other.to_string()).contains("no recording"), "of a wrong id");
    assert!(!out.exists(), "nothing is made for what is not there");
    assert_eq!(audited_exports(&data, other).await, 0);
    text(&data, &["recording", "export", &name, "--out", out.to_str().unwrap()]);
    let listing = || {
        let mut names: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let (files, sealed) = (listing(), fs::read(out.join(format!("{name}.sealed"))).unwrap());
    assert!(files.iter().all(|file| file.to_string_lossy().starts_with(&name)), "{files:?}");
    assert!(refused(&name).contains("exists"), "the second time");
    assert_eq!(listing(), files);
    assert_eq!(fs::read(out.join(format!("{name}.sealed"))).unwrap(), sealed);
    assert_eq!(audited_exports(&data, id).await, 1);
}

#[test]
fn a_host_joins_as_a_voice_component_or_is_told_why_not() {
    let (directory, printed) = site(8443);
    let elsewhere = directory.path().join("elsewhere");
    let string = printed["desktopEnrolment"].as_str().unwrap();
    assert!(refusal(&elsewhere, &["join", "--role", "crypto-server", string]).contains("crypto-server"));
    assert!(
        refusal(&elsewhere, &["join", "--role", "media-server", "hindsight:2:x"]).contains("hindsight:1:")
    );
    assert!(!elsewhere.exists(), "nothing is made for what is refused");
    let data = directory.path().join("data");
    assert!(refusal(&data, &["join", "--role", "media-server", string]).contains("already"));
}

fn ports() -> Vec<(&'static str, String)> {
    let sip = [
        ("HINDSIGHT_SIP_SERVER__LISTEN", free_port()),
        ("HINDSIGHT_RESOURCE_MANAGER__LISTEN", free_port()),
        ("HINDSIGHT_MEDIA_SERVER__LISTEN", free_port()),
        ("HINDSIGHT_CRYPTO_SERVER__LISTEN", free_port()),
    ];
    let mut environment: Vec<_> = sip.map(|(name, port)| (name, format!("127.0.0.1:{port}"))).into();
    let of = |environment: &[(&str, String)], at: usize| environment[at].1.clone();
    environment.push(("HINDSIGHT_SIP_SERVER__RESOURCE_MANAGER", of(&environment, 1)));
    environment.push(("HINDSIGHT_RESOURCE_MANAGER__POOL", format!("[\"{}\"]", of(&environment, 2))));
    environment
}

#[test]
fn all_roles_start_answer_and_stop_in_order() {
    let port = free_port();
    let (directory, _) = site(port);
    let data = directory.path().join("data");
    let all = "crypto-server,web-services,recording-processor,reporting-server,media-server,resource-manager,sip-server";
    let mut running = Running::start(&data, all, &ports());
    running.wait_for("running");
    let ca = fs::read(data.join("ca/ca.pem")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let ca = reqwest::Certificate::from_pem(&ca).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match client.get(format!("https://localhost:{port}/readyz")).send().await {
                Ok(answer) if answer.status().is_success() => break,
                other => assert!(Instant::now() < deadline, "not ready: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let (status, log) = running.terminate();
    assert!(status.success(), "{status}: {log}");
    let at = |role: &str| log.find(&format!("stopping role=\"{role}\"")).unwrap();
    assert!(at("sip-server") < at("media-server") && at("media-server") < at("crypto-server"), "{log}");
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn a_port_in_use_ends_the_process_with_its_reason() {
    let (directory, _) = site(free_port());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let environment = [("HINDSIGHT_CRYPTO_SERVER__LISTEN", address.clone())];
    let mut running = Running::start(&directory.path().join("data"), "crypto-server", &environment);
    let log = running.wait_for("failed at the start");
    assert!(log.contains(&address) && log.contains("in use"), "{log}");
    assert!(!running.process.wait().unwrap().success());
}

#[test]
fn a_role_runs_once_in_a_data_directory() {
    let (directory, _) = site(free_port());
    let data = directory.path().join("data");
    let environment = [("HINDSIGHT_CRYPTO_SERVER__LISTEN", format!("127.0.0.1:{}", free_port()))];
    let mut first = Running::start(&data, "crypto-server", &environment);
    first.wait_for("crypto server ready");
    let second = refusal(&data, &["run", "--roles", "crypto-server"]);
    assert!(second.contains("crypto-server runs in this data directory already"), "{second}");
    assert!(first.terminate().0.success());
}

#[test]
fn the_running_server_can_write_no_core_dump() {
    let (directory, _) = site(free_port());
    let environment = [("HINDSIGHT_CRYPTO_SERVER__LISTEN", format!("127.0.0.1:{}", free_port()))];
    let mut running = Running::start(&directory.path().join("data"), "crypto-server", &environment);
    running.wait_for("crypto server ready");
    let limits = fs::read_to_string(format!("/proc/{}/limits", running.process.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    assert!(running.terminate().0.success());
}
