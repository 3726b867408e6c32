//! Starts everything, keeps it running, ends it in order.

use crate::{
    clock::MonotonicClock,
    config::Config,
    control::service::{Pair, Service},
    error::ServerError,
    limits,
    recorder::{Recorder, Site, recovery},
    relay::Relay,
};
use hindsight_link::{ConfigCache, Hello, Identity, Journal, Link, LinkConfig, LinkEvent, LinkHandle};
use hindsight_model::{DeviceId, Event};
use hindsight_sip::{HostPort, SipConfig, SipStack};
use hindsight_spool::{Limits, Spool, UploadConfig, UploadStatus, Uploader};
use hindsight_wire::{ClockOffset, component::VoiceConfig, link::Down, manifest::Signed};
use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::{mpsc, watch};

/// The health of the spool is told at least this often.
const SPOOL_REPORT: Duration = Duration::from_secs(60);
/// Changes of it are told at most this often.
const SPOOL_REPORT_PAUSE: Duration = Duration::from_secs(2);
/// A shut-down waits this long for recordings to be closed.
const CLOSING: Duration = Duration::from_secs(20);

/// Runs a media server in `data_dir` until `shutdown` is ready. Everything it needs to record is local: the web services
/// may be away for as long as they like.
pub async fn run(
    config: Config,
    identity: Identity,
    data_dir: PathBuf,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServerError> {
    if config.legs_by_ports() < 2 {
        return Err(ServerError::PortRange(config.rtp_first, config.rtp_last));
    }
    limits::check(config.max_legs);
    let opened = data_dir.clone();
    let storage = tokio::task::spawn_blocking(move || Storage::open(&opened)).await;
    let storage =
        storage.map_err(|error| ServerError::Link("opening the data directory", error.to_string()))??;
    let Storage { spool, journal, cache, config: cached } = storage;
    let client =
        identity.http_client().map_err(|error| ServerError::Link("HTTP client", error.to_string()))?;
    let address = identity.address().map_or_else(|| LinkConfig::default().address, str::to_owned);
    let ca_pem = identity.ca_pem().to_owned();
    let hello = || Hello { version: env!("CARGO_PKG_VERSION").to_owned(), token: None, resume: None };
    let (link, events) =
        Link::spawn(&identity, LinkConfig::new(address.clone()), Some(journal.clone()), hello);
    let site = Arc::new(OwnSite {
        identity,
        link: link.clone(),
        journal: journal.clone(),
        config: RwLock::new(cached),
    });

    let upload = UploadConfig { base_url: format!("https://{address}"), ..UploadConfig::default() };
    let uploader = Uploader::new(spool.clone(), client, ca_pem, &upload)?;
    let reports = tokio::spawn(report(link, uploader.status()));
    let following = tokio::spawn(follow(events, site.clone(), cache));
    let (recovering, recovered) = (spool.clone(), site.clone());
    tokio::task::spawn_blocking(move || {
        recovery::report_empty(&recovering, &*recovered);
        recovery::close_interrupted(&recovering, &*recovered)
    });
    let uploading = tokio::spawn(uploader.run());

    let threads = Threads::start(&config, &spool, site.clone())?;
    let mut sip_config = SipConfig::new(config.listen);
    sip_config.advertised = config.sip_address().map(HostPort::from);
    let (sip, requests) =
        SipStack::bind(sip_config).await.map_err(|error| ServerError::Io("binding SIP", error.source))?;
    tracing::info!(address = %sip.local_addr(), "media server ready");
    let (service, closed) = Service::new(&config, sip, threads.pairs, site);
    service.run(requests, shutdown).await;

    wait_closed(closed).await;
    // The loops end with their last handles, which the service held.
    let joined = tokio::task::spawn_blocking(move || {
        for thread in threads.recorders {
            let _ = thread.join();
        }
        spool.sync();
        journal.flush();
    });
    if tokio::time::timeout(CLOSING, joined).await.is_err() {
        tracing::error!("closing the spool took too long");
    }
    uploading.abort();
    reports.abort();
    following.abort();
    Ok(())
}

/// What is kept on disk.
struct Storage {
    spool: Spool,
    journal: Journal,
    cache: ConfigCache,
    config: VoiceConfig,
}

impl Storage {
    fn open(dir: &Path) -> Result<Self, ServerError> {
        let link = |what| move |error: String| ServerError::Link(what, error);
        std::fs::create_dir_all(dir).map_err(|error| ServerError::Io("making the data directory", error))?;
        let spool = Spool::open(dir.join("spool"), Limits::default())?;
        let journal = Journal::open(&dir.join("journal")).map_err(|e| link("journal")(e.to_string()))?;
        let cache = ConfigCache::open(dir).map_err(|e| link("configuration cache")(e.to_string()))?;
        let config =
            cache.load().map_err(|e| link("configuration cache")(e.to_string()))?.unwrap_or_default();
        Ok(Self { spool, journal, cache, config })
    }
}

struct Threads {
    pairs: Vec<Pair>,
    recorders: Vec<JoinHandle<()>>,
}

impl Threads {
    fn start(config: &Config, spool: &Spool, site: Arc<OwnSite>) -> Result<Self, ServerError> {
        let clock = MonotonicClock::start();
        let failed = |error| ServerError::Io("starting threads", error);
        let (mut pairs, mut recorders) = (Vec::new(), Vec::new());
        for number in 0..config.relay_threads() {
            let relay = Relay::start(&format!("relay-{number}"), clock).map_err(failed)?;
            let name = format!("recorder-{number}");
            let (recorder, thread) =
                Recorder::start(&name, spool.clone(), site.clone(), clock).map_err(failed)?;
            pairs.push(Pair { relay, recorder });
            recorders.push(thread);
        }
        Ok(Self { pairs, recorders })
    }
}

/// The site as this process knows it.
struct OwnSite {
    identity: Identity,
    link: LinkHandle,
    journal: Journal,
    config: RwLock<VoiceConfig>,
}

impl Site for OwnSite {
    fn is_configured(&self) -> bool {
        self.config.read().unwrap_or_else(PoisonError::into_inner).version > 0
    }

    fn device(&self) -> DeviceId {
        self.identity.device()
    }

    fn recipients(&self) -> Vec<String> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).recipients.clone()
    }

    fn clock_offset(&self) -> ClockOffset {
        self.link.clock()
    }

    fn sign(&self, document: &[u8]) -> Result<Signed, String> {
        self.identity.sign(document).map_err(|error| error.to_string())
    }

    fn records_screen_of(&self, number: &str) -> Option<bool> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        config.dns.iter().find(|dn| dn.number == number).map(|dn| dn.record_screen)
    }

    fn journal(&self, event: &Event) {
        if let Err(error) = self.journal.append(event) {
            tracing::error!(interaction = %event.interaction, %error, "an event was not journalled");
        }
    }
}

