//! The recorder as a running program: windows, link, captures, spool and uploader around the [`crate::controller`].
//!
//! Order of a start: socket for windows → spool (what a crash left is trimmed) → key store → identity (waits for an
//! enrolment string if it must) → manifests of what was cut → uploader (runs from here on, signed in or not) → whoever
//! sits here → link. Who sits here: the settings' login, else the session of the last run, else whoever signs in at a
//! window. Nothing but the enrolment and a sign-in needs a person; everything else is tried again for ever.
//!
//! A start that finds no server captures by the offline policy at once, when policy keeps captures and the same person was
//! signed in last: the sign-in is made good when the server is back, and ends the program if it is refused then.

mod asks;
mod captures;
mod desk;
mod recovery;
mod seat;
mod serve;
mod sitting;
mod start;
mod view;
mod watch;

use crate::{
    agent_view::AgentView,
    config::{ConfigError, RecorderConfig},
    controller::{Controller, Input},
    key_store::Keys,
    network::{self, SystemNetworks},
    policy::{KeptPolicy, PausesFile, PolicyFile, Seat},
    recording::RecordingError,
    replay::Replays,
    sign_in::{Credentials, SignInError},
    single_sign_on::Waiting,
};
use captures::Captures;
use desk::Desk;
use hindsight_link::{Identity, LinkError, LinkEvent, LinkHandle};
use hindsight_local::Reply;
use hindsight_spool::{Spool, SpoolError, UploadControl, UploadStatus, Uploader};
use hindsight_wire::{
    agent::{Problem, ProblemKind, Resume},
    policy::CapturePolicy,
};
use seat::{KeptSession, SigningIn, Why};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch as watched},
    time::Instant,
};
use zeroize::Zeroizing;

/// How long the program waits at its end for each of: the last messages, the closing of the link.
const FAREWELL: Duration = Duration::from_millis(150);

/// Why the recorder cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Identity or enrolment.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The spool directory.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Wrong login or password, or no such DN.
    #[error(transparent)]
    SignIn(#[from] SignInError),
    /// The data directory.
    #[error("the data directory {0}: {1}")]
    DataDir(PathBuf, std::io::Error),
    /// The socket for windows.
    #[error("the socket {0}: {1}")]
    Socket(PathBuf, std::io::Error),
    /// Signing what a crash left.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// Neither configured nor known from the enrolment.
    #[error("no address of the web services is known (`address`)")]
    NoAddress,
    /// Another recorder has the data directory.
    #[error("another recorder uses the data directory {0}")]
    Taken(PathBuf),
}

/// What the link says at every opening.
#[derive(Default)]
struct Greeting {
    /// `None`: the server was not there yet; it refuses the link, and that leads to a sign-in.
    token: Option<String>,
    resume: Option<Resume>,
}

/// The link of who sits here.
struct Linked {
    handle: LinkHandle,
    events: mpsc::Receiver<LinkEvent>,
    /// Not open since.
    down_since: Option<Instant>,
    /// It has been open, or was given up once.
    told: bool,
    /// Version of the server; 0: not known yet.
    protocol: u32,
}

struct Service {
    config: RecorderConfig,
    desk: Desk,
    keys: Arc<Keys>,
    identity: Arc<Identity>,
    address: String,
    spool: Spool,
    uploads: watched::Receiver<UploadStatus>,
    upload_control: UploadControl,
    controller: Controller,
    captures: Captures,
    policy_file: PolicyFile,
    pauses_file: PausesFile,
    policy: CapturePolicy,
    seat: Option<Seat>,
    credentials: Option<Arc<Credentials>>,
    greeting: Arc<Mutex<Greeting>>,
    linked: Option<Linked>,
    /// The server answers, as far as known; asked while nobody is signed in.
    server_there: Option<bool>,
    view: AgentView,
    /// A gap in the event stream led to a reconnect then.
    gap_at: Option<Instant>,
    signing_in: Option<SigningIn>,
    /// The server offers single sign-on, as far as known.
    single_sign_on: bool,
    /// A sign-in whose browser is not back yet.
    waiting: Option<Waiting>,
    /// Why the last one was refused.
    browser_failure: Option<String>,
    signing_out: Option<Reply>,
    replays: Arc<Replays>,
    /// A refused password is not tried again at once: that would lock the account.
    not_again_before: Option<Instant>,
    /// The server has seen the password or the token of who sits here.
    ever_signed_in: bool,
    /// It has seen it and said no, with captures already begun.
    refused: Option<SignInError>,
    spool_told: Option<Instant>,
    problems_told: Option<Vec<Problem>>,
    /// Windows that wait for the server's answer, by the controller's number of their request.
    asked: BTreeMap<u64, Reply>,
    next_ask: u64,
    rule_watch: Option<watch::RuleWatch>,
    session_watch: Option<watch::SessionWatch>,
    /// Why the display, and why the list of its windows, cannot be had.
    display_problems: [Option<String>; 2],
    seen: mpsc::Receiver<watch::Seen>,
    see: mpsc::Sender<watch::Seen>,
    look_at: Instant,
    restarted_at: Option<Instant>,
}

