//! The recorder as a running program: link, captures, spool and uploader around the [`crate::controller`].
//!
//! Order of a start: spool (what a crash left is trimmed) → identity (enrols if it must) → manifests of what was cut →
//! uploader (runs from here on, signed in or not) → sign-in → link. Nothing but the enrolment and a refused sign-in
//! needs a person; everything else is tried again for ever.
//!
//! A start that finds no server captures by the offline policy at once, when policy keeps captures and the same person was
//! signed in last: the sign-in is made good when the server is back, and ends the program if it is refused then.

mod captures;
mod recovery;

use crate::{
    config::{ConfigError, RecorderConfig},
    controller::{Action, Controller, Input, Message, Moment},
    policy::{KeptPolicy, PolicyFile, Seat, within_sense},
    recording::{RecordingError, RunEvent, media_clock_us},
    sign_in::{Credentials, SignInError, sign_in},
    system,
};
use captures::Captures;
use hindsight_link::{Hello, Identity, Link, LinkConfig, LinkError, LinkEvent, LinkHandle};
use hindsight_spool::{Spool, SpoolError, UploadConfig, UploadStatus, Uploader};
use hindsight_wire::{
    CaptureId, Timestamp,
    enrolment::DeviceKind,
    link::{Down, SignedIn, Up},
};
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// Wait between two tries to reach a server that does not answer.
const RETRY: Duration = Duration::from_secs(3);
/// Wait after a refused sign-in in mid-run.
const REFUSED_WAIT: Duration = Duration::from_secs(300);
/// The spool's state is told this often, and at most this often when it changes.
const SPOOL_EVERY: Duration = Duration::from_secs(60);
const SPOOL_AT_MOST: Duration = Duration::from_secs(1);

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
    DataDir(std::path::PathBuf, std::io::Error),
    /// Signing what a crash left.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// Neither configured nor known from the enrolment.
    #[error("no address of the web services is known (`address`)")]
    NoAddress,
    /// Another recorder has the data directory.
    #[error("another recorder uses the data directory {0}")]
    Taken(std::path::PathBuf),
}

