//! Many small phones in one process, at one SIP address: they register, call each other in pairs, send G.711 every 20 ms,
//! follow re-INVITEs, and know to the millisecond when each of them heard nothing.

use anyhow::{Context, Result, ensure};
use hindsight_sip::{
    ClientTransactionId, Destination, Dialog, DialogId, Event, Ids, Method, NameAddr, NewRequest, Request,
    Response, ServerTransactionId, SipConfig, SipHandle, SipMessage as _, SipStack, SipUri, StatusCode,
    digest::{Credentials, DigestClient},
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{net::UdpSocket, sync::mpsc, task::JoinHandle};

/// Samples of a packet: 20 ms of G.711.
const SAMPLES: usize = 160;
const PERIOD: Duration = Duration::from_millis(20);

/// What a phone of the fleet has lived through.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Its number.
    pub number: String,
    /// It speaks.
    pub talks: bool,
    /// Packets heard.
    pub heard: u64,
    /// The longest time without a packet since [`Fleet::forget_gaps`].
    pub longest_gap: Duration,
    /// Re-INVITEs that it followed.
    pub reinvited: u32,
    /// BYEs that came.
    pub ended: u32,
    /// Where it sends to.
    pub target: Option<SocketAddr>,
}

struct Phone {
    account: Account,
    rtp: Arc<UdpSocket>,
    last_heard: Option<Instant>,
    /// While it is in a call.
    dialog: Option<Dialog>,
    digest: DigestClient,
}

