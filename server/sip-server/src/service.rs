//! The loop between the stack, the link, the journal and [`SipServer`].

use crate::{
    call::Now,
    config::Config,
    error::SipServerError,
    keeper::ConfigKeeper,
    kept::{Kept, Key},
    ledger::{Condition, Found, Ledger},
    state::{Output, SipServer},
    tally::Tally,
    trace::Tracing,
};
use hindsight_link::{ConfigCache, Hello, Identity, Journal, Link, LinkConfig, LinkEvent, LinkHandle};
use hindsight_sip::{Host, HostPort, Limits, SipConfig, SipHandle, SipStack};
use hindsight_wire::{
    Timestamp,
    component::VoiceConfig,
    link::{Down, Up},
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// How often the counts of what was turned away are told.
const TELL: Duration = Duration::from_secs(1);
/// How often it is noted that calls are served: the time of their end, should this process be killed.
const ALIVE: Duration = Duration::from_millis(500);
/// Calls in one message: the web services take 1 MiB.
const MOST_TOLD: usize = 20_000;
/// How long the far ends of ended calls may take to answer our BYE at shut-down.
const GOODBYE: Duration = Duration::from_millis(1500);

/// Serves until `shutdown`. `data_dir`: journal and cached configuration.
pub async fn run(
    config: Config,
    identity: Identity,
    data_dir: PathBuf,
    shutdown: CancellationToken,
) -> Result<(), SipServerError> {
    let cache = ConfigCache::open(&data_dir)?;
    let journal = Journal::open(&data_dir.join("journal"))?;
    let (ledger, found) = Ledger::open(&data_dir)?;
    let address = identity.address().ok_or(SipServerError::NoAddress)?.to_owned();
    let advertised = advertised(&config)?;
    let mut sip_config = SipConfig::new(config.listen);
    sip_config.advertised = advertised;
    sip_config.message_timeout = Duration::from_secs(config.message_seconds.max(1));
    let trusted = config.trusted()?;
    sip_config.limits = Some(Limits {
        per_second: config.requests_per_second,
        burst: config.requests_burst,
        connections: config.connections_per_address,
        trusted: trusted.clone(),
    });
    sip_config.tls = match &config.tls {
        Some(tls) => Some((tls.listen, tls.load()?)),
        None => None,
    };
    let mut trace = Tracing::new();
    sip_config.observer = Some(trace.observer());
    let (sip, mut events) = SipStack::bind(sip_config).await?;
    let hello = || Hello { version: env!("CARGO_PKG_VERSION").to_owned(), token: None, resume: None };
    let (link, mut link_events) =
        Link::spawn(&identity, LinkConfig::new(address), Some(journal.clone()), hello);

    trace.start(link.clone());
    let ids = sip.clone();
    let client_ids = Box::new(move || ids.next_client_id());
    // On every interface: each peer is told the address that is on its way.
    let every = config.listen.ip().is_unspecified() && config.advertised_host.is_empty();
    let server = SipServer::new(config, sip.advertised().clone(), client_ids, rand::random(), Instant::now());
    let server = server.trusting(trusted).secured_at(sip.tls_addr().map(|tls| tls.port()));
    let server = if every { server.reached_by(Box::new(route_to)) } else { server };
    let cached = cache.load()?;
    tracing::info!(listen = %sip.local_addr(), tls = ?sip.tls_addr(), "SIP server listens");
    let mut service = Service {
        sip,
        link,
        journal,
        ledger,
        keeper: ConfigKeeper::start(cache),
        server,
        trace,
        configured: false,
    };
    // A first start finds neither.
    service.restore(found, cached.is_some());
    if let Some(cached) = cached {
        tracing::info!("working from the cached configuration");
        service.configure(cached);
    }
    // Priorities: calls before configuration and commands; timers fall due by themselves.
    let mut goodbye: Option<tokio::time::Instant> = None;
    let mut tally = Tally::default();
    let mut tell = tokio::time::interval(TELL);
    tell.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut alive = tokio::time::interval(ALIVE);
    alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        service.perform().await?;
        if goodbye.is_some() && service.server.calls() == 0 {
            break;
        }
        let deadline = service.server.deadline().map(tokio::time::Instant::from_std);
        tokio::select! {
            biased;
            () = sleep_until(deadline) => service.server.on_time(now()),
            event = events.recv() => match event {
                Some(event) => service.server.on_event(event, now()),
                None => return Err(hindsight_sip::StackGone.into()),
            },
            Some(event) = link_events.recv() => service.on_link(event),
            _ = tell.tick() => tally.tell(&service.sip, service.server.turned()),
            _ = alive.tick() => service.note_alive(),
            () = shutdown.cancelled(), if goodbye.is_none() => {
                goodbye = Some(tokio::time::Instant::now() + GOODBYE);
                service.server.shut_down(now());
            }
            () = sleep_until(goodbye), if goodbye.is_some() => break,
        }
    }
    service.keeper.close().await;
    let (journal, ledger) = (service.journal, service.ledger);
    // Waits for the disk.
    let flush = move || {
        ledger.close();
        journal.flush()
    };
    let _ = tokio::task::spawn_blocking(flush).await;
    Ok(())
}

struct Service {
    sip: SipHandle,
    link: LinkHandle,
    journal: Journal,
    ledger: Ledger,
    keeper: ConfigKeeper,
    server: SipServer,
    trace: Tracing,
    /// Whether it knows its DNs: until then every request is refused with 503.
    configured: bool,
}

