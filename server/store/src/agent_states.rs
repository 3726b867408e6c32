//! Whether agents take interactions: now, and every change.

use crate::{Connection, StoreError};
use hindsight_wire::{PersonId, Timestamp, agent::AgentState};

type Columns = (bool, Option<String>, i64);

fn state((ready, reason, since): Columns) -> AgentState {
    AgentState { ready, reason, since: Some(Timestamp(since)) }
}

/// A person's state; not ready when they never said.
pub async fn of(db: &mut Connection, person: PersonId) -> Result<AgentState, StoreError> {
    let row: Option<Columns> =
        sqlx::query_as("SELECT ready, reason, since FROM agent_states WHERE person = ?")
            .bind(person.0)
            .fetch_optional(db)
            .await?;
    Ok(row.map(state).unwrap_or_default())
}

/// Sets a person's state and notes the change.
pub async fn put(
    db: &mut Connection,
    person: PersonId,
    ready: bool,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<AgentState, StoreError> {
    sqlx::query(
        "INSERT INTO agent_states (person, ready, reason, since) VALUES (?, ?, ?, ?)
         ON CONFLICT (person) DO UPDATE SET ready = excluded.ready, reason = excluded.reason, since = excluded.since",
    )
    .bind(person.0)
    .bind(ready)
    .bind(reason)
    .bind(now.0)
    .execute(&mut *db)
    .await?;
    sqlx::query("INSERT INTO agent_state_changes (person, at, ready, reason) VALUES (?, ?, ?, ?)")
        .bind(person.0)
        .bind(now.0)
        .bind(ready)
        .bind(reason)
        .execute(db)
        .await?;
    Ok(AgentState { ready, reason: reason.map(str::to_owned), since: Some(now) })
}

/// The last changes of a person's state, newest first.
pub async fn changes(
    db: &mut Connection,
    person: PersonId,
    limit: u32,
) -> Result<Vec<AgentState>, StoreError> {
    let rows: Vec<Columns> = sqlx::query_as(
        "SELECT ready, reason, at FROM agent_state_changes WHERE person = ? ORDER BY position DESC LIMIT ?",
    )
    .bind(person.0)
    .bind(limit)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(state).collect())
}