/// All of them.
pub struct Fleet {
    phones: Arc<Mutex<Vec<Phone>>>,
    sip: SipHandle,
    registrar: SocketAddr,
    sent: Arc<Mutex<HashMap<ClientTransactionId, (usize, Request)>>>,
    registered: mpsc::Receiver<()>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Fleet {
    /// Phones of these numbers and passwords, all registered.
    pub async fn start(registrar: SocketAddr, people: &[(String, String)]) -> Result<Self> {
        let (sip, events) = SipStack::bind(SipConfig::new(([127, 0, 0, 1], 0).into())).await?;
        let mut phones = Vec::new();
        for (user, password) in people {
            let rtp = Arc::new(UdpSocket::bind(("127.0.0.1", 0)).await?);
            let account = Account { number: user.clone(), ..Account::default() };
            let digest = DigestClient::new(Credentials { user: user.clone(), password: password.clone() });
            phones.push(Phone { account, rtp, last_heard: None, dialog: None, digest });
        }
        let sockets: Vec<Arc<UdpSocket>> = phones.iter().map(|phone| phone.rtp.clone()).collect();
        let phones = Arc::new(Mutex::new(phones));
        let sent = Arc::new(Mutex::new(HashMap::new()));
        let (tell, registered) = mpsc::channel(people.len().max(1));
        let desk =
            Desk { sip: sip.clone(), phones: phones.clone(), sent: sent.clone(), ids: Ids::from_os(), tell };
        let mut tasks = vec![tokio::spawn(desk.run(events)), tokio::spawn(speak(phones.clone()))];
        for (index, socket) in sockets.into_iter().enumerate() {
            tasks.push(tokio::spawn(listen(phones.clone(), index, socket)));
        }
        let mut fleet = Self { phones, sip, registrar, sent, registered, tasks };
        for index in 0..people.len() {
            fleet.request(index, Method::Register, None).await?;
        }
        for _ in 0..people.len() {
            let registered = tokio::time::timeout(Duration::from_secs(20), fleet.registered.recv()).await;
            registered.context("a phone was not registered in time")?.context("the fleet ended")?;
        }
        Ok(fleet)
    }

    /// One phone calls another's number.
    pub async fn call(&self, from: usize, to: &str) -> Result<()> {
        self.request(from, Method::Invite, Some(to)).await
    }

    /// One phone hangs up.
    pub async fn hang_up(&self, index: usize) -> Result<()> {
        let bye = {
            let mut phones = self.phones.lock().expect("no phone panics");
            let phone = &mut phones[index];
            phone.account.talks = false;
            let mut dialog = phone.dialog.take().context("this phone is in no call")?;
            (dialog.request(Method::Bye), Destination::of_uri(dialog.next_hop()).context("no next hop")?)
        };
        self.sip.send_request(bye.0, bye.1).await?;
        Ok(())
    }

    /// What each has lived through.
    pub fn accounts(&self) -> Vec<Account> {
        let now = Instant::now();
        let phones = self.phones.lock().expect("no phone panics");
        let account = |phone: &Phone| {
            let silent = phone.last_heard.map_or(Duration::ZERO, |last| now - last);
            let longest_gap = phone.account.longest_gap.max(silent);
            Account { longest_gap, ..phone.account.clone() }
        };
        phones.iter().map(account).collect()
    }

    /// From here on gaps are measured anew.
    pub fn forget_gaps(&self) {
        for phone in self.phones.lock().expect("no phone panics").iter_mut() {
            phone.account.longest_gap = Duration::ZERO;
            phone.account.reinvited = 0;
        }
    }

    async fn request(&self, index: usize, method: Method, to: Option<&str>) -> Result<()> {
        let mut ids = Ids::from_os();
        let request = {
            let phones = self.phones.lock().expect("no phone panics");
            let phone = &phones[index];
            let own = |number: &str| NameAddr::new(SipUri::with_user(number, self.registrar.into()));
            let target = match to {
                Some(number) => own(number).uri,
                None => SipUri::new(self.registrar.into()).into(),
            };
            let request = NewRequest {
                method,
                target,
                from: own(&phone.account.number),
                from_tag: ids.tag(),
                to: own(to.unwrap_or(&phone.account.number)),
                call_id: ids.call_id(),
                cseq: 1,
                contact: Some(self.sip.contact(&phone.account.number)),
            };
            let request = request.build();
            match to {
                Some(_) => request.with_body("application/sdp", description(&phone.rtp)),
                None => request.with_header("Expires", 3600),
            }
        };
        self.send(index, request).await
    }

    async fn send(&self, index: usize, request: Request) -> Result<()> {
        let id = self.sip.next_client_id();
        self.sent.lock().expect("no phone panics").insert(id, (index, request.clone()));
        self.sip.start_request(id, request, Destination::udp(self.registrar)).await?;
        Ok(())
    }
}

fn description(rtp: &UdpSocket) -> Vec<u8> {
    let port = rtp.local_addr().map_or(9, |address| address.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
    )
    .into_bytes()
}

/// Where a description wants its packets.
fn target(body: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(body).ok()?;
    let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let port = line("m=audio ")?.split(' ').next()?;
    format!("{}:{port}", line("c=IN IP4 ")?.trim()).parse().ok()
}

/// Sends what each phone says. One task for all: a hundred packets every 20 ms.
async fn speak(phones: Arc<Mutex<Vec<Phone>>>) {
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    for sequence in 0u16.. {
        tick.tick().await;
        let phones = phones.lock().expect("no phone panics");
        for (index, phone) in phones.iter().enumerate().filter(|(_, phone)| phone.account.talks) {
            let Some(to) = phone.account.target else { continue };
            let mut packet = vec![0x80, 0];
            packet.extend(sequence.to_be_bytes());
            packet.extend((u32::from(sequence) * SAMPLES as u32).to_be_bytes());
            packet.extend((0x5eed_0000 + index as u32).to_be_bytes());
            // A tone of its own for each: any octets are speech to G.711.
            packet.extend((0..SAMPLES).map(|sample| (sample * (index + 1)) as u8));
            let _ = phone.rtp.try_send_to(&packet, to);
        }
    }
}

async fn listen(phones: Arc<Mutex<Vec<Phone>>>, index: usize, socket: Arc<UdpSocket>) {
    let mut buffer = [0; 2048];
    loop {
        // An answer of the host that nobody listens there: what is not heard is measured as such.
        let Ok(_) = socket.recv_from(&mut buffer).await else { continue };
        let now = Instant::now();
        let mut phones = phones.lock().expect("no phone panics");
        let phone = &mut phones[index];
        if !phone.account.talks {
            continue;
        }
        if let Some(last) = phone.last_heard.replace(now) {
            phone.account.longest_gap = phone.account.longest_gap.max(now - last);
        }
        phone.account.heard += 1;
    }
}

/// The SIP side of all phones.
struct Desk {
    sip: SipHandle,
    phones: Arc<Mutex<Vec<Phone>>>,
    sent: Arc<Mutex<HashMap<ClientTransactionId, (usize, Request)>>>,
    ids: Ids,
    tell: mpsc::Sender<()>,
}

impl Desk {
    async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        while let Some(event) = events.recv().await {
            let done = match event {
                Event::Request { transaction, request, .. } => self.asked(transaction, &request).await,
                Event::Response { transaction, response, .. } => self.answered(transaction, &response).await,
                Event::TimedOut { .. } | Event::TransportFailed { .. } => Ok(()),
                Event::Ack { .. } | Event::Cancelled { .. } | Event::AckMissing { .. } => Ok(()),
            };
            if let Err(error) = done {
                eprintln!("a phone of the fleet: {error:#}");
            }
        }
    }

