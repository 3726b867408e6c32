//! What to do while the server cannot be reached.

use super::{Message, Moment};
use hindsight_wire::{
    CaptureId, Timestamp,
    policy::{CapturePolicy, OfflinePolicy},
};
use std::time::Duration;

/// A link that is back before this was not away, for the offline policy.
const GRACE: Duration = Duration::from_millis(500);
/// After the link is back the offline capture goes on this long, so that a call that is under way is named in time.
const HANDOVER: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub struct Offline {
    policy: CapturePolicy,
    recipients: Vec<String>,
    lost: Option<Lost>,
    /// The link came back while capturing: until when to go on.
    handover_until: Option<Duration>,
}

#[derive(Debug)]
struct Lost {
    at: Timestamp,
    up: Duration,
    captures: Vec<CaptureId>,
}

impl Offline {
    pub fn keep(&mut self, policy: CapturePolicy, recipients: Vec<String>) {
        self.policy = policy;
        self.recipients = recipients;
    }

    pub fn policy(&self) -> CapturePolicy {
        self.policy.clone()
    }

    pub fn recipients(&self) -> Vec<String> {
        self.recipients.clone()
    }

    /// Policy asks for captures between interactions, and says for whom they are sealed.
    pub fn between_calls(&self) -> bool {
        self.policy.between_calls && !self.recipients.is_empty()
    }

    /// Nobody sits here: there is no link to miss.
    pub fn signed_out(&mut self) {
        (self.lost, self.handover_until) = (None, None);
    }

    pub fn link_lost(&mut self, now: Moment) {
        self.handover_until = None;
        self.lost.get_or_insert(Lost { at: now.at, up: now.up, captures: Vec::new() });
    }

    /// What the server is told about the time without it.
    pub fn link_up(&mut self, now: Moment) -> Option<Message> {
        let was_capturing = self.wanted(now);
        let lost = self.lost.take()?;
        self.handover_until = was_capturing.then_some(now.up + HANDOVER);
        Some(Message::WasOffline { from: lost.at, to: now.at, captures: lost.captures })
    }

    pub fn lost_for(&self, now: Moment) -> Option<Duration> {
        self.lost.as_ref().map(|lost| now.up.saturating_sub(lost.up))
    }

    /// Whether the policy wants a capture now.
    pub fn wanted(&self, now: Moment) -> bool {
        let handing_over = self.handover_until.is_some_and(|until| now.up < until);
        handing_over || self.lost_for(now).is_some_and(|lost| self.within_limit(lost))
    }

    /// When [`Offline::wanted`] may change by the passing of time.
    pub fn next_change(&self, now: Moment) -> Option<Duration> {
        let begins = self.lost.as_ref().map(|lost| lost.up + GRACE);
        [begins, self.handover_until].into_iter().flatten().filter(|at| *at > now.up).min()
    }

    fn within_limit(&self, lost: Duration) -> bool {
        match self.policy.offline {
            OfflinePolicy::None => false,
            OfflinePolicy::Keep { max_minutes } => {
                let limit = Duration::from_secs(60 * u64::from(max_minutes));
                !self.recipients.is_empty() && lost >= GRACE && lost < GRACE + limit
            }
        }
    }

    pub fn capture_taken(&mut self, capture: CaptureId) {
        if let Some(lost) = &mut self.lost
            && !lost.captures.contains(&capture)
        {
            lost.captures.push(capture);
        }
    }
}
