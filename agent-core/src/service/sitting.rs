//! Who sits here comes and goes: signing in, the link that belongs to it, signing out.

use super::{
    FAREWELL, Greeting, Linked, Service,
    seat::{Ended, KeptSession, SigningIn, Why},
    serve::REQUESTS_SINCE,
};
use crate::{
    agent_view::AgentView,
    controller::Input,
    policy::Seat,
    sign_in::{Credentials, Session, SignInError},
};
use hindsight_link::{Hello, Link, LinkConfig};
use hindsight_wire::{agent::ProblemKind, link::Up};
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Wait after a refused sign-in in mid-run.
const REFUSED_WAIT: Duration = Duration::from_secs(300);

impl Service {
    pub(super) fn sign_in(&mut self, who: &Arc<Credentials>, why: Why, after_failure: bool) {
        let (identity, address) = (&self.identity, &self.address);
        self.signing_in = Some(SigningIn::begin(identity, address, who, why, after_failure));
    }

    /// The server has forgotten the session: a new one, if the password is known. The link keeps trying meanwhile.
    pub(super) fn sign_in_again(&mut self, reason: &str) {
        let too_soon = self.not_again_before.is_some_and(|at| Instant::now() < at);
        if too_soon || self.signing_in.is_some() {
            return;
        }
        match self.credentials.clone() {
            Some(who) => self.sign_in(&who, Why::Again, false),
            None => {
                self.desk.problem(ProblemKind::Refused, Some(format!("sign in again: {reason}")));
                self.leave();
            }
        }
    }

    pub(super) fn signed_in(&mut self, (who, result): Ended) {
        let Some(SigningIn { why, .. }) = self.signing_in.take() else { return };
        match result {
            Ok(Session { seat, token }) => {
                tracing::info!(browser = who.is_none(), "signed in");
                self.credentials = who;
                (self.waiting, self.browser_failure) = (None, None);
                self.ever_signed_in = true;
                let Seat { login, person, dn } = seat.clone();
                KeptSession { login, person, dn, token: token.clone() }.keep(&self.keys);
                self.sit_down(seat, Some(token));
                if let Why::Window(reply) = why {
                    reply.done();
                }
            }
            Err(error) => self.not_signed_in(who.as_ref(), why, error),
        }
    }

    fn not_signed_in(&mut self, who: Option<&Arc<Credentials>>, why: Why, error: SignInError) {
        match (why, error) {
            (Why::Window(reply), error) => {
                // The window did not ask for this itself: it is shown the reason.
                self.browser_failure = who.is_none().then(|| error.to_string());
                reply.failed(error.to_string());
            }
            (Why::Settings, error @ SignInError::Refused(_)) => self.give_up(error),
            (Why::Settings, SignInError::Unreachable(error) | SignInError::Failed(error)) => {
                tracing::warn!(error, "the server cannot be reached to sign in");
                if let Some(who) = who {
                    self.sit_down_without_server(who, error);
                }
            }
            (Why::Again, error @ SignInError::Refused(_)) if !self.ever_signed_in => self.give_up(error),
            (Why::Again, error) => {
                tracing::error!(%error, "signing in again failed");
                self.desk.problem(ProblemKind::Refused, Some(error.to_string()));
                if let SignInError::Refused(_) = error {
                    self.not_again_before = Some(Instant::now() + REFUSED_WAIT);
                }
            }
        }
    }

    /// The settings' person, by the offline policy if it allows that; tried again otherwise.
    fn sit_down_without_server(&mut self, who: &Arc<Credentials>, error: String) {
        let kept = self.policy_file.load();
        let seat = kept.as_ref().and_then(|kept| kept.seat_without_server(&who.login, who.dn.as_deref()));
        match seat.cloned() {
            None => {
                self.desk.problem(ProblemKind::Link, Some(error));
                self.sign_in(who, Why::Settings, true);
            }
            Some(seat) => {
                tracing::warn!("the server cannot be reached; the offline policy holds");
                self.credentials = Some(who.clone());
                self.sit_down(seat, None);
                self.take(Input::LinkLost);
            }
        }
    }

    /// The settings' person is refused: the program ends with the reason.
    fn give_up(&mut self, error: SignInError) {
        tracing::error!(%error, "the sign-in of the settings failed");
        self.refused = Some(error);
        self.take(Input::Shutdown);
    }

    /// Somebody sits here now, or has a new token.
    pub(super) fn sit_down(&mut self, seat: Seat, token: Option<String>) {
        self.greeting.lock().unwrap_or_else(PoisonError::into_inner).token = token;
        self.captures.signed_in(seat.clone());
        self.seat = Some(seat);
        match &self.linked {
            Some(linked) => linked.handle.reconnect(),
            None => self.open_link(),
        }
        self.watch_front();
        self.take(Input::SignedIn);
    }

    fn open_link(&mut self) {
        let greeting = self.greeting.clone();
        let config = LinkConfig::new(self.address.clone());
        let (handle, events) = Link::spawn(&self.identity, config, None, move || {
            let Greeting { token, resume } = &*greeting.lock().unwrap_or_else(PoisonError::into_inner);
            Hello { version: env!("CARGO_PKG_VERSION").to_owned(), token: token.clone(), resume: *resume }
        });
        self.captures.linked(Some(handle.clone()));
        let down_since = Some(Instant::now());
        self.linked = Some(Linked { handle, events, down_since, told: false, protocol: 0 });
    }

    /// Once a sign-out has ended the capture: the server is told, and everything of the session forgotten.
    pub(super) fn sign_out_when_quiet(&mut self) {
        if self.signing_out.is_some() && self.controller.is_quiet() {
            if self.linked.as_ref().is_some_and(|linked| linked.protocol >= REQUESTS_SINCE) {
                self.send_up(Up::SignOut);
            }
            self.leave();
            if let Some(reply) = self.signing_out.take() {
                reply.done();
            }
        }
    }

    /// Nobody sits here any more.
    fn leave(&mut self) {
        self.take(Input::SignedOut);
        self.take(Input::LinkLost);
        // Windows that still wait are told that no answer comes.
        self.asked.clear();
        self.replays.close();
        KeptSession::forget(&self.keys);
        if let Some(linked) = self.linked.take() {
            // The link ends with its events' receiver; what is on its way goes out first.
            let Linked { handle, events, .. } = linked;
            drop(tokio::spawn(async move {
                tokio::time::sleep(FAREWELL).await;
                drop((events, handle));
            }));
        }
        self.captures.linked(None);
        (self.seat, self.credentials, self.view) = (None, None, AgentView::default());
        *self.greeting.lock().unwrap_or_else(PoisonError::into_inner) = Greeting::default();
        self.desk.problem(ProblemKind::Link, None);
        self.desk.problem(ProblemKind::Other, None);
        self.watch_front();
        self.look_at = Instant::now();
    }
}
