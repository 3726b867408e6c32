//! The signalling of calls in the store.

// In a test an assumption that does not hold is a failure of the test.
#![allow(clippy::unwrap_used)]

use hindsight_store::{Database, StoreError, traces};
use hindsight_wire::{
    DeviceId, InteractionId, Timestamp,
    trace::{CallTrace, LONGEST_TEXT, MOST_MESSAGES, PeerKind, TracePeer, TracedMessage},
};

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

fn message(number: u32) -> TracedMessage {
    TracedMessage {
        number,
        at_us: NOW.0 + i64::from(number),
        sent: number.is_multiple_of(2),
        peer: TracePeer { kind: PeerKind::Phone, name: "1001".into(), address: "192.0.2.7:5060".into() },
        local: "192.0.2.1:5060".into(),
        transport: "UDP".into(),
        summary: "INVITE".into(),
        cseq: format!("{number} INVITE"),
        repeats: (number == 2).then_some(1),
        cut: number == 3,
        text: format!("INVITE {number}"),
    }
}

fn trace(interaction: InteractionId, since_us: i64, numbers: &[u32]) -> CallTrace {
    let messages: Vec<_> = numbers.iter().copied().map(message).collect();
    let seen = numbers.last().copied().unwrap_or_default();
    CallTrace { interaction, since_us, seen, probes: 4, overlooked: 0, messages }
}

struct Store {
    _directory: tempfile::TempDir,
    database: Database,
    device: DeviceId,
}

impl Store {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::create(directory.path()).await.unwrap();
        Self { _directory: directory, database, device: DeviceId::new() }
    }

    async fn put(&self, traces: &[CallTrace], now: Timestamp) -> Result<(), StoreError> {
        let mut write = self.database.write().await?;
        traces::put(&mut write, self.device, traces, now).await?;
        write.commit().await
    }

    async fn of(&self, interaction: InteractionId) -> Option<traces::Trace> {
        traces::of_interaction(&mut self.database.read().await.unwrap(), interaction).await.unwrap()
    }

    async fn expire(&self, before: Timestamp, limit: u32) -> u64 {
        let mut write = self.database.write().await.unwrap();
        let count = traces::expire(&mut write, before, limit).await.unwrap();
        write.commit().await.unwrap();
        count
    }
}

#[tokio::test]
async fn what_is_told_twice_is_kept_once_as_it_was_told_and_what_is_missing_is_counted() {
    let (store, call) = (Store::new().await, InteractionId::new());
    assert_eq!(store.of(call).await, None);
    let first = trace(call, 1, &[1, 2]);
    store.put(std::slice::from_ref(&first), NOW).await.unwrap();
    store.put(&[first], NOW).await.unwrap();
    store.put(&[trace(call, 1, &[3, 7]), trace(InteractionId::new(), 1, &[1])], NOW).await.unwrap();
    let found = store.of(call).await.unwrap();
    let numbers: Vec<_> =
        found.messages.iter().map(|stored| (stored.series, stored.message.clone())).collect();
    assert_eq!(numbers, [1, 2, 3, 7].map(|number| (0, message(number))));
    assert_eq!((found.not_kept, found.probes, found.overlooked), (3, 4, 0));
}

#[tokio::test]
async fn two_processes_number_for_themselves_and_their_messages_are_in_the_order_of_time() {
    let (store, call) = (Store::new().await, InteractionId::new());
    let mut later = trace(call, 9, &[1, 2]);
    later.messages.iter_mut().for_each(|message| message.at_us += 100);
    store.put(&[later, trace(call, 5, &[1, 2])], NOW).await.unwrap();
    let found = store.of(call).await.unwrap();
    let places: Vec<_> = found.messages.iter().map(|stored| (stored.series, stored.message.number)).collect();
    assert_eq!((places, found.probes), (vec![(0, 1), (0, 2), (1, 1), (1, 2)], 8));
}

#[tokio::test]
async fn what_no_sip_server_tells_is_refused_as_a_whole() {
    let (store, call) = (Store::new().await, InteractionId::new());
    let mut long = trace(call, 1, &[1]);
    long.messages[0].text = "x".repeat(LONGEST_TEXT + 1);
    let mut wordy = trace(call, 1, &[1]);
    wordy.messages[0].peer.name = "x".repeat(1000);
    let many: Vec<u32> = (1..=MOST_MESSAGES + 1).collect();
    for wrong in [long, wordy, trace(call, 1, &many)] {
        assert!(matches!(store.put(&[wrong], NOW).await, Err(StoreError::Conflict(_))));
        assert_eq!(store.of(call).await, None);
    }
}

#[tokio::test]
async fn what_is_old_goes_with_its_messages_and_nothing_else_does() {
    let store = Store::new().await;
    let old: Vec<InteractionId> = (0..3).map(|_| InteractionId::new()).collect();
    let new = InteractionId::new();
    for call in &old {
        store.put(&[trace(*call, 1, &[1, 2])], NOW).await.unwrap();
    }
    store.put(&[trace(new, 1, &[1])], NOW.plus_ms(1000)).await.unwrap();
    // A call that goes on is not old, whenever it began.
    store.put(&[trace(old[0], 1, &[3])], NOW.plus_ms(1000)).await.unwrap();
    let before = NOW.plus_ms(500);
    assert_eq!(
        (store.expire(before, 1).await, store.expire(before, 10).await, store.expire(before, 10).await),
        (1, 1, 0)
    );
    for (call, kept) in [(old[0], Some(3)), (old[1], None), (old[2], None), (new, Some(1))] {
        assert_eq!(store.of(call).await.map(|trace| trace.messages.len()), kept);
    }
}
