//! What comes back: passed on to whoever asked, or the next media server is tried within the same transaction.

use super::{Abandoned, Attempt, LINGER, Now, Output, ResourceManager};
use crate::pool::Change;
use hindsight_sip::{
    ClientTransactionId, Command, Destination, Dialog, Method, Response, ServerTransactionId, SipMessage,
    StatusCode, proxy,
};
use std::time::Instant;

impl ResourceManager {
    pub(super) fn on_response(&mut self, branch: ClientTransactionId, mut response: Response, now: Now) {
        if let Some(server) = self.checks.get(&branch).copied() {
            return self.on_checked(branch, server, &response);
        }
        if let Some(id) = self.branches.get(&branch).copied() {
            if proxy::strip_via(&mut response).is_none() {
                return tracing::debug!("response without a Via below ours");
            }
            return self.on_forwarded(id, response, now);
        }
        if response.status.is_success() {
            self.end_late(branch, &response);
        }
    }

    fn on_forwarded(&mut self, id: ServerTransactionId, response: Response, now: Now) {
        let Some(context) = self.contexts.get_mut(&id) else { return };
        let status = response.status;
        if status == StatusCode::TRYING {
            // Only that the request arrived; a media server answers in a moment, or hangs.
            return;
        }
        if let Some(attempt) = &mut context.attempt {
            attempt.silent_until = None;
        }
        if status.is_provisional() {
            return self.out.push_back(Output::Sip(Command::Respond(id, response)));
        }
        let key = context.attempt.as_ref().map(|attempt| attempt.key.clone());
        if let Some(key) = key {
            if status.is_success() {
                self.sessions.answered(&key, status.as_u16(), now.wall);
            } else if is_servers_fault(status) && self.try_next(id, now) {
                return;
            } else {
                self.end_session(&key, status.as_u16(), now);
            }
        }
        self.finish(id, response, now);
    }

    /// Passes the final response on; the context stays for repeated 2xx.
    pub(super) fn finish(&mut self, id: ServerTransactionId, response: Response, now: Now) {
        if let Some(context) = self.contexts.get_mut(&id) {
            context.forget_at.get_or_insert(now.instant + LINGER);
            if let Some(attempt) = &mut context.attempt {
                attempt.silent_until = None;
            }
        }
        self.respond(id, response);
    }

    /// No answer to what was forwarded, or it could not be sent.
    pub(super) fn on_failure(&mut self, branch: ClientTransactionId, status: StatusCode, now: Now) {
        if let Some(server) = self.checks.remove(&branch) {
            if status == StatusCode::SERVICE_UNAVAILABLE && self.pool.unreachable(server) == Change::Lost {
                self.lose(server, now);
            }
            return;
        }
        self.abandoned.remove(&branch);
        if let Some(id) = self.branches.remove(&branch) {
            self.fail(id, status, now);
        }
    }

    /// A forwarded request has failed: the next media server, or the answer to whoever sent it.
    pub(super) fn fail(&mut self, id: ServerTransactionId, status: StatusCode, now: Now) {
        let Some(context) = self.contexts.get(&id).filter(|context| context.forget_at.is_none()) else {
            return;
        };
        let key = context.attempt.as_ref().map(|attempt| attempt.key.clone());
        let response = Response::to(&context.request, status);
        if key.is_some() && self.try_next(id, now) {
            return;
        }
        if let Some(key) = key {
            self.end_session(&key, status.as_u16(), now);
        }
        self.finish(id, response, now);
    }

    /// INVITEs of which nothing was heard for too long.
    pub(super) fn give_up_silent(&mut self, now: Now) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now.instant);
        let silent = |attempt: Option<&Attempt>| due(attempt.and_then(|attempt| attempt.silent_until));
        let silent = self.contexts.iter().filter(|(_, context)| silent(context.attempt.as_ref()));
        for id in silent.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.give_next_a_try(id, now);
        }
    }

    /// Another media server, if there is one; else it keeps its chance.
    fn give_next_a_try(&mut self, id: ServerTransactionId, now: Now) {
        let Some(attempt) = self.contexts.get_mut(&id).and_then(|context| context.attempt.as_mut()) else {
            return;
        };
        attempt.silent_until = None;
        let attempt = self.contexts.get(&id).and_then(|context| context.attempt.as_ref());
        if attempt.and_then(|attempt| self.next_server(attempt)).is_some() {
            tracing::debug!("media server silent, next one");
            self.abandon(id, now);
            self.try_next(id, now);
        }
    }

    fn try_next(&mut self, id: ServerTransactionId, now: Now) -> bool {
        let Some(attempt) = self.contexts.get(&id).and_then(|context| context.attempt.as_ref()) else {
            return false;
        };
        let Some(server) = self.next_server(attempt) else { return false };
        self.forward_invite(id, server, now);
        true
    }

    /// Gives up the branch that a request is forwarded in now.
    pub(super) fn abandon(&mut self, id: ServerTransactionId, now: Now) {
        let Some(context) = self.contexts.get(&id) else { return };
        let (branch, server) = (context.branch, context.to);
        self.branches.remove(&branch);
        if context.request.method == Method::Invite {
            let forget_at = now.instant + LINGER;
            self.abandoned.insert(branch, Abandoned { request: context.request.clone(), server, forget_at });
            self.out.push_back(Output::Sip(Command::Cancel(branch)));
        }
    }

    /// A media server accepted what was given up: its leg is acknowledged and ended (RFC 3261 13.2.2.4, for the caller).
    fn end_late(&mut self, branch: ClientTransactionId, response: &Response) {
        let Some(Abandoned { request, server, .. }) = self.abandoned.remove(&branch) else { return };
        let (Ok(mut dialog), Ok(cseq)) = (Dialog::uac(&request, response), response.cseq()) else { return };
        let to = Destination::udp(server);
        let (mut ack, mut bye) = (dialog.ack(cseq.number), dialog.request(Method::Bye));
        // The route set leads through us; we are where it leads already.
        ack.headers.remove("Route");
        bye.headers.remove("Route");
        self.out.push_back(Output::Sip(Command::Acknowledge(branch, ack, to)));
        self.out.push_back(Output::Sip(Command::Request((self.client_ids)(), bye, to)));
    }
}

/// Failures that another media server may not have.
fn is_servers_fault(status: StatusCode) -> bool {
    status == StatusCode::REQUEST_TIMEOUT || (500..600).contains(&status.as_u16())
}
