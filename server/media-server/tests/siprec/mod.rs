//! Recording sessions (SIPREC) of a scripted client.

use crate::{
    Server, packets,
    support::{Caller, LIMIT, rtp},
};
use hindsight_sip::{Dialog, Method, Request, Response};
use hindsight_wire::{
    InteractionId,
    manifest::{Ending, Media, Party},
};
use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

const METADATA: &str = "<?xml version='1.0'?>\n<recording xmlns='urn:ietf:params:xml:ns:recording:1'>\
    <datamode>complete</datamode><session session_id='S'/>\
    <participant participant_id='A'><nameID aor='sip:0701@client.test'/></participant>\
    <participant participant_id='B'><nameID aor='sip:1001@client.test'/></participant>\
    <stream stream_id='M1' session_id='S'><label>11</label></stream>\
    <stream stream_id='M2' session_id='S'><label>12</label></stream>\
    <participantstreamassoc participant_id='A'><send>M1</send></participantstreamassoc>\
    <participantstreamassoc participant_id='B'><send>M2</send></participantstreamassoc></recording>";

struct Client {
    caller: Caller,
    interaction: InteractionId,
    sources: Vec<UdpSocket>,
    dialog: Option<Dialog>,
    media: Vec<SocketAddr>,
    next: u16,
}

impl Client {
    async fn new(server: &Server, streams: usize) -> Self {
        let sources = (0..streams).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let (caller, interaction) = (server.caller().await, InteractionId::new());
        Self { caller, interaction, sources, dialog: None, media: Vec::new(), next: 0 }
    }

    fn sdp(&self, formats: &str, direction: &str) -> String {
        let mut sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n".to_owned();
        for (n, source) in self.sources.iter().enumerate() {
            let port = source.local_addr().unwrap().port();
            sdp += &format!("m=audio {port} RTP/AVP {formats}\r\na=label:{}\r\na={direction}\r\n", 11 + n);
        }
        sdp
    }

    fn body(sdp: &str, metadata: &str) -> String {
        format!(
            "--frontier\r\nContent-Type: application/sdp\r\nContent-Disposition: session;handling=required\r\n\r\n{sdp}\r\n\
             --frontier\r\nContent-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n\r\n{metadata}\r\n\
             --frontier--\r\n"
        )
    }

    fn invite(&mut self, sdp: &str, metadata: &str) -> Request {
        let target = format!("sip:siprec={}@127.0.0.1", self.interaction.to_session_id());
        self.caller
            .request(Method::Invite, &target)
            .with_header("Require", "siprec")
            .with_body("multipart/mixed;boundary=frontier", Self::body(sdp, metadata))
    }

    async fn begin(&mut self, metadata: &str) -> String {
        let invite = self.invite(&self.sdp("0", "sendonly"), metadata);
        let response = self.caller.ask(invite.clone()).await;
        assert_eq!(response.status.as_u16(), 200, "{}", response.reason);
        let dialog = Dialog::uac(&invite, &response).unwrap();
        self.caller.ack(&dialog).await;
        self.dialog = Some(dialog);
        let answer = String::from_utf8(response.body).unwrap();
        let ports = answer.lines().filter_map(|line| line.strip_prefix("m=audio ")?.split(' ').next());
        self.media = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()))).collect();
        answer
    }

    async fn change(&mut self, method: Method, content_type: &str, body: String) -> Response {
        let dialog = self.dialog.as_mut().unwrap();
        let is_invite = method == Method::Invite;
        let request = dialog.request(method).with_body(content_type, body);
        let response = self.caller.ask(request).await;
        if is_invite {
            let dialog = self.dialog.clone().unwrap();
            self.caller.ack(&dialog).await;
        }
        response
    }

    async fn direction(&mut self, direction: &str) {
        let sdp = self.sdp("0", direction);
        let response = self.change(Method::Invite, "application/sdp", sdp).await;
        assert_eq!(response.status.as_u16(), 200);
    }

    /// Each stream speaks for so many packets at their pace.
    fn talk(&mut self, count: u16, tags: &[u8]) {
        let start = Instant::now();
        for n in 0..count {
            let due = start + Duration::from_millis(20) * u32::from(n);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            for (at, tag) in tags.iter().enumerate() {
                self.sources[at].send_to(&rtp(at as u32 + 1, self.next, *tag), self.media[at]).unwrap();
            }
            self.next += 1;
        }
    }

    async fn end(&mut self) {
        let bye = self.dialog.as_mut().unwrap().request(Method::Bye);
        assert_eq!(self.caller.ask(bye).await.status.as_u16(), 200);
    }
}

