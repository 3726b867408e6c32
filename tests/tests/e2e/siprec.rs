//! Recording sessions (SIPREC) of a foreign client: sipp with bodies in the shapes of two vendors.

use crate::{call::wave_of, fixture::Fixture};
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::{Console, media},
    process::{Program, eventually, run},
    speech::{self, Wave},
};
use serde_json::Value;
use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tokio::net::UdpSocket;

/// Associations as elements of their own, the session description first (RFC 7865, RFC 7866).
const STANDARD: &str = "--frontier\r\nContent-Disposition: session;handling=required\r\nContent-Type: application/sdp\r\n\r\n\
SDP\r\n--frontier\r\nContent-Disposition: recording-session\r\nContent-Type: application/rs-metadata+xml\r\n\r\n\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<recording xmlns=\"urn:ietf:params:xml:ns:recording:1\">\r\n\
<datamode>complete</datamode>\r\n<session session_id=\"S1\"><start-time>2026-11-22T10:00:00Z</start-time></session>\r\n\
<participant participant_id=\"P1\"><nameID aor=\"sip:CALLER@pbx.test\"/></participant>\r\n\
<participantsessionassoc participant_id=\"P1\" session_id=\"S1\"/>\r\n\
<stream stream_id=\"M1\" session_id=\"S1\"><label>1</label></stream>\r\n\
<participant participant_id=\"P2\"><nameID aor=\"sip:CALLED@pbx.test\"><name xml:lang=\"en\">Ann</name></nameID></participant>\r\n\
<stream stream_id=\"M2\" session_id=\"S1\"><label>2</label></stream>\r\n\
<participantstreamassoc participant_id=\"P1\"><send>M1</send><recv>M2</recv></participantstreamassoc>\r\n\
<participantstreamassoc participant_id=\"P2\"><send>M2</send><recv>M1</recv></participantstreamassoc>\r\n\
</recording>\r\n--frontier--\r\n";

/// Associations inside the participants, the namespace before the RFC, metadata first, a blank line ahead.
const BEFORE_THE_RFC: &str = "\r\n--frontier\r\nContent-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n\r\n\
<?xml version='1.0' encoding='UTF-8'?>\r\n<recording xmlns='urn:ietf:params:xml:ns:recording'>\r\n\
<session id=\"S1\"/>\r\n\
<participant id=\"P2\" session=\"S1\"><nameID aor=\"sip:CALLED@pbx.test\"/><send>M2</send>\
<extensiondata xmlns:x=\"http://example.com/x\"><x:callingParty>false</x:callingParty></extensiondata></participant>\r\n\
<participant id=\"P1\" session=\"S1\"><nameID aor=\"sip:CALLER@pbx.test\"/><send>M1</send>\
<extensiondata xmlns:x=\"http://example.com/x\"><x:callingParty>true</x:callingParty></extensiondata></participant>\r\n\
<stream id=\"M1\" session=\"S1\"><label>1</label><mode>separate</mode></stream>\r\n\
<stream id=\"M2\" session=\"S1\"><label>2</label></stream>\r\n\
</recording>\r\n--frontier\r\nContent-Type: application/sdp\r\n\r\nSDP\r\n--frontier--\r\n";

/// Packets of 20 ms that each stream sends: less than the prompts hold, and than the session lasts.
const PACKETS: u16 = 300;

fn sdp(formats: &str, ports: [u16; 2]) -> String {
    format!(
        "v=0\r\no=client 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {} RTP/AVP {formats}\r\na=sendonly\r\na=label:1\r\n\
         m=audio {} RTP/AVP {formats}\r\na=sendonly\r\na=label:2\r\n",
        ports[0], ports[1]
    )
}

