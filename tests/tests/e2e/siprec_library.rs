//! A second recording client: sessions on an independent SIP library (rsipstack), several at once, of one and two streams,
//! in G.711 and Opus; and what it is refused.

use crate::{call::wave_of, fixture::Fixture};
use anyhow::{Context, Result, ensure};
use hindsight_tests::{
    console::media,
    speech::{self, Wave},
};
use opusic_c::{Application, Bitrate, Channels, Encoder, SampleRate};
use rsipstack::{
    EndpointBuilder,
    dialog::{DialogId, dialog_layer::DialogLayer, invitation::InviteOption, invite_dialog::InviteDialog},
    sip::{Header, Response, Uri},
    transport::{TransportLayer, udp::UdpConnection},
};
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

/// Packets of 20 ms that each stream sends.
const PACKETS: u16 = 300;
/// Samples of one, 8 kHz.
const SAMPLES: usize = 160;
const MULTIPART: &str = "multipart/mixed;boundary=unique-1";
const CALLED: &str = "1001";

#[derive(Clone, Copy, PartialEq)]
enum Codec {
    Pcma,
    Opus,
}

impl Codec {
    fn line(self) -> &'static str {
        match self {
            Self::Pcma => "RTP/AVP 8\r\na=rtpmap:8 PCMA/8000",
            Self::Opus => "RTP/AVP 111\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1",
        }
    }

    /// Speech as payloads of 20 ms.
    fn payloads(self, speech: &[f32]) -> Result<Vec<Vec<u8>>> {
        let failed = |error| anyhow::anyhow!("Opus: {error:?}");
        let mut encoder =
            Encoder::new(Channels::Mono, SampleRate::Hz8000, Application::Audio).map_err(failed)?;
        encoder.set_bitrate(Bitrate::Value(64_000)).map_err(failed)?;
        let frames = speech.chunks_exact(SAMPLES).take(PACKETS.into());
        frames
            .map(|frame| match self {
                Self::Pcma => Ok(frame.iter().map(|sample| a_law((sample * 32767.0) as i16)).collect()),
                Self::Opus => {
                    let mut packet = vec![0; 1275];
                    let length = encoder.encode_float_to_slice(frame, &mut packet).map_err(failed)?;
                    packet.truncate(length);
                    Ok(packet)
                }
            })
            .collect()
    }
}

/// ITU-T G.711.
fn a_law(sample: i16) -> u8 {
    let (sign, magnitude) = if sample >= 0 { (0x80, sample >> 3) } else { (0, (-(sample + 1)) >> 3) };
    let magnitude = magnitude as u16;
    let exponent = (u16::BITS - 5).saturating_sub(magnitude.leading_zeros());
    let mantissa = if exponent == 0 { magnitude >> 1 } else { magnitude >> exponent } & 0x0f;
    (sign | (exponent as u8) << 4 | mantissa as u8) ^ 0x55
}

/// The other system: one endpoint of the library.
struct Client {
    dialogs: DialogLayer,
    address: SocketAddr,
    server: SocketAddr,
    running: CancellationToken,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.running.cancel();
    }
}

impl Client {
    async fn start(server: SocketAddr) -> Result<Self> {
        let running = CancellationToken::new();
        let transports = TransportLayer::new(running.clone());
        let local = "127.0.0.1:0".parse()?;
        let udp = UdpConnection::create_connection(local, None, Some(running.child_token())).await?;
        let address = udp.get_addr().get_socketaddr()?;
        transports.add_transport(udp.into());
        let endpoint = EndpointBuilder::new()
            .with_cancel_token(running.clone())
            .with_transport_layer(transports)
            .with_user_agent("recording client")
            .build();
        let dialogs = DialogLayer::new(endpoint.inner.clone());
        tokio::spawn(async move { endpoint.serve().await });
        Ok(Self { dialogs, address, server, running })
    }

    /// Asks for a recording session of a call of `caller`.
    async fn invite(&self, caller: &str, body: String) -> Result<(InviteDialog, Response)> {
        let uri = |text: String| Uri::try_from(text.as_str()).context(text);
        let (states, mut changes) = self.dialogs.new_dialog_state_channel();
        tokio::spawn(async move { while changes.recv().await.is_some() {} });
        let option = InviteOption {
            caller: uri(format!("sip:{caller}@{}", self.address))?,
            callee: uri(format!("sip:{CALLED}@{}", self.server))?,
            contact: uri(format!("sip:recorder@{}", self.address))?,
            content_type: Some(MULTIPART.to_owned()),
            offer: Some(body.into_bytes()),
            headers: Some(vec![Header::Other("Require".to_owned(), "siprec".to_owned())]),
            ..InviteOption::default()
        };
        let (dialog, response) = self.dialogs.do_invite(option, states).await?;
        Ok((dialog, response.context("no answer")?))
    }

