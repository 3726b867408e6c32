//! A tus server of the site's web services, with faults, and what it certifies.

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, head, post, put},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hindsight_spool::{Item, ItemInfo, Limits, Spool, UploadConfig, Uploader, layout};
use hindsight_wire::{
    CaptureId, ClockOffset, DeviceId, RecordingId, Timestamp,
    manifest::{Manifest, Media, Receipt, Signed},
};
use http_body::Body as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use ring::digest::{SHA256, digest};
use std::{
    collections::HashMap,
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, sync::watch};

/// A signer certified by a CA.
pub struct Signer {
    pub key_pem: String,
    pub cert_pem: String,
}

pub struct Authority {
    pub ca_pem: String,
    pub issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Site CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = params.self_signed(&key).unwrap().pem();
        Self { ca_pem, issuer: Issuer::new(params, key) }
    }

    pub fn signer(&self, unit: &str) -> Signer {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, DeviceId::new().to_string());
        params.distinguished_name.push(DnType::OrganizationalUnitName, unit);
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Signer { key_pem: key.serialize_pem(), cert_pem: cert.pem() }
    }
}

impl Signer {
    pub fn sign(&self, document: &[u8]) -> Signed {
        let signature = hindsight_seal::sign_detached(document, &self.key_pem, &self.cert_pem).unwrap();
        Signed { document: BASE64.encode(document), signature: BASE64.encode(signature) }
    }
}

#[derive(Default)]
pub struct Upload {
    pub bytes: Vec<u8>,
    pub length: Option<u64>,
    pub manifest: Option<Signed>,
}

#[derive(Default)]
pub struct Books {
    pub uploads: HashMap<RecordingId, Upload>,
    /// Bytes of all PATCHes that were taken.
    pub taken: u64,
    /// Most requests served at the same time.
    pub busy: usize,
    pub busiest: usize,
    /// Statuses to answer with, by recording, instead of serving.
    pub failing: HashMap<RecordingId, StatusCode>,
    /// Every so many PATCHes: a checksum mismatch.
    pub mismatch_every: Option<u64>,
    /// Every so many PATCHes: what was written is forgotten again (a tail not synced).
    pub forget_every: Option<u64>,
    pub patches: u64,
}

pub struct Site {
    pub books: Mutex<Books>,
    pub signer: Mutex<Arc<Signer>>,
    /// Changes a receipt before it is signed.
    pub falsify: Mutex<Option<fn(&mut Receipt)>>,
    /// Bytes of PATCHes so far, also of those not yet taken.
    pub arrived: watch::Sender<u64>,
}

pub type Shared = State<Arc<Site>>;

pub struct Served(Arc<Site>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.books.lock().unwrap().busy -= 1;
    }
}

impl Site {
    pub fn serve(self: &Arc<Self>) -> Served {
        let mut books = self.books.lock().unwrap();
        books.busy += 1;
        books.busiest = books.busiest.max(books.busy);
        Served(self.clone())
    }