    async fn asked(&mut self, id: ServerTransactionId, request: &Request) -> Result<()> {
        let dialog = DialogId::of_request(request);
        let answer = {
            let mut phones = self.phones.lock().expect("no phone panics");
            match (&request.method, dialog) {
                (Method::Invite, None) => {
                    let number = request.uri.user().unwrap_or_default();
                    let phone = phones.iter_mut().find(|phone| phone.account.number == number);
                    let phone = phone.context("an INVITE for nobody")?;
                    let contact = self.sip.contact(&number);
                    let dialog = Dialog::uas(request, &self.ids.tag(), contact, self.ids.cseq())?;
                    let response = dialog.response(request, StatusCode::OK);
                    let response = response.with_body("application/sdp", description(&phone.rtp));
                    phone.account.target = target(&request.body);
                    phone.account.talks = true;
                    phone.dialog = Some(dialog);
                    (true, response)
                }
                (method, Some(known)) => {
                    let phone =
                        phones.iter_mut().find(|p| p.dialog.as_ref().is_some_and(|d| *d.id() == known));
                    match phone {
                        Some(phone) => in_dialog(phone, method, request)?,
                        None => (false, Response::to(request, StatusCode::CALL_DOES_NOT_EXIST)),
                    }
                }
                (_, None) => (false, Response::to(request, StatusCode::OK).with_to_tag("x")),
            }
        };
        match answer {
            (true, response) => self.sip.accept(id, response).await?,
            (false, response) => self.sip.respond(id, response).await?,
        }
        Ok(())
    }

    async fn answered(&mut self, id: ClientTransactionId, response: &Response) -> Result<()> {
        let Some((index, request)) = self.sent.lock().expect("no phone panics").get(&id).cloned() else {
            return Ok(());
        };
        let status = response.status;
        if status.is_provisional() {
            return Ok(());
        }
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED) {
            let again = {
                let mut phones = self.phones.lock().expect("no phone panics");
                phones[index].digest.retry(&request, response, &mut self.ids)
            };
            let again = again.ok().context("a challenge that cannot be answered")?;
            let next = self.sip.next_client_id();
            let to = Destination::of_uri(&again.uri).context("no address")?;
            self.sent.lock().expect("no phone panics").insert(next, (index, again.clone()));
            self.sip.start_request(next, again, to).await?;
            return Ok(());
        }
        ensure!(status.is_success(), "{} was answered {status}", request.method);
        if request.method == Method::Register {
            self.tell.send(()).await?;
            return Ok(());
        }
        let ack = {
            let mut phones = self.phones.lock().expect("no phone panics");
            let phone = &mut phones[index];
            let dialog = Dialog::uac(&request, response)?;
            let ack = dialog.ack(request.cseq()?.number);
            let to = Destination::of_uri(dialog.next_hop()).context("no next hop")?;
            phone.account.target = target(&response.body);
            phone.account.talks = true;
            phone.dialog = Some(dialog);
            (ack, to)
        };
        self.sip.acknowledge(id, ack.0, ack.1).await?;
        Ok(())
    }
}

/// A request in the dialog of a phone's call; whether its answer accepts an INVITE.
fn in_dialog(phone: &mut Phone, method: &Method, request: &Request) -> Result<(bool, Response)> {
    let dialog = phone.dialog.as_mut().context("no dialog")?;
    dialog.receive(request)?;
    let response = dialog.response(request, StatusCode::OK);
    Ok(match method {
        Method::Invite => {
            dialog.refresh_target(request);
            phone.account.target = target(&request.body);
            phone.account.reinvited += 1;
            (true, response.with_body("application/sdp", description(&phone.rtp)))
        }
        Method::Bye => {
            phone.account.ended += 1;
            phone.account.talks = false;
            phone.dialog = None;
            (false, response)
        }
        _ => (false, response),
    })
}