    fn forget(&self, id: &DialogId) {
        self.dialogs.remove_dialog(id);
    }
}

fn body(sdp: &str, metadata: &str) -> String {
    format!(
        "--unique-1\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--unique-1\r\nContent-Type: application/rs-metadata+xml\r\n\
         Content-Disposition: recording-session\r\n\r\n{metadata}\r\n--unique-1--\r\n"
    )
}

/// Two people, who speak on a stream each or both on the only one.
fn metadata(caller: &str, streams: usize) -> String {
    let second = if streams == 2 { "TWO" } else { "ONE" };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<rs:recording xmlns:rs=\"urn:ietf:params:xml:ns:recording:1\">\r\n\
         <rs:datamode>complete</rs:datamode><rs:session session_id=\"S\"/>\r\n\
         <rs:participant participant_id=\"A\"><rs:nameID aor=\"tel:{caller}\"/></rs:participant>\r\n\
         <rs:participant participant_id=\"B\"><rs:nameID aor=\"sip:{CALLED}@pbx.test\"/></rs:participant>\r\n\
         <rs:stream stream_id=\"ONE\" session_id=\"S\"><rs:label>left</rs:label></rs:stream>\r\n\
         <rs:stream stream_id=\"TWO\" session_id=\"S\"><rs:label>right</rs:label></rs:stream>\r\n\
         <rs:participantstreamassoc participant_id=\"A\"><rs:send>ONE</rs:send></rs:participantstreamassoc>\r\n\
         <rs:participantstreamassoc participant_id=\"B\"><rs:send>{second}</rs:send></rs:participantstreamassoc>\r\n\
         </rs:recording>"
    )
}

fn sdp(line: &str, ports: &[u16], version: u8) -> String {
    let mut sdp =
        format!("v=0\r\no=- 7 {version} IN IP4 127.0.0.1\r\ns=call\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n");
    for (port, label) in ports.iter().zip(["left", "right"]) {
        let (profile, rest) = line.split_once("\r\n").unwrap_or((line, "a=ptime:20"));
        sdp += &format!("m=audio {port} {profile}\r\n{rest}\r\na=sendonly\r\na=label:{label}\r\n");
    }
    sdp
}

fn media_addresses(answer: &Response) -> Result<Vec<SocketAddr>> {
    let text = std::str::from_utf8(&answer.body)?;
    let ports = text.lines().filter_map(|line| line.strip_prefix("m=audio ")?.split(' ').next());
    ports.map(|port| Ok(SocketAddr::from(([127, 0, 0, 1], port.parse()?)))).collect()
}

/// Speaks some packets of each stream at their pace.
async fn speak(
    streams: &[(UdpSocket, Vec<Vec<u8>>)],
    to: &[SocketAddr],
    codec: Codec,
    clock: &mut tokio::time::Interval,
    span: std::ops::Range<u16>,
) -> Result<()> {
    let (payload_type, ticks) = match codec {
        Codec::Pcma => (8, 160),
        Codec::Opus => (111, 960),
    };
    for n in span {
        clock.tick().await;
        for (at, ((socket, payloads), to)) in streams.iter().zip(to).enumerate() {
            let mut packet = vec![0x80, payload_type];
            packet.extend(n.to_be_bytes());
            packet.extend((u32::from(n) * ticks).to_be_bytes());
            packet.extend((at as u32 + 501).to_be_bytes());
            packet.extend(payloads.get(usize::from(n)).context("more speech")?);
            socket.send_to(&packet, to).await?;
        }
    }
    Ok(())
}

/// One session from its INVITE to its BYE; a participant joins in the middle.
async fn session(client: &Client, caller: &str, codec: Codec, voices: Vec<Vec<f32>>) -> Result<()> {
    let mut streams = Vec::new();
    for voice in &voices {
        streams.push((UdpSocket::bind("127.0.0.1:0").await?, codec.payloads(voice)?));
    }
    let ports: Vec<u16> =
        streams.iter().filter_map(|(socket, _)| Some(socket.local_addr().ok()?.port())).collect();
    let (dialog, answer) =
        client.invite(caller, body(&sdp(codec.line(), &ports, 1), &metadata(caller, ports.len()))).await?;
    ensure!(answer.status_code.code() == 200, "{caller}: {}", answer.status_code);
    let to = media_addresses(&answer)?;
    ensure!(to.len() == ports.len(), "{caller}: {to:?}");
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    speak(&streams, &to, codec, &mut clock, 0..PACKETS / 2).await?;
    let joins = format!(
        "<recording xmlns=\"urn:ietf:params:xml:ns:recording:1\"><datamode>partial</datamode>\
         <participant participant_id=\"C\"><nameID aor=\"sip:{caller}9@pbx.test\"/></participant></recording>"
    );
    let update = body(&sdp(codec.line(), &ports, 2), &joins);
    let headers = vec![Header::ContentType(MULTIPART.into())];
    let (changed, spoken) = tokio::join!(
        dialog.reinvite(Some(headers), Some(update.into_bytes())),
        speak(&streams, &to, codec, &mut clock, PACKETS / 2..PACKETS),
    );
    spoken?;
    let changed = changed?.context("no answer to the re-INVITE")?;
    ensure!(changed.status_code.code() == 200, "{caller}: re-INVITE: {}", changed.status_code);
    dialog.bye().await?;
    client.forget(&dialog.id());
    Ok(())
}

