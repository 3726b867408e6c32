//! A running media server with real sockets, everything else down.

// All of it is test code, also what stands outside of test functions.
#![allow(clippy::unwrap_used)]

mod siprec;
mod support;

use hindsight_media_server::Config;
use hindsight_msml::{Command, Outcome, Params};
use hindsight_seal::{
    HEADER_LEN, PrivateKey, SEGMENT_LEN, open_all, open_envelope, reseal_last, verify_detached,
};
use hindsight_sip::{Event, Method};
use hindsight_wire::{
    InteractionId, RecordingId, Timestamp,
    manifest::{Ending, Manifest, Signed},
};
use std::{
    io::Read as _,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::Command as Process,
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};
use support::{Caller, CallerLeg, LIMIT, Site, free_port, offer, rtp};
use tokio::{sync::oneshot, task::JoinHandle};

/// Ranges of RTP ports, one per test, apart from what the system gives out.
static RANGE: AtomicU16 = AtomicU16::new(0);

struct Server {
    site: Site,
    dir: tempfile::TempDir,
    config: Config,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Server {
    fn config() -> Config {
        let process = std::process::id() as u16 % 240;
        let first = 10_000 + process * 40 + RANGE.fetch_add(20, Ordering::Relaxed);
        Config {
            listen: ([127, 0, 0, 1], free_port()).into(),
            rtp_first: first,
            rtp_last: first + 19,
            relay_threads: 1,
            max_legs: 4,
            ..Config::default()
        }
    }

    fn prepare(recipients: bool) -> Self {
        let (site, dir) = (Site::new(), tempfile::tempdir().unwrap());
        site.store(dir.path());
        site.cache_config(&dir.path().join("data"), recipients);
        Self { site, dir, config: Self::config(), stop: None, task: None }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn start(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let identity = Site::identity(self.dir.path());
        let (config, data) = (self.config.clone(), self.data());
        self.task = Some(tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            hindsight_media_server::run(config, identity, data, shutdown).await.unwrap();
        }));
        self.stop = Some(stop);
    }

    async fn caller(&self) -> Caller {
        let mut caller = Caller::new(self.config.listen).await;
        assert_eq!(caller.ready().await, "0");
        caller
    }

    async fn stop(&mut self) {
        drop(self.stop.take());
        tokio::time::timeout(LIMIT, self.task.take().unwrap()).await.unwrap().unwrap();
    }

    /// Directories of the spool.
    fn recordings(&self) -> Vec<PathBuf> {
        let spool = std::fs::read_dir(self.data().join("spool")).unwrap();
        let mut found: Vec<_> =
            spool.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
        found.sort();
        found
    }

