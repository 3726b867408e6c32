//! One link, from `Hello` to its end.

use super::{
    captures::Desktop,
    director::{Follow, Message, terms},
    hub::Membership,
    lost_calls::Served,
    older,
    reports::{self, Reports},
    requests::{self, Asking},
};
use crate::{desktop, peer::usable, state::App, traces::keep};
use axum::{
    Error as SocketError,
    extract::ws::{self, CloseFrame, WebSocket, close_code},
};
use hindsight_management::voice_config;
use hindsight_model::Event;
use hindsight_store::{
    StoreError,
    desktops::{self, Offline, SpoolState},
    devices::{self, Device},
    events,
    presence::{self, DesktopLink},
    sessions::{self, Seat},
};
use hindsight_wire::{
    DeviceId, Timestamp,
    agent::{AgentAction, Resume},
    enrolment::DeviceKind,
    link::{Down, JournalEntry, PROTOCOL_VERSION, Up},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// The first message comes within this time.
const HELLO_LIMIT: Duration = Duration::from_secs(10);
/// A message is taken by the network within this time.
const SEND_LIMIT: Duration = Duration::from_secs(15);
/// How often a SIP server is asked whether it is there, and the answer kept: so exactly its end is known.
const NOTE_EVERY: Duration = Duration::from_secs(2);
/// How often the other side is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(15);
/// It is not when nothing came for so long.
const SILENCE_LIMIT: Duration = Duration::from_secs(50);
/// Entries in one message.
const MOST_ENTRIES: usize = 100;
/// Requests of an agent that may be under way at a time.
const MOST_REQUESTS: usize = 8;
/// Longest version of a program that is kept.
const LONGEST_VERSION: usize = 60;
/// A desktop's session is extended so often.
const EXTEND_EVERY: Duration = Duration::from_secs(600);

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the device closed it")]
    Closed,
    #[error("network: {0}")]
    Network(#[from] SocketError),
    #[error("nothing came for too long")]
    Silent,
    #[error("the device reads too slowly")]
    Slow,
    #[error("refused: {0}")]
    Refused(&'static str),
    #[error("the server ends")]
    Shutdown,
    #[error("another link took its place, or the device was revoked")]
    Displaced,
    #[error("storage: {0}")]
    Store(#[from] StoreError),
    #[error("configuration: {0}")]
    Management(#[from] hindsight_management::ManagementError),
}

/// Serves a link to its end.
pub async fn run(app: App, device: Device, socket: WebSocket) {
    let (id, kind) = (device.id, device.kind.as_str());
    let mut link = Link {
        app,
        device,
        socket,
        heard: (Instant::now(), Timestamp::now()),
        served: Served::default(),
        protocol: PROTOCOL_VERSION,
        requests: Arc::new(Semaphore::new(MOST_REQUESTS)),
        reports: Reports::default(),
    };
    let end = match link.hello().await {
        Ok(greeting) => link.serve(greeting).await,
        Err(end) => end,
    };
    tracing::info!(device = %id, kind, %end, "a link ended");
    let code = match end {
        End::Shutdown => close_code::AWAY,
        End::Refused(_) | End::Displaced => close_code::POLICY,
        End::Store(_) | End::Management(_) => close_code::ERROR,
        End::Closed | End::Network(_) | End::Silent | End::Slow => close_code::NORMAL,
    };
    let close = ws::Message::Close(Some(CloseFrame { code, reason: "".into() }));
    let _ = timeout(Duration::from_secs(1), link.socket.send(close)).await;
}

/// Who sits at a desktop, with the token that says so.
struct Seated {
    desktop: Desktop,
    token: String,
    since: Timestamp,
}

/// What a device said first.
struct Greeting {
    version: String,
    seat: Option<Seated>,
    resume: Option<Resume>,
}

/// The seat that a token is good for, with the certificate of this device only.
async fn seated(app: App, caller: DeviceId, token: Option<String>) -> Result<Option<Seated>, StoreError> {
    let Some(token) = token else { return Ok(None) };
    let session = sessions::by_token(&mut *app.database.read().await?, &token, Timestamp::now()).await?;
    Ok(session.and_then(|session| match session.seat {
        Seat::Desktop { device, dn } if device == caller => {
            let desktop = Desktop { person: session.person, dn };
            Some(Seated { desktop, token, since: session.created_at })
        }
        _ => None,
    }))
}

async fn note_end(app: App, device: DeviceId, opened: Timestamp) -> Result<(), StoreError> {
    let mut write = app.database.write().await?;
    presence::link_down(&mut write, device, opened, Timestamp::now()).await?;
    write.commit().await
}

struct Link {
    app: App,
    device: Device,
    socket: WebSocket,
    heard: (Instant, Timestamp),
    /// A SIP server's word for its calls.
    served: Served,
    /// What it speaks.
    protocol: u32,
    requests: Arc<Semaphore>,
    reports: Reports,
}

impl Link {
    async fn hello(&mut self) -> Result<Greeting, End> {
        let first = timeout(HELLO_LIMIT, self.receive()).await.map_err(|_| End::Silent)??;
        let Some(Up::Hello { protocol, version, token, resume }) = first else {
            return self.refuse("the first message is hello", false).await;
        };
        // This version and the two before it, as soon as there are any.
        if !(PROTOCOL_VERSION.saturating_sub(2).max(1)..=PROTOCOL_VERSION).contains(&protocol) {
            return self.refuse("this version of the link is not spoken here", false).await;
        }
        self.protocol = protocol;
        tracing::info!(device = %self.device.id, kind = self.device.kind.as_str(), version, protocol, "a link opened");
        if self.device.kind != DeviceKind::Desktop {
            return Ok(Greeting { version, seat: None, resume: None });
        }
        match seated(self.app.clone(), self.device.id, token).await? {
            seat @ Some(_) => Ok(Greeting { version, seat, resume }),
            None => self.refuse("nobody is signed in at this desktop; sign in again", false).await,
        }
    }

    async fn refuse<T>(&mut self, reason: &'static str, retry: bool) -> Result<T, End> {
        self.send(&Down::Refused { reason: reason.to_owned(), retry }).await?;
        Err(End::Refused(reason))
    }

    async fn serve(&mut self, greeting: Greeting) -> End {
        let mut membership = self.app.hub.join(self.device.id, self.device.kind, self.protocol);
        // Before the configuration is read: what changes from here on is sent again.
        let mut version = self.app.version.clone();
        version.mark_unchanged();
        self.count();
        let opened = Timestamp::now();
        let seat = greeting.seat.as_ref();
        let end = match self.begin(&greeting, membership.link(), opened).await {
            Ok(()) => self.exchange(&mut membership, version, seat).await.err().unwrap_or(End::Closed),
            Err(end) => end,
        };
        let last = self.app.hub.leave(&membership);
        self.count();
        // Its process ended now, or closed the link: it was there until then.
        let ended_now = matches!(end, End::Closed | End::Network(_));
        let there = if ended_now { Timestamp::now() } else { self.heard.1 };
        if let Err(error) = self.served.note(&self.app, self.device.id, there).await {
            tracing::warn!(%error, "the end of a SIP server's link could not be noted");
        }
        if seat.is_some() {
            if last {
                self.app.director.tell(Message::Down(self.device.id)).await;
            }
            if let Err(error) = note_end(self.app.clone(), self.device.id, opened).await {
                tracing::warn!(%error, "the end of a desktop's link could not be noted");
            }
            if let Err(error) = self.reports.flush(&self.app, self.device.id).await {
                tracing::warn!(%error, "what a desktop said last could not be noted");
            }
        }
        end
    }

    fn count(&self) {
        let links = self.app.hub.count(self.device.kind) as f64;
        metrics::gauge!("hindsight_links", "kind" => self.device.kind.as_str()).set(links);
    }

    async fn begin(&mut self, greeting: &Greeting, id: u64, now: Timestamp) -> Result<(), End> {
        if self.is_sip_server() {
            self.served = Served::open(&self.app, self.device.id).await?;
        }
        self.welcome().await?;
        match &greeting.seat {
            None => self.configure().await,
            Some(Seated { desktop, token, since }) => {
                let mut write = self.app.database.write().await?;
                let link = DesktopLink {
                    device: self.device.id,
                    person: desktop.person,
                    dn: desktop.dn.clone(),
                    from: now,
                    to: None,
                };
                presence::link_up(&mut write, &link).await?;
                let version: String = greeting.version.chars().take(LONGEST_VERSION).collect();
                desktops::linked(&mut write, self.device.id, &version, self.protocol, now).await?;
                sessions::touch(&mut write, token, now, desktop::expiry(&self.app, now)).await?;
                write.commit().await?;
                let follow = Follow { link: id, resume: greeting.resume, since: *since };
                let follow = (self.protocol >= 2).then_some(follow);
                self.app.director.tell(Message::Up(self.device.id, desktop.clone(), follow)).await;
                Ok(())
            }
        }
    }

    async fn welcome(&mut self) -> Result<(), End> {
        let terms = terms(&self.app.database).await?;
        let protocol = PROTOCOL_VERSION;
        let traces = self.is_sip_server() && keep::wanted(&self.app).await?;
        let (policy, journalled) = if self.device.kind == DeviceKind::Desktop {
            (Some(terms.policy), None)
        } else {
            let mut db = self.app.database.read().await?;
            (None, Some(events::last_sequence(&mut db, self.device.id).await?))
        };
        let recipients = terms.recipients;
        self.send(&Down::Welcome { protocol, policy, recipients, journalled, traces }).await
    }

    fn is_sip_server(&self) -> bool {
        self.device.kind == DeviceKind::SipServer
    }

    /// The configuration changed: it may have ended the session of who sits here.
    async fn renew(&mut self, seat: &Seated) -> Result<(), End> {
        if seated(self.app.clone(), self.device.id, Some(seat.token.clone())).await?.is_none() {
            return self.refuse("the session has ended; sign in again", false).await;
        }
        self.welcome().await
    }

    async fn configure(&mut self) -> Result<(), End> {
        let config = voice_config(&mut *self.app.database.read().await?).await?;
        self.send(&Down::Config(config)).await
    }

    /// The configuration changed: traces may be wanted now, or no more.
    async fn reconfigure(&mut self) -> Result<(), End> {
        if self.is_sip_server() {
            self.welcome().await?;
        }
        self.configure().await
    }

    async fn exchange(
        &mut self,
        membership: &mut Membership,
        mut version: watch::Receiver<u64>,
        seat: Option<&Seated>,
    ) -> Result<(), End> {
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut extensions = interval(EXTEND_EVERY);
        extensions.reset();
        let mut notes = interval(NOTE_EVERY);
        notes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = self.app.shutdown.clone();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Err(End::Shutdown),
                () = membership.closed.cancelled() => return Err(End::Displaced),
                Some(down) = membership.queue.recv() => self.send(&down).await?,
                received = self.receive() => match received? {
                    Some(up) => self.take(up, seat, membership.link()).await?,
                    None => return Err(End::Closed),
                },
                Ok(()) = version.changed() => match seat {
                    Some(seat) => self.renew(seat).await?,
                    None => self.reconfigure().await?,
                },
                _ = pings.tick() => self.ping().await?,
                _ = notes.tick(), if self.is_sip_server() => {
                    self.served.note(&self.app, self.device.id, self.heard.1).await?;
                    self.put(ws::Message::Ping(bytes::Bytes::new())).await?;
                }
                _ = extensions.tick() => self.extend(seat).await?,
            }
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.heard.0.elapsed() > SILENCE_LIMIT {
            return Err(End::Silent);
        }
        self.reports.flush(&self.app, self.device.id).await?;
        self.put(ws::Message::Ping(bytes::Bytes::new())).await
    }

    /// A device that was revoked by another process loses its link here; a person's session goes on.
    async fn extend(&mut self, seat: Option<&Seated>) -> Result<(), End> {
        let now = Timestamp::now();
        let device = devices::by_id(&mut *self.app.database.read().await?, self.device.id).await?;
        if !device.is_some_and(|device| usable(&device, now)) {
            return Err(End::Displaced);
        }
        if let Some(Seated { token, .. }) = seat {
            if seated(self.app.clone(), self.device.id, Some(token.clone())).await?.is_none() {
                return self.refuse("the session has ended; sign in again", false).await;
            }
            let mut write = self.app.database.write().await?;
            sessions::touch(&mut write, token, now, desktop::expiry(&self.app, now)).await?;
            desktops::seen(&mut write, self.device.id, now).await?;
            write.commit().await?;
        }
        Ok(())
    }

    async fn take(&mut self, up: Up, seat: Option<&Seated>, link: u64) -> Result<(), End> {
        let desktop = self.device.kind == DeviceKind::Desktop;
        match up {
            Up::Hello { .. } => self.refuse("hello comes once", true).await,
            Up::Clock { sent_us } => {
                let server_received_us = Timestamp::now().0;
                self.send(&Down::Clock { sent_us, server_received_us, server_sent_us: Timestamp::now().0 })
                    .await
            }
            Up::Events { .. } if desktop => self.refuse("desktops have no journal", false).await,
            Up::Events { entries } if entries.len() > MOST_ENTRIES => {
                self.refuse("too many events in one message", false).await
            }
            Up::Events { entries } => self.accept(&entries).await,
            Up::Calls { as_of, calls } if self.is_sip_server() => {
                Ok(self.served.say(&self.app, self.device.id, as_of, calls).await?)
            }
            Up::Trace { batch, calls } if self.is_sip_server() => {
                match keep::store(&self.app, self.device.id, &calls).await {
                    true => self.send(&Down::TraceStored { batch }).await,
                    false => Ok(()),
                }
            }
            Up::Trace { .. } => self.refuse("only SIP servers tell of signalling", false).await,
            Up::Calls { .. } => self.refuse("only SIP servers serve calls", false).await,
            Up::ControlResult { request, error } => {
                self.app.hub.answered(self.device.id, request, error);
                Ok(())
            }
            Up::CaptureStarted { interactions, capture, recordings, .. } if desktop => {
                let device = self.device.id;
                let message = Message::Started { device, interactions, capture, recordings };
                self.app.director.tell(message).await;
                Ok(())
            }
            Up::CaptureEnded { interactions, error: Some(error), .. } if desktop => {
                let device = self.device.id;
                reports::failed(&self.app, device, &error).await?;
                self.app.director.tell(Message::Failed { device, interactions, error }).await;
                Ok(())
            }
            Up::CaptureStarted { .. } | Up::CaptureEnded { .. } => Ok(()),
            Up::WasOffline { from, to, captures } => {
                tracing::info!(device = %self.device.id, %from, %to, captures = captures.len(), "it was offline");
                let offline = Offline { from, to, captures: captures.len() as u64 };
                Ok(reports::offline(&self.app, self.device.id, offline).await?)
            }
            Up::Problems { problems } => {
                tracing::info!(device = %self.device.id, problems = problems.len(), "a desktop's problems");
                Ok(reports::problems(&self.app, self.device.id, problems).await?)
            }
            Up::Spool { waiting, waiting_bytes, refused, free_bytes } => {
                tracing::debug!(device = %self.device.id, waiting, waiting_bytes, refused, free_bytes, "spool");
                if refused > 0 {
                    tracing::warn!(device = %self.device.id, refused, "recordings were refused and are kept there");
                }
                let state = SpoolState { waiting, waiting_bytes, refused, free_bytes };
                Ok(self.reports.spool(&self.app, self.device.id, state).await?)
            }
            Up::Request { request, action } => match seat {
                Some(Seated { desktop, .. }) => {
                    let asking = Asking { device: self.device.id, link, desktop: desktop.clone() };
                    self.request(asking, request, action).await
                }
                None => self.refuse("only desktops ask for this", false).await,
            },
            Up::SignOut => match seat {
                Some(Seated { desktop, token, .. }) => {
                    desktop::sign_out(&self.app, self.device.id, desktop.person, token).await?;
                    self.app.director.tell(Message::SignedOut(self.device.id)).await;
                    self.refuse("signed out", false).await
                }
                None => self.refuse("nobody is signed in here", false).await,
            },
        }
    }

    /// Beside the link, which goes on meanwhile; not more than a few at a time.
    async fn request(&mut self, asking: Asking, request: u64, action: AgentAction) -> Result<(), End> {
        match self.requests.clone().try_acquire_owned() {
            Ok(permit) => {
                let app = self.app.clone();
                tokio::spawn(async move {
                    requests::serve(app, asking, request, action).await;
                    drop(permit);
                });
                Ok(())
            }
            Err(_) => {
                let error = Some("too many requests at a time".to_owned());
                self.send(&Down::Answer { request, error }).await
            }
        }
    }

    /// Makes events durable, then says so, then acts on what was new.
    async fn accept(&mut self, entries: &[JournalEntry]) -> Result<(), End> {
        let now = Timestamp::now();
        let mut write = self.app.database.write().await?;
        let known = events::last_sequence(&mut write, self.device.id).await?;
        let sequence = events::append_journal(&mut write, self.device.id, entries, now).await?;
        write.commit().await?;
        self.send(&Down::Accepted { sequence }).await?;
        let new = entries.iter().filter(|entry| entry.sequence > known);
        let events: Vec<Event> =
            new.filter_map(|entry| serde_json::from_value(entry.event.clone()).ok()).collect();
        metrics::counter!("hindsight_events_total").increment(events.len() as u64);
        if !events.is_empty() {
            self.app.director.tell(Message::Events(events)).await;
        }
        Ok(self.served.taken(&self.app, self.device.id, sequence).await?)
    }

    /// The next message of the device; `None`: it closed the link. Safe to drop at any await.
    async fn receive(&mut self) -> Result<Option<Up>, End> {
        loop {
            let Some(frame) = self.socket.recv().await else { return Ok(None) };
            self.heard = (Instant::now(), Timestamp::now());
            match frame? {
                ws::Message::Text(text) => match serde_json::from_str(&text) {
                    Ok(up) => return Ok(Some(up)),
                    Err(error) => {
                        tracing::warn!(device = %self.device.id, %error, "a message could not be read");
                        return Err(End::Refused("a message could not be read"));
                    }
                },
                ws::Message::Binary(_) => return Err(End::Refused("messages are text")),
                ws::Message::Close(_) => return Ok(None),
                ws::Message::Ping(_) | ws::Message::Pong(_) => {}
            }
        }
    }

    async fn send(&mut self, down: &Down) -> Result<(), End> {
        let text = older::message(self.protocol, down);
        match text.map_err(|error| StoreError::Conflict(error.to_string()))? {
            Some(text) => self.put(ws::Message::Text(text.into())).await,
            None => Ok(()),
        }
    }

    async fn put(&mut self, message: ws::Message) -> Result<(), End> {
        timeout(SEND_LIMIT, self.socket.send(message)).await.map_err(|_| End::Slow)??;
        Ok(())
    }
}
