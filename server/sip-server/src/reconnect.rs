//! Phones by TCP or TLS whose connection ended, with our process or by itself. Only the phone can open another one; when
//! it registers over that, what goes to it goes there: further requests of its calls, and the BYE that could not be said.
//! We open no TLS connection ourselves: a phone has no certificate by which it could be known.

use crate::{
    session::session_id,
    state::SipServer,
    wires::{Kind, Outgoing},
};
use hindsight_sip::{
    ClientTransactionId, Destination, Dialog, Method, Protocol, Request, SipMessage, SipUri, Source, Uri,
};
use hindsight_wire::InteractionId;
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// BYEs that could not be said are kept for so long: longer than phones take to come back.
const KEPT: Duration = Duration::from_secs(600);
/// And so many.
const MOST: usize = 1000;

/// The BYEs to phones: those under way, and those that found no connection.
#[derive(Default)]
pub(crate) struct Goodbyes {
    under_way: HashMap<ClientTransactionId, Unsaid>,
    unsaid: VecDeque<(Instant, Unsaid)>,
}

/// The end of a dialog that its phone does not know of.
struct Unsaid {
    interaction: InteractionId,
    /// The DN of the phone.
    number: String,
    outgoing: Outgoing,
    dialog: Dialog,
}

impl Goodbyes {
    /// A BYE is sent to a phone.
    pub(crate) fn begin(
        &mut self,
        id: ClientTransactionId,
        number: String,
        outgoing: &Outgoing,
        dialog: Dialog,
    ) {
        let outgoing = Outgoing { kind: Kind::Stray, ..outgoing.clone() };
        self.under_way.insert(id, Unsaid { interaction: outgoing.interaction, number, outgoing, dialog });
    }

    /// It has its final outcome. One that could not be sent waits for its phone.
    pub(crate) fn end(&mut self, id: ClientTransactionId, sent: bool, now: Instant) {
        let Some(unsaid) = self.under_way.remove(&id) else { return };
        self.unsaid.retain(|(until, _)| *until > now);
        if sent {
            return;
        }
        metrics::counter!("hindsight_sip_unreachable_phones_total").increment(1);
        tracing::warn!(interaction = %unsaid.interaction, "a phone cannot be told that its call is over: its connection is gone");
        if self.unsaid.len() < MOST {
            self.unsaid.push_back((now + KEPT, unsaid));
        }
    }

    /// Those that a phone of this DN with this contact is owed.
    fn owed_to(&mut self, number: &str, contact: &SipUri, now: Instant) -> Vec<Unsaid> {
        let (mut owed, mut others) = (Vec::new(), VecDeque::new());
        for (until, unsaid) in self.unsaid.drain(..).filter(|(until, _)| *until > now) {
            if unsaid.number == number && is_of(unsaid.dialog.remote_target(), contact) {
                owed.push(unsaid);
            } else {
                others.push_back((until, unsaid));
            }
        }
        self.unsaid = others;
        owed
    }
}

/// Whether a dialog's far end is this contact.
pub(crate) fn is(target: &Uri, contact: &SipUri) -> bool {
    target.as_sip().is_some_and(|target| target.equivalent(contact))
}

/// Whether it is the phone with this contact: the port may be that of a connection, and so another one.
pub(crate) fn is_of(target: &Uri, contact: &SipUri) -> bool {
    let same = |target: &SipUri| {
        target.user_decoded() == contact.user_decoded() && target.host.host == contact.host.host
    };
    is(target, contact) || target.as_sip().is_some_and(same)
}

/// Whether requests go over a connection that only the phone can open.
pub(crate) fn by_connection(flow: Option<Destination>, target: &Uri) -> bool {
    let to = flow.or_else(|| Destination::of_uri(target));
    to.is_some_and(|to| to.protocol != Protocol::Udp)
}

impl SipServer {
    /// A phone of this DN has registered, from there.
    pub(crate) fn reconnected(&mut self, number: &str, request: &Request, source: Source, now: Instant) {
        let straight = request.vias().is_ok_and(|vias| vias.len() == 1);
        if source.protocol == Protocol::Udp || !straight {
            return;
        }
        let to = Destination::from(source);
        for contact in request.contacts().unwrap_or_default() {
            let Some(contact) = contact.uri.as_sip() else { continue };
            for session in self.sessions.values_mut() {
                session.reconnected(number, contact, to);
            }
            let owed = self.wires.goodbyes.owed_to(number, contact, now);
            for Unsaid { interaction, outgoing, mut dialog, .. } in owed {
                tracing::info!(%interaction, "a phone that is back is told that its call is over");
                let request = dialog.request(Method::Bye).with_header("Session-ID", session_id(interaction));
                let id = self.wires.next_client();
                self.wires.send(id, outgoing, request, Some(to));
            }
        }
    }
}