    /// Waits until every recording has its manifest, and returns them.
    async fn manifests(&self, count: usize) -> Vec<(PathBuf, Manifest)> {
        let until = Instant::now() + LIMIT;
        loop {
            let found: Vec<_> =
                self.recordings().into_iter().filter(|dir| dir.join("manifest.json").exists()).collect();
            if found.len() == count {
                return found.into_iter().map(|dir| (dir.clone(), self.manifest(&dir))).collect();
            }
            assert!(Instant::now() < until, "{count} recordings in time, {} there", found.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn manifest(&self, dir: &Path) -> Manifest {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let signed: Signed =
            serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap();
        let document = STANDARD.decode(&signed.document).unwrap();
        let signature = STANDARD.decode(&signed.signature).unwrap();
        let now = (Timestamp::now().0 / 1_000_000) as u64;
        let signer = verify_detached(&document, &signature, &self.site.ca, now).unwrap();
        let manifest: Manifest = serde_json::from_slice(&document).unwrap();
        assert_eq!(signer.common_name, manifest.device.to_string());
        manifest
    }

    fn open(&self, dir: &Path) -> Vec<u8> {
        let id: RecordingId = dir.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let key = PrivateKey::from_pkcs8_pem(&self.site.recipient_key).unwrap();
        open_all(id.0, &std::fs::read(dir.join("sealed")).unwrap(), &key).unwrap()
    }
}

/// Two phones and their legs.
struct Call {
    id: InteractionId,
    phones: [UdpSocket; 2],
    legs: [CallerLeg; 2],
    next: u16,
}

impl Call {
    async fn open(caller: &mut Caller) -> Self {
        let id = InteractionId::new();
        let phones = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
        for phone in &phones {
            phone.set_read_timeout(Some(LIMIT)).unwrap();
        }
        let port = |phone: &UdpSocket| phone.local_addr().unwrap().port();
        let agent = caller.open(id, "agent", port(&phones[0])).await;
        let customer = caller.open(id, "customer", port(&phones[1])).await;
        Self { id, phones, legs: [agent, customer], next: 0 }
    }

    /// Both phones speak for so many packets at their pace; each hears what the other said, byte for byte.
    fn talk(&mut self, packets: u16, tags: [u8; 2]) {
        let start = Instant::now();
        for n in 0..packets {
            let due = start + Duration::from_millis(20) * u32::from(n);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            for (side, tag) in tags.into_iter().enumerate() {
                let packet = rtp(side as u32 + 1, self.next, tag);
                self.phones[side].send_to(&packet, self.legs[side].media).unwrap();
            }
            for side in [0, 1] {
                let mut heard = [0; 2048];
                let (length, from) = self.phones[side].recv_from(&mut heard).unwrap();
                assert_eq!(heard[..length], rtp(2 - side as u32, self.next, tags[1 - side]));
                assert_eq!(from, self.legs[side].media);
            }
            self.next += 1;
        }
    }

    async fn msml(&mut self, caller: &mut Caller, command: Command) -> Outcome {
        caller.msml(&mut self.legs[0], self.id, command).await
    }

    async fn hang_up(&mut self, caller: &mut Caller) {
        for leg in &mut self.legs {
            caller.bye(leg).await;
        }
    }
}

/// How many packets of this tag the Matroska bytes hold.
fn packets(media: &[u8], tag: u8) -> usize {
    let (mut count, mut run) = (0, 0);
    for byte in media {
        run = if *byte == tag { run + 1 } else { 0 };
        if run == 160 {
            count += 1;
            run = 0;
        }
    }
    count
}

#[tokio::test]
async fn before_it_is_configured_it_answers_503_and_takes_no_call() {
    let mut server = Server::prepare(true);
    std::fs::remove_file(server.data().join("config.json")).unwrap();
    server.start();
    let mut caller = Caller::new(server.config.listen).await;
    caller.ready_with(503).await;
    let invite = caller.invite(InteractionId::new(), "agent", &offer(4000, "sendrecv"));
    let refused = caller.ask(invite).await;
    assert_eq!((refused.status.as_u16(), refused.headers.get("Retry-After")), (503, Some("5")));
    server.stop().await;
    server.site.cache_config(&server.data(), true);
    server.start();
    let mut caller = server.caller().await;
    let call = Call::open(&mut caller).await;
    assert_eq!(call.legs.len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn phones_are_told_the_advertised_address_and_sip_peers_the_one_that_sip_listens_at() {
    let mut server = Server::prepare(true);
    server.config.advertised = Some([192, 0, 2, 7].into());
    server.config.media_address = Some([0, 0, 0, 0].into());
    server.start();
    let mut caller = server.caller().await;
    let invite = caller.invite(InteractionId::new(), "agent", &offer(4000, "sendrecv"));
    let response = caller.ask(invite.clone()).await;
    assert_eq!(response.status.as_u16(), 200);
    let body = std::str::from_utf8(&response.body).unwrap();
    assert!(body.contains("c=IN IP4 192.0.2.7\r\n"), "{body}");
    let contact = response.headers.get("Contact").unwrap();
    assert!(contact.contains(&format!("@{}", server.config.listen)), "{contact}");
    caller.ack(&hindsight_sip::Dialog::uac(&invite, &response).unwrap()).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_relayed_and_recorded_and_a_pause_leaves_no_byte() {
    let mut server = Server::prepare(true);
    server.start();
    let mut caller = server.caller().await;
    let mut call = Call::open(&mut caller).await;
    assert_eq!(caller.ready().await, "500", "two of four legs");

    call.talk(5, [0x70, 0x71]);
    let started = call.msml(&mut caller, Command::Start).await;
    assert_eq!(started.dialog, Some(format!("conf:{}/dialog:rec", call.id.to_session_id())));
    assert!(started.is_ok());
    assert_eq!(call.msml(&mut caller, Command::Start).await.response, 431);
    call.talk(60, [0x11, 0x22]);

    // Nobody else is heard, on either side.
    let stranger = UdpSocket::bind("127.0.0.2:0").unwrap();
    let neighbour = UdpSocket::bind("127.0.0.1:0").unwrap();
    for socket in [&stranger, &neighbour] {
        socket.send_to(&rtp(1, call.next, 0x66), call.legs[0].media).unwrap();
    }
    call.talk(5, [0x11, 0x22]);

    assert!(call.msml(&mut caller, Command::Pause).await.is_ok());
    call.talk(40, [0x44, 0x55]);
    assert!(call.msml(&mut caller, Command::Resume).await.is_ok());
    call.talk(30, [0x33, 0x34]);
    call.hang_up(&mut caller).await;

    let manifests = server.manifests(1).await;
    let (dir, manifest) = &manifests[0];
    let media = server.open(dir);
    assert_eq!([0x11, 0x22, 0x33, 0x34].map(|tag| packets(&media, tag)), [65, 65, 30, 30]);
    assert_eq!([0x44, 0x55, 0x66, 0x70, 0x71].map(|tag| packets(&media, tag)), [0; 5]);
    assert_eq!(manifest.ending, Ending::Complete);
    assert_eq!(manifest.interactions[0].interaction, call.id);
    let duration = manifest.duration_ms.unwrap();
    assert!((2_600..3_600).contains(&duration), "{duration}");
    let pause = &manifest.pauses[0];
    let paused = pause.to_ms.unwrap() - pause.from_ms;
    assert!((770..1_300).contains(&paused), "{paused}");
    assert_eq!((pause.by.as_str(), pause.reason.as_str()), ("anna", "card number"));
    for quality in &manifest.quality {
        assert_eq!(
            (quality.received, quality.expected, quality.lost, quality.state.as_str()),
            (95, 95, 0, "ok")
        );
    }
    for entry in &manifest.index {
        assert_eq!(media[entry.position as usize..][..4], [0x1f, 0x43, 0xb6, 0x75]);
    }
    server.stop().await;
    let journal = journal(&server.data());
    assert!(
        journal.contains("recording-opened") && journal.contains(&manifest.recording.to_string()),
        "{journal}"
    );
}

/// A phone speaks from its own 200 OK on, before the order to record is there; and its last words are on their way when
/// the BYE comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_of_the_whole_call_has_its_first_and_its_last_packets() {
    let mut server = Server::prepare(true);
    server.start();
    let mut caller = server.caller().await;
    let mut call = Call::open(&mut caller).await;
    call.talk(3, [0x11, 0x22]);
    let whole = Params { whole: true, ..Params::default() };
    assert!(caller.msml_with(&mut call.legs[0], call.id, Command::Start, whole).await.is_ok());
    call.talk(3, [0x11, 0x22]);
    for n in 0..30 {
        for (side, tag) in [0x33, 0x44].into_iter().enumerate() {
            let packet = rtp(side as u32 + 1, call.next + n, tag);
            call.phones[side].send_to(&packet, call.legs[side].media).unwrap();
        }
    }
    call.hang_up(&mut caller).await;
    let manifests = server.manifests(1).await;
    let (dir, manifest) = &manifests[0];
    let media = server.open(dir);
    assert_eq!([0x11, 0x22, 0x33, 0x44].map(|tag| packets(&media, tag)), [6, 6, 30, 30]);
    for quality in &manifest.quality {
        assert_eq!((quality.received, quality.lost, quality.state.as_str()), (36, 0, "ok"));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_recipients_a_recording_is_refused_with_its_reason_and_the_call_goes_on() {
    let mut server = Server::prepare(false);
    server.start();
    let mut caller = server.caller().await;
    let mut call = Call::open(&mut caller).await;
    let refused = call.msml(&mut caller, Command::Start).await;
    assert_eq!(refused.response, 511);
    assert!(refused.description.unwrap().contains("recipient"));
    call.talk(10, [1, 2]);
    call.hang_up(&mut caller).await;
    assert!(server.recordings().is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_after_stop_makes_another_recording_and_a_silent_one_closes_too() {
    let mut server = Server::prepare(true);
    server.start();
    let mut caller = server.caller().await;
    let mut call = Call::open(&mut caller).await;
    for command in [Command::Start, Command::Stop, Command::Start] {
        assert!(call.msml(&mut caller, command).await.is_ok());
    }
    assert_eq!(call.msml(&mut caller, Command::Pause).await.response, 200);
    call.hang_up(&mut caller).await;
    let manifests = server.manifests(2).await;
    assert_ne!(manifests[0].1.capture, manifests[1].1.capture);
    for (_, manifest) in &manifests {
        assert!(manifest.quality.iter().all(|quality| quality.state == "no-rtp"));
    }
    assert_eq!(manifests[1].1.pauses.len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hold_moves_and_wrong_requests_are_answered_as_the_standards_say() {
    let mut server = Server::prepare(true);
    server.start();
    let mut caller = server.caller().await;
    let mut call = Call::open(&mut caller).await;
    call.talk(3, [1, 2]);

    // The agent's phone holds: what the customer says is not sent to it any more, its music goes on to the customer.
    let port = call.phones[0].local_addr().unwrap().port();
    let held = caller.reinvite(&mut call.legs[0], &offer(port, "sendonly")).await;
    assert!(String::from_utf8(held.body).unwrap().contains("a=recvonly"));
    call.phones[1].send_to(&rtp(2, 100, 9), call.legs[1].media).unwrap();
    call.phones[0].send_to(&rtp(1, 100, 8), call.legs[0].media).unwrap();
    let mut heard = [0; 2048];
    call.phones[1].recv_from(&mut heard).unwrap();
    assert_eq!(heard[12], 8);
    call.phones[0].set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(call.phones[0].recv_from(&mut heard).is_err());

    // It moves to another address.
    let moved = UdpSocket::bind("127.0.0.1:0").unwrap();
    moved.set_read_timeout(Some(LIMIT)).unwrap();
    let port = moved.local_addr().unwrap().port();
    assert_eq!(caller.reinvite(&mut call.legs[0], &offer(port, "sendrecv")).await.status.as_u16(), 200);
    call.phones[1].send_to(&rtp(2, 101, 7), call.legs[1].media).unwrap();
    moved.recv_from(&mut heard).unwrap();
    assert_eq!(heard[12], 7);

    // An offer that cannot be taken changes nothing.
    let refused = caller
        .reinvite(&mut call.legs[0], &offer(port, "sendrecv").replace("RTP/AVP 0 101", "RTP/AVP 18"))
        .await;
    assert_eq!(refused.status.as_u16(), 488);
    call.phones[1].send_to(&rtp(2, 102, 6), call.legs[1].media).unwrap();
    moved.recv_from(&mut heard).unwrap();
    assert_eq!(heard[12], 6);

    // A role that is taken, a conference that is none, a command for another conference, a type that is not MSML.
    let invite = caller.invite(call.id, "agent", &offer(port, "sendrecv"));
    assert_eq!(caller.ask(invite).await.status.as_u16(), 486);
    let invite = caller
        .request(Method::Invite, "sip:1001@127.0.0.1")
        .with_body("application/sdp", offer(port, "sendrecv"));
    assert_eq!(caller.ask(invite).await.status.as_u16(), 404);
    let other = caller.msml(&mut call.legs[0], InteractionId::new(), Command::Start).await;
    assert_eq!(other.response, 430);
    let info = call.legs[0].dialog.request(Method::Info).with_body("text/plain", "hello");
    assert_eq!(caller.ask(info).await.status.as_u16(), 415);
    let options = call.legs[0].dialog.request(Method::Options);
    assert_eq!(caller.ask(options).await.status.as_u16(), 200);

    call.hang_up(&mut caller).await;
    let options = call.legs[0].dialog.request(Method::Options);
    assert_eq!(caller.ask(options).await.status.as_u16(), 481);
    assert_eq!(caller.ready().await, "0");

    // More legs than allowed.
    let mut legs = Vec::new();
    for _ in 0..2 {
        legs.push(Call::open(&mut caller).await);
    }
    let invite = caller.invite(InteractionId::new(), "agent", &offer(port, "sendrecv"));
    assert_eq!(caller.ask(invite).await.status.as_u16(), 503);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shut_down_hangs_up_and_closes_what_it_records() {
    let mut server = Server::prepare(true);
    server.start();
    let mut caller = server.caller().await;
    let mut call = Call::open(&mut caller).await;
    assert!(call.msml(&mut caller, Command::Start).await.is_ok());
    call.talk(20, [0x11, 0x22]);
    server.stop().await;
    let manifests = server.manifests(1).await;
    assert_eq!(manifests[0].1.ending, Ending::Complete);
    assert_eq!(packets(&server.open(&manifests[0].0), 0x11), 20);
    let mut byes = 0;
    while byes < 2 {
        let event = tokio::time::timeout(LIMIT, caller.events.recv()).await.expect("a BYE").unwrap();
        byes += usize::from(matches!(event, Event::Request { request, .. } if request.method == Method::Bye));
    }
}

/// The server of the next test, in a process of its own: it is killed.
#[tokio::test]
#[ignore = "started by a_killed_server_leaves_recordings_that_the_next_start_closes"]
async fn child_server() {
    let Some(dir) = std::env::var_os("MEDIA_SERVER_DIR").map(PathBuf::from) else { return };
    let config: Config = toml::from_str(&std::fs::read_to_string(dir.join("config.toml")).unwrap()).unwrap();
    let never = std::future::pending::<()>();
    hindsight_media_server::run(config, Site::identity(&dir), dir.join("data"), never).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_leaves_recordings_that_the_next_start_closes() {
    let mut server = Server::prepare(true);
    std::fs::write(server.dir.path().join("config.toml"), toml::to_string(&server.config).unwrap()).unwrap();
    let mut child = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_server", "--ignored", "--nocapture"])
        .env("MEDIA_SERVER_DIR", server.dir.path())
        .spawn()
        .unwrap();
    let mut caller = server.caller().await;
    let mut call = Call::open(&mut caller).await;
    assert!(call.msml(&mut caller, Command::Start).await.is_ok());
    call.talk(150, [0x11, 0x22]);
    child.kill().unwrap();
    child.wait().unwrap();

    server.start();
    server.caller().await;
    let manifests = server.manifests(1).await;
    let (dir, manifest) = &manifests[0];
    assert_eq!((manifest.ending, manifest.duration_ms), (Ending::Interrupted, None));
    let mut sealed = Vec::new();
    std::fs::File::open(dir.join("sealed")).unwrap().read_to_end(&mut sealed).unwrap();
    assert_eq!(sealed.len() as u64, 4096 + manifest.payload_size);
    assert_eq!(manifest.payload_size % 4096, 0);
    let media = repaired(&server, dir, &sealed);
    // What may be missing: one open segment, one turn of the recorder.
    for tag in [0x11, 0x22] {
        let kept = packets(&media, tag);
        assert!((150 - 24..=150).contains(&kept), "{kept} of 150 packets");
    }
    server.stop().await;
}

fn repaired(server: &Server, dir: &Path, sealed: &[u8]) -> Vec<u8> {
    let id: RecordingId = dir.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let key = PrivateKey::from_pkcs8_pem(&server.site.recipient_key).unwrap();
    let data_key = open_envelope(&sealed[..4096], &key).unwrap();
    let payload = &sealed[4096..];
    let header = payload.first_chunk::<HEADER_LEN>().unwrap();
    let (before, last) = payload.split_at(payload.len() - SEGMENT_LEN);
    let last = reseal_last(id.0, &data_key, header, payload.len() as u64, last).unwrap();
    open_all(id.0, &[&sealed[..4096], before, &last].concat(), &key).unwrap()
}

/// Every event that the journal holds, as text.
fn journal(data: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(data.join("journal")).unwrap() {
        text.push_str(&String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()));
    }
    text
}
