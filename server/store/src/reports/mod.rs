//! Rows of reports: what the reporting server writes, and what is read of it ([`read`]).

pub mod read;

use crate::{Connection, StoreError};
use hindsight_wire::{InteractionId, Timestamp};
pub use read::{
    CallFilter, CallPlace, Concurrent, Counted, ReportedCall, SessionFilter, SessionPlace, SpanCount, calls,
    counts, each_interval, sessions,
};

/// How a call went, or went for one of its DNs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody answered yet, and it goes on.
    Ringing,
    /// They spoke.
    Answered,
    /// The called party spoke with somebody else.
    Busy,
    /// Nobody answered in time, or another one did.
    NoAnswer,
    /// The caller gave up.
    Cancelled,
    /// The called party did not want it.
    Refused,
    /// No such number, or no phone there.
    NotFound,
    /// Anything else.
    Failed,
}

impl Outcome {
    /// All, in the order in which people read them.
    pub const ALL: [Outcome; 8] = [
        Outcome::Answered,
        Outcome::Busy,
        Outcome::NoAnswer,
        Outcome::Cancelled,
        Outcome::Refused,
        Outcome::NotFound,
        Outcome::Failed,
        Outcome::Ringing,
    ];

    /// The name in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Ringing => "ringing",
            Outcome::Answered => "answered",
            Outcome::Busy => "busy",
            Outcome::NoAnswer => "no-answer",
            Outcome::Cancelled => "cancelled",
            Outcome::Refused => "refused",
            Outcome::NotFound => "not-found",
            Outcome::Failed => "failed",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }
}

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Id.
    pub interaction: InteractionId,
    /// Offered.
    pub started_at: Timestamp,
    /// A phone rang.
    pub ringing_at: Option<Timestamp>,
    /// Answered.
    pub answered_at: Option<Timestamp>,
    /// Over.
    pub ended_at: Option<Timestamp>,
    /// Who called.
    pub caller: String,
    /// What was dialled.
    pub dialled: String,
    /// How it went.
    pub outcome: Outcome,
    /// Cause of its end, as the event log names it.
    pub cause: Option<String>,
    /// DN or number of who ended it, where a party did.
    pub ended_by: Option<String>,
    /// Whose; empty: nobody's in particular, or it found no session.
    pub tenant: String,
    /// DNs of this site that called, were called, rang or spoke.
    pub dns: Vec<CallDn>,
}

/// A DN's part in a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallDn {
    /// Which.
    pub dn: String,
    /// It did not call.
    pub incoming: bool,
    /// How it went for this DN.
    pub outcome: Outcome,
    /// How long it spoke, once that is over.
    pub talk_ms: u64,
}

/// A SIP session at a resource manager (CDR).
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The call that it carried a leg of.
    pub interaction: InteractionId,
    /// Its Call-ID.
    pub call_id: String,
    /// INVITE.
    pub started_at: Timestamp,
    /// 2xx.
    pub answered_at: Option<Timestamp>,
    /// BYE or failure.
    pub ended_at: Timestamp,
    /// Final SIP status of its INVITE.
    pub status: u16,
    /// Address of the media server; empty: none served it.
    pub media_server: String,
    /// Whose; empty: nobody's in particular.
    pub tenant: String,
}

/// Forgets all rows: they are to be derived anew.
pub async fn forget(db: &mut Connection) -> Result<(), StoreError> {
    for table in ["report_calls", "report_call_dns", "report_sessions"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM {table}"))).execute(&mut *db).await?;
    }
    Ok(())
}

/// Puts the rows of an interaction in the place of those that it had.
pub async fn replace(
    db: &mut Connection,
    interaction: InteractionId,
    call: Option<&Call>,
    sessions: &[Session],
) -> Result<(), StoreError> {
    for table in ["report_calls", "report_call_dns", "report_sessions"] {
        let sql = format!("DELETE FROM {table} WHERE interaction = ?");
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(interaction.0).execute(&mut *db).await?;
    }
    if let Some(call) = call {
        put_call(db, call).await?;
    }
    for session in sessions {
        sqlx::query(
            "INSERT INTO report_sessions (started_at, interaction, call_id, answered_at, ended_at, status, media_server, tenant)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(session.started_at.0)
        .bind(interaction.0)
        .bind(&session.call_id)
        .bind(session.answered_at.map(|at| at.0))
        .bind(session.ended_at.0)
        .bind(session.status)
        .bind(&session.media_server)
        .bind(&session.tenant)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

async fn put_call(db: &mut Connection, call: &Call) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO report_calls (interaction, started_at, ringing_at, answered_at, ended_at, caller, dialled, outcome, cause,
             ended_by, tenant)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(call.interaction.0)
    .bind(call.started_at.0)
    .bind(call.ringing_at.map(|at| at.0))
    .bind(call.answered_at.map(|at| at.0))
    .bind(call.ended_at.map(|at| at.0))
    .bind(&call.caller)
    .bind(&call.dialled)
    .bind(call.outcome.as_str())
    .bind(&call.cause)
    .bind(&call.ended_by)
    .bind(&call.tenant)
    .execute(&mut *db)
    .await?;
    for dn in &call.dns {
        sqlx::query(
            "INSERT INTO report_call_dns (dn, started_at, interaction, incoming, outcome, talk_ms) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(&dn.dn)
        .bind(call.started_at.0)
        .bind(call.interaction.0)
        .bind(dn.incoming)
        .bind(dn.outcome.as_str())
        .bind(dn.talk_ms.cast_signed())
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}
