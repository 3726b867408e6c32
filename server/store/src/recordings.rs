//! Committed recordings: manifests, receipts, and which interactions own them.

use crate::{Connection, StoreError};
use hindsight_wire::{
    DeviceId, InteractionId, RecordingId, Timestamp,
    manifest::{IndexEntry, Manifest, Media, Signed},
};
use sqlx::FromRow;
use uuid::Uuid;

/// Where a recording stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As its recorder closed it.
    Ready,
    /// Cut by a crash; the repair is due.
    Repairing,
    /// Repaired: the last segment has its final flag.
    Recovered,
    /// Cut by a crash and beyond repair.
    Failed,
}

impl State {
    /// The name in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::Repairing => "repairing",
            State::Recovered => "recovered",
            State::Failed => "failed",
        }
    }
}

/// A committed recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// As its recorder signed it.
    pub manifest: Manifest,
    /// Start of the media on the server's clock.
    pub started_at: Timestamp,
    /// Length of the media; `None`: cut by a crash, and not yet measured.
    pub duration_ms: Option<u64>,
    /// Where it stands.
    pub state: State,
    /// Why it is [`State::Failed`].
    pub failure: Option<String>,
    /// Bytes of the payload as it is stored now.
    pub payload_size: u64,
    /// SHA-256 of the payload as it is stored now, lower-case hexadecimal.
    pub payload_sha256: String,
    /// Index found after a repair; otherwise the manifest's holds.
    pub rebuilt_index: Option<Vec<IndexEntry>>,
    /// When it was committed.
    pub received_at: Timestamp,
}

impl Recording {
    /// The recording's id.
    pub fn id(&self) -> RecordingId {
        self.manifest.recording
    }

    /// Whether it holds voice (else screens).
    pub fn is_voice(&self) -> bool {
        matches!(self.manifest.media, Media::Voice { .. })
    }

    /// End of the media on the server's clock, where known.
    pub fn ended_at(&self) -> Option<Timestamp> {
        let length = i64::try_from(self.duration_ms?).ok()?;
        Some(self.started_at.plus_ms(length))
    }

    /// Where clusters or fragments start.
    pub fn index(&self) -> &[IndexEntry] {
        self.rebuilt_index.as_deref().unwrap_or(&self.manifest.index)
    }
}

/// What is added when an upload is committed.
pub struct Committed<'a> {
    /// Parsed from `manifest_json`.
    pub manifest: &'a Manifest,
    /// The exact bytes signed.
    pub manifest_json: &'a str,
    /// DER.
    pub manifest_signature: &'a [u8],
    /// What the device is told.
    pub receipt: &'a Signed,
    /// [`State::Ready`] or [`State::Repairing`].
    pub state: State,
    /// Server clock.
    pub received_at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    started_at: i64,
    duration_ms: Option<i64>,
    state: String,
    failure: Option<String>,
    payload_size: i64,
    payload_sha256: String,
    manifest: String,
    rebuilt_index: Option<String>,
    received_at: i64,
}

const COLUMNS: &str = "r.started_at, r.duration_ms, r.state, r.failure, r.payload_size, r.payload_sha256, \
                       r.manifest, r.rebuilt_index, r.received_at";

impl Row {
    fn into_recording(self) -> Result<Recording, StoreError> {
        let state = match self.state.as_str() {
            "ready" => State::Ready,
            "repairing" => State::Repairing,
            "recovered" => State::Recovered,
            "failed" => State::Failed,
            other => return Err(StoreError::damaged("recording state", other)),
        };
        let index = self.rebuilt_index.map(|json| serde_json::from_str(&json));
        Ok(Recording {
            manifest: serde_json::from_str(&self.manifest).map_err(|e| StoreError::damaged("manifest", e))?,
            started_at: Timestamp(self.started_at),
            duration_ms: self.duration_ms.map(i64::unsigned_abs),
            state,
            failure: self.failure,
            payload_size: self.payload_size.unsigned_abs(),
            payload_sha256: self.payload_sha256,
            rebuilt_index: index.transpose().map_err(|e| StoreError::damaged("index", e))?,
            received_at: Timestamp(self.received_at),
        })
    }
}

