//! Who and what a call is about: its two parties, its legs, its clocks and limits.

use hindsight_wire::Timestamp;
use std::time::{Duration, Instant};

/// Both clocks: monotonic for timers, UTC for events.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For timers.
    pub instant: Instant,
    /// For events.
    pub wall: Timestamp,
}

/// Which of the two parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Who sent the INVITE.
    Caller,
    /// Who is called.
    Callee,
}

impl Side {
    /// Both.
    pub const BOTH: [Side; 2] = [Side::Caller, Side::Callee];

    /// The other one.
    pub fn other(self) -> Side {
        match self {
            Side::Caller => Side::Callee,
            Side::Callee => Side::Caller,
        }
    }
}

/// A dialog of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leg {
    /// The caller's phone; we are its UAS.
    Caller,
    /// The callee's phone at this contact; we are its UAC.
    Callee(u8),
    /// The media server's leg for a party; we are its UAC.
    Media(Side),
}

/// How long a call waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For each step with the media server during set-up.
    pub setup: Duration,
    /// For an answer of the callee.
    pub ring: Duration,
    /// For the media server to confirm a full-time recording before the parties are connected all the same.
    pub arm: Duration,
    /// For the confirmation of a command to the recorder.
    pub control: Duration,
    /// Between two probes of the media legs.
    pub probe: Duration,
    /// Without any answer from the media server or the resource manager; the media flows without the latter.
    pub silence: Duration,
    /// Between two probes of a phone.
    pub phone_probe: Duration,
}

/// A party as the directory knows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Participant {
    /// Its number.
    pub number: String,
    /// Whether that is a DN of this site.
    pub is_dn: bool,
    /// Whether policy records its voice in full.
    pub record_voice: bool,
    /// Whether policy records its agent's screens.
    pub record_screen: bool,
}
