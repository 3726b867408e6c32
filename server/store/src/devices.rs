//! Enrolled devices: desktops and components, known by their certificates.

use crate::{Connection, StoreError};
use hindsight_wire::{DeviceId, Timestamp, enrolment::DeviceKind};
use sqlx::FromRow;
use uuid::Uuid;

/// A device that was enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Common name of its certificate.
    pub id: DeviceId,
    /// Organizational unit of its certificate.
    pub kind: DeviceKind,
    /// Host name, for people.
    pub name: String,
    /// Serial number of the certificate, lower-case hexadecimal.
    pub certificate_serial: String,
    /// SHA-256 of the certificate's DER.
    pub certificate_sha256: [u8; 32],
    /// End of the certificate.
    pub not_after: Timestamp,
    /// When it was enrolled.
    pub enrolled_at: Timestamp,
    /// From when on it is refused.
    pub revoked_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    kind: String,
    name: String,
    certificate_serial: String,
    certificate_sha256: Vec<u8>,
    not_after: i64,
    enrolled_at: i64,
    revoked_at: Option<i64>,
}

impl Row {
    fn into_device(self) -> Result<Device, StoreError> {
        Ok(Device {
            id: DeviceId(self.id),
            kind: kind(&self.kind)?,
            name: self.name,
            certificate_serial: self.certificate_serial,
            certificate_sha256: self
                .certificate_sha256
                .try_into()
                .map_err(|_| StoreError::damaged("certificate hash", "it has not 32 bytes"))?,
            not_after: Timestamp(self.not_after),
            enrolled_at: Timestamp(self.enrolled_at),
            revoked_at: self.revoked_at.map(Timestamp),
        })
    }
}

fn kind(text: &str) -> Result<DeviceKind, StoreError> {
    serde_json::from_value(text.into()).map_err(|_| StoreError::damaged("device kind", text))
}

/// Adds an enrolled device.
pub async fn add(db: &mut Connection, device: &Device) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO devices (id, kind, name, certificate_serial, certificate_sha256, not_after, enrolled_at, revoked_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(device.id.0)
    .bind(device.kind.as_str())
    .bind(&device.name)
    .bind(&device.certificate_serial)
    .bind(device.certificate_sha256.as_slice())
    .bind(device.not_after.0)
    .bind(device.enrolled_at.0)
    .bind(device.revoked_at.map(|at| at.0))
    .execute(db)
    .await?;
    Ok(())
}

/// One device.
pub async fn by_id(db: &mut Connection, id: DeviceId) -> Result<Option<Device>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as("SELECT * FROM devices WHERE id = ?").bind(id.0).fetch_optional(db).await?;
    row.map(Row::into_device).transpose()
}

/// The device that presents this certificate (SHA-256 of its DER); `None` when it was never enrolled here.
pub async fn by_certificate(db: &mut Connection, sha256: &[u8; 32]) -> Result<Option<Device>, StoreError> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM devices WHERE certificate_sha256 = ?")
        .bind(sha256.as_slice())
        .fetch_optional(db)
        .await?;
    row.map(Row::into_device).transpose()
}

/// Every device, in the order of their enrolment.
pub async fn all(db: &mut Connection) -> Result<Vec<Device>, StoreError> {
    let rows: Vec<Row> =
        sqlx::query_as("SELECT * FROM devices ORDER BY enrolled_at, id").fetch_all(db).await?;
    rows.into_iter().map(Row::into_device).collect()
}

/// Refuses a device from now on; whether it was there and not revoked before.
pub async fn revoke(db: &mut Connection, id: DeviceId, at: Timestamp) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE devices SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL")
        .bind(at.0)
        .bind(id.0)
        .execute(db)
        .await?;
    Ok(done.rows_affected() > 0)
}
