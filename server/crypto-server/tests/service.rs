//! The crypto server over its socket, as web services and recording processors meet it, and as others do.

// In a test an assumption that does not hold is a failure of the test.
#![allow(clippy::unwrap_used)]

use hindsight_crypto_server::{
    ClientError, Config, CryptoClient, KeyStore, Proof, Purpose, RepairRequest, UnwrapRequest,
    api::{CERTIFICATES_PATH, Certificates},
    audit::{AUDIT_FILE, AuditLog, Record},
    service,
};
use hindsight_management::SiteAuthority;
use hindsight_seal::{DataKey, Opener, PayloadShape, Recipient, Sealer, split};
use hindsight_wire::{DeviceId, RecordingId, enrolment::DeviceKind};
use std::{fs, net::SocketAddr, path::Path};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

struct Site {
    directory: TempDir,
    authority: SiteAuthority,
    address: SocketAddr,
    shutdown: CancellationToken,
}

impl Site {
    async fn start(config: Config) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = SiteAuthority::create(&directory.path().join("ca"), "test").unwrap();
        let made = authority.make_recording("test").unwrap();
        let mut keys = KeyStore::open_or_create(&directory.path().join("crypto")).unwrap();
        keys.add(&made.certificate.pem, &made.key_pem).unwrap();
        let server = directory.path().join("server");
        identity(
            &authority,
            DeviceKind::CryptoServer,
            &["localhost".to_owned(), "127.0.0.1".to_owned()],
            &server,
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
        let (crypto, stop) = (directory.path().join("crypto"), shutdown.clone());
        tokio::spawn(async move { service::serve(listener, config, &server, &crypto, stop).await.unwrap() });
        Self { directory, authority, address, shutdown }
    }

    fn audit(&self) -> AuditLog {
        AuditLog::new(&self.directory.path().join("crypto"))
    }

    fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        self.audit().read(|record| records.push(record)).unwrap();
        records
    }

    fn http(&self, kind: Option<DeviceKind>) -> reqwest::Client {
        http(&self.authority, &self.authority, kind)
    }

    fn client(&self, kind: DeviceKind) -> CryptoClient {
        CryptoClient::new(&self.url(), self.http(Some(kind)))
    }

    fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn identity(authority: &SiteAuthority, kind: DeviceKind, hosts: &[String], directory: &Path) {
    let made = authority.make_device(DeviceId::new(), kind, hosts).unwrap();
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join("device.pem"), &made.certificate.pem).unwrap();
    fs::write(directory.join("device.key"), &made.key_pem).unwrap();
    fs::write(directory.join("ca.pem"), authority.certificate_pem()).unwrap();
}

/// A client that trusts `trusted` and shows a certificate of `issuer`, or none.
fn http(trusted: &SiteAuthority, issuer: &SiteAuthority, kind: Option<DeviceKind>) -> reqwest::Client {
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.certificate_pem().as_bytes()).unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match kind {
        Some(kind) => {
            let made = issuer.make_device(DeviceId::new(), kind, &[]).unwrap();
            let chain = vec![CertificateDer::from_pem_slice(made.certificate.pem.as_bytes()).unwrap()];
            builder
                .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(made.key_pem.as_bytes()).unwrap())
        }
        None => Ok(builder.with_no_client_auth()),
    };
    reqwest::Client::builder().tls_backend_preconfigured(config.unwrap()).no_proxy().build().unwrap()
}

struct Sealed {
    id: RecordingId,
    envelope: Vec<u8>,
    payload: Vec<u8>,
}

const MEDIA: &[u8] = &[0x5a; 30_000];

/// A recording sealed for the recipients that the server names; `cut`: a crash took the end.
async fn sealed(site: &Site, cut: bool) -> Sealed {
    let recipients = site.client(DeviceKind::WebServices).certificates().await.unwrap();
    let recipients: Vec<_> =
        recipients.iter().map(|recipient| Recipient::from_pem(&recipient.certificate).unwrap()).collect();
    let id = RecordingId::new();
    let (mut sealer, mut bytes) = Sealer::new(id.0, &recipients).unwrap();
    sealer.write(MEDIA, &mut bytes).unwrap();
    if !cut {
        sealer.finish(&mut bytes).unwrap();
    }
    let (envelope, payload) = split(&bytes).unwrap();
    Sealed { id, envelope: envelope.to_vec(), payload: payload.to_vec() }
}

impl Sealed {
    fn proof(&self) -> Proof {
        let shape = PayloadShape::new(self.payload.len() as u64).unwrap();
        let last = shape.segment(shape.last());
        Proof {
            header: self.payload[..40].to_vec(),
            payload_size: self.payload.len() as u64,
            last_segment: self.payload[last.start as usize..last.end as usize].to_vec(),
        }
    }

