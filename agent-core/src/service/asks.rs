//! What windows and the local API ask for.

use super::{Service, seat::Why};
use crate::{controller::Input, sign_in::Credentials};
use hindsight_local::{Asked, Reply};
use hindsight_wire::{
    agent::{AgentAction, ProblemKind},
    local::Ask,
};
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// The agent's own recordings, at the web services.
const HISTORY_PATH: &str = "/api/v2/desktop/recordings";
/// They answer within this time.
const HISTORY_LIMIT: Duration = Duration::from_secs(15);

impl Service {
    pub(super) fn asked(&mut self, Asked { ask, reply }: Asked) {
        match ask {
            Ask::SignIn { login, password, dn } => {
                let password = Zeroizing::new(password.0);
                self.sign_in_at_window(Credentials { login, password, dn }, reply);
            }
            Ask::SignOut => self.sign_out(reply),
            Ask::Agent(action) => self.agent_asks(action, reply),
            Ask::Enrol { .. } => reply.failed("this desktop is enrolled already"),
            Ask::BeginSso { .. } | Ask::EndSso { .. } => {
                reply.failed("the server does not offer single sign-on");
            }
            Ask::History { cursor } => self.history(cursor.as_deref(), reply),
            Ask::Restarted { cause } => {
                tracing::warn!(cause, "restarted by the watchdog");
                self.restarted_at = Some(Instant::now());
                self.desk.problem(ProblemKind::Restarted, Some(cause));
                reply.done();
            }
            Ask::Quit { now } => {
                tracing::info!(now, "told to quit");
                self.take(if now { Input::Shutdown } else { Input::QuitWhenIdle });
                reply.done();
            }
        }
    }

    fn sign_in_at_window(&mut self, who: Credentials, reply: Reply) {
        if self.seat.is_some() {
            reply.failed("somebody is signed in already; sign out first");
        } else if self.signing_in.as_ref().is_some_and(|running| !matches!(running.why, Why::Settings)) {
            reply.failed("a sign-in is under way");
        } else {
            // A person at the window goes before the settings, which may be waiting for a server.
            self.sign_in(&Arc::new(who), Why::Window(reply), false);
        }
    }

    fn sign_out(&mut self, reply: Reply) {
        if self.seat.is_none() {
            return reply.failed("nobody is signed in");
        }
        if self.signing_out.is_some() {
            return reply.failed("a sign-out is under way");
        }
        tracing::info!("signing out");
        self.signing_in = None;
        self.signing_out = Some(reply);
        self.take(Input::SignedOut);
    }

    fn agent_asks(&mut self, action: AgentAction, reply: Reply) {
        let Some(seat) = &self.seat else { return reply.failed("nobody is signed in") };
        let by = seat.login.clone();
        let ask = self.next_ask;
        self.next_ask += 1;
        self.asked.insert(ask, reply);
        self.take(Input::Asked { ask, by, action });
    }

    /// Asks the server in the background.
    fn history(&self, cursor: Option<&str>, reply: Reply) {
        let token = self.greeting.lock().unwrap_or_else(PoisonError::into_inner).token.clone();
        let (Some(token), Ok(client)) = (token, self.identity.http_client()) else {
            return reply.failed("nobody is signed in");
        };
        let path = format!("https://{}{HISTORY_PATH}", self.address);
        let url = reqwest::Url::parse_with_params(&path, cursor.map(|cursor| ("cursor", cursor)));
        let Ok(url) = url else { return reply.failed("the address of the server is none") };
        let asked = client.get(url).bearer_auth(token).timeout(HISTORY_LIMIT);
        drop(tokio::spawn(async move { reply.answer(page(asked).await) }));
    }

    pub(super) fn answer(&mut self, ask: u64, result: Result<(), String>) {
        if let Some(reply) = self.asked.remove(&ask) {
            reply.answer(result.map(|()| serde_json::Value::Null));
        }
    }
}

/// A page of the agent's recordings; why not, for people.
async fn page(asked: reqwest::RequestBuilder) -> Result<serde_json::Value, String> {
    let unreachable = |error: reqwest::Error| format!("the server cannot be reached: {error}");
    let answer = asked.send().await.map_err(unreachable)?;
    let status = answer.status();
    if status == reqwest::StatusCode::NOT_FOUND {
        return Err("the server does not offer your recordings here".to_owned());
    }
    let body: serde_json::Value = answer.json().await.map_err(unreachable)?;
    if status.is_success() {
        return Ok(body);
    }
    Err(body["message"].as_str().map_or_else(|| status.to_string(), str::to_owned))
}
