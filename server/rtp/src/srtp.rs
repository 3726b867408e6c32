//! Opening of what a party protected (SRTP and SRTCP: RFC 3711, RFC 6188, RFC 7714) with the master key that it gave.
//!
//! Only receiving, and from any moment on: a recording that begins in the middle of a call does not know how often the
//! sequence number has rolled over, which both ends count since the call's start. The first packets are therefore tried
//! with one count after another; the authentication tag says which it was.
//!
//! Deliberately absent: sending, master key indexes, re-keying by packet count, a replay window (the sequence accounting
//! counts a packet that comes again as a duplicate; reports that come again change no figure for the worse).

use crate::packet::{self, PacketError};
use aes::{
    Aes128, Aes256,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use ring::{aead, hmac};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A 24-hour call of 50 packets a second rolls over 66 times.
const MOST_ROLLOVERS: u32 = 128;
/// So many packets in a row may be tried with every count; then only one of [`RARELY`].
const PATIENCE: u32 = 100;
const RARELY: u32 = 50;
/// Sources of one party that are remembered.
const MOST_SOURCES: usize = 8;
/// Octets of the salt of the key derivation.
const SALT: usize = 14;
const GCM_TAG: usize = 16;
/// Octets of RTCP's head that stay in the clear.
const CONTROL_HEADER: usize = 8;
/// Octets of the tag of protected RTCP in counter mode: never a shorter one (RFC 4568 6.2).
const CONTROL_TAG: usize = 10;
/// Octets of the flag "encrypted" and the index of a protected RTCP packet.
const CONTROL_INDEX: usize = 4;

/// Why a packet was not opened. Always the sender's fault, or that of who stands between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    /// No RTP.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// Its tag is not of this key.
    #[error("SRTP packet not authentic")]
    NotAuthentic,
}

/// How packets are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// AES in counter mode and an HMAC-SHA1 tag of so many octets.
    CounterMode {
        /// 10 or 4.
        tag: usize,
    },
    /// AES in Galois/counter mode.
    Gcm,
}

/// One party's key, and the sources that use it.
pub struct Receiver {
    session: Session,
    /// For RTCP.
    control: Session,
    sources: Vec<Source>,
    /// Packets in a row that no count opened.
    failed: u32,
    scratch: Zeroizing<Vec<u8>>,
}

/// Keys of the session (RFC 3711 4.3).
enum Session {
    CounterMode { key: Zeroizing<Vec<u8>>, salt: [u8; SALT], mac: Box<hmac::Key>, tag: usize },
    Gcm { key: Box<aead::LessSafeKey>, salt: [u8; 12] },
}

/// The highest index of a source (RFC 3711 3.3.1).
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    rollovers: u32,
    highest: u16,
}

impl Source {
    /// The count that a packet was most probably sent with.
    fn guess(&self, sequence: u16) -> u32 {
        if self.highest < 0x8000 {
            if i32::from(sequence) - i32::from(self.highest) > 0x8000 {
                return self.rollovers.wrapping_sub(1);
            }
        } else if i32::from(self.highest) - 0x8000 > i32::from(sequence) {
            return self.rollovers.wrapping_add(1);
        }
        self.rollovers
    }

    fn opened(&mut self, rollovers: u32, sequence: u16) {
        if rollovers == self.rollovers.wrapping_add(1) {
            (self.rollovers, self.highest) = (rollovers, sequence);
        } else if rollovers == self.rollovers {
            self.highest = self.highest.max(sequence);
        }
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("sources", &self.sources).finish_non_exhaustive()
    }
}

impl Receiver {
    /// Of a master key of 16 or 32 octets and a master salt of up to 14; `None`: of another length.
    pub fn new(protection: Protection, master_key: &[u8], master_salt: &[u8]) -> Option<Self> {
        let mut salt = [0; SALT];
        salt.get_mut(..master_salt.len())?.copy_from_slice(master_salt);
        let control = match protection {
            Protection::CounterMode { .. } => Protection::CounterMode { tag: CONTROL_TAG },
            Protection::Gcm => Protection::Gcm,
        };
        Some(Self {
            session: Session::derive(protection, master_key, &salt, 0)?,
            control: Session::derive(control, master_key, &salt, 3)?,
            sources: Vec::new(),
            failed: 0,
            scratch: Zeroizing::new(Vec::new()),
        })
    }

