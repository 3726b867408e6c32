//! What was negotiated, as the relay and the recorder need it.

use crate::{recorder::PartySetup, relay::Peer};
use hindsight_sip::sdp::{Audio, Encoding, Key, Suite};
use rand::RngCore as _;
use std::net::SocketAddr;
use zeroize::Zeroizing;

/// Octets of the longest master key and salt.
const LONGEST_KEY: usize = 32 + 14;

/// Where a party's media comes from and goes to; `None`: nowhere yet.
pub fn peer(audio: &Audio) -> Option<Peer> {
    let receives = audio.direction.receives();
    audio.rtp().map(|rtp| Peer { rtp, rtcp: audio.rtcp(), receives })
}

/// What the recorder must know of a party.
pub fn setup(audio: &Audio, number: String) -> PartySetup {
    let of = |wanted: fn(Encoding) -> bool| {
        let formats = audio.formats.iter().filter(move |format| wanted(format.encoding));
        formats.map(|format| format.payload_type).collect()
    };
    let voices = audio.formats.iter().filter_map(|format| Some((format.payload_type, format.codec()?)));
    PartySetup {
        number,
        codecs: voices.collect(),
        events: of(|encoding| encoding == Encoding::TelephoneEvent),
        noise: of(|encoding| encoding == Encoding::ComfortNoise),
        key: audio.keys.first().cloned(),
        both: false,
    }
}

/// The keys of a leg's answers. RFC 4568 wants one of every answerer; nothing is ever protected with it: the relay passes
/// SRTP on as it comes, and the SIP server tells each phone the other's key.
#[derive(Debug)]
pub struct OwnKey {
    material: Zeroizing<[u8; LONGEST_KEY]>,
}

impl OwnKey {
    /// Of chance.
    pub fn random() -> Self {
        let mut material = Zeroizing::new([0; LONGEST_KEY]);
        rand::rng().fill_bytes(&mut *material);
        Self { material }
    }

    /// The answer from `address` to an offered line, with a key where the offer has one.
    pub fn answer(&self, offered: &Audio, address: SocketAddr) -> Audio {
        let key = offered.keys.first().and_then(|key| self.like(key.tag, key.suite));
        offered.answered_at(address, key)
    }

    fn like(&self, tag: u32, suite: Suite) -> Option<Key> {
        let length = suite.key_len() + suite.salt_len();
        Key::new(tag, suite, self.material[..length].to_vec())
    }
}
