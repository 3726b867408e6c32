//! Health of the media servers: OPTIONS in turn, the word of their hosts, and what follows from a loss.

use super::{LOAD_HEADER, LOST_HEADER, Now, Output, ResourceManager};
use crate::pool::Change;
use hindsight_sip::{
    ClientTransactionId, Command, Destination, Method, NameAddr, NewRequest, Request, Response, SipUri,
    StatusCode, Uri,
};
use std::net::SocketAddr;

impl ResourceManager {
    /// The process of a media server is gone: nothing listens at its address any more.
    pub fn on_gone(&mut self, server: SocketAddr, now: Now) {
        if self.pool.gone(server) == Change::Lost {
            self.lose(server, now);
        }
    }

    pub(super) fn check_health(&mut self, now: Now) {
        let (ask, lost) = self.pool.due(now.instant);
        for server in lost {
            self.lose(server, now);
        }
        for server in ask {
            let id = (self.client_ids)();
            self.checks.insert(id, server);
            let request = self.options_to(server).with_header("Accept", "application/sdp");
            self.out.push_back(Output::Sip(Command::Request(id, request, Destination::udp(server))));
        }
    }

    fn options_to(&mut self, target: SocketAddr) -> Request {
        let from = NameAddr::new(SipUri::with_user("resource-manager", self.own.clone()));
        let target: Uri = SipUri::new(target.into()).into();
        NewRequest {
            method: Method::Options,
            target: target.clone(),
            from,
            from_tag: self.ids.tag(),
            to: NameAddr::new(target),
            call_id: self.ids.call_id(),
            cseq: self.ids.cseq(),
            contact: None,
        }
        .build()
    }

    pub(super) fn on_checked(
        &mut self,
        branch: ClientTransactionId,
        server: SocketAddr,
        response: &Response,
    ) {
        if response.status.is_provisional() {
            return;
        }
        self.checks.remove(&branch);
        let load = response.headers.get(LOAD_HEADER).and_then(|load| load.trim().parse().ok());
        match self.pool.answered(server, response.status.as_u16(), load) {
            Change::Found => tracing::info!(%server, load, "media server found"),
            Change::Drains => tracing::info!(%server, "media server takes no new sessions"),
            Change::Same | Change::Lost => tracing::trace!(%server, load, "media server alive"),
        }
    }

    /// A media server is lost, and every session on it. Whoever had sessions there is told, so that it need not wait for
    /// its own next look; what is under way to the lost one is answered now.
    pub(super) fn lose(&mut self, server: SocketAddr, now: Now) {
        let sessions = self.sessions.on(server);
        let upstreams = self.sessions.upstreams(server);
        tracing::warn!(%server, sessions = sessions.len(), "media server lost");
        let waiting = self.contexts.iter().filter(|(_, c)| c.to == server && c.forget_at.is_none());
        let waiting: Vec<_> = waiting.map(|(id, _)| *id).collect();
        for id in waiting {
            self.abandon(id, now);
            self.fail(id, StatusCode::REQUEST_TIMEOUT, now);
        }
        for key in sessions {
            if self.sessions.server(&key) == Some(server) {
                self.end_session(&key, StatusCode::REQUEST_TIMEOUT.as_u16(), now);
            }
        }
        for upstream in upstreams {
            let request = self.options_to(upstream.addr).with_header(LOST_HEADER, server);
            let id = (self.client_ids)();
            self.out.push_back(Output::Sip(Command::Request(id, request, upstream)));
        }
    }
}
