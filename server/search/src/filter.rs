//! What is asked for, and where a page begins.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hindsight_wire::{InteractionId, Timestamp};
use uuid::Uuid;

/// Conditions on a list; absent ones do not narrow it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Login, name, one word of the name, or DN of an agent who took part, in any letter case.
    pub agent: Option<String>,
    /// A number that called or was dialled, or a DN that took part, however punctuated.
    pub number: Option<String>,
    /// Started at or after.
    pub from: Option<Timestamp>,
    /// Started before.
    pub to: Option<Timestamp>,
    /// Continue after this place.
    pub after: Option<Cursor>,
}

/// A place in a list that is ordered by start, newest first: stays right while new interactions arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Start of the last interaction shown.
    pub started_at: Timestamp,
    /// Its id.
    pub interaction: InteractionId,
}

/// A cursor that no answer of ours held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one of a list's answer")]
pub struct CursorError;

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = [0_u8; 24];
        bytes[..8].copy_from_slice(&self.started_at.0.to_be_bytes());
        bytes[8..].copy_from_slice(self.interaction.0.as_bytes());
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl std::str::FromStr for Cursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, CursorError> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let bytes: [u8; 24] = bytes.try_into().map_err(|_| CursorError)?;
        let (start, id) = bytes.split_first_chunk::<8>().ok_or(CursorError)?;
        Ok(Self {
            started_at: Timestamp(i64::from_be_bytes(*start)),
            interaction: InteractionId(Uuid::from_slice(id).map_err(|_| CursorError)?),
        })
    }
}
