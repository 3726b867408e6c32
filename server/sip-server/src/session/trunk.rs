//! Calls that go out by a trunk: one after the other is tried, and who asks for our password is answered.

use super::{Session, outgoing::Envelope};
use crate::{
    call::{Leg, Now},
    leg::Leg as State,
    registrar::Binding,
    state::Output,
    trunks::{Route, answer_challenge},
    wires::{Kind, Outgoing, Wires},
};
use hindsight_sip::{
    ClientTransactionId, Command, Method, NameAddr, Response, SipMessage as _, digest::Credentials,
};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// A trunk that says nothing at all for so long is given up for the next one: at T1 of half a second it was asked three
/// times.
const SILENT: Duration = Duration::from_secs(3);

/// Where a fork goes.
pub(crate) enum Contact {
    /// To a phone that is registered.
    Phone(Box<Binding>),
    /// To a number outside.
    Outside(Outside),
}

/// A call on its way to a number outside.
pub(crate) struct Outside {
    /// The ways that are left; the first is under way.
    routes: VecDeque<Route>,
    /// When the next one is tried, unless this one has said something.
    silent_at: Option<Instant>,
    /// It rings there, so it stays there.
    rings: bool,
}

impl Outside {
    /// By these, one after the other; at least one.
    pub(crate) fn new(routes: Vec<Route>) -> Self {
        Self { routes: routes.into(), silent_at: None, rings: false }
    }

    /// The trunks that it may go by.
    pub(crate) fn trunks(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|route| route.way.trunk.as_str())
    }
}

/// Whether the next trunk may do better.
fn asks_for_another(status: u16) -> bool {
    matches!(status, 401 | 407 | 408 | 500 | 502 | 503 | 504)
}

impl Session {
    /// The INVITE by the trunk that is tried now.
    pub(super) fn outside(&mut self, leg: Leg, fork: u8, wires: &mut Wires, now: Now) -> Option<Envelope> {
        let Some(Contact::Outside(outside)) = self.contacts.get_mut(&fork) else { return None };
        let route = outside.routes.front()?.clone();
        let others = outside.routes.len() > 1;
        outside.silent_at = others.then(|| now.instant + SILENT);
        wires.goes_by(self.call.interaction(), leg, route.way.clone());
        let to = NameAddr::new(route.target.clone());
        metrics::counter!("hindsight_sip_trunk_calls_total", "trunk" => route.way.trunk.clone(), "direction" => "out")
            .increment(1);
        Some(Envelope {
            target: route.target,
            from: route.from,
            to,
            flow: Some(route.way.to),
            path: Vec::new(),
            referred_by: None,
        })
    }

    /// Tries the next trunk; false: there is none, or this one does.
    pub(super) fn next_trunk(
        &mut self,
        leg: Leg,
        (offer, status): (Vec<u8>, Option<u16>),
        wires: &mut Wires,
        now: Now,
    ) -> bool {
        let Leg::Callee(fork) = leg else { return false };
        let Some(Contact::Outside(outside)) = self.contacts.get_mut(&fork) else { return false };
        outside.silent_at = None;
        if outside.rings || status.is_some_and(|status| !asks_for_another(status)) {
            return false;
        }
        let left = outside.routes.front().map(|route| route.way.trunk.clone()).unwrap_or_default();
        if matches!(status, Some(401 | 407)) {
            tracing::warn!(trunk = left, "a trunk wants another password than the site has for it");
        }
        if outside.routes.len() > 1 {
            outside.routes.pop_front();
        } else {
            wires.suspects.push(left);
            return false;
        }
        tracing::info!(interaction = %self.call.interaction(), trunk = left, status, "a trunk does not take a call; the next one is tried");
        metrics::counter!("hindsight_sip_trunk_failovers_total", "trunk" => left.clone()).increment(1);
        wires.suspects.push(left);
        self.invite(leg, offer, wires, now);
        true
    }

    /// A trunk said something: it is there, and from ringing on the call stays with it.
    pub(super) fn trunk_speaks(&mut self, leg: Leg, rings: bool) {
        let Leg::Callee(fork) = leg else { return };
        if let Some(Contact::Outside(outside)) = self.contacts.get_mut(&fork) {
            outside.silent_at = None;
            outside.rings |= rings;
        }
    }

    /// When a trunk has been silent for too long.
    fn silent_at(&self) -> Option<Instant> {
        let silent = |contact: &Contact| match contact {
            Contact::Outside(outside) => outside.silent_at,
            Contact::Phone(_) => None,
        };
        self.contacts.values().filter_map(silent).min()
    }

    /// When [`Session::on_time`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.call.deadline(), self.silent_at()].into_iter().flatten().min()
    }

    /// Gives up trunks that say nothing.
    pub(super) fn expire_trunks(&mut self, wires: &mut Wires, now: Now) {
        let silent = |contact: &Contact| match contact {
            Contact::Outside(outside) => outside.silent_at.is_some_and(|at| at <= now.instant),
            Contact::Phone(_) => false,
        };
        let forks: Vec<u8> =
            self.contacts.iter().filter(|(_, contact)| silent(contact)).map(|(fork, _)| *fork).collect();
        for leg in forks.into_iter().map(Leg::Callee) {
            match self.legs.get(&leg) {
                Some(State::Calling { transaction, request, cancelled: false, .. }) => {
                    let (transaction, offer) = (*transaction, request.body.clone());
                    wires.push(Output::Sip(Command::Cancel(transaction)));
                    self.next_trunk(leg, (offer, None), wires, now);
                }
                Some(State::Calling { .. } | State::Offered { .. } | State::Up(_)) | None => {
                    self.trunk_speaks(leg, false);
                }
            }
        }
    }

    /// Sends a request of ours again with our credentials, which its trunk asks for; false: that leads nowhere.
    pub(crate) fn authorize(
        &mut self,
        transaction: ClientTransactionId,
        out: &Outgoing,
        response: &Response,
        credentials: Credentials,
        wires: &mut Wires,
    ) -> bool {
        let Some((request, to)) = wires.to_trunks.remove(&transaction) else { return false };
        let Some(mut next) = answer_challenge(&request, response, credentials, wires) else { return false };
        let id = wires.next_client();
        match (out.kind, self.legs.get_mut(&out.leg)) {
            (
                Kind::Invite,
                Some(State::Calling { transaction: current, request: kept, cancelled: false, .. }),
            ) if *current == transaction => {
                *current = id;
                **kept = next.clone();
                self.trunk_speaks(out.leg, false);
            }
            (Kind::Invite, _) => return false,
            (Kind::Bye, _) => wires.goodbyes.end(transaction, true, Instant::now()),
            (Kind::Stray, _) => {}
            (
                Kind::Reinvite | Kind::Talk | Kind::Digit | Kind::Referred | Kind::Order(_) | Kind::Probe,
                Some(State::Up(up)),
            ) if up.under_way == Some(transaction) => {
                // Its number is used up in the dialog.
                let number = up.dialog.request(Method::Options).cseq();
                if let (Ok(mut number), Ok(sent)) = (number, next.cseq()) {
                    number.method = sent.method;
                    next.headers.set("CSeq", number);
                }
                up.under_way = Some(id);
            }
            (
                Kind::Reinvite | Kind::Talk | Kind::Digit | Kind::Referred | Kind::Order(_) | Kind::Probe,
                _,
            ) => return false,
        }
        wires.send(id, out.clone(), next, Some(to));
        true
    }
}
