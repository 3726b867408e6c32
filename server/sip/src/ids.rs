//! Random identifiers: branches, tags, Call-IDs. The source of randomness is an argument.

use rand::{RngCore, SeedableRng, rngs::StdRng};

use crate::message::via::MAGIC_COOKIE;

/// Makes unguessable identifiers (RFC 3261 19.3: tags of at least 32 random bits; here 64 and more).
pub struct Ids(StdRng);

impl Ids {
    /// Seeded by the operating system.
    pub fn from_os() -> Self {
        Self(StdRng::from_os_rng())
    }

    /// Seeded by a number, for reproducible tests.
    pub fn seeded(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A From or To tag.
    pub fn tag(&mut self) -> String {
        format!("{:016x}", self.0.next_u64())
    }

    /// A Call-ID.
    pub fn call_id(&mut self) -> String {
        format!("{:016x}{:016x}", self.0.next_u64(), self.0.next_u64())
    }

    /// A branch, with the magic cookie.
    pub fn branch(&mut self) -> String {
        format!("{MAGIC_COOKIE}{:016x}", self.0.next_u64())
    }

    /// A first CSeq number: below 2³¹ with much room above.
    pub fn cseq(&mut self) -> u32 {
        (self.0.next_u32() >> 8) + 1
    }
}
