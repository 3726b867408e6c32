//! Updates of this program: asked for at the site's server, fetched, and handed to root when nothing is recorded. What to do
//! when is decided by [`hindsight_update::schedule`]; this is the loop around it. A recording never waits for any of it.

use hindsight_local::{Asked, Reply};
use hindsight_update::{
    Action, Input, Installed, Keys, Manifest, Updater, decide,
    decision::PACKAGE_FILE,
    handover::{self, Request, SPOOL, STATE_FILE},
    manifest::{LARGEST_MANIFEST, MANIFEST_FILE, Package, SIGNATURE_FILE},
    recording_lock::{RECORDING_LOCK, Recording},
    schedule::Offer,
    signature::KEY_DIRECTORIES,
};
use hindsight_wire::local::{Ask, CaptureState, DesktopStatus};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt as _,
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};

/// A piece of a package that does not come within this time ends the transfer; it goes on later where it stopped.
const STALLED: Duration = Duration::from_secs(30);
/// While somebody is recorded and the lock could not be had (an installation was running), it is tried again so often.
const LOCK_AGAIN: Duration = Duration::from_secs(2);

/// Settings of updates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpdatesConfig {
    /// Asks the server for updates, where a package has installed this program.
    pub enabled: bool,
    /// The first time at once, not at a random moment of the first ten minutes.
    pub at_start: bool,
}

impl Default for UpdatesConfig {
    fn default() -> Self {
        Self { enabled: true, at_start: false }
    }
}

/// Runs until dropped.
pub struct Updates {
    _task: JoinSet<()>,
}

/// Starts looking for updates; `None` where no package has installed this program, or the settings say no. The lock that
/// keeps installers waiting is held in either case.
pub fn start(
    config: &UpdatesConfig,
    data_dir: &Path,
    client: reqwest::Client,
    address: &str,
    asks: mpsc::Sender<Asked>,
    status: watch::Receiver<DesktopStatus>,
) -> Option<Updates> {
    let installed = installed().ok()?;
    let now = Duration::ZERO;
    let share = if config.at_start { 0.0 } else { uuid::Uuid::new_v4().as_u128() as f64 / u128::MAX as f64 };
    let source = Source {
        client,
        base: format!("https://{address}/api/v2/updates"),
        directory: data_dir.join("update"),
        request: Arc::default(),
    };
    let updater = config.enabled.then(|| Updater::new(installed.version, now, share));
    let mut task = JoinSet::new();
    task.spawn(run(updater, source, asks, status));
    Some(Updates { _task: task })
}

/// What the package says that it is.
fn installed() -> io::Result<Installed> {
    Ok(serde_json::from_slice(&fs::read(PACKAGE_FILE)?)?)
}

fn is_busy(status: &DesktopStatus) -> bool {
    status.capture != CaptureState::Idle || !status.interactions.is_empty()
}

