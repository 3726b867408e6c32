//! Enrolment and the live link against real TLS servers with a CA of their own.

// A test's fixtures may fail the test; clippy knows only the test functions themselves.
#![allow(clippy::unwrap_used)]

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::IntoResponse as _,
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use futures_util::{SinkExt as _, StreamExt as _};
use hindsight_link::{Hello, Identity, Journal, Link, LinkConfig, LinkError, LinkEvent, LinkHandle};
use hindsight_wire::{
    DeviceId, InteractionId, Timestamp,
    enrolment::{DeviceKind, EnrolmentRequest, EnrolmentResponse, EnrolmentString},
    link::{Down, JournalEntry, PROTOCOL_VERSION, Up},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer, KeyPair,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};

const LIMIT: Duration = Duration::from_secs(20);

struct Authority {
    ca_pem: String,
    ca_der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Site CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        Self { ca_pem: ca.pem(), ca_der: ca.der().clone(), issuer: Issuer::new(params, key) }
    }

    fn fingerprint(&self) -> String {
        hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.ca_der))
    }

    /// TLS of a server with this name, presenting `chain` after its certificate.
    fn server(
        &self,
        name: &str,
        chain: &[&CertificateDer<'static>],
        clients: Option<&Authority>,
    ) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let mut certificates = vec![certificate.der().clone()];
        certificates.extend(chain.iter().map(|certificate| (*certificate).clone()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.ca_der.clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        TlsAcceptor::from(Arc::new(builder.with_single_cert(certificates, key).unwrap()))
    }

    fn certify(&self, csr: &str, device: DeviceId, kind: DeviceKind) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(csr).unwrap();
        request.params.distinguished_name = rcgen::DistinguishedName::new();
        request.params.distinguished_name.push(DnType::CommonName, device.to_string());
        request.params.distinguished_name.push(DnType::OrganizationalUnitName, kind.as_str());
        request.signed_by(&self.issuer).unwrap().pem()
    }

    /// An identity as enrolment leaves it.
    fn identity(&self, kind: DeviceKind) -> Identity {
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let certificate = self.certify(&csr, DeviceId::new(), kind);
        Identity::new(key.serialize_pem().into(), certificate, self.ca_pem.clone(), None).unwrap()
    }
}

