//! Calls of every kind by sipp: its scenarios, its processes, and phones that are registered where a sipp waits.

use crate::process::{Program, eventually};
use anyhow::{Context, Result};
use hindsight_sip::{
    Destination, Event, Ids, Method, NameAddr, NewRequest, SipConfig, SipStack, SipUri,
    digest::{Credentials, DigestClient},
};
use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// What the phone that is called does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phone {
    /// Rings, answers, speaks where there is a voice, and waits for the BYE.
    Answers,
    /// The same without ringing first.
    AnswersAtOnce,
    /// The same as the first, and waits for the re-INVITE of a transfer; hangs up so many milliseconds after it.
    Stays(u32),
    /// Rings until the call is cancelled.
    Rings,
    /// Rings and refuses with this status line.
    Refuses(&'static str),
}

/// What the caller meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meets {
    /// An answer; they speak for so many milliseconds, and the caller hangs up.
    Answer(u32),
    /// An answer; the caller has the call transferred to this number, and leaves.
    Transfer(&'static str),
    /// A phone that rings, and gives up.
    Ringing,
    /// A refusal with this status.
    Refusal(u16),
}

/// A caller.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Its number.
    pub from: &'a str,
    /// Its password; `None`: nobody asks for one.
    pub password: Option<&'a str>,
    /// What it dials.
    pub dialled: &'a str,
    /// What it meets.
    pub meets: Meets,
    /// Whether it speaks (`voice.ulaw` in the folder).
    pub speaks: bool,
}

const SDP: &str = "Content-Type: application/sdp\nContent-Length: [len]\n\nv=0\no=u 1 1 IN IP4 [local_ip]\ns=-\nc=IN IP4 [media_ip]\n\
t=0 0\nm=audio [rtpstream_audio_port] RTP/AVP 0\na=rtpmap:0 PCMU/8000\n";
const SPEAK: &str = "<nop><action><exec rtp_stream=\"voice.ulaw,-1,0\"/></action></nop>\n";

fn scenario(name: &str, steps: &str, speaks: bool) -> String {
    // A port that is named as a stream's is opened, whether anything is said there or not.
    let steps =
        if speaks { steps.to_owned() } else { steps.replace("[rtpstream_audio_port]", "[media_port]") };
    format!(
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario name=\"{name}\">\n{steps}</scenario>\n"
    )
}

fn send(message: &str, attributes: &str) -> String {
    format!("<send{attributes}><![CDATA[\n\n{message}\n]]></send>\n")
}

/// A response of a phone.
fn respond(line: &str, rest: &str) -> String {
    let head = "[last_Via:]\n[last_From:]\n[last_To:];tag=[call_number]\n[last_Call-ID:]\n[last_CSeq:]\n[last_Record-Route:]\n";
    send(&format!("SIP/2.0 {line}\n{head}Contact: <sip:phone@[local_ip]:[local_port]>\n{rest}\n"), "")
}

/// The same within a dialog: the tag is there.
fn confirm(line: &str, of: &str) -> String {
    let head = format!("[last_Via:]\n[last_From:]\n[last_To:]{of}\n[last_Call-ID:]\n[last_CSeq:]\n");
    send(&format!("SIP/2.0 {line}\n{head}Content-Length: 0\n\n"), "")
}

/// Keeps a part of a header for later.
fn remember(header: &str, what: &str, variable: u8) -> String {
    format!("<ereg regexp=\"{what}\" search_in=\"hdr\" header=\"{header}\" assign_to=\"{variable}\"/>")
}

const EMPTY: &str = "Content-Length: 0\n\n";