    fn unwrap(&self, actor: &str) -> UnwrapRequest {
        UnwrapRequest {
            recording: self.id,
            envelope: self.envelope.clone(),
            proof: self.proof(),
            purpose: Purpose::Play,
            actor: actor.to_owned(),
        }
    }

    fn opens_with(&self, key: &DataKey) -> bool {
        let header = self.payload[..40].try_into().unwrap();
        let opener = Opener::new(self.id.0, key, header, self.payload.len() as u64).unwrap();
        let mut out = Vec::new();
        opener.prove_length(&self.proof().last_segment).is_ok()
            && opener.open_segments(0, &self.payload[40..], &mut out).is_ok()
            && out == MEDIA
    }
}

#[tokio::test]
async fn a_key_is_given_with_a_record_of_who_asked_and_what_for() {
    let site = Site::start(Config::default()).await;
    let recording = sealed(&site, false).await;
    let key = site.client(DeviceKind::WebServices).unwrap(&recording.unwrap("anna")).await.unwrap();
    assert!(recording.opens_with(&key));
    let records = site.records();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(
        (record.actor.as_str(), record.action.as_str(), record.purpose.as_str()),
        ("anna", "unwrap", "play")
    );
    assert_eq!((record.object.clone(), record.outcome.as_str()), (recording.id.to_string(), "granted"));
    assert!(record.caller.parse::<DeviceId>().is_ok());
}

#[tokio::test]
async fn without_a_record_there_is_no_key() {
    let site = Site::start(Config::default()).await;
    let recording = sealed(&site, false).await;
    // The log cannot be written: a directory has its name.
    fs::create_dir(site.directory.path().join("crypto").join(AUDIT_FILE)).unwrap();
    let refused = site.client(DeviceKind::WebServices).unwrap(&recording.unwrap("anna")).await.err().unwrap();
    assert!(matches!(refused, ClientError::Unavailable(why) if why.contains("audit")));
}

#[tokio::test]
async fn only_web_services_and_recording_processors_are_heard() {
    let site = Site::start(Config::default()).await;
    let recording = sealed(&site, false).await;
    for kind in
        [DeviceKind::Desktop, DeviceKind::MediaServer, DeviceKind::SipServer, DeviceKind::CryptoServer]
    {
        let refused = site.client(kind).unwrap(&recording.unwrap("anna")).await.err().unwrap();
        assert!(matches!(refused, ClientError::Refused { code, .. } if code == "caller-refused"), "{kind:?}");
    }
    assert!(site.client(DeviceKind::RecordingProcessor).unwrap(&recording.unwrap("index")).await.is_ok());
    assert_eq!(site.records().len(), 1);
}

#[tokio::test]
async fn without_a_certificate_of_the_site_nothing_is_answered() {
    let site = Site::start(Config::default()).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let other = SiteAuthority::create(elsewhere.path(), "other").unwrap();
    let url = format!("{}{CERTIFICATES_PATH}", site.url());
    assert!(site.http(None).get(&url).send().await.is_err());
    let foreign = http(&site.authority, &other, Some(DeviceKind::WebServices));
    assert!(foreign.get(&url).send().await.is_err());
    let own = site.http(Some(DeviceKind::WebServices)).get(&url).send().await.unwrap();
    assert_eq!(own.json::<Certificates>().await.unwrap().recipients.len(), 1);
}

#[tokio::test]
async fn too_many_keys_for_one_person_are_refused_and_recorded() {
    let config = Config { keys_at_once: 2, keys_per_person_and_hour: 60, ..Config::default() };
    let site = Site::start(config).await;
    let recording = sealed(&site, false).await;
    let client = site.client(DeviceKind::WebServices);
    for _ in 0..2 {
        assert!(client.unwrap(&recording.unwrap("anna")).await.is_ok());
    }
    let limited = client.unwrap(&recording.unwrap("anna")).await.err().unwrap();
    assert!(matches!(limited, ClientError::Limited(wait) if (1..=61).contains(&wait.as_secs())));
    assert!(client.unwrap(&recording.unwrap("bert")).await.is_ok());
    let outcomes: Vec<String> = site.records().into_iter().map(|record| record.outcome).collect();
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "granted").count(), 3);
    assert!(outcomes[2].starts_with("refused: too many keys"));
}

