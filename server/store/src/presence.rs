//! Who was linked from where, and when the services ran: why a screen is missing is told from these.

use crate::{Connection, StoreError};
use hindsight_wire::{DeviceId, PersonId, Timestamp};
use sqlx::FromRow;
use uuid::Uuid;

/// A desktop's link, open or over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesktopLink {
    /// Whose.
    pub device: DeviceId,
    /// Who had signed in.
    pub person: PersonId,
    /// Where.
    pub dn: String,
    /// Open from.
    pub from: Timestamp,
    /// To; `None`: still open.
    pub to: Option<Timestamp>,
}

#[derive(FromRow)]
struct Row {
    device: Uuid,
    person: Uuid,
    dn: String,
    from_at: i64,
    to_at: Option<i64>,
}

/// A desktop's link opened.
pub async fn link_up(db: &mut Connection, link: &DesktopLink) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT OR REPLACE INTO desktop_links (device, from_at, to_at, person, dn) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(link.device.0)
    .bind(link.from.0)
    .bind(link.to.map(|at| at.0))
    .bind(link.person.0)
    .bind(&link.dn)
    .execute(db)
    .await?;
    Ok(())
}

/// It closed.
pub async fn link_down(
    db: &mut Connection,
    device: DeviceId,
    from: Timestamp,
    to: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE desktop_links SET to_at = ? WHERE device = ? AND from_at = ?")
        .bind(to.0)
        .bind(device.0)
        .bind(from.0)
        .execute(db)
        .await?;
    Ok(())
}

/// Since when a desktop has the link that is open.
pub async fn open_since(db: &mut Connection, device: DeviceId) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<i64> =
        sqlx::query_scalar("SELECT MAX(from_at) FROM desktop_links WHERE device = ? AND to_at IS NULL")
            .bind(device.0)
            .fetch_one(db)
            .await?;
    Ok(at.map(Timestamp))
}

/// Closes the links that a killed server left open, at its last sign of life.
pub async fn close_left_open(db: &mut Connection, at: Timestamp) -> Result<(), StoreError> {
    sqlx::query("UPDATE desktop_links SET to_at = MAX(from_at, ?) WHERE to_at IS NULL")
        .bind(at.0)
        .execute(db)
        .await?;
    Ok(())
}

/// The links at a DN that overlap a span, and the last one before it.
pub async fn links_at(
    db: &mut Connection,
    dn: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<DesktopLink>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT * FROM (SELECT * FROM desktop_links WHERE dn = ? AND from_at < ? ORDER BY from_at DESC LIMIT 200)
         WHERE to_at IS NULL OR to_at > ?
             OR from_at = (SELECT MAX(from_at) FROM desktop_links WHERE dn = ? AND from_at < ?)
         ORDER BY from_at",
    )
    .bind(dn)
    .bind(to.0)
    .bind(from.0)
    .bind(dn)
    .bind(from.0)
    .fetch_all(db)
    .await?;
    let link = |row: Row| DesktopLink {
        device: DeviceId(row.device),
        person: PersonId(row.person),
        dn: row.dn,
        from: Timestamp(row.from_at),
        to: row.to_at.map(Timestamp),
    };
    Ok(rows.into_iter().map(link).collect())
}

/// A SIP server was heard.
pub async fn sip_server_heard(
    db: &mut Connection,
    device: DeviceId,
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO sip_server_signs (device, seen_at) VALUES (?, ?)
         ON CONFLICT (device) DO UPDATE SET seen_at = MAX(seen_at, excluded.seen_at)",
    )
    .bind(device.0)
    .bind(at.0)
    .execute(db)
    .await?;
    Ok(())
}

/// When a SIP server was last heard.
pub async fn sip_server_seen(db: &mut Connection, device: DeviceId) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<i64> = sqlx::query_scalar("SELECT seen_at FROM sip_server_signs WHERE device = ?")
        .bind(device.0)
        .fetch_optional(db)
        .await?;
    Ok(at.map(Timestamp))
}

/// A span in which a service ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Start.
    pub from: Timestamp,
    /// Last sign of life.
    pub seen: Timestamp,
}

/// A sign of life of a service that started at `from`.
pub async fn alive(
    db: &mut Connection,
    service: &str,
    from: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO service_runs (service, from_at, seen_at) VALUES (?, ?, ?)
         ON CONFLICT (service, from_at) DO UPDATE SET seen_at = excluded.seen_at",
    )
    .bind(service)
    .bind(from.0)
    .bind(now.0)
    .execute(db)
    .await?;
    Ok(())
}

/// The latest run of a service.
pub async fn last_run(db: &mut Connection, service: &str) -> Result<Option<Run>, StoreError> {
    let row: Option<(i64, i64)> = sqlx::query_as(
        "SELECT from_at, seen_at FROM service_runs WHERE service = ? ORDER BY from_at DESC LIMIT 1",
    )
    .bind(service)
    .fetch_optional(db)
    .await?;
    Ok(row.map(|(from, seen)| Run { from: Timestamp(from), seen: Timestamp(seen) }))
}

/// The runs of a service that overlap a span, and the ones just before and after it, in order.
pub async fn runs_around(
    db: &mut Connection,
    service: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Run>, StoreError> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT from_at, seen_at FROM service_runs WHERE service = ?1
             AND from_at >= COALESCE((SELECT MAX(from_at) FROM service_runs WHERE service = ?1 AND from_at <= ?2), 0)
             AND from_at <= COALESCE((SELECT MIN(from_at) FROM service_runs WHERE service = ?1 AND from_at >= ?3),
                                     9223372036854775807)
         ORDER BY from_at LIMIT 1000",
    )
    .bind(service)
    .bind(from.0)
    .bind(to.0)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|(from, seen)| Run { from: Timestamp(from), seen: Timestamp(seen) }).collect())
}