/// Waits until the journal holds an event of this type of an interaction.
async fn journalled(server: &Server, interaction: InteractionId, kind: &str) -> String {
    let until = Instant::now() + LIMIT;
    loop {
        let journal = server.data().join("journal");
        let files = std::fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path());
        let text: String = files.map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect();
        let (whose, what) = (interaction.to_string(), format!("\"type\":\"{kind}\""));
        if text.lines().any(|line| line.contains(&whose) && line.contains(&what)) {
            return text;
        }
        assert!(Instant::now() < until, "never {kind}: {text}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn two_streams_are_recorded_on_their_parties_tracks_with_the_clients_pause() {
    let mut server = Server::prepare(true);
    server.start();
    let mut client = Client::new(&server, 2).await;
    let answer = client.begin(METADATA).await;
    assert!(answer.contains("a=recvonly\r\na=label:11\r\n"), "{answer}");
    client.talk(20, &[0x11, 0x22]);
    client.direction("inactive").await;
    client.talk(10, &[0x33, 0x44]);
    client.direction("sendonly").await;
    let leaves = "<recording><datamode>partial</datamode><participantsessionassoc participant_id='A'>\
        <disassociate-time>2026-11-22T10:00:00Z</disassociate-time></participantsessionassoc></recording>";
    let updated = client.change(Method::Update, "application/rs-metadata+xml", leaves.to_owned()).await;
    assert_eq!(updated.status.as_u16(), 200);
    client.talk(20, &[0x55, 0x66]);
    client.end().await;
    let (dir, manifest) = server.manifests(1).await.remove(0);
    let Media::Voice { tracks } = &manifest.media else { panic!("voice") };
    let named: Vec<_> = tracks.iter().map(|track| (track.party, track.number_or_dn.as_str())).collect();
    assert_eq!(named, [(Party::Agent, "1001"), (Party::Customer, "0701")]);
    assert_eq!((manifest.ending, manifest.pauses.len()), (Ending::Complete, 1));
    assert_eq!(manifest.pauses[0].by, "recording client");
    assert!(manifest.quality.iter().all(|track| track.state == "ok"));
    let media = server.open(&dir);
    let counts: Vec<usize> =
        [0x11, 0x22, 0x33, 0x44, 0x55, 0x66].into_iter().map(|tag| packets(&media, tag)).collect();
    assert_eq!(counts, [20, 20, 0, 0, 20, 20]);
    let journal = journalled(&server, client.interaction, "call-ended").await;
    for kind in
        ["call-offered", "call-established", "recording-started", "recording-paused", "recording-resumed"]
    {
        assert!(journal.contains(&format!("\"type\":\"{kind}\"")), "{kind}: {journal}");
    }
    server.stop().await;
}

#[tokio::test]
async fn one_stream_of_both_parties_is_one_track() {
    let mut server = Server::prepare(true);
    server.start();
    let mut client = Client::new(&server, 1).await;
    client.begin(METADATA).await;
    client.talk(15, &[0x71]);
    client.end().await;
    let (dir, manifest) = server.manifests(1).await.remove(0);
    let Media::Voice { tracks } = &manifest.media else { panic!("voice") };
    assert_eq!((tracks.len(), manifest.quality.len()), (1, 1));
    assert_eq!(manifest.quality[0].state, "ok");
    assert_eq!(packets(&server.open(&dir), 0x71), 15);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_recorded_is_refused_and_listed_with_its_reason() {
    let mut server = Server::prepare(true);
    server.start();
    let mut client = Client::new(&server, 2).await;
    let good = client.sdp("0", "sendonly");
    let g729 = client.sdp("18", "sendonly");
    for (sdp, metadata, status, reason) in [
        (g729.as_str(), METADATA, 488, "no audio line"),
        (good.as_str(), "<recording><stream/>", 400, "Recording Metadata"),
        ("hello", METADATA, 400, "not a session description"),
    ] {
        client.interaction = InteractionId::new();
        let invite = client.invite(sdp, metadata);
        let response = client.caller.ask(invite).await;
        assert_eq!(response.status.as_u16(), status);
        assert!(response.reason.contains(reason), "{}", response.reason);
        journalled(&server, client.interaction, "recording-failed").await;
    }
    client.begin(METADATA).await;
    // A third stream in the middle has no place; what runs goes on.
    let grown = format!("{good}m=audio 4000 RTP/AVP 0\r\na=label:13\r\n");
    assert_eq!(client.change(Method::Invite, "application/sdp", grown).await.status.as_u16(), 488);
    client.talk(5, &[0x11, 0x22]);
    client.end().await;
    assert_eq!(server.manifests(1).await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn nobody_is_answered_200_when_nothing_can_be_recorded() {
    let mut server = Server::prepare(false);
    server.start();
    let mut client = Client::new(&server, 2).await;
    let invite = client.invite(&client.sdp("0", "sendonly"), METADATA);
    let response = client.caller.ask(invite).await;
    assert_eq!((response.status.as_u16(), response.reason.as_str()), (503, "No Recipient For Recordings"));
    journalled(&server, client.interaction, "recording-failed").await;
    assert!(server.recordings().is_empty());
    // The legs are free again.
    assert_eq!(client.caller.ready().await, "0");
    server.stop().await;
}

/// The parties of each `call-established` of an interaction, in order.
fn established(journal: &str, interaction: InteractionId) -> Vec<Vec<String>> {
    let lines = journal.lines().filter(|line| {
        line.contains(&interaction.to_string()) && line.contains("\"type\":\"call-established\"")
    });
    lines
        .map(|line| {
            line.split("\"number\":\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned())
        })
        .map(Iterator::collect)
        .collect()
}

#[tokio::test]
async fn who_joins_and_who_leaves_is_told_by_invite_update_and_info() {
    let mut server = Server::prepare(true);
    server.start();
    let mut client = Client::new(&server, 2).await;
    client.begin(METADATA).await;
    client.talk(10, &[0x11, 0x22]);
    let joins = |id: &str, number: &str, left: &str| {
        format!(
            "<recording><datamode>partial</datamode><participant participant_id='{id}'><nameID aor='sip:{number}@h'/>\
             </participant><participantstreamassoc participant_id='{id}'><send>M2</send></participantstreamassoc>\
             <participantsessionassoc participant_id='{left}'><disassociate-time>2026-11-22T10:00:00Z\
             </disassociate-time></participantsessionassoc></recording>"
        )
    };
    let sdp = client.sdp("0", "sendonly");
    let by_invite = Client::body(&sdp, &joins("C", "1002", "B"));
    let frontier = "multipart/mixed;boundary=frontier";
    for (method, content_type, body) in [
        (Method::Invite, frontier, by_invite),
        (Method::Update, "application/rs-metadata+xml", joins("D", "1003", "C")),
        (Method::Info, "application/rs-metadata+xml", joins("E", "1004", "D")),
        // The same again is nothing new.
        (Method::Update, "application/rs-metadata+xml", joins("E", "1004", "D")),
    ] {
        assert_eq!(client.change(method, content_type, body).await.status.as_u16(), 200);
    }
    let info = client.change(Method::Info, "text/plain", "hello".into()).await;
    assert_eq!(info.status.as_u16(), 415);
    let broken = client.change(Method::Update, "application/rs-metadata+xml", "<recording>".into()).await;
    assert_eq!(broken.status.as_u16(), 400);
    client.talk(10, &[0x33, 0x44]);
    client.end().await;
    let (dir, _) = server.manifests(1).await.remove(0);
    let media = server.open(&dir);
    let counts = [0x11, 0x22, 0x33, 0x44].map(|tag| packets(&media, tag));
    assert_eq!(counts, [10; 4]);
    let journal = journalled(&server, client.interaction, "call-ended").await;
    assert_eq!(
        established(&journal, client.interaction),
        [["0701", "1001"], ["0701", "1002"], ["0701", "1003"], ["0701", "1004"]]
    );
    server.stop().await;
}

#[tokio::test]
async fn a_stream_that_joins_later_is_recorded_from_then_on() {
    let mut server = Server::prepare(true);
    server.start();
    let mut client = Client::new(&server, 1).await;
    client.begin(METADATA).await;
    client.talk(10, &[0x11]);
    client.sources.push(UdpSocket::bind("127.0.0.1:0").unwrap());
    let sdp = client.sdp("0", "sendonly");
    let response = client.change(Method::Invite, "application/sdp", sdp).await;
    assert_eq!(response.status.as_u16(), 200);
    let answer = String::from_utf8(response.body).unwrap();
    let ports = answer.lines().filter_map(|line| line.strip_prefix("m=audio ")?.split(' ').next());
    client.media = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()))).collect();
    assert_eq!(client.media.len(), 2, "{answer}");
    client.talk(10, &[0x22, 0x33]);
    client.end().await;
    // The second party's track was not declared: it opens a part of its own.
    let parts = server.manifests(2).await;
    let media: Vec<Vec<u8>> = parts.iter().map(|(dir, _)| server.open(dir)).collect();
    let counts = [0x11, 0x22, 0x33].map(|tag| media.iter().map(|part| packets(part, tag)).sum::<usize>());
    assert_eq!(counts, [10; 3]);
    let two = parts.iter().find(|(_, manifest)| manifest.part == 2).expect("part 2");
    let Media::Voice { tracks } = &two.1.media else { panic!("voice") };
    let named: Vec<_> = tracks.iter().map(|track| (track.party, track.number_or_dn.as_str())).collect();
    assert_eq!(named, [(Party::Agent, "0701"), (Party::Customer, "1001")]);
    server.stop().await;
}

#[tokio::test]
async fn a_session_that_is_taken_back_leaves_nothing_running() {
    let mut server = Server::prepare(true);
    server.start();
    let mut client = Client::new(&server, 2).await;
    for _ in 0..5 {
        client.interaction = InteractionId::new();
        let invite = client.invite(&client.sdp("0", "sendonly"), METADATA);
        let status = client.caller.ask_and_cancel(invite.clone()).await;
        if status.status.is_success() {
            // The answer was quicker: as with every session, its client ends it.
            let mut dialog = Dialog::uac(&invite, &status).unwrap();
            client.caller.ack(&dialog).await;
            let _ = client.caller.ask(dialog.request(Method::Bye)).await;
        } else {
            assert_eq!(status.status.as_u16(), 487);
        }
        journalled(&server, client.interaction, "call-ended").await;
    }
    assert_eq!(client.caller.ready().await, "0", "a leg is still in use");
    server.stop().await;
}
