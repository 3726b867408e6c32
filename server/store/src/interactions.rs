//! Interactions as the recording processor derives them from events, recordings and links.

use crate::{Connection, StoreError};
use hindsight_wire::{InteractionId, PersonId, Timestamp, agent::Medium};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

/// How much of what should have been recorded is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Completeness {
    /// All of it.
    Complete,
    /// Some; the gaps say what is not.
    Partial,
    /// Nothing, and nothing will come without an exception; the gaps say why.
    Missing,
    /// More may come.
    Pending,
    /// Nothing was asked for.
    None,
}

impl Completeness {
    /// The name in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Completeness::Complete => "complete",
            Completeness::Partial => "partial",
            Completeness::Missing => "missing",
            Completeness::Pending => "pending",
            Completeness::None => "none",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        match text {
            "complete" => Ok(Completeness::Complete),
            "partial" => Ok(Completeness::Partial),
            "missing" => Ok(Completeness::Missing),
            "pending" => Ok(Completeness::Pending),
            "none" => Ok(Completeness::None),
            other => Err(StoreError::damaged("completeness", other)),
        }
    }
}

/// A DN of this site that took part, and who sat there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// The DN.
    pub dn: String,
    /// Who; `None`: nobody known.
    pub person: Option<PersonId>,
    /// Their login, empty when unknown.
    pub login: String,
    /// Their name, empty when unknown.
    pub name: String,
}

/// Which kind of media a gap is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapKind {
    /// Voice.
    Voice,
    /// Screens.
    Screen,
}

impl GapKind {
    /// The name in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            GapKind::Voice => "voice",
            GapKind::Screen => "screen",
        }
    }
}

/// Something that should have been recorded and is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Of what.
    pub kind: GapKind,
    /// Where; empty: not of one DN.
    pub dn: String,
    /// Why, for people.
    pub reason: String,
}

/// What a list shows of an interaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Interaction {
    /// Id.
    pub id: InteractionId,
    /// What kind.
    pub medium: Medium,
    /// Offered.
    pub started_at: Timestamp,
    /// Answered.
    pub established_at: Option<Timestamp>,
    /// Over.
    pub ended_at: Option<Timestamp>,
    /// Who called.
    pub caller: String,
    /// What was dialled.
    pub dialled: String,
    /// Voice.
    pub voice: Completeness,
    /// Screens.
    pub screen: Completeness,
    /// Whether a recording of it was repaired after a crash.
    pub recovered: bool,
    /// Whether recording was paused in it.
    pub paused: bool,
    /// When time alone changes this.
    pub recheck_at: Option<Timestamp>,
    /// DNs of this site that took part.
    pub agents: Vec<Agent>,
    /// What is not there, and why.
    pub gaps: Vec<Gap>,
}

/// Columns of `interactions i` that [`Row`] reads.
pub const COLUMNS: &str = "i.id, i.medium, i.started_at, i.established_at, i.ended_at, i.caller, i.dialled, i.voice, i.screen, \
                           i.recovered, i.paused, i.recheck_at";

/// A row of `interactions`; agents and gaps are read beside it.
#[derive(FromRow)]
pub struct Row {
    id: Uuid,
    medium: String,
    started_at: i64,
    established_at: Option<i64>,
    ended_at: Option<i64>,
    caller: String,
    dialled: String,
    voice: String,
    screen: String,
    recovered: bool,
    paused: bool,
    recheck_at: Option<i64>,
}

/// Completes a row with its agents and gaps.
pub async fn complete(db: &mut Connection, row: Row) -> Result<Interaction, StoreError> {
    let agents: Vec<(String, Option<Uuid>, String, String)> = sqlx::query_as(
        "SELECT dn, person, login, name FROM interaction_agents WHERE interaction = ? ORDER BY dn",
    )
    .bind(row.id)
    .fetch_all(&mut *db)
    .await?;
    let gaps: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT kind, dn, reason FROM interaction_gaps WHERE interaction = ? ORDER BY kind, dn",
    )
    .bind(row.id)
    .fetch_all(&mut *db)
    .await?;
    let agent = |(dn, person, login, name): (String, Option<Uuid>, _, _)| Agent {
        dn,
        person: person.map(PersonId),
        login,
        name,
    };
    let gap = |(kind, dn, reason): (String, _, _)| Gap {
        kind: if kind == "voice" { GapKind::Voice } else { GapKind::Screen },
        dn,
        reason,
    };
    Ok(Interaction {
        id: InteractionId(row.id),
        medium: Medium::named(&row.medium).ok_or_else(|| StoreError::damaged("medium", &row.medium))?,
        started_at: Timestamp(row.started_at),
        established_at: row.established_at.map(Timestamp),
        ended_at: row.ended_at.map(Timestamp),
        caller: row.caller,
        dialled: row.dialled,
        voice: Completeness::parse(&row.voice)?,
        screen: Completeness::parse(&row.screen)?,
        recovered: row.recovered,
        paused: row.paused,
        recheck_at: row.recheck_at.map(Timestamp),
        agents: agents.into_iter().map(agent).collect(),
        gaps: gaps.into_iter().map(gap).collect(),
    })
}

