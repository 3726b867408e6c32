//! The uploader against a real tus server over real sockets, and over a line that breaks.

// A test's fixtures may fail the test; clippy knows only the test functions themselves.
#![allow(clippy::unwrap_used)]

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, head, post, put},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hindsight_spool::{Item, ItemInfo, Limits, Phase, Spool, UploadConfig, Uploader, layout};
use hindsight_wire::{
    CaptureId, ClockOffset, DeviceId, RecordingId, Timestamp,
    manifest::{Manifest, Media, Receipt, Signed},
};
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use ring::digest::{SHA256, digest};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const LIMIT: Duration = Duration::from_secs(60);

/// A signer certified by a CA.
struct Signer {
    key_pem: String,
    cert_pem: String,
}

struct Authority {
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Site CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = params.self_signed(&key).unwrap().pem();
        Self { ca_pem, issuer: Issuer::new(params, key) }
    }

    fn signer(&self, unit: &str) -> Signer {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, DeviceId::new().to_string());
        params.distinguished_name.push(DnType::OrganizationalUnitName, unit);
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Signer { key_pem: key.serialize_pem(), cert_pem: cert.pem() }
    }
}

impl Signer {
    fn sign(&self, document: &[u8]) -> Signed {
        let signature = hindsight_seal::sign_detached(document, &self.key_pem, &self.cert_pem).unwrap();
        Signed { document: BASE64.encode(document), signature: BASE64.encode(signature) }
    }
}

#[derive(Default)]
struct Upload {
    bytes: Vec<u8>,
    length: Option<u64>,
    manifest: Option<Signed>,
}

#[derive(Default)]
struct Books {
    uploads: HashMap<RecordingId, Upload>,
    /// Bytes of all PATCHes that were taken.
    taken: u64,
    /// Most requests served at the same time.
    busy: usize,
    busiest: usize,
    /// Statuses to answer with, by recording, instead of serving.
    failing: HashMap<RecordingId, StatusCode>,
    /// Every so many PATCHes: a checksum mismatch.
    mismatch_every: Option<u64>,
    /// Every so many PATCHes: what was written is forgotten again (a tail not synced).
    forget_every: Option<u64>,
    patches: u64,
}

struct Site {
    books: Mutex<Books>,
    signer: Mutex<Arc<Signer>>,
    /// Changes a receipt before it is signed.
    falsify: Mutex<Option<fn(&mut Receipt)>>,
}

type Shared = State<Arc<Site>>;

struct Served(Arc<Site>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.books.lock().unwrap().busy -= 1;
    }
}

impl Site {
    fn serve(self: &Arc<Self>) -> Served {
        let mut books = self.books.lock().unwrap();
        books.busy += 1;
        books.busiest = books.busiest.max(books.busy);
        Served(self.clone())
    }

