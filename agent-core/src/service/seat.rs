//! Who sits here: signing in, and what of it outlives the recorder.

use crate::{
    key_store::Keys,
    policy::Seat,
    sign_in::{Credentials, Session, SignInError, sign_in},
    single_sign_on::Waiting,
};
use hindsight_link::Identity;
use hindsight_local::Reply;
use hindsight_wire::PersonId;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

/// Wait between two tries to reach a server that does not answer.
const RETRY: Duration = Duration::from_secs(3);

/// Why somebody is being signed in.
pub enum Why {
    /// The settings say so: tried until the server is there, and the program ends if it says no.
    Settings,
    /// A window asked.
    Window(Reply),
    /// The server has forgotten the session.
    Again,
}

/// How a sign-in ended, and with which password; `None`: in the browser, which is asked once only.
pub type Ended = (Option<Arc<Credentials>>, Result<Session, SignInError>);

/// A sign-in under way.
pub struct SigningIn {
    pub why: Why,
    who: Option<Arc<Credentials>>,
    task: Aborted,
}

/// A task that ends with whoever waits for it.
struct Aborted(JoinHandle<Result<Session, SignInError>>);

impl SigningIn {
    /// Begins one with a password, after a while if one failed before.
    pub fn begin(
        identity: &Arc<Identity>,
        address: &str,
        who: &Arc<Credentials>,
        why: Why,
        after_failure: bool,
    ) -> Self {
        let (identity, address, credentials) = (identity.clone(), address.to_owned(), who.clone());
        let task = tokio::spawn(async move {
            if after_failure {
                tokio::time::sleep(RETRY).await;
            }
            sign_in(&identity, &address, &credentials).await
        });
        Self { who: Some(who.clone()), why, task: Aborted(task) }
    }

    /// Ends one that the browser did.
    pub fn end(
        identity: &Arc<Identity>,
        address: &str,
        waiting: Waiting,
        code: Zeroizing<String>,
        reply: Reply,
    ) -> Self {
        let (identity, address) = (identity.clone(), address.to_owned());
        let task = tokio::spawn(async move { waiting.end(&identity, &address, &code).await });
        Self { who: None, why: Why::Window(reply), task: Aborted(task) }
    }
}

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The end of a sign-in, once there is one; never, while none is under way.
pub async fn finished(signing_in: &mut Option<SigningIn>) -> Ended {
    let Some(running) = signing_in else { return std::future::pending().await };
    let result = (&mut running.task.0).await;
    (running.who.clone(), result.unwrap_or_else(|error| Err(SignInError::Unreachable(error.to_string()))))
}

/// A session as it is kept: the token is good with this device's certificate only.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptSession {
    pub login: String,
    pub person: PersonId,
    pub dn: String,
    pub token: String,
}

impl KeptSession {
    pub fn seat(&self) -> Seat {
        Seat { login: self.login.clone(), person: self.person, dn: self.dn.clone() }
    }

    /// The one kept last; whatever is wrong with it, a person can sign in anew.
    pub async fn load(keys: &Arc<Keys>) -> Option<Self> {
        let keys = keys.clone();
        let loaded = tokio::task::spawn_blocking(move || keys.session()).await;
        match loaded {
            Ok(Ok(text)) => text.and_then(|text| serde_json::from_str(&text).ok()),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the session could not be read");
                None
            }
            Err(error) => {
                tracing::error!(%error, "reading the session failed");
                None
            }
        }
    }

    /// Keeps it in the background: signing in does not wait for a key store.
    pub fn keep(self, keys: &Arc<Keys>) {
        let keys = keys.clone();
        drop(tokio::task::spawn_blocking(move || {
            let kept = serde_json::to_string(&self).map_err(|error| error.to_string());
            let kept = kept.and_then(|text| keys.keep_session(&text).map_err(|error| error.to_string()));
            if let Err(error) = kept {
                tracing::warn!(error, "the session is not kept: a restart needs a person");
            }
        }));
    }

    /// Forgets what is kept.
    pub fn forget(keys: &Arc<Keys>) {
        let keys = keys.clone();
        drop(tokio::task::spawn_blocking(move || {
            if let Err(error) = keys.forget_session() {
                tracing::warn!(%error, "the session could not be forgotten");
            }
        }));
    }
}