    pub fn failing(&self, recording: RecordingId) -> Option<Response> {
        let status = *self.books.lock().unwrap().failing.get(&recording)?;
        Some((status, r#"{"error":{"code":"no","message":"not this one"}}"#).into_response())
    }

    /// The body of a PATCH, counted as it comes in; `None`: it broke off.
    async fn body(&self, request: Request) -> Option<Vec<u8>> {
        let (mut body, mut bytes) = (request.into_body(), Vec::new());
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            let piece = frame.ok()?.into_data().ok()?;
            bytes.extend_from_slice(&piece);
            self.arrived.send_modify(|arrived| *arrived += piece.len() as u64);
        }
        Some(bytes)
    }

    pub fn bytes(&self, recording: RecordingId) -> Vec<u8> {
        let books = self.books.lock().unwrap();
        books.uploads.get(&recording).map(|upload| upload.bytes.clone()).unwrap_or_default()
    }
}

pub fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

pub async fn create(State(site): Shared, headers: HeaderMap) -> Response {
    let _served = site.serve();
    assert_eq!(headers["tus-resumable"], "1.0.0");
    let metadata = headers["upload-metadata"].to_str().unwrap();
    let recording = metadata.strip_prefix("recording ").unwrap().split(',').next().unwrap();
    let recording: RecordingId =
        String::from_utf8(BASE64.decode(recording).unwrap()).unwrap().parse().unwrap();
    assert!(metadata.ends_with(&format!("kind {}", BASE64.encode("voice"))));
    if let Some(response) = site.failing(recording) {
        return response;
    }
    let length = number(&headers, "upload-length");
    assert_eq!(length.is_none(), number(&headers, "upload-defer-length") == Some(1));
    let mut books = site.books.lock().unwrap();
    let upload = books.uploads.entry(recording).or_default();
    upload.length = upload.length.or(length);
    let offset = upload.bytes.len().to_string();
    (StatusCode::CREATED, [("location", format!("/api/v2/uploads/{recording}")), ("upload-offset", offset)])
        .into_response()
}

pub async fn look(State(site): Shared, Path(recording): Path<RecordingId>) -> Response {
    let _served = site.serve();
    if let Some(response) = site.failing(recording) {
        return response;
    }
    let books = site.books.lock().unwrap();
    let Some(upload) = books.uploads.get(&recording) else { return StatusCode::NOT_FOUND.into_response() };
    let mut response = [("upload-offset", upload.bytes.len().to_string())].into_response();
    if let Some(length) = upload.length {
        response.headers_mut().insert("upload-length", length.to_string().parse().unwrap());
    }
    response
}

pub async fn patch(State(site): Shared, Path(recording): Path<RecordingId>, request: Request) -> Response {
    let _served = site.serve();
    if let Some(response) = site.failing(recording) {
        return response;
    }
    let headers = request.headers().clone();
    assert_eq!(headers["content-type"], "application/offset+octet-stream");
    let Some(body) = site.body(request).await else { return StatusCode::BAD_REQUEST.into_response() };
    let offset = number(&headers, "upload-offset").unwrap();
    let mut books = site.books.lock().unwrap();
    books.patches += 1;
    let due = |every: Option<u64>| every.is_some_and(|every| books.patches.is_multiple_of(every));
    let (mismatch, forget) = (due(books.mismatch_every), due(books.forget_every));
    let checksum = format!("sha256 {}", BASE64.encode(digest(&SHA256, &body)));
    if mismatch || headers["upload-checksum"] != checksum {
        return StatusCode::from_u16(460).unwrap().into_response();
    }
    let Some(upload) = books.uploads.get_mut(&recording) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if upload.bytes.len() as u64 != offset {
        return StatusCode::CONFLICT.into_response();
    }
    if let Some(length) = number(&headers, "upload-length") {
        assert!(upload.length.is_none_or(|known| known == length));
        upload.length = Some(length);
    }
    upload.bytes.extend_from_slice(&body);
    let reached = upload.bytes.len() as u64;
    if forget {
        upload.bytes.truncate(offset as usize);
    }
    books.taken += body.len() as u64;
    (StatusCode::NO_CONTENT, [("upload-offset", reached.to_string())]).into_response()
}

pub async fn manifest(State(site): Shared, Path(recording): Path<RecordingId>, body: Bytes) -> StatusCode {
    let _served = site.serve();
    let signed: Signed = serde_json::from_slice(&body).unwrap();
    let manifest: Manifest = serde_json::from_slice(&BASE64.decode(&signed.document).unwrap()).unwrap();
    let mut books = site.books.lock().unwrap();
    let Some(upload) = books.uploads.get_mut(&recording) else { return StatusCode::NOT_FOUND };
    if upload.bytes.len() as u64 != layout::ENVELOPE + manifest.payload_size {
        return StatusCode::CONFLICT;
    }
    upload.manifest = Some(signed);
    StatusCode::ACCEPTED
}

pub async fn receipt(State(site): Shared, Path(recording): Path<RecordingId>) -> Response {
    let _served = site.serve();
    let books = site.books.lock().unwrap();
    let signed = books.uploads.get(&recording).and_then(|upload| upload.manifest.clone());
    let Some(signed) = signed else { return StatusCode::NOT_FOUND.into_response() };
    let document = BASE64.decode(&signed.document).unwrap();
    let manifest: Manifest = serde_json::from_slice(&document).unwrap();
    let mut receipt = Receipt {
        version: 1,
        recording,
        payload_size: manifest.payload_size,
        payload_sha256: manifest.payload_sha256,
        manifest_sha256: hex::encode(digest(&SHA256, &document)),
        received_at: Timestamp::now(),
    };
    if let Some(falsify) = *site.falsify.lock().unwrap() {
        falsify(&mut receipt);
    }
    let signer = site.signer.lock().unwrap().clone();
    serde_json::to_vec(&signer.sign(&serde_json::to_vec(&receipt).unwrap())).unwrap().into_response()
}

/// A site's web services on a free port, and its CA.
pub struct Fixture {
    pub site: Arc<Site>,
    pub authority: Authority,
    pub recorder: Signer,
    pub address: SocketAddr,
    pub dir: tempfile::TempDir,
}

impl Fixture {
    pub async fn new() -> Self {
        let authority = Authority::new();
        let site = Arc::new(Site {
            books: Mutex::default(),
            signer: Mutex::new(Arc::new(authority.signer("web-services"))),
            falsify: Mutex::default(),
            arrived: watch::Sender::default(),
        });
        let router = Router::new()
            .route("/api/v2/uploads", post(create))
            .route("/api/v2/uploads/{id}", head(look).patch(patch))
            .route("/api/v2/recordings/{id}/manifest", put(manifest))
            .route("/api/v2/recordings/{id}/receipt", get(receipt))
            .with_state(site.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let recorder = authority.signer("media-server");
        Self { site, authority, recorder, address, dir: tempfile::tempdir().unwrap() }
    }

    pub fn spool(&self) -> Spool {
        let limits = Limits { sync_interval_ms: 5, ..Limits::default() };
        Spool::open(self.dir.path().join("spool"), limits).unwrap()
    }

    pub fn uploader(&self, spool: &Spool, address: SocketAddr) -> Uploader {
        let config = UploadConfig {
            base_url: format!("http://{address}"),
            chunk: 256 << 10,
            growing_wait_ms: 20,
            retry_base_ms: 5,
            retry_cap_ms: 100,
            request_timeout_ms: 5_000,
            ..UploadConfig::default()
        };
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Uploader::new(spool.clone(), client, self.authority.ca_pem.clone(), &config).unwrap()
    }

    pub fn finish(&self, item: Item) {
        let manifest = self.recorder.sign(&serde_json::to_vec(&item.manifest()).unwrap());
        item.finish(&manifest).unwrap();
    }
}

pub fn info() -> ItemInfo {
    ItemInfo {
        capture: CaptureId::new(),
        part: 1,
        previous: None,
        device: DeviceId::new(),
        person: None,
        dn: None,
        media: Media::Voice { tracks: Vec::new() },
        interactions: Vec::new(),
        started_at: Timestamp(1),
        clock: ClockOffset::default(),
        pauses: Vec::new(),
        notes: Vec::new(),
    }
}
