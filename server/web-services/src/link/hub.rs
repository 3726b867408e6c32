//! The devices that have a link, and how to reach them.

use hindsight_wire::{
    DeviceId,
    component::{CallControl, RecordingControl},
    enrolment::DeviceKind,
    link::Down,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Messages that may wait for a device; one that reads slower loses its link and gets everything anew when it is back.
const QUEUE: usize = 256;

/// All links of this process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Hub(Arc<Inner>);

/// Control requests without an answer: who was asked, and who waits.
type Requests = HashMap<u64, (DeviceId, oneshot::Sender<Option<String>>)>;

#[derive(Default)]
struct Inner {
    links: Mutex<HashMap<DeviceId, Entry>>,
    requests: Mutex<Requests>,
    next: AtomicU64,
}

struct Entry {
    id: u64,
    kind: DeviceKind,
    protocol: u32,
    queue: mpsc::Sender<Down>,
    closed: CancellationToken,
}

/// One link's end in the hub; taking it away again is the holder's duty ([`Hub::leave`]).
pub struct Membership {
    id: u64,
    device: DeviceId,
    /// What is to be sent.
    pub queue: mpsc::Receiver<Down>,
    /// The link must end: another one of the device took its place, it read too slowly, or it was revoked.
    pub closed: CancellationToken,
}

impl Membership {
    /// Tells this link from every other, also of the same device.
    pub fn link(&self) -> u64 {
        self.id
    }
}

/// Why a control request was not done.
#[derive(Debug, PartialEq, Eq)]
pub enum ControlError {
    /// No SIP server has a link.
    Nobody,
    /// It did not answer in time.
    TimedOut,
    /// It said no; why.
    Refused(String),
}

impl Hub {
    /// A device's link is open. An earlier one of the same device is closed.
    pub fn join(&self, device: DeviceId, kind: DeviceKind, protocol: u32) -> Membership {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (sender, queue) = mpsc::channel(QUEUE);
        let closed = CancellationToken::new();
        let entry = Entry { id, kind, protocol, queue: sender, closed: closed.clone() };
        if let Some(earlier) = self.links().insert(device, entry) {
            earlier.closed.cancel();
        }
        Membership { id, device, queue, closed }
    }

    /// A link is over. Whether the device has no other.
    pub fn leave(&self, membership: &Membership) -> bool {
        let mut links = self.links();
        let last = links.get(&membership.device).is_some_and(|entry| entry.id == membership.id);
        if last {
            links.remove(&membership.device);
        }
        last
    }

    /// Whether a device has a link.
    pub fn is_linked(&self, device: DeviceId) -> bool {
        self.links().contains_key(&device)
    }

    /// Whether a device of this kind has a link.
    pub fn is_linked_as(&self, device: DeviceId, kind: DeviceKind) -> bool {
        self.links().get(&device).is_some_and(|entry| entry.kind == kind)
    }

    /// How many devices of each kind have a link.
    pub fn count(&self, kind: DeviceKind) -> usize {
        self.links().values().filter(|entry| entry.kind == kind).count()
    }

    /// Sends to a device; whether it has a link that takes it.
    pub fn send(&self, device: DeviceId, down: Down) -> bool {
        self.send_to(device, None, down)
    }

    /// Sends on one link of a device; whether that is still its link and takes it.
    pub fn send_on(&self, device: DeviceId, link: u64, down: Down) -> bool {
        self.send_to(device, Some(link), down)
    }

    fn send_to(&self, device: DeviceId, link: Option<u64>, down: Down) -> bool {
        let links = self.links();
        let Some(entry) = links.get(&device) else { return false };
        if link.is_some_and(|link| link != entry.id) {
            return false;
        }
        let sent = entry.queue.try_send(down).is_ok();
        if !sent {
            metrics::counter!("hindsight_link_overflows_total").increment(1);
            entry.closed.cancel();
        }
        sent
    }

    /// Ends a device's link.
    pub fn close(&self, device: DeviceId) {
        if let Some(entry) = self.links().get(&device) {
            entry.closed.cancel();
        }
    }

    /// Has the SIP server do something with a call's recording: `preferred` when it has a link, else the only one there is.
    pub async fn control(
        &self,
        preferred: Option<DeviceId>,
        control: RecordingControl,
        limit: Duration,
    ) -> Result<(), ControlError> {
        self.ask(preferred, 1, limit, |request| Down::Control { request, control }).await
    }

    /// Has the SIP server do something with a call for one of its parties.
    pub async fn call_control(
        &self,
        preferred: Option<DeviceId>,
        control: CallControl,
        limit: Duration,
    ) -> Result<(), ControlError> {
        self.ask(preferred, 2, limit, |request| Down::CallControl { request, control }).await
    }

    async fn ask(
        &self,
        preferred: Option<DeviceId>,
        protocol: u32,
        limit: Duration,
        message: impl FnOnce(u64) -> Down,
    ) -> Result<(), ControlError> {
        let device = self.sip_server(preferred, protocol).ok_or(ControlError::Nobody)?;
        let request = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.requests().insert(request, (device, sender));
        let sent = self.send(device, message(request));
        let outcome = if sent { tokio::time::timeout(limit, answer).await.ok() } else { None };
        self.requests().remove(&request);
        match outcome {
            Some(Ok(None)) => Ok(()),
            Some(Ok(Some(reason))) => Err(ControlError::Refused(reason)),
            Some(Err(_)) | None if sent => Err(ControlError::TimedOut),
            _ => Err(ControlError::Nobody),
        }
    }

    /// A device answered a control request; an answer to a request of another device is ignored.
    pub fn answered(&self, device: DeviceId, request: u64, error: Option<String>) {
        let mut requests = self.requests();
        if requests.get(&request).is_some_and(|(asked, _)| *asked == device)
            && let Some((_, sender)) = requests.remove(&request)
        {
            let _ = sender.send(error);
        }
    }

    fn sip_server(&self, preferred: Option<DeviceId>, protocol: u32) -> Option<DeviceId> {
        let links = self.links();
        let is_sip = |device: &DeviceId| {
            let known = |entry: &Entry| entry.kind == DeviceKind::SipServer && entry.protocol >= protocol;
            links.get(device).is_some_and(known)
        };
        preferred.filter(is_sip).or_else(|| links.keys().copied().find(is_sip))
    }

    fn links(&self) -> std::sync::MutexGuard<'_, HashMap<DeviceId, Entry>> {
        self.0.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn requests(&self) -> std::sync::MutexGuard<'_, Requests> {
        self.0.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_wire::{InteractionId, component::RecordingAction};

    const LIMIT: Duration = Duration::from_millis(200);

    fn control() -> RecordingControl {
        RecordingControl {
            interaction: InteractionId::new(),
            action: RecordingAction::Pause,
            by: "ann".into(),
            reason: "card".into(),
        }
    }

    #[tokio::test]
    async fn a_control_request_ends_with_the_answer_of_the_device_asked() {
        let (hub, device) = (Hub::default(), DeviceId::new());
        let mut link = hub.join(device, DeviceKind::SipServer, 2);
        let asking = tokio::spawn({
            let hub = hub.clone();
            async move { hub.control(None, control(), Duration::from_secs(5)).await }
        });
        let Some(Down::Control { request, .. }) = link.queue.recv().await else { panic!("no request") };
        hub.answered(DeviceId::new(), request, None);
        hub.answered(device, request, Some("no such call".into()));
        assert_eq!(asking.await.unwrap(), Err(ControlError::Refused("no such call".into())));
    }

    #[tokio::test]
    async fn without_a_sip_server_or_an_answer_the_request_fails() {
        let hub = Hub::default();
        let _desktop = hub.join(DeviceId::new(), DeviceKind::Desktop, 2);
        assert_eq!(hub.control(None, control(), LIMIT).await, Err(ControlError::Nobody));
        let _silent = hub.join(DeviceId::new(), DeviceKind::SipServer, 2);
        assert_eq!(hub.control(None, control(), LIMIT).await, Err(ControlError::TimedOut));
        assert!(hub.requests().is_empty());
    }

    #[test]
    fn a_second_link_of_a_device_closes_the_first_and_outlives_its_leaving() {
        let (hub, device) = (Hub::default(), DeviceId::new());
        let first = hub.join(device, DeviceKind::Desktop, 2);
        let second = hub.join(device, DeviceKind::Desktop, 2);
        assert!(first.closed.is_cancelled() && !second.closed.is_cancelled());
        assert!(!hub.leave(&first));
        assert!(hub.is_linked(device));
        assert!(hub.leave(&second));
        assert!(!hub.is_linked(device));
    }

    #[test]
    fn a_message_for_a_link_reaches_no_later_one() {
        let (hub, device) = (Hub::default(), DeviceId::new());
        let first = hub.join(device, DeviceKind::Desktop, 2);
        let mut second = hub.join(device, DeviceKind::Desktop, 2);
        let answer = || Down::Answer { request: 1, error: None };
        assert!(!hub.send_on(device, first.link(), answer()));
        assert!(hub.send_on(device, second.link(), answer()));
        assert!(second.queue.try_recv().is_ok() && second.queue.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_sip_server_of_version_1_is_asked_for_no_call_control() {
        let hub = Hub::default();
        let _old = hub.join(DeviceId::new(), DeviceKind::SipServer, 1);
        let control = CallControl {
            interaction: InteractionId::new(),
            dn: "1001".into(),
            action: hindsight_wire::agent::CallAction::Hold,
            to: None,
            by: "ann".into(),
        };
        assert_eq!(hub.call_control(None, control, LIMIT).await, Err(ControlError::Nobody));
    }

    #[test]
    fn a_device_that_does_not_read_loses_its_link() {
        let (hub, device) = (Hub::default(), DeviceId::new());
        let link = hub.join(device, DeviceKind::Desktop, 2);
        let stop = || Down::StopCapture { interaction: InteractionId::new() };
        assert!((0..QUEUE).all(|_| hub.send(device, stop())));
        assert!(!hub.send(device, stop()));
        assert!(link.closed.is_cancelled());
    }
}
