//! Who sends (RFC 3264 5.1, 6.1, 8.4).

/// Who may send, from the describing party's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// The describing party only sends: it holds the other.
    SendOnly,
    /// The describing party only listens.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The attribute's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// By the attribute's name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|direction| direction.name() == name)
    }

    /// Of these two ways.
    pub fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the describing party sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether it listens.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same flow from the other end's point of view.
    pub fn flipped(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// Whether the describing party has put the other on hold: it does not listen.
    pub fn holds(self) -> bool {
        !self.receives()
    }

    /// What may be answered to an offer in this direction by someone who would like `wish` (RFC 3264 6.1).
    pub fn answer(self, wish: Self) -> Self {
        Self::new(wish.sends() && self.receives(), wish.receives() && self.sends())
    }
}
