//! Floods and guesses from other addresses: a recorded call, its recording and its phones' registrations go on untouched,
//! who offends is limited, and it is counted.

use crate::{
    call::{follows, wave_of},
    fixture::Fixture,
};
use anyhow::{Context, Result, ensure};
use hindsight_sip::{
    Destination, Event, Ids, Method, NameAddr, NewRequest, Request, Response, SipConfig, SipHandle, SipStack,
    SipUri,
    digest::{Credentials, DigestClient},
};
use hindsight_tests::{
    console::media,
    process::eventually,
    scenario::{AGENT_DN, CUSTOMER_DN, talk},
    site::Site,
};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream, UdpSocket},
    sync::mpsc,
    time::timeout,
};

const ANSWER: Duration = Duration::from_secs(10);
/// Requests of each flood.
const FLOOD: u32 = 4000;
/// What the site is told to allow: little, so that floods need not be large.
const BURST: u64 = 60;
const CONNECTIONS: usize = 8;
const WRONG: usize = 5;
const SETTINGS: [(&str, &str); 6] = [
    ("TRUSTED", "[]"),
    ("REQUESTS_PER_SECOND", "20"),
    ("REQUESTS_BURST", "60"),
    ("CONNECTIONS_PER_ADDRESS", "8"),
    ("MESSAGE_SECONDS", "2"),
    ("WRONG_PASSWORDS", "5"),
];

/// Somebody with a SIP stack at an address of this host.
struct Somebody {
    sip: SipHandle,
    events: mpsc::Receiver<Event>,
    ids: Ids,
    server: SocketAddr,
}

impl Somebody {
    async fn at(address: [u8; 4], server: SocketAddr) -> Result<Self> {
        let (sip, events) = SipStack::bind(SipConfig::new((address, 0).into())).await?;
        Ok(Self { sip, events, ids: Ids::from_os(), server })
    }

    /// A REGISTER that asks which contacts there are.
    fn query(&mut self, number: &str) -> Request {
        let own = NameAddr::new(SipUri::with_user(number, self.server.into()));
        NewRequest {
            method: Method::Register,
            target: SipUri::new(self.server.into()).into(),
            from: own.clone(),
            from_tag: self.ids.tag(),
            to: own,
            call_id: self.ids.call_id(),
            cseq: self.ids.cseq(),
            contact: None,
        }
        .build()
    }

    async fn ask(&mut self, request: Request) -> Result<Response> {
        let id = self.sip.send_request(request, Destination::udp(self.server)).await?;
        let answered = async {
            loop {
                match self.events.recv().await.context("the stack ended")? {
                    Event::Response { transaction, response, .. }
                        if transaction == id && response.status.is_final() =>
                    {
                        return Ok(response);
                    }
                    Event::TimedOut { transaction } if transaction == id => anyhow::bail!("no answer"),
                    _ => {}
                }
            }
        };
        timeout(ANSWER, answered).await.context("no answer in time")?
    }

    /// The answer to a query with this password.
    async fn query_with(&mut self, number: &str, password: &str) -> Result<Response> {
        let query = self.query(number);
        let challenge = self.ask(query.clone()).await?;
        ensure!(challenge.status.as_u16() == 401, "{} to a question", challenge.status);
        let credentials = Credentials { user: number.to_owned(), password: password.to_owned() };
        let next = DigestClient::new(credentials).retry(&query, &challenge, &mut self.ids)?;
        self.ask(next).await
    }

    /// Both phones are registered still.
    async fn ensure_registered(&mut self, f: &Fixture) -> Result<()> {
        let secrets = &f.scenario.secrets;
        for (number, password) in [(AGENT_DN, &secrets.agent_phone), (CUSTOMER_DN, &secrets.customer_phone)] {
            let answer = self.query_with(number, password).await?;
            ensure!(answer.status.as_u16() == 200, "{number}: {} {}", answer.status, answer.reason);
            ensure!(answer.headers.has("Contact"), "{number} is not registered any more");
        }
        Ok(())
    }
}

