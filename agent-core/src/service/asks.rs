//! What windows and the local API ask for.

use super::{
    Service,
    seat::{SigningIn, Why},
};
use crate::{controller::Input, replay::Access, sign_in::Credentials, single_sign_on::Waiting};
use hindsight_local::{Asked, Reply};
use hindsight_wire::{
    InteractionId, RecordingId,
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
            Ask::BeginSso { dn } => self.begin_in_browser(dn, reply),
            Ask::EndSso { code } => self.end_in_browser(Zeroizing::new(code.0), reply),
            Ask::History { cursor } => self.history(cursor.as_deref(), reply),
            Ask::Play { interaction } => self.play(interaction, reply),
            Ask::Piece { recording, from, most } => self.piece(recording, from, most, reply),
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
        match self.keeps_from_signing_in() {
            Some(why) => reply.failed(why),
            // A person at the window goes before the settings, which may be waiting for a server.
            None => self.sign_in(&Arc::new(who), Why::Window(reply), false),
        }
    }

    fn keeps_from_signing_in(&self) -> Option<&'static str> {
        let by_a_person = |running: &SigningIn| !matches!(running.why, Why::Settings);
        if self.seat.is_some() {
            Some("somebody is signed in already; sign out first")
        } else if self.signing_in.as_ref().is_some_and(by_a_person) {
            Some("a sign-in is under way")
        } else {
            None
        }
    }

    /// Asks the server in the background where the browser is to go. What was begun before is given up.
    fn begin_in_browser(&mut self, dn: Option<String>, reply: Reply) {
        if let Some(why) = self.keeps_from_signing_in() {
            return reply.failed(why);
        }
        let Some(waiting) = Waiting::new(std::time::Instant::now()) else {
            return reply.failed("the system gives no random numbers");
        };
        (self.waiting, self.browser_failure) = (Some(waiting.clone()), None);
        let (identity, address) = (self.identity.clone(), self.address.clone());
        drop(tokio::spawn(async move {
            let begun = waiting.begin(&identity, &address, dn).await;
            let url = begun.map(|url| serde_json::json!({ "url": url }));
            reply.answer(url.map_err(|error| error.to_string()));
        }));
    }

    /// The browser is back, or somebody says so: a link of nobody's leaves what was begun as it is.
    fn end_in_browser(&mut self, code: Zeroizing<String>, reply: Reply) {
        if let Some(why) = self.keeps_from_signing_in() {
            return reply.failed(why);
        }
        let good = |waiting: &&Waiting| waiting.is_good(std::time::Instant::now());
        let Some(waiting) = self.waiting.as_ref().filter(good).cloned() else {
            tracing::warn!("a link of single sign-on came that nobody here waits for");
            return reply.failed("nobody here waits for the browser; begin the sign-in in Hindsight");
        };
        self.signing_in = Some(SigningIn::end(&self.identity, &self.address, waiting, code, reply));
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

    /// Asks the server what there is, in the background.
    fn play(&self, interaction: InteractionId, reply: Reply) {
        let token = self.greeting.lock().unwrap_or_else(PoisonError::into_inner).token.clone();
        let (Some(token), Ok(client)) = (token, self.identity.http_client()) else {
            return reply.failed("nobody is signed in");
        };
        let access = Access { client, address: self.address.clone(), token: Zeroizing::new(token) };
        let replays = self.replays.clone();
        drop(tokio::spawn(async move { reply.answer(value(replays.open(access, interaction).await)) }));
    }

    /// The same for some bytes of it.
    fn piece(&self, recording: RecordingId, from: u64, most: u32, reply: Reply) {
        let replays = self.replays.clone();
        drop(tokio::spawn(async move { reply.answer(value(replays.piece(recording, from, most).await)) }));
    }

    pub(super) fn answer(&mut self, ask: u64, result: Result<(), String>) {
        if let Some(reply) = self.asked.remove(&ask) {
            reply.answer(result.map(|()| serde_json::Value::Null));
        }
    }
}

fn value(answer: Result<impl serde::Serialize, String>) -> Result<serde_json::Value, String> {
    answer.and_then(|answer| serde_json::to_value(answer).map_err(|error| error.to_string()))
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
    Err(body["error"]["message"].as_str().map_or_else(|| status.to_string(), str::to_owned))
}