/// A sipp scenario with this body; `answered` is what comes after the final response.
fn scenario(body: &str, answer: u16, answered: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario name=\"recording client\">\n<send retrans=\"500\"><![CDATA[\n\
INVITE sip:recorder@[remote_ip]:[remote_port] SIP/2.0\n\
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n\
From: <sip:client@[local_ip]:[local_port]>;tag=[call_number]\n\
To: <sip:recorder@[remote_ip]:[remote_port]>\n\
Call-ID: [call_id]\nCSeq: 1 INVITE\nMax-Forwards: 70\n\
Contact: <sip:client@[local_ip]:[local_port]>;+sip.src\n\
Require: siprec\nAccept: application/sdp, application/rs-metadata-request\n\
Content-Type: multipart/mixed;boundary=frontier\nContent-Length: [len]\n\n{body}\n]]></send>\n\
<recv response=\"100\" optional=\"true\"/>\n<recv response=\"{answer}\" rrs=\"true\"/>\n{answered}\n</scenario>\n"
    )
}

const TALK_AND_HANG_UP: &str = "<send><![CDATA[\nACK [next_url] SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n[routes]\n\
From: <sip:client@[local_ip]:[local_port]>;tag=[call_number]\n[last_To:]\nCall-ID: [call_id]\nCSeq: 1 ACK\nMax-Forwards: 70\nContent-Length: 0\n\n]]></send>\n\
<pause milliseconds=\"8000\"/>\n<send retrans=\"500\"><![CDATA[\nBYE [next_url] SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n[routes]\n\
From: <sip:client@[local_ip]:[local_port]>;tag=[call_number]\n[last_To:]\nCall-ID: [call_id]\nCSeq: 2 BYE\nMax-Forwards: 70\nContent-Length: 0\n\n]]></send>\n\
<recv response=\"200\"/>";

const ACKNOWLEDGE: &str = "<send><![CDATA[\nACK sip:recorder@[remote_ip]:[remote_port] SIP/2.0\n[last_Via:]\n\
From: <sip:client@[local_ip]:[local_port]>;tag=[call_number]\n[last_To:]\nCall-ID: [call_id]\nCSeq: 1 ACK\nMax-Forwards: 70\nContent-Length: 0\n\n]]></send>";

/// Runs a scenario once; messages are in the file returned.
fn sipp(f: &Fixture, name: &str, scenario: &str) -> Result<(Program, PathBuf)> {
    let (file, messages) = (f.dir().join(format!("{name}.xml")), f.dir().join(format!("{name}.messages")));
    // sipp writes the line ends of the protocol itself.
    std::fs::write(&file, scenario.replace("\r\n", "\n"))?;
    let mut command = Command::new("sipp");
    command
        .arg(format!("127.0.0.1:{}", f.scenario.site.ports.resource_manager))
        .args(["-i", "127.0.0.1", "-m", "1", "-nostdin", "-timeout", "40s", "-timeout_error", "-trace_msg"])
        .arg("-message_file")
        .arg(&messages)
        .arg("-sf")
        .arg(&file);
    Ok((Program::spawn(name, &mut command, &f.dir().join(format!("{name}.log")))?, messages))
}

/// The media ports of the answer, once it is there.
async fn answered_ports(messages: &Path) -> Result<[SocketAddr; 2]> {
    eventually("the answer to the recording session", Duration::from_secs(20), || async {
        let text = std::fs::read_to_string(messages)?;
        let answer = text.rsplit_once("SIP/2.0 200").context("no answer yet")?.1;
        let ports = answer.lines().filter_map(|line| line.strip_prefix("m=audio ")?.split(' ').next());
        let ports: Vec<u16> = ports.filter_map(|port| port.parse().ok()).collect();
        ensure!(ports.len() == 2, "{ports:?}");
        Ok([ports[0], ports[1]].map(|port| SocketAddr::from(([127, 0, 0, 1], port))))
    })
    .await
}

/// µ-law of a WAV, as a client has it from its call.
fn mu_law(wav: &Path) -> Result<Vec<u8>> {
    run(Command::new("ffmpeg").args(["-loglevel", "error", "-i"]).arg(wav).args(["-f", "mulaw", "-"]))
}