    /// The RTCP packets that were protected together (RFC 3711 3.4, RFC 7714 9), until the next call.
    pub fn open_control(&mut self, bytes: &[u8]) -> Result<&[u8], SrtpError> {
        if bytes.len() < CONTROL_HEADER {
            return Err(PacketError::Short.into());
        }
        if bytes[0] >> 6 != 2 {
            return Err(PacketError::Version.into());
        }
        match self.control.open_control(bytes, &mut self.scratch) {
            Some(()) => Ok(&self.scratch),
            None => Err(SrtpError::NotAuthentic),
        }
    }

    /// The RTP packet that was protected, until the next call.
    pub fn open(&mut self, bytes: &[u8]) -> Result<&[u8], SrtpError> {
        let header = packet::header_len(bytes)?;
        let (Some(sequence), Some(ssrc)) = (bytes.get(2..4), bytes.get(8..12)) else {
            return Err(PacketError::Short.into());
        };
        let sequence = u16::from_be_bytes([sequence[0], sequence[1]]);
        let ssrc = u32::from_be_bytes([ssrc[0], ssrc[1], ssrc[2], ssrc[3]]);
        let known = self.sources.iter().position(|source| source.ssrc == ssrc);
        if let Some(place) = known {
            let rollovers = self.sources[place].guess(sequence);
            if self.session.open(bytes, header, rollovers, &mut self.scratch) {
                self.failed = 0;
                self.sources[place].opened(rollovers, sequence);
                return Ok(&self.scratch);
            }
        }
        // Begun in the middle, or a break of more than half a round.
        let patient = self.failed < PATIENCE || self.failed.is_multiple_of(RARELY);
        self.failed = self.failed.saturating_add(1);
        let mut counts = 0..if patient { MOST_ROLLOVERS } else { 1 };
        let found = counts.find(|count| self.session.open(bytes, header, *count, &mut self.scratch));
        let rollovers = found.ok_or(SrtpError::NotAuthentic)?;
        let source = Source { ssrc, rollovers, highest: sequence };
        match known {
            Some(place) => self.sources[place] = source,
            None => {
                if self.sources.len() == MOST_SOURCES {
                    self.sources.remove(0);
                }
                self.sources.push(source);
            }
        }
        self.failed = 0;
        Ok(&self.scratch)
    }
}