/// Runs until `stop` says so and the capture is closed.
pub async fn run(
    config: RecorderConfig,
    password: zeroize::Zeroizing<String>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ServiceError> {
    let _lock = open_data_dir(&config.data_dir)?;
    let (spool_dir, limits) = (config.data_dir.join("spool"), config.spool.clone());
    let spool = blocking(move || Spool::open(spool_dir, limits)).await?;
    let Some(identity) = until_stopped(&mut stop, enrol(&config)).await.transpose()? else { return Ok(()) };
    let identity = Arc::new(identity);
    let address = config.address.clone().or_else(|| identity.address().map(str::to_owned));
    let address = address.ok_or(ServiceError::NoAddress)?;
    let continuations = {
        let (spool, identity) = (spool.clone(), identity.clone());
        blocking(move || recovery::sign_interrupted(&spool, &identity)).await?
    };
    let uploader = uploader(&spool, &identity, &address)?;
    let mut spool_status = uploader.status();
    let uploading = tokio::spawn(uploader.run());
    let credentials = Credentials { login: config.login.clone(), password, dn: config.dn.clone() };
    let policy_file = PolicyFile::new(&config.data_dir);
    let kept = policy_file.load();
    let last_seat = kept
        .as_ref()
        .and_then(|kept| kept.seat_without_server(&credentials.login, credentials.dn.as_deref()));
    let attempt = async || sign_in(&identity, &address, &credentials).await;
    let start = until_stopped(&mut stop, first_sign_in(attempt, last_seat)).await.transpose()?;
    let (token, seat) = match start {
        None => return Ok(()),
        Some(Start::SignedIn(signed_in)) => {
            tracing::info!("signed in");
            (Some(signed_in.token.clone()), credentials.seat(&signed_in))
        }
        Some(Start::WithoutServer(seat)) => {
            tracing::warn!("the server cannot be reached; the offline policy holds");
            (None, seat)
        }
    };
    let signed_in = token.is_some();
    let token = Arc::new(Mutex::new(token));
    let (link, link_events) = open_link(&identity, &address, &token);
    let captures = Captures::new(&config, spool, identity.clone(), link.clone(), seat);
    let kept = kept.map(|kept| (kept.policy, kept.recipients));
    let mut service = Service {
        controller: Controller::new(kept),
        captures,
        link,
        policy_file,
        identity,
        address,
        credentials: Arc::new(credentials),
        token,
        signing_in: None,
        not_again_before: None,
        ever_signed_in: signed_in,
        refused: None,
        spool_told: None,
    };
    service.take(Input::SignedIn);
    if !signed_in {
        service.take(Input::LinkLost);
    }
    for continuation in continuations {
        service.take(Input::Recovered(continuation));
    }
    let mut link_events = link_events;
    service.serve(&mut link_events, &mut spool_status, &mut stop).await;
    // A moment for the last messages and for the farewell; the manifests say the same.
    tokio::time::sleep(FAREWELL).await;
    drop(link_events);
    tokio::time::sleep(FAREWELL).await;
    uploading.abort();
    service.refused.map_or(Ok(()), |refused| Err(refused.into()))
}

struct Service {
    controller: Controller,
    captures: Captures,
    link: LinkHandle,
    policy_file: PolicyFile,
    identity: Arc<Identity>,
    address: String,
    credentials: Arc<Credentials>,
    /// `None`: the server was not there yet; it refuses the link, and that leads to a sign-in.
    token: Arc<Mutex<Option<String>>>,
    /// A new sign-in is under way.
    signing_in: Option<JoinHandle<Result<SignedIn, SignInError>>>,
    /// A refused password is not tried again at once: that would lock the account.
    not_again_before: Option<Instant>,
    /// The server has seen the password of who sits here.
    ever_signed_in: bool,
    /// It has seen it and said no, with captures already begun.
    refused: Option<SignInError>,
    spool_told: Option<Instant>,
}

impl Service {
    /// Priorities: what the server says (a pause above all), what captures tell, the order to stop, time, the spool.
    async fn serve(
        &mut self,
        link_events: &mut mpsc::Receiver<LinkEvent>,
        spool: &mut watch::Receiver<UploadStatus>,
        stop: &mut watch::Receiver<bool>,
    ) {
        let mut stopping = false;
        while !self.controller.is_done() {
            let tick = self.controller.next_tick(now()).saturating_sub(now().up);
            let (link_up, spool_due, spool_may) =
                (self.link.is_up(), self.spool_due(), self.spool_may_be_told());
            tokio::select! {
                biased;
                event = link_events.recv() => match event {
                    Some(event) => self.link_event(event),
                    None => return,
                },
                event = self.captures.next_event() => self.run_event(event).await,
                signed_in = finished(&mut self.signing_in) => self.signed_in_again(signed_in),
                _ = stop.changed(), if !stopping => {
                    stopping = true;
                    tracing::info!("stopping");
                    self.take(Input::Shutdown);
                }
                () = tokio::time::sleep(tick) => self.take(Input::Tick),
                () = sleep_until(spool_due), if link_up => self.tell_spool(spool),
                changed = spool.changed(), if link_up && spool_may => {
                    if changed.is_ok() {
                        self.tell_spool(spool);
                    }
                }
            }
        }
    }

    fn take(&mut self, input: Input) {
        for action in self.controller.handle(input, now(), &mut CaptureId::new) {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start(start) => self.captures.start(start),
            Action::Mark(mark) => self.captures.mark(mark),
            Action::NextPart => self.captures.next_part(),
            Action::Recipients(pem) => self.captures.recipients(&pem),
            Action::Finish => self.captures.finish(),
            Action::Send(message) => self.send(message),
            Action::Keep { policy, recipients } => {
                let kept = KeptPolicy { policy, recipients, seat: Some(self.captures.seat().clone()) };
                if let Err(error) = self.policy_file.store(&kept) {
                    tracing::warn!(%error, "the policy could not be kept for a start without the server");
                }
            }
        }
    }

    fn send(&self, message: Message) {
        if let Err(error) = self.link.send(Up::from(message)) {
            tracing::warn!(%error, "a message to the server was not taken");
        }
    }

    fn link_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up(welcome) => {
                tracing::info!("the link is open");
                let policy = welcome.policy.as_ref().map(within_sense);
                self.take(Input::LinkUp { policy, recipients: welcome.recipients });
                self.spool_told = None;
            }
            LinkEvent::Lost { reason, .. } => {
                tracing::info!(reason, "the link is lost");
                self.take(Input::LinkLost);
            }
            LinkEvent::Refused { reason, retry } => {
                tracing::warn!(reason, retry, "the link is refused");
                self.take(Input::LinkLost);
                if !retry {
                    self.sign_in_again();
                }
            }
            LinkEvent::Down(down) => self.down(down),
        }
    }

    fn down(&mut self, down: Down) {
        match down {
            Down::StartCapture { interaction, recipients, policy } => {
                tracing::info!(%interaction, "capture wanted");
                self.take(Input::Start { interaction, recipients, policy: within_sense(&policy) });
            }
            Down::StopCapture { interaction } => {
                tracing::info!(%interaction, "capture no longer wanted");
                self.take(Input::Stop(interaction));
            }
            Down::PauseCapture { interaction, by, reason } => {
                tracing::info!(%interaction, "pause");
                self.take(Input::Pause { interaction, by, reason });
            }
            Down::ResumeCapture { interaction } => {
                tracing::info!(%interaction, "resume");
                self.take(Input::Resume(interaction));
            }
            Down::Welcome { policy: Some(policy), recipients, .. } => {
                self.take(Input::Policy { policy: within_sense(&policy), recipients });
            }
            Down::Welcome { policy: None, .. }
            | Down::Refused { .. }
            | Down::Clock { .. }
            | Down::Accepted { .. }
            | Down::Config(_)
            | Down::Control { .. }
            | Down::Agent { .. }
            | Down::Answer { .. }
            | Down::Unknown => tracing::debug!("a message that is not for a desktop"),
        }
    }

    async fn run_event(&mut self, event: RunEvent) {
        match event {
            RunEvent::PartStarted { part, recordings, at } => {
                tracing::info!(part, monitors = recordings.len(), "capture started");
                self.take(Input::PartStarted { part, recordings, at });
            }
            RunEvent::Ended(result) => {
                self.captures.ended().await;
                let error = result.err().map(|error| error.to_string());
                match &error {
                    Some(error) => tracing::warn!(error, "the capture broke off"),
                    None => tracing::info!("the capture ended"),
                }
                self.take(Input::Ended { error });
            }
        }
    }

    /// The server has forgotten the session: a new one. The link keeps trying meanwhile.
    fn sign_in_again(&mut self) {
        let too_soon = self.not_again_before.is_some_and(|at| Instant::now() < at);
        if too_soon || self.signing_in.is_some() {
            return;
        }
        let (identity, address) = (self.identity.clone(), self.address.clone());
        let credentials = self.credentials.clone();
        self.signing_in = Some(tokio::spawn(async move { sign_in(&identity, &address, &credentials).await }));
    }

    fn signed_in_again(&mut self, result: Result<SignedIn, SignInError>) {
        match result {
            Ok(signed_in) => {
                self.ever_signed_in = true;
                *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(signed_in.token.clone());
                self.captures.signed_in(self.credentials.seat(&signed_in));
                self.link.reconnect();
            }
            Err(error @ SignInError::Refused(_)) if !self.ever_signed_in => {
                tracing::error!(%error, "the sign-in that was due since the start failed");
                self.refused = Some(error);
                self.take(Input::Shutdown);
            }
            Err(error) => {
                tracing::error!(%error, "signing in again failed");
                if let SignInError::Refused(_) = error {
                    self.not_again_before = Some(Instant::now() + REFUSED_WAIT);
                }
            }
        }
    }

    fn spool_due(&self) -> Instant {
        self.spool_told.map_or_else(Instant::now, |told| told + SPOOL_EVERY)
    }

    fn spool_may_be_told(&self) -> bool {
        self.spool_told.is_none_or(|told| told.elapsed() >= SPOOL_AT_MOST)
    }

    fn tell_spool(&mut self, spool: &mut watch::Receiver<UploadStatus>) {
        self.spool_told = Some(Instant::now());
        let message = spool.borrow_and_update().to_link();
        if let Err(error) = self.link.send(message) {
            tracing::debug!(%error, "the spool's state was not taken");
        }
    }
}