#[tokio::test]
async fn a_key_is_not_given_under_another_recordings_name() {
    let site = Site::start(Config::default()).await;
    let (mine, other) = (sealed(&site, false).await, sealed(&site, false).await);
    let client = site.client(DeviceKind::WebServices);
    let mut request = mine.unwrap("anna");
    request.recording = other.id;
    let foreign = client.unwrap(&request).await.err().unwrap();
    assert!(matches!(foreign, ClientError::Refused { message, .. } if message.contains("another recording")));
    let mut request = mine.unwrap("anna");
    request.envelope = other.envelope.clone();
    assert!(matches!(client.unwrap(&request).await, Err(ClientError::Refused { .. })), "a swapped envelope");
    let mut request = mine.unwrap("anna");
    request.proof.header.pop();
    assert!(
        matches!(client.unwrap(&request).await, Err(ClientError::Refused { code, .. }) if code == "malformed")
    );
    assert!(site.records().iter().all(|record| record.outcome.starts_with("refused")));
}

#[tokio::test]
async fn a_cut_recording_gets_its_final_flag_and_then_opens() {
    let site = Site::start(Config::default()).await;
    let mut recording = sealed(&site, true).await;
    let client = site.client(DeviceKind::RecordingProcessor);
    assert!(client.unwrap(&recording.unwrap("processor")).await.is_err(), "it is not whole");
    let request = RepairRequest {
        recording: recording.id,
        envelope: recording.envelope.clone(),
        payload: recording.proof(),
        actor: "recording-processor".to_owned(),
    };
    let last = client.repair(&request).await.unwrap();
    let start = recording.payload.len() - last.len();
    recording.payload.splice(start.., last);
    let key = client.unwrap(&recording.unwrap("processor")).await.unwrap();
    let header = recording.payload[..40].try_into().unwrap();
    let opener = Opener::new(recording.id.0, &key, header, recording.payload.len() as u64).unwrap();
    opener.prove_length(&recording.proof().last_segment).unwrap();
    assert_eq!(site.records().iter().filter(|record| record.action == "repair").count(), 1);
}

#[tokio::test]
async fn a_server_that_is_down_is_unavailable_not_a_refusal() {
    let site = Site::start(Config::default()).await;
    let recording = sealed(&site, false).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = nobody.local_addr().unwrap();
    drop(nobody);
    let client = CryptoClient::new(&format!("https://{free}"), site.http(Some(DeviceKind::WebServices)));
    assert!(matches!(client.unwrap(&recording.unwrap("anna")).await, Err(ClientError::Unavailable(_))));
}

#[tokio::test]
async fn a_log_that_was_tampered_with_keeps_the_server_from_starting() {
    let site = Site::start(Config::default()).await;
    let recording = sealed(&site, false).await;
    for _ in 0..2 {
        site.client(DeviceKind::WebServices).unwrap(&recording.unwrap("anna")).await.unwrap();
    }
    let crypto = site.directory.path().join("crypto");
    let log = fs::read_to_string(crypto.join(AUDIT_FILE)).unwrap();
    fs::write(crypto.join(AUDIT_FILE), log.replacen("anna", "eve_", 1)).unwrap();
    assert!(site.audit().verify().unwrap_err().to_string().contains("line 1: it was changed"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = site.directory.path().join("server");
    let stop = CancellationToken::new();
    assert!(service::serve(listener, Config::default(), &server, &crypto, stop).await.is_err());
}

#[test]
fn keys_at_rest_open_only_under_their_key_and_their_name() {
    let directory = tempfile::tempdir().unwrap();
    let authority = SiteAuthority::create(&directory.path().join("ca"), "test").unwrap();
    let crypto = directory.path().join("crypto");
    let made = authority.make_recording("test").unwrap();
    let mut keys = KeyStore::open_or_create(&crypto).unwrap();
    keys.add(&made.certificate.pem, &made.key_pem).unwrap();
    let name = hex::encode(made.certificate.sha256);
    assert_eq!(*KeyStore::open(&crypto).unwrap().export("").unwrap().1, made.key_pem);
    let file = crypto.join("keys").join(format!("{name}.key"));
    let at_rest = fs::read(&file).unwrap();
    let inner = made.key_pem.lines().nth(1).unwrap().as_bytes();
    assert!(!at_rest.windows(inner.len()).any(|window| window == inner), "encrypted at rest");
    let kek = crypto.join("key-encryption.key");
    let other = "0".repeat(64);
    let own = fs::read_to_string(&kek).unwrap();
    fs::write(&kek, &other).unwrap();
    assert!(KeyStore::open(&crypto).err().unwrap().to_string().contains("another key-encryption key"));
    fs::write(&kek, &own).unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&kek, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(KeyStore::open(&crypto).err().unwrap().to_string().contains("0600"));
}