/// One interaction.
pub async fn by_id(db: &mut Connection, id: InteractionId) -> Result<Option<Interaction>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM interactions i WHERE i.id = ?");
    let row: Option<Row> =
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id.0).fetch_optional(&mut *db).await?;
    match row {
        Some(row) => complete(db, row).await.map(Some),
        None => Ok(None),
    }
}

/// Adds an interaction or replaces everything of it, with the keys it is found by.
pub async fn put(db: &mut Connection, this: &Interaction) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO interactions (id, medium, started_at, established_at, ended_at, caller, dialled, voice, screen, recovered,
             paused, recheck_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET medium = excluded.medium, started_at = excluded.started_at, established_at = excluded.established_at,
             ended_at = excluded.ended_at, caller = excluded.caller, dialled = excluded.dialled,
             voice = excluded.voice, screen = excluded.screen, recovered = excluded.recovered,
             paused = excluded.paused, recheck_at = excluded.recheck_at",
    )
    .bind(this.id.0)
    .bind(this.medium.as_str())
    .bind(this.started_at.0)
    .bind(this.established_at.map(|at| at.0))
    .bind(this.ended_at.map(|at| at.0))
    .bind(&this.caller)
    .bind(&this.dialled)
    .bind(this.voice.as_str())
    .bind(this.screen.as_str())
    .bind(this.recovered)
    .bind(this.paused)
    .bind(this.recheck_at.map(|at| at.0))
    .execute(&mut *db)
    .await?;
    for table in ["interaction_agents", "interaction_gaps", "interaction_keys"] {
        let sql = format!("DELETE FROM {table} WHERE interaction = ?");
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(this.id.0).execute(&mut *db).await?;
    }
    for agent in &this.agents {
        sqlx::query(
            "INSERT INTO interaction_agents (interaction, dn, person, login, name) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(this.id.0)
        .bind(&agent.dn)
        .bind(agent.person.map(|person| person.0))
        .bind(&agent.login)
        .bind(&agent.name)
        .execute(&mut *db)
        .await?;
    }
    for gap in &this.gaps {
        sqlx::query(
            "INSERT OR REPLACE INTO interaction_gaps (interaction, kind, dn, reason) VALUES (?, ?, ?, ?)",
        )
        .bind(this.id.0)
        .bind(gap.kind.as_str())
        .bind(&gap.dn)
        .bind(&gap.reason)
        .execute(&mut *db)
        .await?;
    }
    for key in keys(this) {
        sqlx::query("INSERT OR IGNORE INTO interaction_keys (key, started_at, interaction) VALUES (?, ?, ?)")
            .bind(key)
            .bind(this.started_at.0)
            .bind(this.id.0)
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}

/// The key of everything that a person took part in.
pub fn person_key(person: PersonId) -> String {
    format!("person:{person}")
}

/// The key of an agent by login, name or DN, in any letter case.
pub fn agent_key(text: &str) -> String {
    format!("agent:{}", text.trim().to_lowercase())
}

/// The key of a telephone number: how it is punctuated does not count, nor how it says "international".
pub fn number_key(text: &str) -> String {
    let kept: String =
        text.to_lowercase().chars().filter(|c| c.is_alphanumeric() || "*#_".contains(*c)).collect();
    format!("number:{}", kept.strip_prefix("00").unwrap_or(&kept))
}

fn keys(this: &Interaction) -> Vec<String> {
    let mut keys = vec![number_key(&this.caller), number_key(&this.dialled)];
    for agent in &this.agents {
        keys.push(agent_key(&agent.dn));
        keys.push(number_key(&agent.dn));
        keys.extend(agent.person.map(person_key));
        keys.extend([&agent.login, &agent.name].into_iter().filter(|t| !t.is_empty()).map(|t| agent_key(t)));
        // Also by first or last name alone.
        keys.extend(agent.name.split_whitespace().map(agent_key));
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Interactions that go on.
pub async fn open(db: &mut Connection) -> Result<Vec<InteractionId>, StoreError> {
    let ids: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM interactions WHERE ended_at IS NULL").fetch_all(db).await?;
    Ok(ids.into_iter().map(InteractionId).collect())
}

/// Interactions whose state time alone changes, and whose time has come.
pub async fn recheck_due(
    db: &mut Connection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<InteractionId>, StoreError> {
    let ids: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM interactions WHERE recheck_at <= ? ORDER BY recheck_at LIMIT ?")
            .bind(now.0)
            .bind(limit)
            .fetch_all(db)
            .await?;
    Ok(ids.into_iter().map(InteractionId).collect())
}

/// Interactions with an established span at a DN that overlaps a span of time.
pub async fn at_dn(
    db: &mut Connection,
    dn: &str,
    from: Timestamp,
    to: Option<Timestamp>,
) -> Result<Vec<InteractionId>, StoreError> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT i.id FROM interaction_keys k JOIN interactions i ON i.id = k.interaction
         WHERE k.key = ? AND k.started_at < ? AND k.started_at > ?
             AND i.established_at IS NOT NULL AND (i.ended_at IS NULL OR i.ended_at > ?)",
    )
    .bind(agent_key(dn))
    .bind(to.map_or(i64::MAX, |to| to.0))
    .bind(from.plus_ms(-LONGEST_CALL_MS).0)
    .bind(from.0)
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(InteractionId).collect())
}

/// No call is longer: bounds how far back an overlap is looked for.
const LONGEST_CALL_MS: i64 = 7 * 24 * 3600 * 1000;
