//! A phone that does exactly what a test tells it: its descriptions, its packets, its requests.

use crate::process::eventually;
use anyhow::{Context, Result, ensure};
use hindsight_sip::{
    ClientTransactionId, Destination, Dialog, DialogId, Event, Ids, Method, NameAddr, NewRequest, Request,
    Response, ServerTransactionId, SipConfig, SipHandle, SipMessage as _, SipStack, SipUri, StatusCode,
    digest::{Credentials, DigestClient},
};
use std::{
    collections::HashMap,
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

const LIMIT: Duration = Duration::from_secs(15);
/// Samples of a packet of G.711, and how long it lasts.
pub const SAMPLES: usize = 160;
pub const PERIOD: Duration = Duration::from_millis(20);

/// What the phone describes from now on.
#[derive(Clone, Debug)]
pub struct Media {
    /// Payload types with their `rtpmap`, most wanted first.
    pub formats: Vec<(u8, &'static str)>,
    /// Value of `a=crypto`; absent: plain.
    pub crypto: Option<String>,
    pub direction: &'static str,
}

impl Media {
    /// G.711 µ-law and telephone events.
    pub fn pcmu() -> Self {
        let formats = vec![(0, "PCMU/8000"), (101, "telephone-event/8000")];
        Self { formats, crypto: None, direction: "sendrecv" }
    }

    fn describe(&self, port: u16, offered: Option<&str>, version: u32) -> Vec<u8> {
        let asked: Option<Vec<u8>> = offered.and_then(|offer| {
            let line = offer.lines().find_map(|line| line.strip_prefix("m=audio "))?;
            Some(line.split(' ').skip(2).filter_map(|format| format.trim().parse().ok()).collect())
        });
        let formats: Vec<_> = self
            .formats
            .iter()
            .filter(|(pt, _)| asked.as_ref().is_none_or(|asked| asked.contains(pt)))
            .collect();
        let crypto = self.crypto.as_ref().filter(|_| offered.is_none_or(|offer| offer.contains("a=crypto:")));
        let protected = offered.map_or(crypto.is_some(), |offer| offer.contains("RTP/SAVP"));
        let profile = if protected { "RTP/SAVP" } else { "RTP/AVP" };
        let mut body = format!(
            "v=0\r\no=- 1 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} {profile}"
        );
        for (payload_type, _) in &formats {
            let _ = write!(body, " {payload_type}");
        }
        body += "\r\n";
        for (payload_type, name) in &formats {
            let _ = write!(body, "a=rtpmap:{payload_type} {name}\r\n");
        }
        if let Some(crypto) = crypto {
            let _ = write!(body, "a=crypto:{crypto}\r\n");
        }
        // An answer to who does not listen does not speak, and the other way round.
        let held =
            |way: &str| offered.is_some_and(|offer| offer.lines().any(|line| line == format!("a={way}")));
        let direction = match self.direction {
            "sendrecv" if held("sendonly") => "recvonly",
            "sendrecv" if held("inactive") => "inactive",
            "sendrecv" if held("recvonly") => "sendonly",
            other => other,
        };
        let _ = write!(body, "a={direction}\r\n");
        body.into_bytes()
    }
}

struct State {
    media: Media,
    version: u32,
    dialog: Option<Dialog>,
    target: Option<SocketAddr>,
    /// Descriptions that were offered to it.
    offers: Vec<String>,
    ended: u32,
    digest: DigestClient,
    waiting: HashMap<ClientTransactionId, (Request, oneshot::Sender<Response>)>,
}

/// A phone of one number, in one call at a time.
pub struct Softphone {
    number: String,
    registrar: SocketAddr,
    sip: SipHandle,
    rtp: Arc<UdpSocket>,
    state: Arc<Mutex<State>>,
    ids: Ids,
    task: JoinHandle<()>,
}

impl Drop for Softphone {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Softphone {
    /// Registered; it answers calls at once.
    pub async fn start(registrar: &str, number: &str, password: &str, media: Media) -> Result<Self> {
        let (sip, events) = SipStack::bind(SipConfig::new(([127, 0, 0, 1], 0).into())).await?;
        let rtp = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await?);
        let credentials = Credentials { user: number.to_owned(), password: password.to_owned() };
        let state = Arc::new(Mutex::new(State {
            media,
            version: 0,
            dialog: None,
            target: None,
            offers: Vec::new(),
            ended: 0,
            digest: DigestClient::new(credentials),
            waiting: HashMap::new(),
        }));
        let port = rtp.local_addr()?.port();
        let desk = Desk {
            number: number.to_owned(),
            sip: sip.clone(),
            state: state.clone(),
            ids: Ids::from_os(),
            port,
        };
        let task = tokio::spawn(desk.run(events));
        let registrar = registrar.parse()?;
        let mut phone =
            Self { number: number.to_owned(), registrar, sip, rtp, state, ids: Ids::from_os(), task };
        let until = Instant::now() + LIMIT;
        loop {
            let register = phone.request(Method::Register, None).with_header("Expires", 3600);
            let status = phone.ask(register, Destination::udp(registrar)).await?.status;
            if status.is_success() {
                break;
            }
            // A site that has just started has its configuration in a moment.
            let early = status == StatusCode::SERVICE_UNAVAILABLE && Instant::now() < until;
            ensure!(early, "registering {number}: {status}");
            tokio::time::sleep(PERIOD).await;
        }
        Ok(phone)
    }

    /// What it describes from its next description on.
    pub fn set_media(&self, media: Media) {
        self.lock().media = media;
    }

    /// Calls a number; returns when it was answered.
    pub async fn call(&mut self, number: &str) -> Result<()> {
        let body = self.description();
        let invite = self.request(Method::Invite, Some(number)).with_body("application/sdp", body);
        let (id, invite, answer) = self.ask_as_sent(invite, Destination::udp(self.registrar)).await?;
        ensure!(answer.status.is_success(), "calling {number}: {}", answer.status);
        let dialog = Dialog::uac(&invite, &answer)?;
        self.acknowledge(id, &dialog, &invite).await?;
        let mut state = self.lock();
        state.target = target(&answer.body);
        state.dialog = Some(dialog);
        Ok(())
    }

    /// Asks for what it describes now; the answer, accepted or not.
    pub async fn reinvite(&self) -> Result<Response> {
        let body = self.description();
        let (invite, to) = self.in_dialog(Method::Invite)?;
        let (id, invite, answer) = self.ask_as_sent(invite.with_body("application/sdp", body), to).await?;
        if answer.status.is_success() {
            let dialog = self.lock().dialog.clone().context("no call any more")?;
            self.acknowledge(id, &dialog, &invite).await?;
            self.lock().target = target(&answer.body);
        }
        Ok(answer)
    }

    /// INFO in the call.
    pub async fn info(&self, content_type: &str, body: &str) -> Result<StatusCode> {
        let (info, to) = self.in_dialog(Method::Info)?;
        Ok(self.ask(info.with_body(content_type, body.as_bytes().to_vec()), to).await?.status)
    }

    pub async fn hang_up(&self) -> Result<()> {
        let (bye, to) = self.in_dialog(Method::Bye)?;
        self.lock().dialog = None;
        self.ask(bye, to).await.map(drop)
    }

    /// Waits until it is in a call.
    pub async fn until_talking(&self) -> Result<()> {
        eventually("a call", LIMIT, || async {
            ensure!(self.lock().dialog.is_some(), "{} is in no call", self.number);
            Ok(())
        })
        .await
    }

    /// Waits until so many descriptions were offered to it; the last one.
    pub async fn offered(&self, count: usize) -> Result<String> {
        eventually("an offer", LIMIT, || async {
            let state = self.lock();
            ensure!(state.offers.len() >= count, "{} offers", state.offers.len());
            state.offers.last().cloned().context("no offer")
        })
        .await
    }

    /// How many descriptions were offered to it.
    pub fn offers(&self) -> usize {
        self.lock().offers.len()
    }

    /// Sends a datagram to where the call's media goes.
    pub fn send(&self, datagram: &[u8]) {
        if let Some(to) = self.lock().target {
            // A full socket loses it, as any network may.
            let _ = self.rtp.try_send_to(datagram, to);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no phone panics")
    }

    fn description(&self) -> Vec<u8> {
        let port = self.rtp.local_addr().map_or(9, |address| address.port());
        let mut state = self.lock();
        state.version += 1;
        state.media.describe(port, None, state.version)
    }

    fn in_dialog(&self, method: Method) -> Result<(Request, Destination)> {
        let mut state = self.lock();
        let dialog = state.dialog.as_mut().context("in no call")?;
        let to = Destination::of_uri(dialog.next_hop()).context("no next hop")?;
        Ok((dialog.request(method), to))
    }

    async fn acknowledge(&self, id: ClientTransactionId, dialog: &Dialog, invite: &Request) -> Result<()> {
        let ack = dialog.ack(invite.cseq()?.number);
        let to = Destination::of_uri(dialog.next_hop()).context("no next hop")?;
        self.sip.acknowledge(id, ack, to).await?;
        Ok(())
    }

    fn request(&mut self, method: Method, to: Option<&str>) -> Request {
        let own = |number: &str| NameAddr::new(SipUri::with_user(number, self.registrar.into()));
        let target = match to {
            Some(number) => own(number).uri,
            None => SipUri::new(self.registrar.into()).into(),
        };
        let request = NewRequest {
            method,
            target,
            from: own(&self.number),
            from_tag: self.ids.tag(),
            to: own(to.unwrap_or(&self.number)),
            call_id: self.ids.call_id(),
            cseq: 1,
            contact: Some(self.sip.contact(&self.number)),
        };
        request.build()
    }

    async fn ask(&self, request: Request, to: Destination) -> Result<Response> {
        self.ask_as_sent(request, to).await.map(|(.., answer)| answer)
    }

    /// The final answer to a request, and the request as it was sent last.
    async fn ask_as_sent(
        &self,
        mut request: Request,
        to: Destination,
    ) -> Result<(ClientTransactionId, Request, Response)> {
        for _ in 0..2 {
            let (tell, told) = oneshot::channel();
            let id = self.sip.next_client_id();
            self.lock().waiting.insert(id, (request.clone(), tell));
            self.sip.start_request(id, request.clone(), to).await?;
            let answer = tokio::time::timeout(LIMIT, told).await;
            let answer = answer.with_context(|| format!("no answer to {}", request.method))??;
            let challenged = [StatusCode::UNAUTHORIZED, StatusCode::PROXY_AUTHENTICATION_REQUIRED];
            if !challenged.contains(&answer.status) {
                return Ok((id, request, answer));
            }
            let mut ids = Ids::from_os();
            let again = self.lock().digest.retry(&request, &answer, &mut ids);
            request = again.ok().context("a challenge that cannot be answered")?;
        }
        anyhow::bail!("challenged again")
    }
}

/// A packet of RTP.
pub fn rtp(
    payload_type: u8,
    marker: bool,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type | u8::from(marker) << 7];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

/// Sends one of `packets` of each phone every 20 ms until none is left, at its pace whatever the machine does.
pub async fn speak(phones: &[(&Softphone, &[Vec<u8>])]) {
    let start = Instant::now();
    let most = phones.iter().map(|(_, packets)| packets.len()).max().unwrap_or(0);
    for n in 0..most {
        tokio::time::sleep_until((start + PERIOD * n as u32).into()).await;
        for (phone, packets) in phones {
            if let Some(packet) = packets.get(n) {
                phone.send(packet);
            }
        }
    }
    tokio::time::sleep_until((start + PERIOD * most as u32).into()).await;
}

/// Where a description wants its packets.
fn target(body: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(body).ok()?;
    let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let port = line("m=audio ")?.split(' ').next()?;
    format!("{}:{port}", line("c=IN IP4 ")?.trim()).parse().ok()
}

/// What the phone does by itself.
struct Desk {
    number: String,
    sip: SipHandle,
    state: Arc<Mutex<State>>,
    ids: Ids,
    port: u16,
}

impl Desk {
    async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        while let Some(event) = events.recv().await {
            match event {
                Event::Request { transaction, request, .. } => {
                    if let Err(error) = self.asked(transaction, &request).await {
                        eprintln!("phone {}: {error:#}", self.number);
                    }
                }
                Event::Response { transaction, response, .. } if response.status.is_final() => {
                    let waiting = self.state.lock().expect("no phone panics").waiting.remove(&transaction);
                    if let Some((_, tell)) = waiting {
                        let _ = tell.send(response);
                    }
                }
                Event::TimedOut { transaction } | Event::TransportFailed { transaction, .. } => {
                    self.state.lock().expect("no phone panics").waiting.remove(&transaction);
                }
                Event::Response { .. }
                | Event::Ack { .. }
                | Event::Cancelled { .. }
                | Event::AckMissing { .. } => {}
            }
        }
    }

    async fn asked(&mut self, id: ServerTransactionId, request: &Request) -> Result<()> {
        let (is_invite, response) = self.answer(request)?;
        if is_invite {
            self.sip.accept(id, response).await?;
        } else {
            self.sip.respond(id, response).await?;
        }
        Ok(())
    }

    fn answer(&mut self, request: &Request) -> Result<(bool, Response)> {
        let mut state = self.state.lock().expect("no phone panics");
        let offer = String::from_utf8_lossy(&request.body).into_owned();
        let known = DialogId::of_request(request);
        let (dialog, is_new) = match (&mut state.dialog, known, &request.method) {
            (Some(dialog), Some(known), _) if *dialog.id() == known => (dialog, false),
            (none @ None, None, Method::Invite) => {
                let contact = self.sip.contact(&self.number);
                (none.insert(Dialog::uas(request, &self.ids.tag(), contact, self.ids.cseq())?), true)
            }
            (Some(_), None, Method::Invite) => {
                return Ok((false, Response::to(request, StatusCode::BUSY_HERE).with_to_tag("busy")));
            }
            (_, None, _) => return Ok((false, Response::to(request, StatusCode::OK).with_to_tag("x"))),
            _ => return Ok((false, Response::to(request, StatusCode::CALL_DOES_NOT_EXIST))),
        };
        if !is_new {
            dialog.receive(request)?;
        }
        let response = dialog.response(request, StatusCode::OK);
        match request.method {
            Method::Invite => {
                dialog.refresh_target(request);
                state.version += 1;
                let body = state.media.describe(self.port, Some(&offer), state.version);
                state.target = target(&request.body).or(state.target);
                state.offers.push(offer);
                Ok((true, response.with_body("application/sdp", body)))
            }
            Method::Bye => {
                state.dialog = None;
                state.ended += 1;
                Ok((false, response))
            }
            _ => Ok((false, response)),
        }
    }
}