#[tokio::test]
async fn a_client_on_an_independent_library_is_recorded_in_every_shape_or_refused_by_name() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario
        .site
        .settings
        .push(("RESOURCE_MANAGER__RECORDING_CLIENTS".to_owned(), "[\"127.0.0.1\"]".to_owned()));
    f.scenario.site.start().await?;
    let console = f.console().await?;
    let wavs: Vec<PathBuf> = ["customer.wav", "agent.wav"].iter().map(|name| f.dir().join(name)).collect();
    let spoken = |wav: &PathBuf| -> Result<Vec<f32>> {
        let length = usize::from(PACKETS) * SAMPLES;
        Ok(speech::repeated(&Wave::read(wav)?.channels[0], length))
    };
    let voices = [spoken(&wavs[0])?, spoken(&wavs[1])?];
    let server = SocketAddr::from(([127, 0, 0, 1], f.scenario.site.ports.resource_manager));
    let client = Arc::new(Client::start(server).await?);

    let shapes = [
        ("5561", Codec::Pcma, 1),
        ("5562", Codec::Pcma, 2),
        ("5563", Codec::Opus, 1),
        ("5564", Codec::Opus, 2),
    ];
    // All at once: several sessions of one client do not disturb each other.
    let mut running = tokio::task::JoinSet::new();
    for (caller, codec, streams) in shapes {
        let (client, voices) = (client.clone(), voices[..streams].to_vec());
        running.spawn(async move { session(&client, caller, codec, voices).await });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    for (caller, codec, streams) in shapes {
        let call =
            console.wait_for(caller, Duration::from_secs(40), |call| call["voice"] == "complete").await?;
        let history = call["eventHistory"].to_string();
        ensure!(history.contains(&format!("now speaking: {caller}, {CALLED}, {caller}9")), "{history}");
        let files = media(&call, "voice");
        ensure!(files.len() == 1, "{call:#}");
        let quality = files[0]["quality"].as_array().context("quality")?;
        ensure!(quality.len() == streams && quality.iter().all(|track| track["lost"] == 0), "{quality:?}");
        let wave = wave_of(&console, files[0]).await?.narrowed();
        // The called party has a DN here: its voice is on the left; so is the only stream, which is of both.
        let channels = if streams == 1 { vec![(0, 0)] } else { vec![(1, 0), (0, 1)] };
        for (channel, voice) in channels {
            let found = speech::find(&voices[voice], wave.channels.get(channel).context("a track")?);
            println!("{caller} {} × {streams}: channel {channel} {found:?}", codec.line());
            ensure!(found.coefficient >= 0.95, "{caller}: channel {channel} is not its party's voice");
        }
    }

    let g729 = body(&sdp("RTP/AVP 18", &[40_000, 40_002], 1), &metadata("5565", 2));
    let good = sdp(Codec::Pcma.line(), &[40_000, 40_002], 1);
    let cut = metadata("5566", 2).replace("</rs:recording>", "");
    for (caller, body, status, reason) in [
        ("5565", g729, 488, "G.711, G.722 or Opus"),
        ("5566", body(&good, &cut), 400, "metadata not readable"),
        ("5567", body(&good, "<recording/>"), 400, "metadata names no stream"),
    ] {
        let (_, answer) = client.invite(caller, body).await?;
        ensure!(answer.status_code.code() == status, "{caller}: {}", answer.status_code);
        let call = console.wait_for(caller, Duration::from_secs(20), |call| call["state"] == "ended").await?;
        let history = call["eventHistory"].as_array().context("eventHistory")?;
        let failed = history.iter().find(|event| event["type"] == "recording-failed");
        let text = failed.and_then(|event| event["text"].as_str()).unwrap_or_default();
        ensure!(text.contains(reason), "{caller}: {call:#}");
        ensure!(media(&call, "voice").is_empty(), "{caller}: something was recorded");
        println!("{caller}: {status}, {text}");
    }
    drop(client);
    f.scenario.site.stop().await
}