/// Adds a recording with the interactions of its manifest; a repair that is due is noted. All in one [`crate::Write`].
pub async fn commit(db: &mut Connection, new: &Committed<'_>) -> Result<(), StoreError> {
    let Committed { manifest, .. } = new;
    let kind = if matches!(manifest.media, Media::Voice { .. }) { "voice" } else { "screen" };
    let size =
        |value: u64| i64::try_from(value).map_err(|_| StoreError::Conflict("size is too large".to_owned()));
    let receipt = serde_json::to_string(new.receipt).map_err(|e| StoreError::damaged("receipt", e))?;
    sqlx::query(
        "INSERT INTO recordings (id, device, capture, kind, person, dn, started_at, duration_ms, state, payload_size,
             payload_sha256, manifest, manifest_signature, receipt, received_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(manifest.recording.0)
    .bind(manifest.device.0)
    .bind(manifest.capture.0)
    .bind(kind)
    .bind(manifest.person.map(|person| person.0))
    .bind(&manifest.dn)
    .bind(manifest.clock.to_server(manifest.started_at).0)
    .bind(manifest.duration_ms.map(size).transpose()?)
    .bind(new.state.as_str())
    .bind(size(manifest.payload_size)?)
    .bind(&manifest.payload_sha256)
    .bind(new.manifest_json)
    .bind(new.manifest_signature)
    .bind(receipt)
    .bind(new.received_at.0)
    .execute(&mut *db)
    .await?;
    for range in &manifest.interactions {
        let to_ms = range.to_ms.map(size).transpose()?;
        own(db, range.interaction, manifest.recording, size(range.from_ms)?, to_ms, "manifest").await?;
    }
    if new.state == State::Repairing {
        sqlx::query("INSERT INTO repairs (recording, attempts, next_at) VALUES (?, 0, ?)")
            .bind(manifest.recording.0)
            .bind(new.received_at.0)
            .execute(&mut *db)
            .await?;
    }
    changed(db, manifest.recording).await
}

async fn own(
    db: &mut Connection,
    interaction: InteractionId,
    recording: RecordingId,
    from_ms: i64,
    to_ms: Option<i64>,
    source: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO recording_interactions (interaction, recording, from_ms, to_ms, source) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (interaction, recording) DO UPDATE SET from_ms = excluded.from_ms, to_ms = excluded.to_ms
             WHERE source = excluded.source",
    )
    .bind(interaction.0)
    .bind(recording.0)
    .bind(from_ms)
    .bind(to_ms)
    .bind(source)
    .execute(db)
    .await?;
    Ok(())
}

/// A recording is not what it was: its readers look again.
pub(crate) async fn changed(db: &mut Connection, recording: RecordingId) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO recording_changes (recording) VALUES (?)").bind(recording.0).execute(db).await?;
    Ok(())
}

/// Gives an interaction a span of a recording, because of place and time.
pub async fn join_by_overlap(
    db: &mut Connection,
    interaction: InteractionId,
    recording: RecordingId,
    from_ms: u64,
    to_ms: Option<u64>,
) -> Result<(), StoreError> {
    own(db, interaction, recording, from_ms.cast_signed(), to_ms.map(u64::cast_signed), "overlap").await
}

/// Lets the span that an interaction owns of a recording end no later than at `to_ms` of its media.
pub async fn end_by(
    db: &mut Connection,
    interaction: InteractionId,
    recording: RecordingId,
    to_ms: u64,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE recording_interactions SET to_ms = ?
         WHERE interaction = ? AND recording = ? AND (to_ms IS NULL OR to_ms > ?)",
    )
    .bind(to_ms.cast_signed())
    .bind(interaction.0)
    .bind(recording.0)
    .bind(to_ms.cast_signed())
    .execute(db)
    .await?;
    Ok(())
}

/// One recording.
pub async fn by_id(db: &mut Connection, id: RecordingId) -> Result<Option<Recording>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM recordings r WHERE r.id = ?");
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id.0).fetch_optional(db).await?;
    row.map(Row::into_recording).transpose()
}

/// A recording that an interaction owns a span of.
#[derive(Clone, Debug, PartialEq)]
pub struct Owned {
    /// The recording.
    pub recording: Recording,
    /// Media time, milliseconds.
    pub from_ms: u64,
    /// Media time, milliseconds; `None`: to the end.
    pub to_ms: Option<u64>,
}