impl Session {
    /// The session's keys by their labels (RFC 3711 4.3.2): key, authentication and salt from `first` on.
    fn derive(
        protection: Protection,
        master_key: &[u8],
        master_salt: &[u8; SALT],
        first: u8,
    ) -> Option<Self> {
        let derive = |label, length| derive(master_key, master_salt, first + label, length);
        Some(match protection {
            Protection::CounterMode { tag } => Self::CounterMode {
                key: derive(0, master_key.len())?,
                mac: Box::new(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &derive(1, 20)?)),
                salt: derive(2, SALT)?.as_slice().try_into().ok()?,
                tag,
            },
            Protection::Gcm => {
                let algorithm = if master_key.len() == 16 { &aead::AES_128_GCM } else { &aead::AES_256_GCM };
                let key = aead::UnboundKey::new(algorithm, &derive(0, master_key.len())?).ok()?;
                Self::Gcm {
                    key: Box::new(aead::LessSafeKey::new(key)),
                    salt: derive(2, 12)?.as_slice().try_into().ok()?,
                }
            }
        })
    }

    /// Opens RTCP, at least its head long, into `out`; `None` when the tag is not of this key.
    fn open_control(&self, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
        out.clear();
        match self {
            Self::CounterMode { key, salt, mac, tag } => {
                let (signed, theirs) = bytes.split_at_checked(bytes.len().checked_sub(*tag)?)?;
                let (packet, index) = signed.split_last_chunk::<CONTROL_INDEX>()?;
                let body = packet.len().checked_sub(CONTROL_HEADER)?;
                if !bool::from(hmac::sign(mac, signed).as_ref()[..*tag].ct_eq(theirs)) {
                    return None;
                }
                out.extend_from_slice(packet);
                let (is_encrypted, index) = control_index(*index);
                let mut iv = [0; 16];
                iv[..SALT].copy_from_slice(salt);
                xor(&mut iv[4..8], &bytes[4..8]);
                xor(&mut iv[10..14], &index);
                let clear = out.len() - body;
                (!is_encrypted || keystream(key, &iv, &mut out[clear..])).then_some(())
            }
            Self::Gcm { key, salt } => {
                let (packet, word) = bytes.split_last_chunk::<CONTROL_INDEX>()?;
                let end = packet.len().checked_sub(GCM_TAG).filter(|end| *end >= CONTROL_HEADER)?;
                let (is_encrypted, index) = control_index(*word);
                let mut nonce = *salt;
                xor(&mut nonce[2..6], &bytes[4..8]);
                xor(&mut nonce[8..12], &index);
                out.extend_from_slice(packet);
                // Not encrypted, all of it is what is only authenticated.
                let (head, body) = out.split_at_mut(if is_encrypted { CONTROL_HEADER } else { end });
                let aad = [&*head, &word[..]].concat();
                let nonce = aead::Nonce::assume_unique_for_key(nonce);
                let opened = key.open_in_place(nonce, aead::Aad::from(aad), body).is_ok();
                out.truncate(end);
                opened.then_some(())
            }
        }
    }

    /// Opens into `out`; false when the tag is not of this key and count.
    fn open(&self, bytes: &[u8], header: usize, rollovers: u32, out: &mut Vec<u8>) -> bool {
        out.clear();
        match self {
            Self::CounterMode { key, salt, mac, tag } => {
                let Some(end) = bytes.len().checked_sub(*tag).filter(|end| *end >= header) else {
                    return false;
                };
                let (packet, theirs) = bytes.split_at(end);
                let mut ours = hmac::Context::with_key(mac);
                ours.update(packet);
                ours.update(&rollovers.to_be_bytes());
                if !bool::from(ours.sign().as_ref()[..*tag].ct_eq(theirs)) {
                    return false;
                }
                out.extend_from_slice(packet);
                let mut iv = [0; 16];
                iv[..SALT].copy_from_slice(salt);
                xor(&mut iv[4..8], &bytes[8..12]);
                xor(&mut iv[8..12], &rollovers.to_be_bytes());
                xor(&mut iv[12..14], &bytes[2..4]);
                keystream(key, &iv, &mut out[header..])
            }
            Self::Gcm { key, salt } => {
                let Some(end) = bytes.len().checked_sub(GCM_TAG).filter(|end| *end >= header) else {
                    return false;
                };
                let mut nonce = *salt;
                xor(&mut nonce[2..6], &bytes[8..12]);
                xor(&mut nonce[6..10], &rollovers.to_be_bytes());
                xor(&mut nonce[10..12], &bytes[2..4]);
                out.extend_from_slice(bytes);
                let (head, body) = out.split_at_mut(header);
                let nonce = aead::Nonce::assume_unique_for_key(nonce);
                let opened = key.open_in_place(nonce, aead::Aad::from(head), body).is_ok();
                out.truncate(end);
                opened
            }
        }
    }
}

/// Whether a protected RTCP packet is encrypted, and its index.
fn control_index([first, rest @ ..]: [u8; CONTROL_INDEX]) -> (bool, [u8; CONTROL_INDEX]) {
    let [second, third, fourth] = rest;
    (first & 0x80 != 0, [first & 0x7f, second, third, fourth])
}

fn xor(target: &mut [u8], with: &[u8]) {
    target.iter_mut().zip(with).for_each(|(octet, with)| *octet ^= with);
}

/// Keystream of AES in counter mode upon `data`; false when the key has no length of AES.
fn keystream(key: &[u8], iv: &[u8; 16], data: &mut [u8]) -> bool {
    match key.len() {
        16 => {
            ctr::Ctr128BE::<Aes128>::new_from_slices(key, iv).map(|mut aes| aes.apply_keystream(data)).is_ok()
        }
        32 => {
            ctr::Ctr128BE::<Aes256>::new_from_slices(key, iv).map(|mut aes| aes.apply_keystream(data)).is_ok()
        }
        _ => false,
    }
}

/// A session key (RFC 3711 4.3.1, 4.3.3), derived once.
fn derive(
    master_key: &[u8],
    master_salt: &[u8; SALT],
    label: u8,
    length: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    let mut iv = [0; 16];
    iv[..SALT].copy_from_slice(master_salt);
    iv[7] ^= label;
    let mut key = Zeroizing::new(vec![0; length]);
    keystream(master_key, &iv, &mut key).then_some(key)
}

#[cfg(test)]
mod tests;