/// The scenario of a phone.
pub fn phone(does: Phone, speaks: bool) -> String {
    let speak = if speaks { SPEAK } else { "" };
    let ringing = respond("180 Ringing", EMPTY);
    let steps = match does {
        Phone::Answers | Phone::AnswersAtOnce => {
            let ringing = if does == Phone::Answers { ringing.as_str() } else { "" };
            let answer = respond("200 OK", SDP).replace("<send>", "<send retrans=\"500\">");
            let bye = confirm("200 OK", "");
            format!(
                "<recv request=\"INVITE\"/>\n{ringing}{answer}<recv request=\"ACK\"/>\n{speak}<recv request=\"BYE\"/>\n{bye}"
            )
        }
        Phone::Stays(milliseconds) => {
            let retransmitted = |text: String| text.replace("<send>", "<send retrans=\"500\">");
            let answer = retransmitted(respond("200 OK", SDP));
            let again = retransmitted(respond("200 OK", SDP).replace(";tag=[call_number]", ""));
            // Who is called says BYE: the addresses of the INVITE, the other way round.
            let bye = send(
                &format!(
                    "BYE [$3] SIP/2.0\nVia: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]\n\
                     From:[$2];tag=[call_number]\nTo:[$1]\nCall-ID: [call_id]\nCSeq: 1 BYE\nMax-Forwards: 70\n{EMPTY}"
                ),
                " retrans=\"500\"",
            );
            format!(
                "<recv request=\"INVITE\"><action>{}{}{}</action></recv>\n{ringing}{answer}<recv request=\"ACK\"/>\n{speak}\
                 <recv request=\"INVITE\"/>\n{again}<recv request=\"ACK\"/>\n<pause milliseconds=\"{milliseconds}\"/>\n{bye}\
                 <recv response=\"200\"/>\n",
                remember("From:", ".*", 1),
                remember("To:", ".*", 2),
                remember("Contact:", "sip:[^&gt;]*", 3),
            )
        }
        Phone::Rings => {
            let cancelled = confirm("200 OK", ";tag=[call_number]");
            // The final response belongs to the INVITE: same Via, its own CSeq.
            let ended = send(
                "SIP/2.0 487 Request Terminated\n[last_Via:]\n[last_From:]\n[last_To:];tag=[call_number]\n[last_Call-ID:]\n\
                 CSeq: [last_cseq_number] INVITE\nContent-Length: 0\n\n",
                " retrans=\"500\"",
            );
            format!(
                "<recv request=\"INVITE\"/>\n{ringing}<recv request=\"CANCEL\"/>\n{cancelled}{ended}<recv request=\"ACK\"/>\n"
            )
        }
        Phone::Refuses(refusal) => {
            let refused = respond(refusal, EMPTY).replace("<send>", "<send retrans=\"500\">");
            format!("<recv request=\"INVITE\"/>\n{ringing}{refused}<recv request=\"ACK\"/>\n")
        }
    };
    scenario("phone", &steps, speaks)
}

/// What a caller sends: an INVITE, once more with the answer to the challenge, and what becomes of it.
pub fn caller(caller: &Caller) -> String {
    let Caller { from, password, dialled, meets, speaks } = *caller;
    let speak = if speaks { SPEAK } else { "" };
    let request = |method: &str, cseq: u32, rest: &str| {
        format!(
            "{method} sip:{dialled}@[remote_ip]:[remote_port] SIP/2.0\nVia: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]\n\
             From: <sip:{from}@[remote_ip]:[remote_port]>;tag=[call_number]\nTo: <sip:{dialled}@[remote_ip]:[remote_port]>\n\
             Call-ID: [call_id]\nCSeq: {cseq} {method}\nContact: <sip:{from}@[local_ip]:[local_port]>\nMax-Forwards: 70\n{rest}"
        )
    };
    let in_dialog = |method: &str, cseq: u32| {
        format!(
            "{method} [next_url] SIP/2.0\nVia: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]\n[routes]\n\
             From: <sip:{from}@[remote_ip]:[remote_port]>;tag=[call_number]\n[last_To:]\nCall-ID: [call_id]\nCSeq: {cseq} {method}\n\
             Max-Forwards: 70\nContent-Length: 0\n\n"
        )
    };
    let ack = |cseq: u32| {
        let line = format!("ACK sip:{dialled}@[remote_ip]:[remote_port] SIP/2.0\n[last_Via:]\n");
        let from = format!(
            "From: <sip:{from}@[remote_ip]:[remote_port]>;tag=[call_number]\n[last_To:]\nCall-ID: [call_id]\n"
        );
        send(&format!("{line}{from}CSeq: {cseq} ACK\nMax-Forwards: 70\nContent-Length: 0\n\n"), "")
    };
    let invite = send(&request("INVITE", 1, SDP), " retrans=\"500\"");
    // The number of the INVITE that goes through.
    let (begin, cseq) = match password {
        None => (invite, 1),
        Some(password) => {
            let credentials = format!("[authentication username={from} password={password}]\n{SDP}");
            let again = send(&request("INVITE", 2, &credentials), " retrans=\"500\"");
            (format!("{invite}{TRYING}<recv response=\"407\" auth=\"true\"/>\n{}{again}", ack(1)), 2)
        }
    };
    let steps = match meets {
        Meets::Answer(milliseconds) => format!(
            "{begin}{PROVISIONAL}<recv response=\"200\" rrs=\"true\"/>\n{}{speak}<pause milliseconds=\"{milliseconds}\"/>\n{}<recv response=\"200\"/>\n",
            send(&in_dialog("ACK", cseq), ""),
            send(&in_dialog("BYE", cseq + 1), " retrans=\"500\""),
        ),
        Meets::Transfer(to) => {
            // Without a subscription: the server hangs up when it is done.
            let refer = |cseq: u32, more: &str| {
                let ask = format!(
                    "Refer-To: <sip:{to}@[remote_ip]:[remote_port]>\nRefer-Sub: false\nSupported: norefersub\n"
                );
                let line = format!(
                    "REFER sip:{dialled}@[remote_ip]:[remote_port] SIP/2.0\nVia: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]\n"
                );
                let who = format!(
                    "From: <sip:{from}@[remote_ip]:[remote_port]>;tag=[call_number]\n[last_To:]\nCall-ID: [call_id]\n"
                );
                let contact = format!("Contact: <sip:{from}@[local_ip]:[local_port]>\n");
                send(
                    &format!("{line}{who}CSeq: {cseq} REFER\n{contact}Max-Forwards: 70\n{ask}{more}{EMPTY}"),
                    " retrans=\"500\"",
                )
            };
            let asked = password.map(|password| {
                let credentials = format!("[authentication username={from} password={password}]\n");
                format!(
                    "{}<recv response=\"407\" auth=\"true\"/>\n{}",
                    refer(cseq + 1, ""),
                    refer(cseq + 2, &credentials)
                )
            });
            format!(
                "{begin}{PROVISIONAL}<recv response=\"200\" rrs=\"true\"/>\n{}{speak}<pause milliseconds=\"700\"/>\n{}\
                 <recv response=\"202\"/>\n<recv request=\"BYE\"/>\n{}",
                send(&in_dialog("ACK", cseq), ""),
                asked.unwrap_or_else(|| refer(cseq + 1, "")),
                confirm("200 OK", ""),
            )
        }
        Meets::Ringing => {
            let cancel = format!(
                "CANCEL sip:{dialled}@[remote_ip]:[remote_port] SIP/2.0\n[last_Via:]\nFrom: <sip:{from}@[remote_ip]:[remote_port]>;tag=[call_number]\n\
                 To: <sip:{dialled}@[remote_ip]:[remote_port]>\nCall-ID: [call_id]\nCSeq: {cseq} CANCEL\nMax-Forwards: 70\nContent-Length: 0\n\n"
            );
            format!(
                "{begin}{TRYING}<recv response=\"180\"/>\n{}<recv response=\"200\"/>\n<recv response=\"487\"/>\n{}",
                send(&cancel, " retrans=\"500\""),
                ack(cseq),
            )
        }
        Meets::Refusal(status) => {
            format!("{begin}{PROVISIONAL}<recv response=\"{status}\"/>\n{}", ack(cseq))
        }
    };
    scenario("caller", &steps, speaks)
}

