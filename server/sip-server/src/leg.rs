//! One leg of a call as SIP sees it: from INVITE to BYE.

use crate::{call::Order, trunks::Way};
use hindsight_sip::{
    ClientTransactionId, Destination, Dialog, Request, Response, ServerTransactionId, SipMessage, Source,
};
use std::collections::VecDeque;

/// Where a leg stands. A leg that is over is not kept.
pub(crate) enum Leg {
    /// A phone's INVITE waits for our final response.
    Offered {
        transaction: ServerTransactionId,
        request: Box<Request>,
        dialog: Box<Dialog>,
        flow: Option<Destination>,
    },
    /// Our INVITE waits for its final response.
    Calling {
        transaction: ClientTransactionId,
        request: Box<Request>,
        flow: Option<Destination>,
        cancelled: bool,
        /// The early dialog of a phone that can be told to answer.
        early: Option<Box<Dialog>>,
    },
    /// The dialog stands.
    Up(Box<Up>),
}

/// An established dialog.
pub(crate) struct Up {
    pub(crate) dialog: Dialog,
    /// The way that the phone's own requests came, preferred to its Contact (NAT, TCP).
    pub(crate) flow: Option<Destination>,
    /// The trunk that it goes by.
    pub(crate) trunk: Option<Way>,
    /// The connection of that way is gone, as far as we know: only the phone can open another.
    pub(crate) cut: bool,
    /// The 2xx of this INVITE of ours waits for our ACK.
    pub(crate) to_acknowledge: Option<(ClientTransactionId, u32)>,
    /// The peer's re-INVITE waits for our final response.
    pub(crate) pending: Option<(ServerTransactionId, Request)>,
    /// Our 2xx waits for the peer's ACK: no BYE of ours before it (RFC 3261 15).
    pub(crate) unacknowledged: Option<ServerTransactionId>,
    /// BYE as soon as that ACK came, or will never come.
    pub(crate) end_wanted: bool,
    /// Our request that waits for its final response, and those that wait for it.
    pub(crate) under_way: Option<ClientTransactionId>,
    pub(crate) errands: VecDeque<Errand>,
    /// REFERs that were accepted in it, and the name of the last one's subscription.
    pub(crate) refers: u32,
    pub(crate) subscription: Option<u32>,
}

/// A request to be sent in a dialog, one after the other: should the first be lost and repeated, the peer would see the
/// second before it and refuse the first as out of order (RFC 3261 12.2.2).
#[derive(PartialEq)]
pub(crate) enum Errand {
    Reinvite(Vec<u8>),
    Order(Order),
    Probe,
    /// A digit of the other phone's: its media type and body.
    Digit(&'static str, Vec<u8>),
    /// What became of a REFER.
    Notify {
        status: u16,
        subscription: Option<u32>,
    },
}

impl Up {
    pub(crate) fn new(dialog: Dialog, flow: Option<Destination>) -> Self {
        Self {
            dialog,
            flow,
            trunk: None,
            cut: false,
            to_acknowledge: None,
            pending: None,
            unacknowledged: None,
            end_wanted: false,
            under_way: None,
            errands: VecDeque::new(),
            refers: 0,
            subscription: None,
        }
    }

    /// The dialog with a trunk: its Contact and its proxies say where its requests go, and its own address where those
    /// are names.
    pub(crate) fn by(dialog: Dialog, flow: Option<Destination>, trunk: Option<Way>) -> Self {
        let flow = flow.filter(|_| trunk.is_none());
        Self { trunk, ..Self::new(dialog, flow) }
    }

    /// Whether an INVITE of the peer is under way, up to its ACK: ours has to wait (RFC 3261 14.1).
    pub(crate) fn is_changing(&self) -> bool {
        self.pending.is_some() || self.unacknowledged.is_some()
    }

    /// Where requests of this dialog go.
    pub(crate) fn destination(&self) -> Option<Destination> {
        destination(&self.dialog, self.flow).or_else(|| self.trunk.as_ref().map(|way| way.to))
    }

    /// The phone moved (RFC 3261 12.2.2): its new Contact, and the way that it came.
    pub(crate) fn moved(&mut self, request: &Request, source: Source) {
        self.dialog.refresh_target(request);
        if self.flow.is_some() {
            (self.flow, self.cut) = (Some(source.into()), false);
        }
    }

    /// The answer of a phone to our re-INVITE may also bring a new Contact.
    pub(crate) fn answered(&mut self, response: &Response, transaction: ClientTransactionId) {
        self.dialog.refresh_target(response);
        if let Ok(cseq) = response.cseq() {
            self.to_acknowledge = Some((transaction, cseq.number));
        }
    }
}

/// Proxies that stay on the path come first; then the flow that the phone uses; then its Contact.
pub(crate) fn destination(dialog: &Dialog, flow: Option<Destination>) -> Option<Destination> {
    if dialog.route_set().is_empty() && flow.is_some() {
        return flow;
    }
    Destination::of_uri(dialog.next_hop())
}

/// The flow to a phone, when the request came straight from it: behind a proxy its Contact is the way.
pub(crate) fn flow_of(request: &Request, source: Source) -> Option<Destination> {
    let straight = request.vias().is_ok_and(|vias| vias.len() == 1);
    straight.then(|| source.into())
}