impl Service {
    async fn perform(&mut self) -> Result<(), SipServerError> {
        while let Some(output) = self.server.poll() {
            match output {
                Output::Sip(command) => self.sip.send(command).await?,
                // A journal that refuses says so itself and counts: a call never waits for it.
                Output::Journal(event) => drop(self.journal.append(&event)),
                Output::Keep(key, kept) => self.ledger.keep(key, kept),
                Output::Result { request, error } => {
                    if let Err(error) = self.link.send(Up::ControlResult { request, error }) {
                        tracing::debug!(%error, request, "result of a command not sent");
                    }
                }
            }
        }
        Ok(())
    }

    fn restore(&mut self, found: Found, ran_before: bool) {
        let restored = self.server.restore(found.kept, now());
        let (path, condition) = (found.path.display(), found.condition);
        let condition = match condition {
            Condition::Read { damaged } => Condition::Read { damaged: damaged + restored.damaged },
            lost => lost,
        };
        if let Some(fault) = condition.fault(ran_before) {
            let damaged = if let Condition::Read { damaged } = condition { damaged } else { 1 };
            metrics::counter!("hindsight_sip_kept_damaged_total").increment(damaged as u64);
            tracing::warn!(%path, fault, "what was kept of calls and registrations is lost, or a part of it");
        }
        // A file without a line is one that was lost.
        self.note_alive_at(Timestamp::now());
        let (calls, ended, registered) = (restored.calls, restored.ended, restored.registered);
        tracing::info!(calls, ended, registered, "taken up from the process before");
    }

    /// What the web services believe to go on and is not among these is over, as far as it began before now: nothing that
    /// [`SipServer`] wanted journalled is still on its way to the journal.
    fn tell_calls(&self) {
        let calls: Vec<_> = self.server.interactions().collect();
        tracing::debug!(calls = calls.len(), "link to the web services open");
        if calls.len() > MOST_TOLD {
            return tracing::warn!(calls = calls.len(), "too many calls to be told in one message");
        }
        if let Err(error) = self.link.send(Up::Calls { as_of: self.journal.newest(), calls }) {
            tracing::warn!(%error, "the web services are not told which calls go on");
        }
    }

    fn note_alive(&self) {
        if self.server.calls() > 0 {
            self.note_alive_at(Timestamp::now());
        }
    }

    fn note_alive_at(&self, at: Timestamp) {
        self.ledger.keep(Key::Alive, Some(Kept::Alive { at }));
    }

    fn on_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Down(Down::Config(config)) => self.on_config(config),
            LinkEvent::Down(Down::Control { request, control }) => {
                self.server.on_control(request, control, now())
            }
            LinkEvent::Down(Down::CallControl { request, control }) => {
                self.server.on_call_control(request, control, now());
            }
            LinkEvent::Down(Down::Welcome { traces, .. }) => self.trace.want(traces),
            LinkEvent::Down(Down::TraceStored { batch }) => self.trace.stored(batch),
            LinkEvent::Down(
                Down::Refused { .. }
                | Down::Clock { .. }
                | Down::Accepted { .. }
                | Down::StartCapture { .. }
                | Down::StopCapture { .. }
                | Down::PauseCapture { .. }
                | Down::ResumeCapture { .. }
                | Down::Agent { .. }
                | Down::Answer { .. }
                | Down::Unknown,
            ) => tracing::debug!("message of the link that is not for a SIP server"),
            // Only a server that says how far it has the journal knows what to do with the calls.
            LinkEvent::Up(welcome) => {
                self.trace.linked(welcome.traces);
                match welcome.journalled {
                    Some(_) => self.tell_calls(),
                    None => tracing::debug!("link to older web services open"),
                }
            }
            LinkEvent::Lost { reason, .. } => {
                tracing::debug!(reason, "link to the web services lost; calls go on")
            }
            LinkEvent::Refused { reason, .. } => {
                tracing::warn!(reason, "the web services refuse this SIP server")
            }
        }
    }

    fn on_config(&mut self, config: VoiceConfig) {
        self.keeper.keep(config.clone());
        self.configure(config);
    }

    fn configure(&mut self, config: VoiceConfig) {
        tracing::info!(version = config.version, dns = config.dns.len(), "configuration taken");
        self.server.on_config(config, now());
        if !std::mem::replace(&mut self.configured, true) {
            tracing::info!("SIP server ready");
        }
    }
}

fn now() -> Now {
    Now { instant: Instant::now(), wall: Timestamp::now() }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What peers are told; `None`: what is listened on says it.
fn advertised(config: &Config) -> Result<Option<HostPort>, SipServerError> {
    let port = config.listen.port();
    let known = Some(port).filter(|port| *port != 0);
    if !config.advertised_host.is_empty() {
        let host = Host::parse(&config.advertised_host)
            .map_err(|_| SipServerError::AdvertisedHost(config.advertised_host.clone()))?;
        return Ok(Some(HostPort { host, port: known }));
    }
    if !config.listen.ip().is_unspecified() {
        return Ok(None);
    }
    let ip = [OUTSIDE, config.resource_manager.ip()].into_iter().find_map(route_to);
    let ip = ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Ok(Some(HostPort { host: ip.into(), port: known }))
}

/// TEST-NET-1 (RFC 5737): routed like any public address, never answered.
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Our address on the way to a peer. Only the routing table is asked: connecting a UDP socket sends nothing.
fn route_to(peer: IpAddr) -> Option<IpAddr> {
    let any =
        if peer.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect((peer, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