const TRYING: &str = "<recv response=\"100\" optional=\"true\"/>\n";
const PROVISIONAL: &str = "<recv response=\"100\" optional=\"true\"/>\n<recv response=\"180\" optional=\"true\"/>\n\
    <recv response=\"183\" optional=\"true\"/>\n";

/// A sipp with this scenario. `voice`: first port of what it says.
pub fn start(dir: &Path, name: &str, text: &str, voice: u16, arguments: &[String]) -> Result<Program> {
    std::fs::write(dir.join(format!("{name}.xml")), text)?;
    let mut command = Command::new("sipp");
    command
        .current_dir(dir)
        .args(["-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin", "-trace_err", "-mp"])
        .arg(voice.to_string())
        .args(["-sf", &format!("{name}.xml")])
        .args(arguments);
    Program::spawn(name, &mut command, &dir.join(format!("{name}.log")))
}

/// Registers a number at a port where nobody waits yet. From that port: a phone is called where its REGISTER came from.
pub async fn register(registrar: SocketAddr, number: &str, password: &str, port: u16) -> Result<()> {
    let own_address = SocketAddr::from(([127, 0, 0, 1], port));
    let (sip, mut events) = SipStack::bind(SipConfig::new(own_address)).await?;
    let mut ids = Ids::from_os();
    let own = NameAddr::new(SipUri::with_user(number, registrar.into()));
    let request = NewRequest {
        method: Method::Register,
        target: SipUri::new(registrar.into()).into(),
        from: own.clone(),
        from_tag: ids.tag(),
        to: own,
        call_id: ids.call_id(),
        cseq: ids.cseq(),
        contact: Some(NameAddr::new(SipUri::with_user(number, own_address.into()))),
    };
    let mut next = request.build().with_header("Expires", 3600);
    let credentials = Credentials { user: number.to_owned(), password: password.to_owned() };
    let mut digest = DigestClient::new(credentials);
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let id = sip.send_request(next.clone(), Destination::udp(registrar)).await?;
        let answer = loop {
            match events.recv().await.context("the stack ended")? {
                Event::Response { transaction, response, .. }
                    if transaction == id && response.status.is_final() =>
                {
                    break response;
                }
                Event::TimedOut { transaction } if transaction == id => {
                    anyhow::bail!("no answer to REGISTER")
                }
                _ => {}
            }
        };
        match answer.status.as_u16() {
            200 => break,
            401 => next = digest.retry(&next, &answer, &mut ids)?,
            // A site that has just started has its configuration in a moment.
            503 if Instant::now() < until => tokio::time::sleep(Duration::from_millis(50)).await,
            status => anyhow::bail!("registering {number}: {status}"),
        }
    }
    drop((sip, events));
    // The stack's task lets the port go in a moment.
    let free = || async {
        std::net::TcpListener::bind(own_address)?;
        Ok(std::net::UdpSocket::bind(own_address).map(drop)?)
    };
    eventually("the port of the registration", Duration::from_secs(5), free).await
}