    fn failing(&self, recording: RecordingId) -> Option<Response> {
        let status = *self.books.lock().unwrap().failing.get(&recording)?;
        Some((status, r#"{"error":{"code":"no","message":"not this one"}}"#).into_response())
    }

    fn bytes(&self, recording: RecordingId) -> Vec<u8> {
        let books = self.books.lock().unwrap();
        books.uploads.get(&recording).map(|upload| upload.bytes.clone()).unwrap_or_default()
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

async fn create(State(site): Shared, headers: HeaderMap) -> Response {
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

async fn look(State(site): Shared, Path(recording): Path<RecordingId>) -> Response {
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

async fn patch(State(site): Shared, Path(recording): Path<RecordingId>, request: Request) -> Response {
    let _served = site.serve();
    if let Some(response) = site.failing(recording) {
        return response;
    }
    let headers = request.headers().clone();
    assert_eq!(headers["content-type"], "application/offset+octet-stream");
    let Ok(body) = to_bytes(request.into_body(), 64 << 20).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
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

async fn manifest(State(site): Shared, Path(recording): Path<RecordingId>, body: Bytes) -> StatusCode {
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

async fn receipt(State(site): Shared, Path(recording): Path<RecordingId>) -> Response {
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
struct Fixture {
    site: Arc<Site>,
    authority: Authority,
    recorder: Signer,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let authority = Authority::new();
        let site = Arc::new(Site {
            books: Mutex::default(),
            signer: Mutex::new(Arc::new(authority.signer("web-services"))),
            falsify: Mutex::default(),
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

    fn spool(&self) -> Spool {
        let limits = Limits { sync_interval_ms: 5, ..Limits::default() };
        Spool::open(self.dir.path().join("spool"), limits).unwrap()
    }

    fn uploader(&self, spool: &Spool, address: SocketAddr) -> Uploader {
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

    fn finish(&self, item: Item) {
        let manifest = self.recorder.sign(&serde_json::to_vec(&item.manifest()).unwrap());
        item.finish(&manifest).unwrap();
    }
}

fn info() -> ItemInfo {
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

fn random(rng: &mut StdRng, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// A proxy that cuts its first connections after a random number of bytes.
async fn breaking_line(to: SocketAddr, cuts: usize, seed: u64) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut rng = StdRng::seed_from_u64(seed);
        for connection in 0.. {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(to).await.unwrap();
            let room = if connection < cuts { rng.random_range(200..400_000) } else { usize::MAX };
            // Either direction may be the one that breaks.
            let (up, down) = if rng.random_bool(0.5) { (room, usize::MAX) } else { (usize::MAX, room / 500) };
            let down = if connection < cuts { down } else { usize::MAX };
            tokio::spawn(async move {
                let (client_read, client_write) = client.into_split();
                let (server_read, server_write) = server.into_split();
                tokio::select! {
                    () = copy(client_read, server_write, up) => {}
                    () = copy(server_read, client_write, down) => {}
                }
            });
        }
    });
    (address, task)
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut room: usize,
) {
    let mut buffer = vec![0; 8192];
    while let Ok(read) = from.read(&mut buffer).await {
        let passed = read.min(room);
        if read == 0 || to.write_all(&buffer[..passed]).await.is_err() || passed < read {
            return;
        }
        room -= passed;
    }
}

/// Waits until the spool is empty.
async fn drained(spool: &Spool) {
    wait(spool, |spool| spool.items().is_empty()).await;
}

async fn wait(spool: &Spool, done: impl Fn(&Spool) -> bool) {
    let mut changed = spool.changed();
    let waiting = async {
        while !done(spool) {
            changed.changed().await.unwrap();
        }
    };
    if tokio::time::timeout(LIMIT, waiting).await.is_err() {
        panic!("not in time: {:?}", spool.items());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn growing_recordings_arrive_over_a_line_that_breaks_and_are_deleted_on_their_receipts() {
    let fixture = Fixture::new().await;
    {
        let mut books = fixture.site.books.lock().unwrap();
        (books.mismatch_every, books.forget_every) = (Some(7), Some(11));
    }
    let (line, _proxy) = breaking_line(fixture.address, 40, 1).await;
    let spool = fixture.spool();
    let uploader = fixture.uploader(&spool, line);
    let mut status = uploader.status();
    let running = tokio::spawn(uploader.run());

    let mut rng = StdRng::seed_from_u64(2);
    let mut open = Vec::new();
    let mut expected = HashMap::new();
    for _ in 0..20 {
        let recording = RecordingId::new();
        open.push(spool.create(recording, info()).unwrap());
        expected.insert(recording, Vec::new());
    }
    for round in 0..30 {
        for item in &mut open {
            let bytes = random(&mut rng, if round == 0 { 4136 } else { 8192 });
            item.append(&bytes).unwrap();
            expected.get_mut(&item.recording()).unwrap().extend(bytes);
        }
        spool.sync();
        tokio::task::yield_now().await;
    }
    // Of any of them: what the server forgets again is noticed only with the next bytes.
    let arrived = async {
        while expected.keys().all(|recording| fixture.site.bytes(*recording).is_empty()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, arrived).await.expect("sent while it grows");
    for (recording, whole) in &expected {
        let sent = fixture.site.bytes(*recording);
        assert!(whole.starts_with(&sent));
        assert!(sent.len() as u64 <= layout::sendable_while_growing(whole.len() as u64));
    }
    for mut item in open {
        let bytes = random(&mut rng, 777);
        item.append(&bytes).unwrap();
        expected.get_mut(&item.recording()).unwrap().extend(bytes);
        fixture.finish(item);
    }
    drained(&spool).await;
    for (recording, whole) in &expected {
        assert!(fixture.site.bytes(*recording) == *whole, "{recording} differs");
        assert!(!fixture.dir.path().join("spool").join(recording.to_string()).exists());
    }
    let all = status.wait_for(|status| status.received == 20 && status.waiting == 0);
    assert!(tokio::time::timeout(LIMIT, all).await.unwrap().unwrap().failures > 0);
    assert!(
        fixture.site.books.lock().unwrap().busiest <= 5,
        "bounded; a broken request may still be at work"
    );
    running.abort();
}

#[tokio::test]
async fn an_item_in_trouble_does_not_hold_up_the_others() {
    let fixture = Fixture::new().await;
    let (spool, mut rng) = (fixture.spool(), StdRng::seed_from_u64(3));
    let troubled: Vec<_> = (0..8).map(|_| RecordingId::new()).collect();
    for recording in &troubled {
        fixture.site.books.lock().unwrap().failing.insert(*recording, StatusCode::SERVICE_UNAVAILABLE);
    }
    let healthy: Vec<_> = (0..8).map(|_| RecordingId::new()).collect();
    for recording in troubled.iter().chain(&healthy) {
        let mut item = spool.create(*recording, info()).unwrap();
        item.append(&random(&mut rng, 50_000)).unwrap();
        fixture.finish(item);
    }
    let uploader = fixture.uploader(&spool, fixture.address);
    let mut status = uploader.status();
    let running = tokio::spawn(uploader.run());
    wait(&spool, |spool| healthy.iter().all(|id| spool.item(*id).is_none())).await;
    assert_eq!(spool.items().len(), 8);
    assert_eq!(
        tokio::time::timeout(LIMIT, status.wait_for(|status| status.waiting == 8))
            .await
            .unwrap()
            .unwrap()
            .waiting_bytes,
        400_000
    );
    fixture.site.books.lock().unwrap().failing.clear();
    drained(&spool).await;
    running.abort();
}

#[tokio::test]
async fn a_refused_item_is_kept_with_its_reason_over_restarts_until_somebody_tries_again() {
    let fixture = Fixture::new().await;
    let recording = RecordingId::new();
    fixture.site.books.lock().unwrap().failing.insert(recording, StatusCode::FORBIDDEN);
    let spool = fixture.spool();
    let mut item = spool.create(recording, info()).unwrap();
    item.append(&random(&mut StdRng::seed_from_u64(4), 50_000)).unwrap();
    fixture.finish(item);
    let uploader = fixture.uploader(&spool, fixture.address);
    let mut status = uploader.status();
    let running = tokio::spawn(uploader.run());
    tokio::time::timeout(LIMIT, status.wait_for(|status| status.refused == 1)).await.unwrap().unwrap();
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    drop(spool);

    let spool = fixture.spool();
    let reason = "status 403: no: not this one".to_owned();
    assert_eq!(spool.item(recording).unwrap().phase, Phase::Refused(reason));
    let running = tokio::spawn(fixture.uploader(&spool, fixture.address).run());
    fixture.site.books.lock().unwrap().failing.clear();
    assert!(spool.retry_refused(recording).unwrap());
    drained(&spool).await;
    running.abort();
}

#[tokio::test]
async fn a_recording_refused_while_it_grows_goes_on_and_is_offered_again_at_its_end() {
    let fixture = Fixture::new().await;
    let recording = RecordingId::new();
    fixture.site.books.lock().unwrap().failing.insert(recording, StatusCode::FORBIDDEN);
    let (spool, mut rng) = (fixture.spool(), StdRng::seed_from_u64(7));
    let running = tokio::spawn(fixture.uploader(&spool, fixture.address).run());
    let mut item = spool.create(recording, info()).unwrap();
    item.append(&random(&mut rng, layout::len_of(9))).unwrap();
    let asked = async {
        while fixture.site.books.lock().unwrap().busiest == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, asked).await.expect("offered while it grows");
    item.append(&random(&mut rng, 500)).unwrap();
    assert_eq!(spool.item(recording).unwrap().phase, Phase::Growing);
    fixture.site.books.lock().unwrap().failing.clear();
    fixture.finish(item);
    drained(&spool).await;
    assert_eq!(fixture.site.bytes(recording).len() as u64, layout::len_of(9) + 500);
    running.abort();
}

#[tokio::test]
async fn only_the_sites_web_services_can_make_the_spool_delete_and_only_for_these_bytes() {
    let fixture = Fixture::new().await;
    let spool = fixture.spool();
    let recording = RecordingId::new();
    let mut item = spool.create(recording, info()).unwrap();
    item.append(&random(&mut StdRng::seed_from_u64(5), 50_000)).unwrap();
    fixture.finish(item);
    let right = fixture.site.signer.lock().unwrap().clone();
    let signer = |signer: Signer| *fixture.site.signer.lock().unwrap() = Arc::new(signer);
    signer(Authority::new().signer("web-services"));
    let uploader = fixture.uploader(&spool, fixture.address);
    let mut status = uploader.status();
    let running = tokio::spawn(uploader.run());
    let mut seen = async |expected: &'static str| {
        let reason =
            status.wait_for(|status| status.last_failure.as_ref().is_some_and(|why| why.contains(expected)));
        tokio::time::timeout(LIMIT, reason).await.expect(expected).unwrap();
        assert!(spool.item(recording).is_some());
    };
    seen("not signed by this site").await;
    signer(fixture.authority.signer("desktop"));
    seen("another component").await;
    *fixture.site.signer.lock().unwrap() = right;
    let falsehoods: [fn(&mut Receipt); 3] = [
        |receipt| receipt.payload_size += 1,
        |receipt| receipt.manifest_sha256 = "00".repeat(32),
        |receipt| receipt.recording = RecordingId::new(),
    ];
    for falsify in falsehoods {
        *fixture.site.falsify.lock().unwrap() = Some(falsify);
        seen("about other bytes").await;
    }
    *fixture.site.falsify.lock().unwrap() = None;
    drained(&spool).await;
    running.abort();
}

#[tokio::test]
async fn a_killed_recorder_goes_on_where_the_server_stands_and_sends_nothing_twice() {
    let fixture = Fixture::new().await;
    let (mut rng, recording) = (StdRng::seed_from_u64(6), RecordingId::new());
    let whole = random(&mut rng, layout::len_of(40) + 100);
    let sent = {
        let spool = fixture.spool();
        let running = tokio::spawn(fixture.uploader(&spool, fixture.address).run());
        let mut item = spool.create(recording, info()).unwrap();
        item.append(&whole).unwrap();
        let arrived = async {
            while fixture.site.bytes(recording).len() as u64 != layout::len_of(39) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, arrived).await.expect("all but the newest segment");
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        // As after a kill: never finished.
        drop(item);
        fixture.site.books.lock().unwrap().taken
    };
    let spool = fixture.spool();
    let left = spool.interrupted().pop().unwrap();
    let manifest = left.manifest().unwrap();
    left.finish(&fixture.recorder.sign(&serde_json::to_vec(&manifest).unwrap())).unwrap();
    let running = tokio::spawn(fixture.uploader(&spool, fixture.address).run());
    drained(&spool).await;
    assert_eq!(fixture.site.bytes(recording), whole[..layout::len_of(40) as usize]);
    assert_eq!(fixture.site.books.lock().unwrap().taken - sent, layout::SEGMENT);
    running.abort();
}