/// The recordings that an interaction owns a span of, in the order of their start.
pub async fn of_interaction(
    db: &mut Connection,
    interaction: InteractionId,
) -> Result<Vec<Owned>, StoreError> {
    #[derive(FromRow)]
    struct OwnedRow {
        from_ms: i64,
        to_ms: Option<i64>,
        #[sqlx(flatten)]
        row: Row,
    }
    let sql = format!(
        "SELECT o.from_ms, o.to_ms, {COLUMNS} FROM recording_interactions o JOIN recordings r ON r.id = o.recording
         WHERE o.interaction = ? ORDER BY r.started_at, r.id"
    );
    let rows: Vec<OwnedRow> =
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(interaction.0).fetch_all(db).await?;
    let owned = |OwnedRow { from_ms, to_ms, row }: OwnedRow| {
        Ok(Owned {
            recording: row.into_recording()?,
            from_ms: from_ms.unsigned_abs(),
            to_ms: to_ms.map(i64::unsigned_abs),
        })
    };
    rows.into_iter().map(owned).collect()
}

/// The interactions that own a span of a recording.
pub async fn interactions_of(
    db: &mut Connection,
    recording: RecordingId,
) -> Result<Vec<InteractionId>, StoreError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT interaction FROM recording_interactions WHERE recording = ? ORDER BY interaction",
    )
    .bind(recording.0)
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(InteractionId).collect())
}

/// Screen recordings taken at a DN without a command (no interaction in their manifests) that overlap a span.
pub async fn uncommanded_at(
    db: &mut Connection,
    dn: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Recording>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM recordings r
         WHERE r.dn = ? AND r.kind = 'screen' AND r.started_at < ? AND r.started_at > ?
             AND (r.duration_ms IS NULL OR r.started_at + r.duration_ms * 1000 > ?)
             AND NOT EXISTS (SELECT 1 FROM recording_interactions o WHERE o.recording = r.id AND o.source = 'manifest')
         ORDER BY r.started_at"
    );
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(dn)
        .bind(to.0)
        .bind(from.plus_ms(-LONGEST_CAPTURE_MS).0)
        .bind(from.0)
        .fetch_all(db)
        .await?;
    rows.into_iter().map(Row::into_recording).collect()
}

/// No capture is longer: bounds how far back an overlap is looked for.
const LONGEST_CAPTURE_MS: i64 = 7 * 24 * 3600 * 1000;

/// The receipt given for a recording and the device it was given to.
pub async fn receipt(db: &mut Connection, id: RecordingId) -> Result<Option<(DeviceId, Signed)>, StoreError> {
    let row: Option<(Uuid, String)> = sqlx::query_as("SELECT device, receipt FROM recordings WHERE id = ?")
        .bind(id.0)
        .fetch_optional(db)
        .await?;
    let parse = |(device, json): (Uuid, String)| {
        let signed = serde_json::from_str(&json).map_err(|e| StoreError::damaged("receipt", e))?;
        Ok((DeviceId(device), signed))
    };
    row.map(parse).transpose()
}

/// The manifest as it was signed: exact JSON and CMS SignedData.
pub async fn signed_manifest(
    db: &mut Connection,
    id: RecordingId,
) -> Result<Option<(String, Vec<u8>)>, StoreError> {
    let row = sqlx::query_as("SELECT manifest, manifest_signature FROM recordings WHERE id = ?")
        .bind(id.0)
        .fetch_optional(db)
        .await?;
    Ok(row)
}

/// The signed record of a repair.
pub async fn recovered_record(db: &mut Connection, id: RecordingId) -> Result<Option<Signed>, StoreError> {
    let json: Option<Option<String>> = sqlx::query_scalar("SELECT recovered FROM recordings WHERE id = ?")
        .bind(id.0)
        .fetch_optional(db)
        .await?;
    json.flatten()
        .map(|json| serde_json::from_str(&json).map_err(|e| StoreError::damaged("recovered record", e)))
        .transpose()
}

/// A change of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Grows.
    pub position: u64,
    /// Which.
    pub recording: RecordingId,
}

/// Up to `limit` changes after `position`, oldest first.
pub async fn changes_after(
    db: &mut Connection,
    position: u64,
    limit: u32,
) -> Result<Vec<Change>, StoreError> {
    let rows: Vec<(i64, Uuid)> = sqlx::query_as(
        "SELECT position, recording FROM recording_changes WHERE position > ? ORDER BY position LIMIT ?",
    )
    .bind(position.cast_signed())
    .bind(limit)
    .fetch_all(db)
    .await?;
    let change = |(position, id): (i64, Uuid)| Change {
        position: position.unsigned_abs(),
        recording: RecordingId(id),
    };
    Ok(rows.into_iter().map(change).collect())
}
