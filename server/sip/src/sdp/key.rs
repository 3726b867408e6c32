//! SRTP master keys in `a=crypto` (SDES, RFC 4568; suites of RFC 4568 6.2, RFC 6188 4, RFC 7714 14.2).
//!
//! A line with an unknown suite, a key of another length, several keys, a master key index or session parameters is
//! passed over, as if it had not been offered.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use std::fmt;
use zeroize::Zeroizing;

/// Cipher and authentication of SRTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// AES-128 in counter mode, HMAC-SHA1 tag of 80 bits.
    AesCm128HmacSha1_80,
    /// The same with a tag of 32 bits.
    AesCm128HmacSha1_32,
    /// AES-256 in counter mode, HMAC-SHA1 tag of 80 bits.
    AesCm256HmacSha1_80,
    /// The same with a tag of 32 bits.
    AesCm256HmacSha1_32,
    /// AES-128 in Galois/counter mode.
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode.
    AeadAes256Gcm,
}

impl Suite {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
        Self::AesCm256HmacSha1_80,
        Self::AesCm256HmacSha1_32,
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
    ];

    /// As registered.
    pub fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// Octets of the master key.
    pub fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Octets of the master salt.
    pub fn salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            _ => 14,
        }
    }
}

/// With what a party protects the packets that it sends.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Names the line; an answer repeats the chosen one's.
    pub tag: u32,
    /// How.
    pub suite: Suite,
    /// Master key, then master salt.
    master: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} {}, secret)", self.tag, self.suite.name())
    }
}

impl Key {
    /// A key of our own; `None` when `master` has not the length of the suite's key and salt.
    pub fn new(tag: u32, suite: Suite, master: Vec<u8>) -> Option<Self> {
        let master = Zeroizing::new(master);
        (master.len() == suite.key_len() + suite.salt_len()).then_some(Self { tag, suite, master })
    }

    /// The master key.
    pub fn master_key(&self) -> &[u8] {
        &self.master[..self.suite.key_len()]
    }

    /// The master salt.
    pub fn master_salt(&self) -> &[u8] {
        &self.master[self.suite.key_len()..]
    }

    /// Reads the value of a `crypto` attribute.
    pub(super) fn read(value: &str) -> Option<Self> {
        let mut fields = value.split_ascii_whitespace();
        let tag = fields.next()?.parse().ok().filter(|tag| *tag <= 999_999_999)?;
        let name = fields.next()?;
        let suite = Suite::ALL.into_iter().find(|suite| suite.name() == name)?;
        let inline = fields.next()?.strip_prefix("inline:")?;
        if fields.next().is_some() || inline.contains(';') {
            return None;
        }
        let mut parts = inline.split('|');
        let master = BASE64_STANDARD.decode(parts.next()?).ok()?;
        // What follows is a lifetime, or a master key index `1:4`.
        if parts.any(|part| part.contains(':')) {
            return None;
        }
        Self::new(tag, suite, master)
    }

    /// The value of a `crypto` attribute.
    pub(super) fn write(&self) -> Zeroizing<String> {
        let master = Zeroizing::new(BASE64_STANDARD.encode(&*self.master));
        Zeroizing::new(format!("{} {} inline:{}", self.tag, self.suite.name(), &*master))
    }
}