/// The result of a task, once it has ended; never, while there is none.
async fn finished(
    task: &mut Option<JoinHandle<Result<SignedIn, SignInError>>>,
) -> Result<SignedIn, SignInError> {
    let Some(running) = task else { return std::future::pending().await };
    let result = running.await.unwrap_or_else(|error| Err(SignInError::Unreachable(error.to_string())));
    *task = None;
    result
}

fn now() -> Moment {
    Moment { at: Timestamp::now(), up: Duration::from_micros(media_clock_us()) }
}

/// Makes the data directory, for this user only, and takes it.
fn open_data_dir(dir: &Path) -> Result<std::fs::File, ServiceError> {
    let refuse = |error| ServiceError::DataDir(dir.to_owned(), error);
    system::create_private_dir(dir).map_err(refuse)?;
    let lock = std::fs::File::create(dir.join("recorder.lock")).map_err(refuse)?;
    lock.try_lock().map_err(|_| ServiceError::Taken(dir.to_owned()))?;
    Ok(lock)
}

/// Gets the identity; waits for a server that cannot be reached.
async fn enrol(config: &RecorderConfig) -> Result<Identity, ServiceError> {
    let enrolment = config.enrolment()?;
    let (dir, name) = (config.data_dir.join("identity"), config.device_name());
    loop {
        match Identity::load_or_enrol(&dir, DeviceKind::Desktop, &name, enrolment.as_ref()).await {
            Err(LinkError::Unreachable(error)) => {
                tracing::warn!(error, "the server cannot be reached to enrol")
            }
            other => return Ok(other?),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// How the recorder starts.
enum Start {
    SignedIn(SignedIn),
    WithoutServer(Seat),
}

/// Signs in; waits for a server that cannot be reached, unless there is a seat to go on at without it.
async fn first_sign_in(
    mut attempt: impl AsyncFnMut() -> Result<SignedIn, SignInError>,
    last_seat: Option<&Seat>,
) -> Result<Start, ServiceError> {
    loop {
        match (attempt().await, last_seat) {
            (Ok(signed_in), _) => return Ok(Start::SignedIn(signed_in)),
            (Err(refused @ SignInError::Refused(_)), _) => return Err(refused.into()),
            (Err(SignInError::Unreachable(error)), Some(seat)) => {
                tracing::warn!(error, "the server cannot be reached to sign in");
                return Ok(Start::WithoutServer(seat.clone()));
            }
            (Err(SignInError::Unreachable(error)), None) => {
                tracing::warn!(error, "the server cannot be reached to sign in");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn uploader(spool: &Spool, identity: &Identity, address: &str) -> Result<Uploader, ServiceError> {
    let config = UploadConfig { base_url: format!("https://{address}"), ..UploadConfig::default() };
    Ok(Uploader::new(spool.clone(), identity.http_client()?, identity.ca_pem(), &config)?)
}

fn open_link(
    identity: &Identity,
    address: &str,
    token: &Arc<Mutex<Option<String>>>,
) -> (LinkHandle, mpsc::Receiver<LinkEvent>) {
    let token = token.clone();
    Link::spawn(identity, LinkConfig::new(address), None, move || Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        token: token.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        resume: None,
    })
}

/// `None`: stopped first.
async fn until_stopped<T>(stop: &mut watch::Receiver<bool>, work: impl Future<Output = T>) -> Option<T> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_wire::PersonId;

    fn seat() -> Seat {
        Seat { login: "ann".to_owned(), person: PersonId::new(), dn: "1001".to_owned() }
    }

    #[tokio::test]
    async fn a_start_without_the_server_goes_on_at_the_last_seat() {
        let seat = seat();
        let away = async || Err(SignInError::Unreachable("refused".to_owned()));
        let start = first_sign_in(away, Some(&seat)).await;
        assert!(matches!(start, Ok(Start::WithoutServer(at)) if at == seat));
    }

    #[tokio::test]
    async fn a_server_that_is_there_decides() {
        let seat = seat();
        let no = async || Err(SignInError::Refused("401".to_owned()));
        assert!(matches!(first_sign_in(no, Some(&seat)).await, Err(ServiceError::SignIn(_))));
        let (person, dn) = (PersonId::new(), "1002".to_owned());
        let yes = async || Ok(SignedIn { token: "t".to_owned(), person, dn: dn.clone() });
        let start = first_sign_in(yes, Some(&seat)).await;
        assert!(matches!(start, Ok(Start::SignedIn(signed_in)) if signed_in.dn == "1002"));
    }
}
