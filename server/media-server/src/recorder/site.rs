//! What the recorder needs from outside. None of it may wait for the network.

use hindsight_model::{DeviceId, Event};
use hindsight_wire::{ClockOffset, manifest::Signed};

/// The media server's surroundings.
pub trait Site: Send + Sync {
    /// Whether it was ever told whom to seal for: without, no call is taken.
    fn is_configured(&self) -> bool;
    /// Who signs.
    fn device(&self) -> DeviceId;
    /// Certificates (PEM) of those who may open a recording that begins now.
    fn recipients(&self) -> Vec<String>;
    /// This clock against the server's, as last measured.
    fn clock_offset(&self) -> ClockOffset;
    /// Signs a manifest.
    fn sign(&self, document: &[u8]) -> Result<Signed, String>;
    /// Whether a number is a DN of this site, and whether its agent's screens are recorded.
    fn records_screen_of(&self, number: &str) -> Option<bool>;
    /// Journals an event.
    fn journal(&self, event: &Event);
}