/// Many requests of one kind as fast as they go; how often each status came back.
async fn flood(address: [u8; 4], server: SocketAddr, method: &str) -> Result<BTreeMap<String, u32>> {
    let socket = UdpSocket::bind((Ipv4Addr::from(address), 0)).await?;
    let (local, mut statuses) = (socket.local_addr()?, BTreeMap::new());
    let mut buffer = vec![0; 65_536];
    for n in 0..FLOOD {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let message = format!(
            "{method} sip:{AGENT_DN}@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{id};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{n}@{server}>;tag={id}\r\nTo: <sip:{n}@{server}>\r\nCall-ID: {id}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:{n}@{local}>\r\nContent-Length: 0\r\n\r\n"
        );
        socket.send_to(message.as_bytes(), server).await?;
        // A little air: what the kernel drops never reaches the server, and would prove nothing.
        if n % 50 == 49 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        while let Ok(count) = socket.try_recv(&mut buffer) {
            let status = String::from_utf8_lossy(&buffer[..count]).chars().skip(8).take(3).collect();
            *statuses.entry(status).or_insert(0) += 1;
        }
    }
    Ok(statuses)
}

async fn connect(address: [u8; 4], server: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((address, 0).into())?;
    Ok(socket.connect(server).await?)
}

/// What comes until the connection is closed.
async fn until_closed(stream: &mut TcpStream) -> Result<String> {
    let mut text = Vec::new();
    match timeout(ANSWER, stream.read_to_end(&mut text)).await.context("never closed")? {
        Ok(_) => {}
        // What was sent after the close comes back as a reset.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => return Err(error.into()),
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

const HEAD: &str = "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.88;branch=z9hG4bKdrip\r\nFrom: <sip:a@h>;tag=1\r\n\
    To: <sip:b@h>\r\nCall-ID: drip\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n";

/// Too long by its own word, and too long without an end.
async fn oversized(server: SocketAddr) -> Result<()> {
    let mut stream = connect([127, 0, 0, 87], server).await?;
    stream.write_all(format!("{HEAD}Content-Length: 99999999\r\n\r\n").as_bytes()).await?;
    let answer = until_closed(&mut stream).await?;
    ensure!(answer.starts_with("SIP/2.0 513 "), "{answer}");
    let mut stream = connect([127, 0, 0, 87], server).await?;
    let endless = vec![b'a'; 1 << 20];
    // The server closes in the middle of it.
    let _ = timeout(ANSWER, stream.write_all(&endless)).await.context("the server takes everything")?;
    until_closed(&mut stream).await.map(drop)
}

/// More connections than one address may have, each with a message that never ends.
async fn slow_drip(server: SocketAddr) -> Result<()> {
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS + 12 {
        let mut stream = connect([127, 0, 0, 88], server).await?;
        let _ = stream.write_all(HEAD.as_bytes()).await;
        streams.push(stream);
    }
    let (mut open, mut drips) = (streams.len(), 0);
    while open > 0 {
        ensure!(drips < 100, "{open} connections are still open after {drips} drips");
        tokio::time::sleep(Duration::from_millis(200)).await;
        drips += 1;
        open = 0;
        for stream in &mut streams {
            let _ = stream.try_write(b"X");
            let mut byte = [0];
            let closed = match stream.try_read(&mut byte) {
                Ok(0) => true,
                Ok(_) => false,
                Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
            };
            open += usize::from(!closed);
        }
    }
    println!("all {} connections were closed after {:.1} s", streams.len(), f64::from(drips) * 0.2);
    Ok(())
}

/// Guesses an agent's password until the account is locked for this address; then even the right one does not help.
async fn guess(server: SocketAddr, right: &str) -> Result<()> {
    let mut guesser = Somebody::at([127, 0, 0, 77], server).await?;
    for n in 0..WRONG {
        let answer = guesser.query_with(AGENT_DN, &format!("guess-{n}")).await?;
        ensure!(answer.status.as_u16() == 401, "guess {n}: {}", answer.status);
    }
    for password in ["one more", right] {
        let answer = guesser.query_with(AGENT_DN, password).await?;
        ensure!(answer.status.as_u16() == 403 && answer.headers.has("Retry-After"), "{}", answer.status);
    }
    Ok(())
}

async fn turned_away(site: &Site) -> Result<BTreeMap<String, u64>> {
    let text = site.http()?.get(format!("{}/metrics", site.url())).send().await?.text().await?;
    let counts = text.lines().filter_map(|line| {
        let (reason, count) =
            line.strip_prefix("hindsight_sip_turned_away_total{reason=\"")?.split_once("\"} ")?;
        Some((reason.to_owned(), count.parse::<f64>().ok()? as u64))
    });
    Ok(counts.collect())
}

#[tokio::test]
async fn floods_and_guesses_touch_no_other_call_and_are_limited_and_counted() -> Result<()> {
    let mut f = Fixture::new("");
    for (name, value) in SETTINGS {
        f.scenario.site.settings.push((format!("SIP_SERVER__{name}"), value.to_owned()));
    }
    f.scenario.site.start().await?;
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, f.scenario.site.ports.sip));
    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(1)).await;
    let mut neighbour = Somebody::at([127, 0, 0, 1], server).await?;

    for (address, method) in [([127, 0, 0, 66], "REGISTER"), ([127, 0, 0, 67], "INVITE")] {
        let (statuses, registered) =
            tokio::join!(flood(address, server, method), neighbour.ensure_registered(&f));
        registered.with_context(|| format!("during the flood of {method}"))?;
        let statuses = statuses?;
        println!("{method} × {FLOOD}: {statuses:?}");
        ensure!(statuses.get("503").is_some_and(|count| *count > 100), "{statuses:?}");
        neighbour.ensure_registered(&f).await?;
    }
    let right = f.scenario.secrets.agent_phone.clone();
    let (guessed, registered) = tokio::join!(guess(server, &right), neighbour.ensure_registered(&f));
    guessed.and(registered).context("guesses")?;
    neighbour.ensure_registered(&f).await.context("the agent is not locked out by a stranger")?;
    let (sent, registered) = tokio::join!(oversized(server), neighbour.ensure_registered(&f));
    sent.and(registered).context("oversized")?;
    let (dripped, registered) = tokio::join!(slow_drip(server), neighbour.ensure_registered(&f));
    dripped.and(registered).context("slow drip")?;

    talk(Duration::from_secs(1)).await;
    customer.hang_up().await?;
    agent.wait_for("CALL_CLOSED", Duration::from_secs(5)).await?;
    let console = f.console().await?;
    let call =
        console.wait_for(CUSTOMER_DN, Duration::from_secs(40), |call| call["voice"] == "complete").await?;
    let file = *media(&call, "voice").first().context("no voice")?;
    let quality = file["quality"].as_array().context("quality")?;
    ensure!(quality.iter().all(|track| track["lost"] == 0 && track["state"] == "ok"), "{quality:?}");
    let wave = wave_of(&console, file).await?;
    for (channel, speech) in [(0, "agent.wav"), (1, "customer.wav")] {
        let heard = follows(&wave, channel, &f.dir().join(speech))?;
        println!("{speech}: {heard:?} of {:.1} s", wave.seconds());
        ensure!(heard.coefficient >= 0.95, "{speech}: {heard:?}");
    }

    // Both kinds of flood, less what every bucket holds and what comes back while they last.
    let least = u64::from(FLOOD) - 4 * BURST;
    let counts = eventually("the counts", Duration::from_secs(10), || async {
        let counts = turned_away(&f.scenario.site).await?;
        let of = |reason: &str| counts.get(reason).copied().unwrap_or(0);
        ensure!(of("over-limit") >= least, "{counts:?}");
        ensure!(of("wrong-password") >= WRONG as u64, "{counts:?}");
        ensure!(of("lock-out") == 1 && of("locked-out") >= 2, "{counts:?}");
        ensure!(of("too-large") >= 2 && of("slow") >= CONNECTIONS as u64, "{counts:?}");
        ensure!(of("connections") >= 12, "{counts:?}");
        Ok(counts)
    })
    .await?;
    println!("turned away: {counts:?}");
    // Nobody has to register anew to be called.
    f.scenario.call(&mut customer, &mut agent).await.context("a call after all that")?;
    customer.hang_up().await?;
    f.scenario.site.stop().await
}