/// Both streams at the pace of speech, for so many packets of 20 ms.
async fn speak(
    sources: &[UdpSocket; 2],
    voices: &[Vec<u8>; 2],
    to: [SocketAddr; 2],
    count: u16,
) -> Result<()> {
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    for n in 0..count {
        clock.tick().await;
        for (stream, voice) in voices.iter().enumerate() {
            let at = usize::from(n) * 160 % (voice.len() / 160 * 160);
            let mut packet = vec![0x80, 0];
            packet.write_all(&n.to_be_bytes())?;
            packet.write_all(&(u32::from(n) * 160).to_be_bytes())?;
            packet.write_all(&(stream as u32 + 77).to_be_bytes())?;
            packet.write_all(&voice[at..at + 160])?;
            sources[stream].send_to(&packet, to[stream]).await?;
        }
    }
    Ok(())
}

async fn wait_for(console: &Console, number: &str, what: &str) -> Result<Value> {
    console.wait_for(number, Duration::from_secs(40), |call| call["voice"] == what).await
}

#[tokio::test]
async fn a_foreign_clients_recording_session_is_recorded_found_and_replayed_or_refused_by_name() -> Result<()>
{
    let mut f = Fixture::new("");
    let settings = f.scenario.site.data().join("hindsight.toml");
    let before = std::fs::read_to_string(&settings)?;
    ensure!(!before.contains("[resource-manager]"), "{before}");
    std::fs::write(
        &settings,
        format!("{before}\n[resource-manager]\nrecording_clients = [\"127.0.0.1\"]\n"),
    )?;
    f.scenario.site.start().await?;
    let console = f.console().await?;
    let wavs = ["customer.wav", "agent.wav"].map(|name| f.dir().join(name));
    let voices = [mu_law(&wavs[0])?, mu_law(&wavs[1])?];
    for (name, shape, caller) in [("standard", STANDARD, "5551"), ("before-the-rfc", BEFORE_THE_RFC, "5552")]
    {
        let sources = [UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?];
        let ports = [sources[0].local_addr()?.port(), sources[1].local_addr()?.port()];
        // The called party has a DN of this site: it is the agent.
        let body =
            shape.replace("SDP\r\n", &sdp("0", ports)).replace("CALLER", caller).replace("CALLED", "1001");
        let (mut client, messages) = sipp(&f, name, &scenario(&body, 200, TALK_AND_HANG_UP))?;
        speak(&sources, &voices, answered_ports(&messages).await?, PACKETS).await?;
        let ended = client.wait(Duration::from_secs(30)).await?;
        ensure!(ended.success(), "{name}: sipp ended with {ended}: {}", client.log_text());
        let call = wait_for(&console, caller, "complete").await?;
        assert_eq!(
            (call["callerPhoneNumber"].as_str(), call["dialedPhoneNumber"].as_str()),
            (Some(caller), Some("1001"))
        );
        let wave = wave_of(&console, media(&call, "voice").first().context("a voice recording")?).await?;
        for (channel, wav) in [(1, &wavs[0]), (0, &wavs[1])] {
            let played = Wave::read(wav)?;
            let spoken = &played.channels[0][..usize::from(PACKETS) * 160];
            let found = speech::find(spoken, wave.channels.get(channel).context("a track")?);
            println!("{name}: channel {channel} {found:?}, {:.2} s", wave.seconds());
            assert!(found.coefficient >= 0.95, "{name}: channel {channel} is not its party's voice");
        }
    }
    // G.729 cannot be recorded: refused, and listed with the reason.
    let body = STANDARD
        .replace("SDP\r\n", &sdp("18", [40_000, 40_002]))
        .replace("CALLER", "5553")
        .replace("CALLED", "1001");
    let (mut client, _) = sipp(&f, "refused", &scenario(&body, 488, ACKNOWLEDGE))?;
    let ended = client.wait(Duration::from_secs(30)).await?;
    ensure!(ended.success(), "sipp ended with {ended}: {}", client.log_text());
    let refused = console.wait_for("5553", Duration::from_secs(20), |call| call["state"] == "ended").await?;
    let told = refused.to_string();
    assert!(told.contains("no audio line in G.711, G.722 or Opus"), "{refused:#}");
    f.scenario.site.stop().await
}
