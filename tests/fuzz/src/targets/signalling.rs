//! Text: SIP, session descriptions, recording metadata, MSML.

use super::Target;
use hindsight_sip::{
    Command, Dialog, Endpoint, EndpointConfig, Event, Ids, Limits, Message, Method, NameAddr, Output,
    Protocol, Received, Request, Response, SipMessage as _, Source, StatusCode, Uri,
    digest::{Algorithm, DigestServer, Ha1, Realm},
    message::{Frame, StreamFramer, multipart},
    parse_datagram, proxy,
    refer::{ReferTo, Replaces, wants_notifications},
    rfc4475::capabilities,
    sdp,
};
use std::{
    cell::RefCell,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

const SIP_WORDS: &[&[u8]] = &[
    b"\r\n", b"\r\n\r\n", b"\r\n ", b"SIP/2.0", b"INVITE ", b"REGISTER ", b"ACK ", b"CANCEL ", b"sip:", b"sips:", b"tel:",
    b"Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK", b"Via: ", b"CSeq: 1 INVITE", b"From: <sip:a@b>;tag=1", b"To: ",
    b"Call-ID: ", b"Content-Length: 0", b"Content-Length: 99999999999999999999", b"l: -1", b"Content-Type: multipart/mixed;boundary=b",
    b"--b", b"Route: <sip:a;lr>", b"Record-Route: ", b"Contact: *", b"Expires: 4294967296", b"Max-Forwards: 0",
    b"Authorization: Digest username=\"a\", realm=\"pbx\", nonce=\"00\", uri=\"sip:a\", response=\"0\", qop=auth, nc=00000001, cnonce=\"x\"",
    b"Refer-To: <sip:1002@192.0.2.1>", b"?Replaces=c%3Bto-tag%3D1%3Bfrom-tag%3D2", b"Replaces: c;to-tag=1;from-tag=0;early-only",
    b"REFER ", b"Refer-Sub: false", b";method=INVITE", b"%3B", b"%3D", b";lr", b";tag=", b";rport", b"%00", b"[::1]", b"\"", b"<", b">", b";", b",", b"=", b"@",
];

/// The published torture messages and one of each kind that the product exchanges.
fn sip_inputs() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/rfc4475");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "dat"));
    let mut inputs: Vec<Vec<u8>> = files.iter().filter_map(|path| std::fs::read(path).ok()).collect();
    for method in ["INVITE", "REGISTER", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE"] {
        inputs.push(message(method, "application/sdp", DESCRIPTIONS[0]));
    }
    let asked = "Refer-To: <sip:1002@192.0.2.1?Replaces=c2%40192.0.2.8%3Bto-tag%3Da%3Bfrom-tag%3Db>\r\nRefer-Sub: true\r\n\
                 Replaces: c3;to-tag=1;from-tag=2;early-only\r\nContact:";
    let refer = String::from_utf8_lossy(&message("REFER", "message/sipfrag", "SIP/2.0 100 Trying\r\n"))
        .replace("Contact:", asked);
    inputs.push(refer.into_bytes());
    let metadata = format!(
        "--b\r\nContent-Type: application/sdp\r\n\r\n{}\r\n--b\r\nContent-Type: application/rs-metadata+xml\r\n\r\n{}\r\n--b--\r\n",
        DESCRIPTIONS[2], METADATA[0]
    );
    inputs.push(message("INVITE", "multipart/mixed;boundary=b", &metadata));
    inputs.push(
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\n\
          Call-ID: x\r\nCSeq: 1 INVITE\r\nContact: <sip:b@192.0.2.2>\r\nRecord-Route: <sip:p;lr>\r\nContent-Length: 0\r\n\r\n"
            .to_vec(),
    );
    inputs
}

fn message(method: &str, content_type: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} sip:1001@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7:5060;rport;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         From: \"A\" <sip:2001@192.0.2.1>;tag=1\r\nTo: <sip:1001@192.0.2.1>\r\nCall-ID: c1@192.0.2.7\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:2001@192.0.2.7:5060>\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An endpoint that lives as long as the run: what it keeps of hostile input is seen in the memory in use.
struct Standing {
    endpoint: Endpoint,
    now: Instant,
    count: u32,
}

thread_local! {
    static STANDING: RefCell<Standing> = RefCell::new(Standing::new());
}

impl Standing {
    fn new() -> Self {
        let limits = Limits { per_second: 1000, burst: 5000, connections: 64, trusted: Vec::new() };
        let local = SocketAddr::from(([192, 0, 2, 1], 5060));
        let config = EndpointConfig { limits: Some(limits), ..EndpointConfig::new(local) };
        Self { endpoint: Endpoint::new(config, Ids::seeded(7)), now: Instant::now(), count: 0 }
    }

