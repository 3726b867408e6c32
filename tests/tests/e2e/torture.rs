//! Row 9: hostile and odd SIP through the live port; wrong passwords; RTP from a stranger.

use crate::fixture::Fixture;
use anyhow::{Context, Result, ensure};
use hindsight_sip::rfc4475::{self, Case};
use hindsight_tests::{
    console::media,
    phone::{Phone, PhoneConfig},
    process::project_root,
    scenario::{AGENT_DN, CUSTOMER_DN, talk},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{net::UdpSocket, time::timeout};

/// How long an answer may take; silence is believed only after the server has answered a question sent later.
const ANSWER: Duration = Duration::from_secs(3);

/// Final status that comes back for a datagram, `None` for silence.
async fn answer_to(datagram: &[u8], server: SocketAddr, host: Ipv4Addr) -> Result<Option<u16>> {
    let port = rfc4475::reply_port(datagram);
    let socket = UdpSocket::bind((host, port)).await.with_context(|| format!("{host}:{port}"))?;
    socket.send_to(datagram, server).await?;
    alive(server, host).await?;
    let mut buffer = vec![0; 65_536];
    loop {
        let wait = Duration::from_millis(if alive_answered_before(datagram) {
            300
        } else {
            ANSWER.as_millis() as u64
        });
        let Ok(received) = timeout(wait, socket.recv_from(&mut buffer)).await else { return Ok(None) };
        let (length, _) = received?;
        // A refusal of an earlier INVITE is repeated until its ACK, which never comes.
        if !rfc4475::is_answer(datagram, &buffer[..length]) {
            continue;
        }
        let line = String::from_utf8_lossy(&buffer[..length.min(60)]).into_owned();
        let status = line
            .strip_prefix("SIP/2.0 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse::<u16>().ok());
        match status {
            Some(status) if status >= 200 => return Ok(Some(status)),
            _ => continue,
        }
    }
}

/// A response gets no response: for those a short wait after the server's answer to a later question is enough.
fn alive_answered_before(datagram: &[u8]) -> bool {
    datagram.starts_with(b"SIP/")
}

/// The server answers an OPTIONS: it neither fell nor hangs.
async fn alive(server: SocketAddr, host: Ipv4Addr) -> Result<()> {
    let socket = UdpSocket::bind((host, 0)).await?;
    let (address, id) = (socket.local_addr()?, uuid::Uuid::new_v4().simple().to_string());
    let options = format!(
        "OPTIONS sip:{server} SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch=z9hG4bK{id};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:probe@{address}>;tag={id}\r\nTo: <sip:{server}>\r\nCall-ID: {id}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let mut buffer = vec![0; 65_536];
    for _ in 0..3 {
        socket.send_to(options.as_bytes(), server).await?;
        if let Ok(received) = timeout(ANSWER, socket.recv_from(&mut buffer)).await {
            ensure!(buffer[..received?.0].starts_with(b"SIP/2.0 "), "not SIP");
            return Ok(());
        }
    }
    anyhow::bail!("the server does not answer OPTIONS any more")
}

async fn judge_all(cases: &[Case], vectors: &Path, server: SocketAddr, host: Ipv4Addr) -> Result<usize> {
    let mut wrong = Vec::new();
    for case in cases {
        let datagram = std::fs::read(vectors.join(format!("{}.dat", case.name)))?;
        let status = answer_to(&datagram, server, host).await.with_context(|| case.name.clone())?;
        println!(
            "{:12} {:8} {}",
            case.name,
            case.verdict,
            status.map_or("silence".to_owned(), |s| s.to_string())
        );
        if !case.live.allows(status) {
            wrong.push(format!("{}: {status:?}, allowed {:?}", case.name, case.live));
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(cases.len())
}

#[tokio::test]
async fn every_torture_message_is_judged_right_through_the_live_port() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start().await?;
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, f.scenario.site.ports.sip));
    let ours = project_root().join("tests/vectors/rfc4475");
    let cases = rfc4475::cases(&ours.join("expectations.txt"))?;
    assert_eq!(cases.len(), 49);
    judge_all(&cases, &ours, server, Ipv4Addr::new(127, 0, 44, 1)).await.context("our own messages")?;
    let originals: PathBuf = project_root().join("../shared/rfc4475");
    if originals.is_dir() {
        judge_all(&cases, &originals, server, Ipv4Addr::new(127, 0, 44, 2)).await.context("the originals")?;
    } else {
        println!("the originals of RFC 4475 are not here: only our own messages were judged");
    }
    // After all that a call goes through as ever.
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    customer.hang_up().await?;
    agent.wait_for("CALL_CLOSED", Duration::from_secs(5)).await?;
    let log = f.scenario.site.program("server")?.log_text();
    assert!(!log.contains("panicked"), "{log}");
    f.scenario.site.stop().await
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_rtp_from_a_stranger_is_ignored() -> Result<()> {
    let mut f = Fixture::new("");
    f.scenario.site.start().await?;
    let registrar = f.scenario.site.registrar();
    let speech = f.dir().join("customer.wav");
    let guesser = PhoneConfig {
        dn: CUSTOMER_DN,
        password: "guessed",
        registrar: &registrar,
        authority: &f.scenario.site.authority_file(),
        speech: &speech,
        codec: "pcmu",
        media_encryption: "",
        auto_answer: true,
    };
    let mut guesser = Phone::start_unregistered(&f.dir().join("guesser"), &guesser).await?;
    guesser.program.wait_for_log("401 Unauthorized", Duration::from_secs(15)).await?;
    assert!(!guesser.program.log_text().contains("binding]"));
    drop(guesser);

    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    let stranger = std::net::UdpSocket::bind("127.0.0.3:0")?;
    let mut sent = 0u64;
    let ports = f.scenario.site.ports.rtp;
    let end = std::time::Instant::now() + Duration::from_secs(5);
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while std::time::Instant::now() < end {
        tick.tick().await;
        for port in (ports.0..ports.0 + 20).step_by(2) {
            let mut packet = vec![0x80, 0, (sent >> 8) as u8, sent as u8, 0, 0, 0, 0, 9, 9, 9, 9];
            packet[4..8].copy_from_slice(&((sent * 160) as u32).to_be_bytes());
            packet.extend([0x10; 160]);
            stranger.send_to(&packet, ("127.0.0.1", port))?;
        }
        sent += 1;
    }
    talk(Duration::from_secs(1)).await;
    customer.hang_up().await?;
    let console = f.console().await?;
    let call =
        console.wait_for(CUSTOMER_DN, Duration::from_secs(40), |call| call["voice"] == "complete").await?;
    let file = *media(&call, "voice").first().context("no voice")?;
    let wave = crate::call::wave_of(&console, file).await?;
    for (channel, speech) in [(0, "agent.wav"), (1, "customer.wav")] {
        let heard = crate::call::follows(&wave, channel, &f.dir().join(speech))?;
        println!("{speech} with {sent} foreign packets a port: {heard:?}");
        assert!(heard.coefficient >= 0.95);
    }
    assert_eq!(call["dialedPhoneNumber"], AGENT_DN);
    f.scenario.site.stop().await
}
