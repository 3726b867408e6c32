//! One leg: its dialog and its media.

use crate::{
    control::{conference::Media, target::Target},
    relay::Leg,
    sdp::{self, OwnKey},
};
use hindsight_sip::{
    Dialog, ServerTransactionId,
    sdp::{Description, Writer},
};
use std::{
    net::{IpAddr, SocketAddr},
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
    writer: Writer,
    own_key: OwnKey,
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
            writer: Writer::new(sdp_session),
            own_key: OwnKey::random(),
            heard: now,
            packets: 0,
        }
    }

    /// Takes an offer: sets the relay and returns the answer.
    pub fn negotiate(&mut self, offer: &Description) -> Vec<u8> {
        self.media.negotiate(sdp::peer(&offer.audio));
        let here = SocketAddr::new(self.address, self.media.port());
        self.writer.write(&self.own_key.answer(&offer.audio, here), offer.shape())
    }

    /// For the conference's task.
    pub fn media(&self, offer: &Description) -> Media {
        Media { leg: self.media.clone(), setup: sdp::setup(&offer.audio, self.target.party.clone()) }
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
