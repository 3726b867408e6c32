//! The way to an identity: kept, by an enrolment string of the settings, or by one that a window brings.

use super::{ServiceError, blocking, desk::Desk, until_stopped};
use crate::{
    config::RecorderConfig,
    key_store::{DeviceKeyPlace, Keys},
    local_api::{self, LocalApi},
    recording::RecordingError,
    system,
    updates::{self, Updates},
};
use hindsight_link::{Identity, LinkError, Proxy};
use hindsight_local::{Asked, Reply};
use hindsight_spool::{Spool, UploadConfig, Uploader};
use hindsight_wire::{
    agent::ProblemKind,
    enrolment::{DeviceKind, EnrolmentString},
    local::{Ask, DesktopStatus, LinkState},
};
use std::{fs::File, path::Path, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Wait between two tries to reach a server that does not answer.
const RETRY: Duration = Duration::from_secs(3);
/// Wait before a locked key store is asked again.
const LOCKED: Duration = Duration::from_secs(10);
/// Longer than any run.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Makes the data directory, for this user only, and takes it.
pub fn open_data_dir(dir: &Path) -> Result<File, ServiceError> {
    let refuse = |error| ServiceError::DataDir(dir.to_owned(), error);
    system::create_private_dir(dir).map_err(refuse)?;
    let lock = File::create(dir.join("recorder.lock")).map_err(refuse)?;
    lock.try_lock().map_err(|_| ServiceError::Taken(dir.to_owned()))?;
    Ok(lock)
}

/// Opens the key store; it may wait for other programs.
pub async fn keys(config: &RecorderConfig) -> Result<Arc<Keys>, ServiceError> {
    let (setting, dir) = (config.key_store, config.data_dir.clone());
    let keys = blocking(move || Ok::<_, RecordingError>(Keys::open(setting, &dir))).await?;
    if let Some(problem) = keys.problem() {
        tracing::warn!(problem, "the key store of the system is not used");
    }
    Ok(Arc::new(keys))
}

/// Gets the identity; `None`: told to stop first.
pub async fn identity(
    config: &RecorderConfig,
    keys: &Arc<Keys>,
    desk: &mut Desk,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<Identity>, ServiceError> {
    let dir = config.data_dir.join("identity");
    let mut string = config.enrolment()?;
    let proxy = proxy(config)?;
    let mut asked: Option<Reply> = None;
    loop {
        let place = Arc::new(DeviceKeyPlace(keys.clone()));
        let name = config.device_name();
        let attempt = Identity::load_or_enrol_through(
            &dir,
            place,
            DeviceKind::Desktop,
            &name,
            string.as_ref(),
            proxy.clone(),
        );
        let Some(result) = until_stopped(stop, attempt).await else { return Ok(None) };
        let (wait, problem) = match (result, asked.take()) {
            (Ok(identity), asked) => {
                if let Some(asked) = asked {
                    asked.done();
                }
                desk.problem(ProblemKind::Link, None);
                return Ok(Some(identity));
            }
            (Err(error), Some(reply)) => {
                reply.failed(error.to_string());
                string = None;
                (FOR_EVER, None)
            }
            (Err(LinkError::NotEnrolled(_)), None) => {
                tracing::warn!("this desktop is not enrolled; it waits for an enrolment string");
                (FOR_EVER, None)
            }
            (Err(LinkError::KeyStore(error)), None) => {
                tracing::warn!(error, "the device key cannot be had");
                desk.problem(ProblemKind::KeyStore, Some(error));
                (LOCKED, None)
            }
            (Err(LinkError::Unreachable(error)), None) => {
                tracing::warn!(error, "the server cannot be reached to enrol");
                (RETRY, Some(error))
            }
            (Err(error), None) => return Err(error.into()),
        };
        let link = if string.is_some() { LinkState::Connecting } else { LinkState::NotEnrolled };
        desk.problem(ProblemKind::Link, problem);
        desk.publish(DesktopStatus { link, may_quit: true, ..DesktopStatus::default() });
        match window(desk, stop, wait).await {
            Next::Again => {}
            Next::Stop => return Ok(None),
            Next::Enrol(new, reply) => (string, asked) = (Some(new), Some(reply)),
        }
    }
}

enum Next {
    Again,
    Stop,
    Enrol(EnrolmentString, Reply),
}

/// What happens before there is an identity.
async fn window(desk: &mut Desk, stop: &mut watch::Receiver<bool>, wait: Duration) -> Next {
    let again = tokio::time::sleep(wait);
    tokio::pin!(again);
    loop {
        let asked = tokio::select! {
            biased;
            _ = stop.changed() => return Next::Stop,
            () = &mut again => return Next::Again,
            asked = desk.asks.recv() => asked,
        };
        match asked {
            None => return Next::Stop,
            Some(Asked { ask: Ask::Quit { .. }, reply }) => {
                reply.done();
                return Next::Stop;
            }
            Some(Asked { ask: Ask::Enrol { string }, reply }) => match string.0.parse() {
                Ok(string) => return Next::Enrol(string, reply),
                Err(error) => reply.failed(format!("the enrolment string: {error}")),
            },
            Some(Asked { reply, .. }) => reply.failed("this desktop is not enrolled"),
        }
    }
}

/// Looks for updates from here on, where a package has installed this program.
pub fn updates(config: &RecorderConfig, identity: &Identity, address: &str, desk: &Desk) -> Option<Updates> {
    let client = identity.http_client().inspect_err(|error| tracing::warn!(%error, "no updates")).ok()?;
    updates::start(&config.updates, &config.data_dir, client, address, desk.asker.clone(), desk.watch())
}

/// Opens the local API, where the settings turn it on. Recording does without it if need be.
pub async fn local_api(config: &RecorderConfig, desk: &mut Desk) -> Option<LocalApi> {
    if !config.local_api.enabled {
        return None;
    }
    let started =
        local_api::start(&config.local_api, &config.data_dir, desk.asker.clone(), desk.watch()).await;
    match started {
        Ok(api) => Some(api),
        Err(error) => {
            let port = config.local_api.port;
            tracing::error!(port, %error, "the local API cannot listen");
            desk.problem(
                ProblemKind::Other,
                Some(format!("the local API cannot listen on port {port}: {error}")),
            );
            None
        }
    }
}

/// The proxy on the way to the site, of the settings or else of the environment.
fn proxy(config: &RecorderConfig) -> Result<Option<Proxy>, LinkError> {
    match config.proxy.as_ref().map(|proxy| proxy.0.trim()) {
        Some("") => Ok(None),
        Some(url) => Proxy::new(url).map(Some),
        None => Proxy::of_environment(|name| std::env::var(name).ok()),
    }
}

/// Sends what the spool holds, signed in or not.
pub fn uploader(spool: &Spool, identity: &Identity, address: &str) -> Result<Uploader, ServiceError> {
    let config = UploadConfig { base_url: format!("https://{address}"), ..UploadConfig::default() };
    Ok(Uploader::new(spool.clone(), identity.http_client()?, identity.ca_pem(), &config)?)
}