    fn feed(&mut self, protocol: Protocol, bytes: &[u8]) {
        self.count += 1;
        // A fifth of a second for each: transactions end within some hundred inputs.
        self.now += Duration::from_millis(200);
        let remote = SocketAddr::from((Ipv4Addr::from(0xcb00_7100 + self.count % 7), 5060));
        let source = Source { protocol, local: SocketAddr::from(([192, 0, 2, 1], 5060)), remote };
        for piece in bytes.chunks(if protocol == Protocol::Tcp { 700 } else { usize::MAX }) {
            self.endpoint.handle_input(Received { source, bytes: piece }, self.now);
            self.drain();
        }
        if protocol == Protocol::Tcp {
            self.endpoint.stream_closed(remote);
        }
        self.endpoint.handle_timeout(self.now);
        self.drain();
        assert!(self.endpoint.transactions() < 20_000, "transactions that do not end");
    }

    fn drain(&mut self) {
        loop {
            match self.endpoint.poll_output() {
                Output::Event(Event::Request { transaction, request, .. }) => {
                    let status =
                        if self.count.is_multiple_of(2) { StatusCode::OK } else { StatusCode::BUSY_HERE };
                    let response = Response::to(&request, status).with_to_tag("t");
                    self.endpoint.apply(Command::Respond(transaction, response), self.now);
                }
                Output::Transmit(_) | Output::Event(_) | Output::Heard(..) | Output::Close(_) => {}
                Output::Wait(_) => return,
            }
        }
    }
}

fn standing(protocol: Protocol, bytes: &[u8]) {
    STANDING.with_borrow_mut(|standing| standing.feed(protocol, bytes));
}

/// Datagrams: the parser, everything that reads a request, and an endpoint.
pub const SIP: Target = Target { name: "sip", feed: sip, inputs: sip_inputs, words: SIP_WORDS };

fn sip(bytes: &[u8]) {
    match parse_datagram(bytes) {
        Ok(Some(Message::Request(request))) => {
            read(&request);
            // What was understood is written so that it is understood again.
            assert!(
                matches!(parse_datagram(&request.to_bytes()), Ok(Some(Message::Request(_)))),
                "not read again"
            );
        }
        Ok(Some(Message::Response(response))) => {
            let _ = (response.record_routes(), response.parts());
            let _ = proxy::strip_via(&mut response.clone());
        }
        Ok(None) => {}
        Err(rejection) => drop(rejection.response.map(|response| response.with_to_tag("t").to_bytes())),
    }
    standing(Protocol::Udp, bytes);
}

fn read(request: &Request) {
    let _ = (request.routes(), request.expires(), request.uri.user());
    let _ = wants_notifications(&request.headers);
    if let Ok(asked) = ReferTo::of(&request.headers) {
        assert!(
            asked.uri.as_sip().is_none_or(|uri| uri.headers.is_none()),
            "headers of a Refer-To that would be sent on"
        );
    }
    if let Ok(Some(field)) = request.headers.single("Replaces")
        && let Ok(replaces) = Replaces::parse(field)
    {
        assert!(
            !replaces.dialog.call_id.is_empty() && !replaces.dialog.local_tag.is_empty(),
            "a dialog without a name"
        );
    }
    for part in request.parts() {
        describe(&part.body);
    }
    drop(capabilities().refuse(request));
    if let Ok(mut forwarded) = proxy::prepare(request, |uri| uri.host.to_string().contains('e')) {
        let _ = proxy::next_hop(&mut forwarded);
        drop(forwarded.to_bytes());
    }
    let now = Instant::now();
    let mut digest = DigestServer::new("pbx", Realm::Server, [1; 32], now);
    let lookup = |user: &str, algorithm| Some(Ha1::of(algorithm, user, "pbx", "x"));
    drop(digest.verify(request, lookup, now));
    drop(digest.challenge(request, true, &[Algorithm::Md5], now));
    let Ok(contact) = NameAddr::parse("<sip:b@192.0.2.2>") else { return };
    if let Ok(mut dialog) = Dialog::uas(request, "t", contact, 1) {
        let _ = dialog.receive(request);
        dialog.refresh_target(request);
        drop(dialog.request(Method::Bye).to_bytes());
        drop(dialog.response(request, StatusCode::OK).to_bytes());
    }
}

