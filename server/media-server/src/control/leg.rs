//! One leg: its dialog and its media.

use crate::{
    control::{conference::Media, target::Target},
    relay::Leg,
    sdp::Offer,
};
use hindsight_sip::{Dialog, ServerTransactionId};
use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

/// A leg of a conference.
pub struct Session {
    /// Our side of the dialog.
    pub dialog: Dialog,
    /// Where it belongs.
    pub target: Target,
    media: Arc<Leg>,
    /// The INVITE whose 2xx is not acknowledged yet.
    pub unacknowledged: Option<ServerTransactionId>,
    address: IpAddr,
    sdp_session: u64,
    sdp_version: u64,
    last_answer: String,
    heard: Instant,
    packets: u64,
}

impl Session {
    /// A new leg, not negotiated yet.
    pub fn new(
        dialog: Dialog,
        target: Target,
        media: Arc<Leg>,
        address: IpAddr,
        sdp_session: u64,
        now: Instant,
    ) -> Self {
        Self {
            dialog,
            target,
            media,
            unacknowledged: None,
            address,
            sdp_session,
            sdp_version: 0,
            last_answer: String::new(),
            heard: now,
            packets: 0,
        }
    }

    /// Takes an offer: sets the relay and returns the answer (its version grows with every change: RFC 3264 8).
    pub fn negotiate(&mut self, offer: &Offer) -> String {
        self.media.negotiate(offer.audio.peer);
        let answer = |version| offer.answer(self.sdp_session, version, self.address, self.media.port());
        let mut text = answer(self.sdp_version);
        if text != self.last_answer {
            self.sdp_version += 1;
            text = answer(self.sdp_version);
        }
        self.last_answer.clone_from(&text);
        text
    }

    /// For the conference's task.
    pub fn media(&self, offer: &Offer) -> Media {
        Media { leg: self.media.clone(), setup: offer.audio.setup(self.target.party.clone()) }
    }

    /// A request of the peer came.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Looks whether packets came since it was called last; to be called at regular intervals.
    pub fn listen(&mut self, now: Instant) {
        let packets = self.media.counters().received.load(Relaxed);
        if packets != self.packets {
            self.packets = packets;
            self.heard = now;
        }
    }

    /// When signalling or media last came, as far as [`Session::listen`] knows.
    pub fn last_heard(&self) -> Instant {
        self.heard
    }
}