/// Serves HTTPS on a free port.
async fn serve(tls: TlsAcceptor, router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let (tls, router) = (tls.clone(), router.clone());
            tokio::spawn(async move {
                // A client that does not trust us ends here.
                let Ok(stream) = tls.accept(tcp).await else { return };
                let service = TowerToHyperService::new(router);
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

struct Devices {
    authority: Authority,
    /// Codes that are still good.
    codes: Mutex<Vec<String>>,
    asked: Mutex<u32>,
}

async fn enrol(
    State(devices): State<Arc<Devices>>,
    Json(request): Json<EnrolmentRequest>,
) -> axum::response::Response {
    *devices.asked.lock().unwrap() += 1;
    let mut codes = devices.codes.lock().unwrap();
    let Some(at) = codes.iter().position(|code| *code == request.code) else {
        return (StatusCode::FORBIDDEN, "code unknown or used").into_response();
    };
    codes.remove(at);
    let device = DeviceId::new();
    let response = EnrolmentResponse {
        device,
        certificate: devices.authority.certify(&request.csr, device, request.kind),
        ca: devices.authority.ca_pem.clone(),
        not_after: Timestamp::now().plus_ms(86_400_000),
    };
    (StatusCode::CREATED, Json(response)).into_response()
}

/// An enrolment server with this TLS.
async fn enrolment(tls: impl FnOnce(&Authority) -> TlsAcceptor) -> (Arc<Devices>, SocketAddr) {
    let authority = Authority::new();
    let acceptor = tls(&authority);
    let (codes, asked) = (Mutex::new(vec!["code-1".to_owned()]), Mutex::default());
    let devices = Arc::new(Devices { authority, codes, asked });
    let router = Router::new().route("/api/v2/devices", post(enrol)).with_state(devices.clone());
    let address = serve(acceptor, router).await;
    (devices, address)
}

fn enrolment_string(address: SocketAddr, ca_sha256: String) -> EnrolmentString {
    EnrolmentString { address: format!("localhost:{}", address.port()), ca_sha256, code: "code-1".to_owned() }
}

async fn try_enrol(dir: &Path, enrolment: &EnrolmentString) -> Result<Identity, LinkError> {
    Identity::load_or_enrol(dir, DeviceKind::Desktop, "desk-7", Some(enrolment)).await
}

#[tokio::test]
async fn a_device_enrols_once_and_then_speaks_and_signs_as_itself() {
    let (devices, address) = enrolment(|ca| ca.server("localhost", &[&ca.ca_der], None)).await;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("identity");
    let missing = Identity::load_or_enrol(&dir, DeviceKind::Desktop, "desk-7", None).await;
    assert!(matches!(missing, Err(LinkError::NotEnrolled(_))));
    let string = enrolment_string(address, devices.authority.fingerprint());
    let enrolled = try_enrol(&dir, &string).await.unwrap();
    assert_eq!(enrolled.kind(), "desktop");

    // The code is used up: this one comes from the disk.
    let again = try_enrol(&dir, &string).await.unwrap();
    assert_eq!((again.device(), *devices.asked.lock().unwrap()), (enrolled.device(), 1));
    assert_eq!(again.address(), Some(string.address.as_str()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(dir.join("device.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let foreign = enrolment_string(address, Authority::new().fingerprint());
    assert!(matches!(try_enrol(&dir, &foreign).await, Err(LinkError::OtherSite(_))));

    let signed = again.sign(b"a document").unwrap();
    let (document, signature) =
        (BASE64.decode(signed.document).unwrap(), BASE64.decode(signed.signature).unwrap());
    let now = u64::try_from(Timestamp::now().0 / 1_000_000).unwrap();
    let signer =
        hindsight_seal::verify_detached(&document, &signature, &devices.authority.ca_pem, now).unwrap();
    assert_eq!(signer.common_name, enrolled.device().to_string());

    let ca = &devices.authority;
    let router = Router::new().route("/", get(|| async { "welcome" }));
    let ours = serve(ca.server("localhost", &[], Some(ca)), router.clone()).await;
    let client = again.http_client().unwrap();
    let url = |address: SocketAddr| format!("https://localhost:{}/", address.port());
    assert_eq!(client.get(url(ours)).send().await.unwrap().text().await.unwrap(), "welcome");
    let stranger = Authority::new();
    let theirs = serve(stranger.server("localhost", &[&stranger.ca_der], None), router).await;
    assert!(client.get(url(theirs)).send().await.is_err(), "another site's server is not trusted");
}

#[tokio::test]
async fn a_server_that_is_not_the_sites_gets_no_code() {
    let stranger = Authority::new();
    let wrong_name = |ca: &Authority| ca.server("elsewhere.example", &[&ca.ca_der], None);
    let no_ca = |ca: &Authority| ca.server("localhost", &[], None);
    // Presents the right CA, but its own certificate is not from it.
    let borrowed = |ca: &Authority| stranger.server("localhost", &[&stranger.ca_der, &ca.ca_der], None);
    let right = |ca: &Authority| ca.server("localhost", &[&ca.ca_der], None);
    type Tls<'a> = &'a dyn Fn(&Authority) -> TlsAcceptor;
    let cases: [(&str, Tls<'_>, bool); 4] = [
        ("another host's certificate", &wrong_name, false),
        ("a chain without the CA", &no_ca, false),
        ("a borrowed CA certificate", &borrowed, false),
        ("another fingerprint", &right, true),
    ];
    for (case, tls, other_fingerprint) in cases {
        let (devices, address) = enrolment(tls).await;
        let expected =
            if other_fingerprint { stranger.fingerprint() } else { devices.authority.fingerprint() };
        let dir = tempfile::tempdir().unwrap();
        let refused = try_enrol(dir.path(), &enrolment_string(address, expected)).await;
        // Said plainly where the CA is not shown at all; a server that shows it without being of it may be on its way to be.
        let foreign = matches!(case, "a chain without the CA" | "another fingerprint");
        match refused {
            Err(error @ LinkError::ForeignServer { .. }) => {
                assert!(foreign, "{case}");
                assert!(error.to_string().contains("is not of the site"), "{error}");
            }
            Err(LinkError::Unreachable(_)) => assert!(!foreign, "{case}"),
            _ => panic!("{case}"),
        }
        assert_eq!(*devices.asked.lock().unwrap(), 0, "{case}: the code was sent");
        assert!(Identity::load(dir.path()).unwrap().is_none(), "{case}");
    }
}

#[tokio::test]
async fn a_used_code_is_refused_with_its_reason_and_leaves_no_identity() {
    let (devices, address) = enrolment(|ca| ca.server("localhost", &[&ca.ca_der], None)).await;
    devices.codes.lock().unwrap().clear();
    let dir = tempfile::tempdir().unwrap();
    let string = enrolment_string(address, devices.authority.fingerprint());
    match try_enrol(dir.path(), &string).await {
        Err(LinkError::Refused { status: 403, reason }) => assert_eq!(reason, "code unknown or used"),
        _ => panic!("refused"),
    }
    // A new code, and the key of the first attempt.
    let key = std::fs::read(dir.path().join("device.key")).unwrap();
    devices.codes.lock().unwrap().push("code-1".to_owned());
    try_enrol(dir.path(), &string).await.unwrap();
    assert_eq!(std::fs::read(dir.path().join("device.key")).unwrap(), key);
}

#[test]
fn a_key_of_another_certificate_is_no_identity() {
    let authority = Authority::new();
    let identity = authority.identity(DeviceKind::Desktop);
    let key = KeyPair::generate().unwrap().serialize_pem();
    let mixed = Identity::new(key.into(), identity.cert_pem().to_owned(), authority.ca_pem.clone(), None);
    assert!(matches!(mixed, Err(LinkError::Identity(_))));
}

#[test]
fn an_expired_certificate_does_not_keep_a_device_from_recording() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, DeviceId::new().to_string());
    params.distinguished_name.push(DnType::OrganizationalUnitName, DeviceKind::MediaServer.as_str());
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let certificate = params.signed_by(&key, &authority.issuer).unwrap().pem();
    let identity = Identity::new(key.serialize_pem().into(), certificate, authority.ca_pem, None).unwrap();
    assert!(identity.not_after() < Timestamp::now());
    identity.sign(b"a manifest").unwrap();
}

type ServerSocket = WebSocketStream<TlsStream<TcpStream>>;

/// A server of links: hands each opened WebSocket to the test.
struct LinkServer {
    sockets: mpsc::UnboundedReceiver<ServerSocket>,
    config: LinkConfig,
    identity: Identity,
}

impl LinkServer {
    async fn new() -> Self {
        let authority = Authority::new();
        let tls = authority.server("localhost", &[], Some(&authority));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, sockets) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let Ok(stream) = tls.accept(tcp).await else { continue };
                assert!(stream.get_ref().1.peer_certificates().is_some());
                let Ok(socket) = accept_async(stream).await else { continue };
                if sender.send(socket).is_err() {
                    return;
                }
            }
        });
        let config = LinkConfig {
            ping_every_ms: 100,
            idle_timeout_ms: 400,
            retry_base_ms: 10,
            retry_cap_ms: 50,
            ..LinkConfig::new(format!("localhost:{port}"))
        };
        Self { sockets, config, identity: authority.identity(DeviceKind::SipServer) }
    }

    fn spawn(&self, journal: Option<Journal>) -> (LinkHandle, mpsc::Receiver<LinkEvent>) {
        let hello = || Hello { version: "1.2.3".to_owned(), token: None, resume: None };
        Link::spawn(&self.identity, self.config.clone(), journal, hello)
    }

    /// The next link, after its hello.
    async fn socket(&mut self) -> ServerSocket {
        self.socket_in(PROTOCOL_VERSION).await
    }

    async fn socket_in(&mut self, spoken: u32) -> ServerSocket {
        let mut socket = timeout(LIMIT, self.sockets.recv()).await.expect("a link").unwrap();
        match hear(&mut socket).await {
            Up::Hello { protocol, version, .. } => {
                assert_eq!((protocol, version.as_str()), (spoken, "1.2.3"));
            }
            _ => panic!("hello comes first"),
        }
        socket
    }

    /// The next link, welcomed.
    async fn welcome(&mut self) -> ServerSocket {
        let mut socket = self.socket().await;
        say(
            &mut socket,
            &Down::Welcome {
                protocol: PROTOCOL_VERSION,
                policy: None,
                recipients: Vec::new(),
                journalled: None,
                traces: false,
            },
        )
        .await;
        socket
    }
}

async fn say(socket: &mut ServerSocket, message: &Down) {
    socket.send(Message::text(serde_json::to_string(message).unwrap())).await.unwrap();
}

async fn hear(socket: &mut ServerSocket) -> Up {
    loop {
        match timeout(LIMIT, socket.next()).await.expect("a message").expect("an open link").unwrap() {
            Message::Text(text) => return serde_json::from_str(text.as_str()).unwrap(),
            _ => continue,
        }
    }
}

/// What comes next but clock requests, which are answered by a clock `ahead_us` ahead.
async fn hear_beside_clock(socket: &mut ServerSocket, ahead_us: i64) -> Up {
    loop {
        match hear(socket).await {
            Up::Clock { sent_us } => {
                let now = Timestamp::now().0 + ahead_us;
                say(socket, &Down::Clock { sent_us, server_received_us: now, server_sent_us: now }).await;
            }
            other => return other,
        }
    }
}

async fn event(events: &mut mpsc::Receiver<LinkEvent>) -> LinkEvent {
    timeout(LIMIT, events.recv()).await.expect("an event").expect("a running link")
}

#[tokio::test]
async fn a_lost_link_is_reported_and_opened_again_and_messages_pass_both_ways() {
    let mut server = LinkServer::new().await;
    let (handle, mut events) = server.spawn(None);
    for round in 0..3u64 {
        let mut socket = server.welcome().await;
        assert!(
            matches!(event(&mut events).await, LinkEvent::Up(welcome) if welcome.protocol == PROTOCOL_VERSION)
        );
        assert!(handle.is_up());
        let interaction = InteractionId::new();
        // Something of a newer protocol does no harm.
        socket.send(Message::text(r#"{"type":"unheard-of"}"#)).await.unwrap();
        say(&mut socket, &Down::StopCapture { interaction }).await;
        assert!(
            matches!(event(&mut events).await, LinkEvent::Down(Down::StopCapture { interaction: id }) if id == interaction)
        );
        handle.send(Up::ControlResult { request: round, error: None }).unwrap();
        assert!(
            matches!(hear_beside_clock(&mut socket, 0).await, Up::ControlResult { request, .. } if request == round)
        );
        drop(socket);
        assert!(matches!(event(&mut events).await, LinkEvent::Lost { .. }));
    }
}

#[tokio::test]
async fn a_half_open_link_is_given_up_and_opened_again() {
    let mut server = LinkServer::new().await;
    let (_handle, mut events) = server.spawn(None);
    // Never read again: pings are not answered, and the socket stays open.
    let silent = server.welcome().await;
    assert!(matches!(event(&mut events).await, LinkEvent::Up(_)));
    match event(&mut events).await {
        LinkEvent::Lost { reason, .. } => assert_eq!(reason, "nothing heard"),
        _ => panic!("lost"),
    }
    let _second = server.welcome().await;
    assert!(matches!(event(&mut events).await, LinkEvent::Up(_)));
    drop(silent);
}

#[tokio::test]
async fn the_clock_is_measured_over_the_link() {
    let mut server = LinkServer::new().await;
    let (handle, _events) = server.spawn(None);
    let mut socket = server.welcome().await;
    let answering = tokio::spawn(async move { hear_beside_clock(&mut socket, 3_000_000).await });
    let mut clock = handle.watch_clock();
    let known = timeout(LIMIT, clock.wait_for(Option::is_some)).await.unwrap().unwrap().unwrap();
    assert!((known.offset_us - 3_000_000).abs() <= known.round_trip_us as i64 / 2 + 1, "{known:?}");
    answering.abort();
}

#[tokio::test]
async fn journalled_events_are_delivered_in_order_until_they_are_accepted() {
    let mut server = LinkServer::new().await;
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    for n in 0..150 {
        journal.append(&serde_json::json!({ "n": n })).unwrap();
    }
    journal.flush();
    let (_handle, _events) = server.spawn(Some(journal.clone()));
    let entries = async |socket: &mut ServerSocket| match hear_beside_clock(socket, 0).await {
        Up::Events { entries } => entries,
        _ => panic!("events"),
    };
    let sequences = |entries: &[JournalEntry]| (entries[0].sequence, entries[entries.len() - 1].sequence);

    // Lost before it was accepted: the same again.
    let mut socket = server.welcome().await;
    assert_eq!(sequences(&entries(&mut socket).await), (1, 100));
    drop(socket);
    let mut socket = server.welcome().await;
    assert_eq!(sequences(&entries(&mut socket).await), (1, 100));
    say(&mut socket, &Down::Accepted { sequence: 100 }).await;
    assert_eq!(sequences(&entries(&mut socket).await), (101, 150));
    say(&mut socket, &Down::Accepted { sequence: 150 }).await;
    // And what comes now, at once.
    journal.append(&serde_json::json!({ "n": 150 })).unwrap();
    assert_eq!(sequences(&entries(&mut socket).await), (151, 151));
    say(&mut socket, &Down::Accepted { sequence: 151 }).await;
    let mut durable = journal.durable();
    assert_eq!(*timeout(LIMIT, durable.wait_for(|durable| *durable == 151)).await.unwrap().unwrap(), 151);
}

#[tokio::test]
async fn a_server_of_the_version_before_is_spoken_to_in_its_own() {
    let mut server = LinkServer::new().await;
    let (_handle, mut events) = server.spawn(None);
    for _ in 0..2 {
        let mut socket = server.socket().await;
        say(
            &mut socket,
            &Down::Refused { reason: "this version is not spoken here".to_owned(), retry: false },
        )
        .await;
        let mut socket = server.socket_in(1).await;
        // As a server of version 1 sends it.
        socket.send(Message::text(r#"{"type":"welcome","protocol":1,"recipients":[]}"#)).await.unwrap();
        let LinkEvent::Up(welcome) = event(&mut events).await else { panic!("the link is open") };
        assert_eq!(welcome.protocol, 1);
        drop(socket);
        assert!(matches!(event(&mut events).await, LinkEvent::Lost { .. }));
    }
}

#[tokio::test]
async fn a_refused_device_waits_for_new_credentials() {
    let mut server = LinkServer::new().await;
    server.config.retry_cap_ms = 3_600_000;
    let (handle, mut events) = server.spawn(None);
    for protocol in [PROTOCOL_VERSION, 1] {
        let mut socket = server.socket_in(protocol).await;
        say(&mut socket, &Down::Refused { reason: "sign in again".to_owned(), retry: false }).await;
    }
    assert!(matches!(event(&mut events).await, LinkEvent::Refused { retry: false, .. }));
    assert!(!handle.is_up());
    handle.reconnect();
    let _socket = server.welcome().await;
    assert!(matches!(event(&mut events).await, LinkEvent::Up(_)));
}

#[tokio::test]
async fn messages_beyond_the_queue_are_refused_and_counted_while_the_link_is_lost() {
    let mut server = LinkServer::new().await;
    server.config.queue = 4;
    server.config.address = "localhost:1".to_owned();
    let (handle, _events) = server.spawn(None);
    let sent = (0..10)
        .filter(|request| handle.send(Up::ControlResult { request: *request, error: None }).is_ok())
        .count();
    assert_eq!((sent, handle.dropped()), (4, 6));
}
