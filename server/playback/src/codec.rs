//! From a packet's payload to samples.
//!
//! G.711 has no memory: each octet is a sample. G.722 and Opus have: their decoders must have heard what came before, so
//! that a block is rendered from [`PREROLL_MS`] before its start, always with a new decoder: any range of the recording
//! gives the same samples.

use crate::{
    conceal::Concealer,
    g711::{A_LAW, MU_LAW},
};
use ezk_g722::libg722::{Bitrate, decoder::Decoder as G722Decoder, encoder::Encoder as G722Encoder};
use hindsight_sip::sdp::Codec;
use opusic_c::{Channels, Decoder as OpusDecoder, SampleRate};

/// A decoder with memory has forgotten what it did not hear after this, milliseconds.
pub const PREROLL_MS: u64 = 400;
/// Samples of the longest Opus packet, 120 ms at 48 kHz.
const MOST_OPUS: usize = 5_760;
/// Samples of the shortest, 2.5 ms: the step in which Opus conceals.
const LEAST_OPUS: usize = 120;
/// Samples by which G.722 comes out later than it went in: its two filter banks.
const G722_DELAY: usize = 22;

/// Whether a decoder needs what came before.
pub fn remembers(codec: Codec) -> bool {
    match codec {
        Codec::Pcmu | Codec::Pcma => false,
        Codec::G722 | Codec::Opus => true,
    }
}

/// How long a payload lasts, milliseconds.
pub fn duration_ms(codec: Codec, payload: &[u8]) -> u64 {
    u64::from(codec.ticks(payload)) * 1000 / u64::from(codec.clock_rate())
}

/// Decodes one track, packet after packet.
pub enum Decoder {
    /// G.711.
    Table(&'static [i16; 256]),
    /// G.722.
    G722(Box<G722Decoder>),
    /// Opus; `None`: there is no memory for it.
    Opus(Option<Box<OpusDecoder>>),
}

impl Decoder {
    /// A decoder that has heard nothing yet.
    pub fn new(codec: Codec) -> Self {
        match codec {
            Codec::Pcmu => Self::Table(&MU_LAW),
            Codec::Pcma => Self::Table(&A_LAW),
            Codec::G722 => Self::G722(Box::new(G722Decoder::new(Bitrate::Mode1_64000, false, false))),
            Codec::Opus => {
                Self::Opus(OpusDecoder::new(Channels::Mono, SampleRate::Hz48000).ok().map(Box::new))
            }
        }
    }

    /// The samples of a payload, at the codec's sample rate; none where it cannot be decoded.
    pub fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) {
        samples.clear();
        match self {
            Self::Table(table) => samples.extend(payload.iter().map(|octet| table[usize::from(*octet)])),
            Self::G722(decoder) => *samples = decoder.decode(payload),
            Self::Opus(None) => {}
            Self::Opus(Some(decoder)) => {
                opus(decoder, payload, MOST_OPUS, false, samples);
            }
        }
    }

    /// `count` samples in place of packets that were lost between what `heard` last and `next`, and the decoder's memory
    /// brought to where it is if they had been heard.
    pub fn conceal(&mut self, count: usize, heard: &Concealer, next: &[u8], samples: &mut Vec<i16>) {
        samples.clear();
        match self {
            Self::Table(_) => {
                *samples = heard.go_on(count);
                heard.fade(samples);
            }
            Self::G722(decoder) => {
                // As if its sender had said it. An encoder that has encoded what was heard is where the sender's is.
                let mut goes_on = heard.repeat(count + G722_DELAY);
                heard.fade(&mut goes_on);
                let said = [heard.history(), &goes_on].concat();
                let said = said.get(G722_DELAY..).unwrap_or_default();
                let octets = G722Encoder::new(Bitrate::Mode1_64000, false, false).encode(said);
                let lost = octets.get(octets.len().saturating_sub(count / 2)..).unwrap_or_default();
                *samples = decoder.decode(lost);
            }
            Self::Opus(None) => {}
            Self::Opus(Some(decoder)) => {
                // The packet behind the loss may tell of the one before it.
                let told = Codec::Opus.ticks(next) as usize;
                let told = if told <= count { told } else { 0 };
                let untold = (count - told) / LEAST_OPUS * LEAST_OPUS;
                if untold > 0 {
                    opus(decoder, &[], untold, false, samples);
                }
                if told > 0 {
                    opus(decoder, next, told, true, samples);
                }
            }
        }
    }
}

/// Appends at most `most` samples.
fn opus(decoder: &mut OpusDecoder, payload: &[u8], most: usize, told: bool, samples: &mut Vec<i16>) {
    let mut decoded = [0u16; MOST_OPUS];
    if let Ok(count) = decoder.decode_to_slice(payload, &mut decoded[..most.min(MOST_OPUS)], told) {
        samples.extend(decoded.iter().take(count).map(|sample| sample.cast_signed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_payload_makes_a_decoder_panic(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..6)) {
            for codec in Codec::ALL {
                let (mut decoder, mut samples) = (Decoder::new(codec), Vec::new());
                for payload in &payloads {
                    decoder.decode(payload, &mut samples);
                    prop_assert!(samples.len() <= MOST_OPUS);
                    let mut heard = Concealer::new(codec.sample_rate());
                    heard.heard(&samples);
                    decoder.conceal(codec.sample_rate() as usize / 25, &heard, payload, &mut samples);
                    prop_assert!(samples.len() <= MOST_OPUS);
                }
            }
        }
    }
}