/// Takes what comes over the link: configurations.
async fn follow(mut events: mpsc::Receiver<LinkEvent>, site: Arc<OwnSite>, cache: ConfigCache) {
    while let Some(event) = events.recv().await {
        match event {
            LinkEvent::Down(Down::Config(config)) => {
                tracing::info!(
                    version = config.version,
                    recipients = config.recipients.len(),
                    "configuration received"
                );
                let (cache, kept) = (cache.clone(), config.clone());
                let stored = tokio::task::spawn_blocking(move || cache.store(&kept)).await;
                if let Ok(Err(error)) = stored {
                    tracing::error!(%error, "the configuration is used but was not kept");
                }
                *site.config.write().unwrap_or_else(PoisonError::into_inner) = config;
            }
            LinkEvent::Up(_) => tracing::info!("link to the web services open"),
            LinkEvent::Lost { reason, .. } => tracing::info!(reason, "link to the web services lost"),
            LinkEvent::Refused { reason, .. } => tracing::warn!(reason, "link refused"),
            LinkEvent::Down(_) => {}
        }
    }
}

/// Tells the server how the spool stands.
async fn report(link: LinkHandle, mut status: watch::Receiver<UploadStatus>) {
    loop {
        let _ = link.send(status.borrow_and_update().to_link());
        tokio::time::sleep(SPOOL_REPORT_PAUSE).await;
        let _ = tokio::time::timeout(SPOOL_REPORT, status.changed()).await;
    }
}

/// Waits until every conference's task has closed its recording.
async fn wait_closed(mut closed: mpsc::Receiver<()>) {
    if tokio::time::timeout(CLOSING, closed.recv()).await.is_err() {
        tracing::error!("not every recording could be closed in time: they are recovered at the next start");
    }
}