async fn run(
    mut updater: Option<Updater>,
    source: Source,
    asks: mpsc::Sender<Asked>,
    mut status: watch::Receiver<DesktopStatus>,
) {
    let began = Instant::now();
    let mut work: JoinSet<Input> = JoinSet::new();
    let mut lock = None;
    let mut busy = false;
    loop {
        let tick = updater.as_ref().and_then(Updater::next_tick).map(|at| began + at);
        let lock_again = busy && lock.is_none();
        let input = tokio::select! {
            changed = status.changed() => match changed {
                Ok(()) => Input::Busy(is_busy(&status.borrow_and_update())),
                Err(_) => return,
            },
            Some(done) = work.join_next() => match done {
                Ok(input) => input,
                Err(error) => Input::Answered(Err(error.to_string())),
            },
            () = until(tick) => Input::Tick,
            () = tokio::time::sleep(LOCK_AGAIN), if lock_again => Input::Tick,
        };
        if let Input::Busy(is) = input {
            busy = is;
        }
        if !busy {
            lock = None;
        } else if lock.is_none() {
            lock = Recording::begin(Path::new(RECORDING_LOCK));
        }
        let Some(updater) = &mut updater else { continue };
        for action in updater.handle(input, began.elapsed()) {
            source.act(action, &mut work, &asks);
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Where updates come from, and where they are kept until root has them.
#[derive(Clone)]
struct Source {
    client: reqwest::Client,
    base: String,
    directory: PathBuf,
    /// As it was signed, for root to check again.
    request: Arc<Mutex<Option<Request>>>,
}

impl Source {
    fn act(&self, action: Action, work: &mut JoinSet<Input>, asks: &mpsc::Sender<Asked>) {
        let source = self.clone();
        match action {
            Action::Ask => drop(work.spawn(async move { Input::Answered(source.ask().await) })),
            Action::Fetch(offer) => {
                drop(work.spawn(async move { Input::Fetched(source.fetch(&offer.package).await) }));
            }
            Action::HandOver(offer) => {
                drop(work.spawn_blocking(move || Input::HandedOver(source.hand_over(&offer.package))));
            }
            Action::Look => drop(work.spawn_blocking(look)),
            Action::Discard => {
                if let Err(error) = fs::remove_dir_all(&self.directory)
                    && error.kind() != io::ErrorKind::NotFound
                {
                    tracing::warn!(%error, "what was fetched of an update cannot be removed");
                }
            }
            Action::StartAnew => {
                tracing::info!("ends for the new version, which whoever started this one starts");
                // Nobody waits for the answer; a full queue means that a window has just asked for something.
                let (reply, _) = Reply::new();
                if asks.try_send(Asked { ask: Ask::Quit { now: false }, reply }).is_err() {
                    tracing::warn!("the new version is not started now");
                }
            }
            Action::Tell(line) => tracing::info!("{line}"),
        }
    }

    /// What the server offers, if it is signed and fits.
    async fn ask(&self) -> Result<Option<Offer>, String> {
        let Some(bytes) = self.small(MANIFEST_FILE).await? else { return Ok(None) };
        let signature = self.small(SIGNATURE_FILE).await?.ok_or("it has no signature")?;
        let signature = String::from_utf8(signature).map_err(|error| error.to_string())?;
        let request = self.request.clone();
        let believe = move || {
            let keys = Keys::load(&KEY_DIRECTORIES.map(Path::new)).map_err(|error| error.to_string())?;
            keys.verify(&bytes, &signature).map_err(|error| error.to_string())?;
            let manifest = Manifest::parse(&bytes).map_err(|error| error.to_string())?;
            let installed = installed().map_err(|error| error.to_string())?;
            let package = decide(&manifest, &installed, None).map_err(|refused| refused.to_string())?;
            let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
            *request.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Request { manifest: text, signature });
            Ok(package.map(|package| Offer { version: manifest.version.clone(), package: package.clone() }))
        };
        tokio::task::spawn_blocking(believe).await.map_err(|error| error.to_string())?
    }

    /// `None`: not there, so nothing is offered.
    async fn small(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let mut answer = self.get(name, 0).await?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !answer.status().is_success() {
            return Err(format!("{name}: {}", answer.status()));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = piece(&mut answer).await? {
            if bytes.len() + piece.len() > LARGEST_MANIFEST {
                return Err(format!("{name} is too large"));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes))
    }

    async fn get(&self, name: &str, from: u64) -> Result<reqwest::Response, String> {
        let mut request = self.client.get(format!("{}/{name}", self.base));
        if from > 0 {
            request = request.header(reqwest::header::RANGE, format!("bytes={from}-"));
        }
        let answer = tokio::time::timeout(STALLED, request.send()).await;
        answer.map_err(|_| "the server does not answer".to_owned())?.map_err(|error| error.to_string())
    }

    /// Fetches what is missing; at the end the file is what was signed.
    async fn fetch(&self, package: &Package) -> Result<(), String> {
        let path = self.directory.join(&package.file);
        let there = match tokio::fs::metadata(&path).await {
            Ok(metadata) if metadata.len() <= package.size => metadata.len(),
            _ => 0,
        };
        if there < package.size {
            self.transfer(package, &path, there).await?;
        }
        let package = package.clone();
        let same = move || package.is(fs::File::open(path)?);
        match tokio::task::spawn_blocking(same).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("the package is not what was signed".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn transfer(&self, package: &Package, path: &Path, there: u64) -> Result<(), String> {
        let failed = |error: io::Error| error.to_string();
        tokio::fs::create_dir_all(&self.directory).await.map_err(failed)?;
        let mut answer = self.get(&package.file, there).await?;
        let mut options = tokio::fs::OpenOptions::new();
        let (mut file, mut length) = match answer.status() {
            reqwest::StatusCode::PARTIAL_CONTENT => (options.append(true).open(path).await, there),
            reqwest::StatusCode::OK => (options.write(true).create(true).truncate(true).open(path).await, 0),
            other => return Err(format!("{}: {other}", package.file)),
        };
        let file = file.as_mut().map_err(|error| error.to_string())?;
        while let Some(piece) = piece(&mut answer).await? {
            length += piece.len() as u64;
            if length > package.size {
                return Err("the package is longer than what was signed".to_owned());
            }
            file.write_all(&piece).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)
    }

    fn hand_over(&self, package: &Package) -> Result<(), String> {
        let request = self.request.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let request = request.ok_or("nothing is offered any more")?;
        let name = uuid::Uuid::new_v4().to_string();
        handover::hand_over(Path::new(SPOOL), &name, &request, &self.directory.join(&package.file))
            .map_err(|error| format!("{SPOOL}: {error}"))
    }
}

/// The next bytes of an answer.
async fn piece(answer: &mut reqwest::Response) -> Result<Option<Vec<u8>>, String> {
    let piece = tokio::time::timeout(STALLED, answer.chunk()).await.map_err(|_| "the transfer stalled")?;
    Ok(piece.map_err(|error| error.to_string())?.map(|bytes| bytes.to_vec()))
}

/// What is installed now, and what root says of the last update.
fn look() -> Input {
    match installed() {
        Ok(installed) => {
            Input::Looked { installed: installed.version, state: handover::state(Path::new(STATE_FILE)) }
        }
        // In the middle of an installation, or of a removal.
        Err(_) => Input::Tick,
    }
}

#[cfg(test)]
mod tests;
