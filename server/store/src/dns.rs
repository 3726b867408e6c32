//! Directory numbers.

use crate::{Connection, StoreError};
use hindsight_wire::{PersonId, component::Dn, policy::VoicePolicy};
use sqlx::FromRow;
use uuid::Uuid;

/// A DN and whose it is.
#[derive(Clone, PartialEq)]
pub struct OwnedDn {
    /// What the voice components know of it.
    pub dn: Dn,
    /// Whose own DN it is.
    pub owner: Option<PersonId>,
}

#[derive(FromRow)]
struct Row {
    number: String,
    ha1_md5: String,
    ha1_sha256: String,
    record_voice: String,
    record_screen: bool,
    owner: Option<Uuid>,
}

impl Row {
    fn into_dn(self) -> Result<OwnedDn, StoreError> {
        Ok(OwnedDn {
            dn: Dn {
                number: self.number,
                ha1_md5: self.ha1_md5,
                ha1_sha256: self.ha1_sha256,
                record_voice: voice_policy(&self.record_voice)?,
                record_screen: self.record_screen,
            },
            owner: self.owner.map(PersonId),
        })
    }
}

fn voice_policy(text: &str) -> Result<VoicePolicy, StoreError> {
    match text {
        "full-time" => Ok(VoicePolicy::FullTime),
        "on-demand" => Ok(VoicePolicy::OnDemand),
        other => Err(StoreError::damaged("voice policy", other)),
    }
}

fn voice_policy_name(policy: VoicePolicy) -> &'static str {
    match policy {
        VoicePolicy::FullTime => "full-time",
        VoicePolicy::OnDemand => "on-demand",
    }
}

/// Every DN, by number.
pub async fn all(db: &mut Connection) -> Result<Vec<OwnedDn>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM dns ORDER BY number").fetch_all(db).await?;
    rows.into_iter().map(Row::into_dn).collect()
}

/// One DN.
pub async fn by_number(db: &mut Connection, number: &str) -> Result<Option<OwnedDn>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as("SELECT * FROM dns WHERE number = ?").bind(number).fetch_optional(db).await?;
    row.map(Row::into_dn).transpose()
}

/// The DNs that are a person's own, by number.
pub async fn owned_by(db: &mut Connection, owner: PersonId) -> Result<Vec<OwnedDn>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM dns WHERE owner = ? ORDER BY number")
        .bind(owner.0)
        .fetch_all(db)
        .await?;
    rows.into_iter().map(Row::into_dn).collect()
}

/// Adds or replaces a DN.
pub async fn put(db: &mut Connection, owned: &OwnedDn) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO dns (number, ha1_md5, ha1_sha256, record_voice, record_screen, owner) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (number) DO UPDATE SET ha1_md5 = excluded.ha1_md5, ha1_sha256 = excluded.ha1_sha256,
             record_voice = excluded.record_voice, record_screen = excluded.record_screen, owner = excluded.owner",
    )
    .bind(&owned.dn.number)
    .bind(&owned.dn.ha1_md5)
    .bind(&owned.dn.ha1_sha256)
    .bind(voice_policy_name(owned.dn.record_voice))
    .bind(owned.dn.record_screen)
    .bind(owned.owner.map(|person| person.0))
    .execute(db)
    .await?;
    Ok(())
}

/// Removes a DN; whether it was there.
pub async fn remove(db: &mut Connection, number: &str) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM dns WHERE number = ?").bind(number).execute(db).await?;
    Ok(done.rows_affected() > 0)
}