/// Runs until `stop` or a window says so and the capture is closed. `password`: of the settings' login.
pub async fn run(
    config: RecorderConfig,
    password: Option<Zeroizing<String>>,
    mut stop: watched::Receiver<bool>,
) -> Result<(), ServiceError> {
    let _lock = start::open_data_dir(&config.data_dir)?;
    let mut desk = Desk::open(&config)?;
    let (spool_dir, limits) = (config.data_dir.join("spool"), config.spool.clone());
    let spool = blocking(move || Spool::open(spool_dir, limits)).await?;
    let keys = start::keys(&config).await?;
    desk.problem(ProblemKind::KeyStore, keys.problem().map(str::to_owned));
    let Some(identity) = start::identity(&config, &keys, &mut desk, &mut stop).await? else { return Ok(()) };
    let identity = Arc::new(identity);
    let address = config.address.clone().or_else(|| identity.address().map(str::to_owned));
    let address = address.ok_or(ServiceError::NoAddress)?;
    let continuations = {
        let (spool, identity) = (spool.clone(), identity.clone());
        blocking(move || recovery::sign_interrupted(&spool, &identity)).await?
    };
    let uploader = start::uploader(&spool, &identity, &address)?;
    let api = start::local_api(&config, &mut desk).await;
    let updates = start::updates(&config, &identity, &address, &desk);
    let mut service = Service::new(config, desk, keys, identity, address, spool, &uploader);
    let following = network::follow(SystemNetworks, service.address.clone(), uploader.control());
    let following = tokio::spawn(following);
    let uploading = tokio::spawn(uploader.run());
    for continuation in continuations {
        service.take(Input::Recovered(continuation));
    }
    service.begin(password).await;
    service.serve(&mut stop).await;
    drop((api, updates));
    // A moment for the last messages and for the farewell; the manifests say the same.
    tokio::time::sleep(FAREWELL).await;
    service.linked = None;
    tokio::time::sleep(FAREWELL).await;
    uploading.abort();
    following.abort();
    service.refused.map_or(Ok(()), |refused| Err(refused.into()))
}

impl Service {
    fn new(
        config: RecorderConfig,
        desk: Desk,
        keys: Arc<Keys>,
        identity: Arc<Identity>,
        address: String,
        spool: Spool,
        uploader: &Uploader,
    ) -> Self {
        let policy_file = PolicyFile::new(&config.data_dir);
        let pauses_file = PausesFile::new(&config.data_dir);
        let kept = policy_file.load();
        let policy = kept.as_ref().map(|kept| kept.policy.clone()).unwrap_or_default();
        let upload_control = uploader.control();
        if let Some(kept) = &kept {
            upload_control.change(|conditions| conditions.policy = Some(kept.policy.upload.clone()));
        }
        let kept = kept.map(|KeptPolicy { policy, recipients, .. }| (policy, recipients));
        let (see, seen) = mpsc::channel(16);
        Self {
            controller: Controller::new(kept).with_pauses(pauses_file.load()),
            captures: Captures::new(&config, spool.clone(), identity.clone()),
            config,
            desk,
            keys,
            identity,
            address,
            spool,
            uploads: uploader.status(),
            upload_control,
            policy_file,
            pauses_file,
            policy,
            seat: None,
            credentials: None,
            greeting: Arc::default(),
            linked: None,
            server_there: None,
            view: AgentView::default(),
            gap_at: None,
            signing_in: None,
            single_sign_on: false,
            waiting: None,
            browser_failure: None,
            signing_out: None,
            replays: Arc::default(),
            not_again_before: None,
            ever_signed_in: false,
            refused: None,
            spool_told: None,
            problems_told: None,
            asked: BTreeMap::new(),
            next_ask: 0,
            rule_watch: None,
            session_watch: None,
            display_problems: [None, None],
            seen,
            see,
            look_at: Instant::now(),
            restarted_at: None,
        }
    }

    /// Whoever is to sit here from the start on.
    async fn begin(&mut self, password: Option<Zeroizing<String>>) {
        if let Some(password) = password {
            let Self { config, .. } = self;
            let who = Credentials { login: config.login.clone(), password, dn: config.dn.clone() };
            self.sign_in(&Arc::new(who), Why::Settings, false);
        } else if let Some(session) = KeptSession::load(&self.keys).await {
            tracing::info!("the session of the last run goes on");
            let seat = session.seat();
            self.ever_signed_in = true;
            self.sit_down(seat, Some(session.token));
        } else {
            tracing::info!("nobody is signed in; a window or the local API can");
        }
    }
}

/// `None`: stopped first.
async fn until_stopped<T>(stop: &mut watched::Receiver<bool>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        _ = stop.changed() => None,
        done = work => Some(done),
    }
}

async fn blocking<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, ServiceError>
where
    ServiceError: From<E>,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(RecordingError::Thread(error.to_string()).into()),
    }
}
