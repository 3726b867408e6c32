//! A site in a temporary directory.

use hindsight_crypto_server::{CryptoClient, KeyStore};
use hindsight_link::Identity;
use hindsight_management::{SiteAuthority, password, set_recipients};
use hindsight_seal::Recipient;
use hindsight_store::{
    Database, DirectoryObjects, UploadArea, devices, dns, enrolment_codes,
    persons::{self, Person, PersonRole},
    upload_area,
};
use hindsight_web_services::{Config, Service};
use hindsight_wire::{
    DeviceId, PersonId, Timestamp,
    component::Dn,
    enrolment::{DeviceKind, EnrolmentString},
    policy::VoicePolicy,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub const PASSWORD: &str = "correct horse battery";

/// Everything has this long to happen.
pub const LIMIT: Duration = Duration::from_secs(30);

pub struct Site {
    pub directory: TempDir,
    pub database: Database,
    pub objects: DirectoryObjects,
    pub area: UploadArea,
    pub authority: SiteAuthority,
    pub address: SocketAddr,
    pub crypto_address: SocketAddr,
    pub recipient: Recipient,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Site {
    /// Web services and crypto server.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let authority = SiteAuthority::create(&root.join("ca"), "test").unwrap();
        let database = Database::create(&root.join("store")).await.unwrap();
        let (objects, area) = upload_area::open_directory(&root.join("objects")).unwrap();
        people(&database).await;
        let https = authority.make_https(&["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        write(&root.join("tls/web.pem"), &https.certificate.pem);
        write(&root.join("tls/web.key"), &https.key_pem);
        let recording = authority.make_recording("test").unwrap();
        let recipient = Recipient::from_pem(&recording.certificate.pem).unwrap();
        let mut keys = KeyStore::open_or_create(&root.join("crypto")).unwrap();
        keys.add(&recording.certificate.pem, &recording.key_pem).unwrap();
        drop(keys);
        set_recipients(&database, &[recording.certificate.pem], "test", Timestamp::now()).await.unwrap();
        let crypto_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut site = Self {
            database,
            objects,
            area,
            authority,
            address: "127.0.0.1:0".parse().unwrap(),
            crypto_address: crypto_listener.local_addr().unwrap(),
            recipient,
            shutdown: CancellationToken::new(),
            tasks: Vec::new(),
            directory,
        };
        for kind in [DeviceKind::WebServices, DeviceKind::CryptoServer, DeviceKind::RecordingProcessor] {
            site.component(kind).await;
        }
        site.start_crypto(crypto_listener);
        site.start_web(change).await;
        site
    }

    fn start_crypto(&mut self, listener: TcpListener) {
        let (identity, keys) =
            (self.identity_directory(DeviceKind::CryptoServer), self.directory.path().join("crypto"));
        let shutdown = self.shutdown.clone();
        self.tasks.push(tokio::spawn(async move {
            let config = hindsight_crypto_server::Config::default();
            hindsight_crypto_server::service::serve(listener, config, &identity, &keys, shutdown)
                .await
                .unwrap();
        }));
    }

    async fn start_web(&mut self, change: impl FnOnce(&mut Config)) {
        let root = self.directory.path();
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            tls_certificate: root.join("tls/web.pem"),
            tls_key: root.join("tls/web.key"),
            authority: root.join("ca"),
            identity: self.identity_directory(DeviceKind::WebServices),
            control_timeout_ms: 1000,
            ..Config::default()
        };
        change(&mut config);
        let objects = Arc::new(self.objects.clone());
        let crypto = self.crypto_client(DeviceKind::WebServices);
        let (database, area, shutdown) = (self.database.clone(), self.area.clone(), self.shutdown.clone());
        let service = Service::bind(config, database, objects, area, crypto, shutdown).await.unwrap();
        self.address = service.address().unwrap();
        self.tasks.push(tokio::spawn(async move { service.serve().await.unwrap() }));
    }

    /// Starts the recording processor too.
    pub fn start_processor(&mut self) {
        let identity =
            Identity::load(&self.identity_directory(DeviceKind::RecordingProcessor)).unwrap().unwrap();
        let crypto = self.crypto_client(DeviceKind::RecordingProcessor);
        let objects = Arc::new(self.objects.clone());
        let (database, area, shutdown) = (self.database.clone(), self.area.clone(), self.shutdown.clone());
        self.tasks.push(tokio::spawn(async move {
            hindsight_recording_processor::run(identity, database, objects, area, crypto, shutdown)
                .await
                .unwrap();
        }));
    }

    fn crypto_client(&self, kind: DeviceKind) -> CryptoClient {
        let identity = Identity::load(&self.identity_directory(kind)).unwrap().unwrap();
        let base = format!("https://localhost:{}", self.crypto_address.port());
        CryptoClient::new(&base, identity.http_client().unwrap())
    }

    fn identity_directory(&self, kind: DeviceKind) -> PathBuf {
        self.directory.path().join("components").join(kind.as_str())
    }

    /// Makes a component's identity on this host, as `init` does.
    pub async fn component(&self, kind: DeviceKind) -> DeviceId {
        let id = DeviceId::new();
        let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = self.authority.make_device(id, kind, &hosts).unwrap();
        let directory = self.identity_directory(kind);
        write(&directory.join("device.pem"), &made.certificate.pem);
        write(&directory.join("device.key"), &made.key_pem);
        write(&directory.join("ca.pem"), self.authority.certificate_pem());
        let device = devices::Device {
            id,
            kind,
            name: "here".into(),
            certificate_serial: made.certificate.serial,
            certificate_sha256: made.certificate.sha256,
            not_after: made.certificate.not_after,
            enrolled_at: Timestamp::now(),
            revoked_at: None,
        };
        let mut write = self.database.write().await.unwrap();
        devices::add(&mut write, &device).await.unwrap();
        write.commit().await.unwrap();
        id
    }

    pub async fn enrolment_string(&self, kinds: &[DeviceKind]) -> EnrolmentString {
        let now = Timestamp::now();
        let mut write = self.database.write().await.unwrap();
        let code = enrolment_codes::issue(&mut write, kinds, now, now.plus_ms(60_000)).await.unwrap();
        write.commit().await.unwrap();
        let address = format!("localhost:{}", self.address.port());
        EnrolmentString { address, ca_sha256: self.authority.fingerprint(), code }
    }

    /// A device that enrolled over HTTPS.
    pub async fn device(&self, kind: DeviceKind) -> Identity {
        let string = self.enrolment_string(&[kind]).await;
        let directory = self.directory.path().join(format!("device-{}", string.code));
        Identity::load_or_enrol(&directory, kind, "test device", Some(&string)).await.unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// A browser: trusts the site's authority, shows no certificate.
    pub fn browser(&self) -> Browser {
        let ca = reqwest::Certificate::from_pem(self.authority.certificate_pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap();
        Browser { client, base: self.url(""), cookie: None, csrf: None }
    }

    pub async fn signed_in(&self, login: &str) -> Browser {
        let mut browser = self.browser();
        let (status, body) = browser.sign_in(login, PASSWORD).await;
        assert_eq!(status, 200, "{body}");
        browser
    }

    /// Waits until the console shows what is expected of an interaction.
    pub async fn until(&self, browser: &Browser, id: &str, expected: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/v2/interactions/{id}");
        let mut last = Value::Null;
        let wait = async {
            let mut changed = self.database.changed();
            loop {
                let (status, body) = browser.get(&path).await;
                if status == 200 && expected(&body) {
                    return body;
                }
                last = body;
                let _ = tokio::time::timeout(Duration::from_millis(100), changed.changed()).await;
            }
        };
        match tokio::time::timeout(LIMIT, wait).await {
            Ok(body) => body,
            Err(_) => panic!("not in time; the last answer was {last:#}"),
        }
    }

    pub async fn stop(mut self) {
        self.shutdown.cancel();
        for task in self.tasks.drain(..) {
            tokio::time::timeout(LIMIT, task).await.expect("it stops in time").unwrap();
        }
        self.database.close().await;
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// What a browser holds.
pub struct Browser {
    pub client: reqwest::Client,
    base: String,
    pub cookie: Option<String>,
    pub csrf: Option<String>,
}

impl Browser {
    pub async fn sign_in(&mut self, login: &str, password: &str) -> (u16, Value) {
        let body = json!({ "login": login, "password": password });
        let answer =
            self.client.post(format!("{}/api/v2/session", self.base)).json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        if let Some(cookie) = answer.headers().get("set-cookie") {
            self.cookie = cookie.to_str().unwrap().split(';').next().map(str::to_owned);
        }
        let body: Value = answer.json().await.unwrap();
        self.csrf = body["csrfToken"].as_str().map(str::to_owned);
        (status, body)
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        if let Some(csrf) = &self.csrf {
            request = request.header("x-csrf-token", csrf);
        }
        request
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request("GET", path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.request("POST", path).json(body)).await
    }
}

pub async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

async fn people(database: &Database) {
    let hash = password::hash(PASSWORD).unwrap();
    let person = |login: &str, role, must_change| Person {
        id: PersonId::new(),
        login: login.to_owned(),
        name: format!("{login} by name"),
        roles: BTreeSet::from([role]),
        password_hash: hash.clone(),
        must_change,
        failed_attempts: 0,
        locked_until: None,
    };
    let ann = person("ann", PersonRole::Agent, false);
    let others = [
        person("bob", PersonRole::Agent, false),
        person("sue", PersonRole::Supervisor, false),
        person("adam", PersonRole::Administrator, false),
        person("new", PersonRole::Administrator, true),
    ];
    let mut write = database.write().await.unwrap();
    for one in others.iter().chain([&ann]) {
        persons::put(&mut write, one).await.unwrap();
    }
    let dn = Dn {
        number: "1001".into(),
        ha1_md5: "0".repeat(32),
        ha1_sha256: "0".repeat(64),
        record_voice: VoicePolicy::FullTime,
        record_screen: true,
    };
    dns::put(&mut write, &dns::OwnedDn { dn, owner: Some(ann.id) }).await.unwrap();
    write.commit().await.unwrap();
}