/// Streams: the framer, however the bytes are cut, and an endpoint.
pub const SIP_STREAM: Target =
    Target { name: "sip-stream", feed: sip_stream, inputs: sip_inputs, words: SIP_WORDS };

fn sip_stream(bytes: &[u8]) {
    let frames = |cut: usize| {
        let mut framer = StreamFramer::new();
        let mut count = 0;
        for piece in bytes.chunks(cut) {
            framer.push(piece);
            loop {
                match framer.next_frame() {
                    // Of line breaks that are neither a ping nor a message anything may be made.
                    Ok(Some(Frame::Ping)) => {}
                    Ok(Some(Frame::Message(_) | Frame::Rejected(_))) => count += 1,
                    Ok(None) => break,
                    Err(_) => return (count, false),
                }
            }
        }
        (count, true)
    };
    assert_eq!(frames(usize::MAX), frames(97), "what is found depends on how the stream is cut");
    standing(Protocol::Tcp, bytes);
}

const DESCRIPTIONS: &[&str] = &[
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8 9 101\r\n\
     a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n",
    "v=0\r\no=a 9 9 IN IP6 2001:db8::1\r\ns=x\r\nb=AS:64\r\nt=0 0\r\na=inactive\r\nm=video 0 RTP/AVP 96\r\n\
     m=audio 5000/2 RTP/SAVP 111\r\nc=IN IP6 2001:db8::2\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n\
     a=rtcp:5003 IN IP6 2001:db8::3\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4\r\n",
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\na=label:1\r\na=sendonly\r\n\
     m=audio 4002 RTP/AVP 0\r\na=label:2\r\na=sendonly\r\n",
];

/// Session descriptions: read, answered, written, read again.
pub const SDP: Target = Target {
    name: "sdp",
    feed: describe,
    inputs: || DESCRIPTIONS.iter().map(|text| text.as_bytes().to_vec()).collect(),
    words: &[
        b"\r\n",
        b"v=0",
        b"o=- 1 1 IN IP4 192.0.2.1",
        b"s=-",
        b"c=IN IP4 192.0.2.1",
        b"c=IN IP6 ::1",
        b"t=0 0",
        b"m=audio 4000 RTP/AVP 0",
        b"m=audio 65536 RTP/AVP",
        b"m=video 0 RTP/AVP 96",
        b" RTP/SAVP ",
        b"a=rtpmap:96 opus/48000/2",
        b"a=rtpmap:9 G722/8000",
        b"a=fmtp:",
        b"a=rtcp:",
        b"a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:",
        b"a=crypto:4294967296 AEAD_AES_256_GCM inline:",
        b"a=label:",
        b"a=sendonly",
        b"a=inactive",
        b"a=ptime:",
        b"a=mid:",
        b"|2^20|",
        b"/127",
        b"-1",
    ],
};

fn describe(body: &[u8]) {
    if let Ok(offer) = sdp::StreamsOffer::parse(body) {
        let answer = offer.answer(&mut sdp::Writer::new(1), Ipv4Addr::LOCALHOST.into(), |stream| {
            Some(stream.audio.with_direction(sdp::Direction::RecvOnly))
        });
        assert!(sdp::StreamsOffer::parse(&answer).is_ok(), "an answer that cannot be read");
    }
    if let Ok(description) = sdp::Description::parse(body) {
        let written = sdp::Writer::new(1).write(&description.audio, description.shape());
        let again = sdp::Description::parse(&written);
        let formats = again.map(|again| again.audio.formats.len());
        assert_eq!(formats, Ok(description.audio.formats.len()), "not what was read");
    }
}

const METADATA: &[&str] = &[
    "<?xml version='1.0' encoding='UTF-8'?><recording xmlns='urn:ietf:params:xml:ns:recording:1'><datamode>complete</datamode>\
     <session session_id='S'><sipSessionID>a;remote=b</sipSessionID></session><participant participant_id='P'><nameID aor='sip:1@h'>\
     <name xml:lang='en'>A &amp; B</name></nameID></participant><participantsessionassoc participant_id='P' session_id='S'>\
     <associate-time>2026-11-22T10:00:00Z</associate-time></participantsessionassoc><stream stream_id='M'><label>1</label></stream>\
     <participantstreamassoc participant_id='P'><send>M</send><recv>N</recv></participantstreamassoc></recording>",
    "<r:recording xmlns:r='urn:ietf:params:xml:ns:recording'><r:datamode>partial</r:datamode><r:participant id='P' session='S'>\
     <r:nameID aor='tel:+49'/><r:send>M</r:send><extensiondata xmlns:x='y'><x:callingParty>true</x:callingParty></extensiondata>\
     </r:participant><r:stream id='M'><r:label>2</r:label></r:stream></r:recording>",
];

/// Recording metadata, also inside a multipart body, and what an update makes of what is known.
pub const SIPREC: Target = Target {
    name: "siprec",
    feed: siprec,
    inputs: || {
        let part = |text: &&str| {
            format!("--b\r\nContent-Type: application/rs-metadata+xml\r\n\r\n{text}\r\n--b--\r\n")
                .into_bytes()
        };
        METADATA.iter().map(|text| text.as_bytes().to_vec()).chain(METADATA.iter().map(part)).collect()
    },
    words: &[
        b"<recording>",
        b"</recording>",
        b"<datamode>partial</datamode>",
        b"<participant participant_id='Q'>",
        b"</participant>",
        b"<nameID aor='sip:2@h'/>",
        b"<stream stream_id='N'><label>2</label></stream>",
        b"<disassociate-time>",
        b"<send>M</send>",
        b"&amp;",
        b"&#x0;",
        b"&x;",
        b"<![CDATA[",
        b"]]>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
        b"<!--",
        b"-->",
        b"<?",
        b" xmlns:x='y'",
        b"--b",
        b"\r\n\r\n",
        b"/>",
        b"='",
        b"\xef\xbb\xbf",
    ],
};

fn siprec(bytes: &[u8]) {
    let parts = multipart::parts("multipart/mixed;boundary=b", bytes);
    let documents = parts.iter().map(|part| part.body.as_slice()).chain([bytes]);
    for document in documents {
        let Ok(metadata) = hindsight_siprec::parse(document) else { continue };
        for label in metadata.streams.iter().filter_map(|stream| stream.label.as_deref()) {
            metadata.speakers(label).iter().for_each(|speaker| drop(speaker.number()));
        }
        if let Ok(mut known) = hindsight_siprec::parse(METADATA[0].as_bytes()) {
            known.update(metadata.clone());
            let entries = known.streams.len();
            known.update(metadata);
            assert_eq!(known.streams.len(), entries, "the same again changed something");
        }
    }
}

/// MSML: requests, results and exits, each written so that it is read again.
pub const MSML: Target = Target {
    name: "msml",
    feed: msml,
    inputs: || {
        [
            "<?xml version='1.0'?><msml version='1.1'><dialogstart target='conf:abc' name='rec' type='application/moml+xml'>\
             <record dest='x'/><param name='by'>ann</param></dialogstart></msml>",
            "<msml version=\"1.1\"><send event=\"pause\" target=\"conf:abc/dialog:rec\"><param name=\"reason\">card &amp; pin</param></send></msml>",
            "<msml version=\"1.1\"><dialogend id=\"conf:abc/dialog:rec\"/></msml>",
            "<msml version=\"1.1\"><result response=\"423\"><description>no</description></result></msml>",
            "<msml version=\"1.1\"><event name=\"msml.dialog.exit\" id=\"conf:abc/dialog:rec\"><name>reason</name><value>x</value></event></msml>",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into()
    },
    words: &[
        b"<msml version='1.1'>",
        b"</msml>",
        b"<dialogstart ",
        b"target='conf:a'",
        b"<record/>",
        b"<send event='resume' ",
        b"<dialogend ",
        b"id='conf:a/dialog:b'",
        b"<result response='200'/>",
        b"<param name='by'>x</param>",
        b"&amp;",
        b"&#0;",
        b"<![CDATA[",
        b"<!DOCTYPE",
        b"conf:",
        b"/dialog:",
        b"/>",
        b"='",
    ],
};

fn msml(bytes: &[u8]) {
    if let Ok(request) = hindsight_msml::parse_request(bytes) {
        let again = hindsight_msml::parse_request(hindsight_msml::write_request(&request).as_bytes());
        assert!(
            again.is_ok_and(|again| again.command == request.command),
            "a request that is not read again"
        );
    }
    if let Ok(outcome) = hindsight_msml::parse_result(bytes) {
        let again = hindsight_msml::parse_result(hindsight_msml::write_result(&outcome).as_bytes());
        assert!(again.is_ok(), "a result that is not read again");
    }
    if let Ok(Some(exit)) = hindsight_msml::parse_exit(bytes) {
        let again = hindsight_msml::parse_exit(hindsight_msml::write_exit(&exit).as_bytes());
        assert!(matches!(again, Ok(Some(_))), "an exit that is not read again");
    }
    let _ = Uri::parse(std::str::from_utf8(bytes).unwrap_or_default());
}
