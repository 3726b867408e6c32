//! Recordings one by one, newest first: for whoever runs the server, who sees all of them.

use hindsight_store::{
    Connection, StoreError,
    interactions::{agent_key, number_key},
};
use hindsight_wire::{RecordingId, Timestamp};
use sqlx::{FromRow, QueryBuilder};
use uuid::Uuid;

/// Conditions on the list; absent ones do not narrow it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Login, name, one word of the name, or DN of an agent who took part, in any letter case.
    pub agent: Option<String>,
    /// A number that called or was dialled, or a DN that took part, however punctuated.
    pub number: Option<String>,
    /// Began at or after.
    pub from: Option<Timestamp>,
    /// Began before.
    pub to: Option<Timestamp>,
    /// In this state (`ready`, `repairing`, `recovered`, `failed`).
    pub state: Option<String>,
}

/// A recording as a line of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Which.
    pub id: RecordingId,
    /// `voice` or `screen`.
    pub kind: String,
    /// Start of the media on the server's clock.
    pub started_at: Timestamp,
    /// Length, milliseconds; `None`: not known yet.
    pub duration_ms: Option<u64>,
    /// `ready`, `repairing`, `recovered`, `failed`.
    pub state: String,
    /// Who: of a screen, who sat there; of a voice, the agents of its call. Logins, else DNs; in order of the alphabet.
    pub agents: Vec<String>,
    /// Numbers of its first interaction, caller and dialled; `None`: it belongs to none.
    pub numbers: Option<(String, String)>,
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    kind: String,
    started_at: i64,
    duration_ms: Option<i64>,
    state: String,
    dn: Option<String>,
    login: Option<String>,
    agents: Option<String>,
    caller: Option<String>,
    dialled: Option<String>,
}

impl Row {
    fn into_listed(self) -> Listed {
        let own = self.login.or(self.dn).map(|one| vec![one]);
        let others = || self.agents.iter().flat_map(|list| list.split('\n')).map(str::to_owned).collect();
        let mut agents = own.unwrap_or_else(others);
        agents.sort();
        Listed {
            id: RecordingId(self.id),
            kind: self.kind,
            started_at: Timestamp(self.started_at),
            duration_ms: self.duration_ms.map(i64::unsigned_abs),
            state: self.state,
            agents,
            numbers: self.caller.zip(self.dialled),
        }
    }
}

/// What a line shows. A screen has a person and a DN of its own; a voice has those of its interactions.
const SELECT: &str = "SELECT r.id, r.kind, r.started_at, r.duration_ms, r.state, r.dn, p.login, f.caller, f.dialled,
         (SELECT group_concat(name, char(10)) FROM
             (SELECT DISTINCT CASE a.login WHEN '' THEN a.dn ELSE a.login END AS name
              FROM recording_interactions o JOIN interaction_agents a ON a.interaction = o.interaction
              WHERE o.recording = r.id)) AS agents
     FROM recordings r
     LEFT JOIN persons p ON p.id = r.person
     LEFT JOIN interactions f ON f.id = (SELECT MIN(o.interaction) FROM recording_interactions o WHERE o.recording = r.id)
     WHERE 1";

/// The recordings that are wanted, newest first, at most `limit`. Ids are in the order of time (UUIDv7): the primary key
/// is read backwards.
pub async fn latest(db: &mut Connection, wanted: &Wanted, limit: u32) -> Result<Vec<Listed>, StoreError> {
    let mut query = QueryBuilder::new(SELECT);
    let keys = [wanted.agent.as_deref().map(agent_key), wanted.number.as_deref().map(number_key)];
    for key in keys.into_iter().flatten() {
        query.push(
            " AND EXISTS (SELECT 1 FROM recording_interactions o JOIN interaction_keys k ON k.interaction = o.interaction
                 WHERE o.recording = r.id AND k.key = ",
        );
        query.push_bind(key).push(")");
    }
    if let Some(from) = wanted.from {
        query.push(" AND r.started_at >= ").push_bind(from.0);
    }
    if let Some(to) = wanted.to {
        query.push(" AND r.started_at < ").push_bind(to.0);
    }
    if let Some(state) = &wanted.state {
        query.push(" AND r.state = ").push_bind(state);
    }
    query.push(" ORDER BY r.id DESC LIMIT ").push_bind(limit);
    let rows: Vec<Row> = query.build_query_as().fetch_all(db).await?;
    Ok(rows.into_iter().map(Row::into_listed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_store::Database;

    const ANNA: Uuid = Uuid::from_u128(7);

    /// A recording of a call between 1001 (Anna) and a customer, or of a screen; `n` is its age.
    async fn add(db: &mut Connection, n: u128, kind: &str, state: &str) {
        let (id, interaction) = (Uuid::from_u128(n), Uuid::from_u128(100 + n));
        let screen = kind == "screen";
        for (sql, binds) in [
            ("INSERT INTO interactions (id, started_at, caller, dialled, voice, screen, recovered, paused, medium)
              VALUES (?, 0, '+49 30 1', '1001', 'complete', 'none', 0, 0, 'voice')", vec![interaction]),
            ("INSERT INTO interaction_agents (interaction, dn, login, name) VALUES (?, '1001', 'anna', 'Anna')", vec![interaction]),
            ("INSERT INTO interaction_agents (interaction, dn, login, name) VALUES (?, '1002', '', '')", vec![interaction]),
            ("INSERT INTO interaction_keys (key, started_at, interaction) VALUES ('number:49301', 0, ?)", vec![interaction]),
        ] {
            let query = binds.into_iter().fold(sqlx::query(sql), |query, bind| query.bind(bind));
            query.execute(&mut *db).await.unwrap();
        }
        sqlx::query(
            "INSERT INTO recordings (id, device, capture, kind, person, dn, started_at, duration_ms, state, payload_size,
                 payload_sha256, manifest, manifest_signature, receipt, received_at)
             VALUES (?, x'01', x'02', ?, ?, ?, ?, 61000, ?, 1, '', '', x'', '', 0)",
        )
        .bind(id)
        .bind(kind)
        .bind(screen.then_some(ANNA))
        .bind(screen.then_some("1001"))
        .bind(n as i64)
        .bind(state)
        .execute(&mut *db)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO recording_interactions (interaction, recording, from_ms, source) VALUES (?, ?, 0, 'manifest')",
        )
        .bind(interaction)
        .bind(id)
        .execute(db)
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn recordings_are_listed_newest_first_with_whom_they_are_of() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::create(directory.path()).await.unwrap();
        let mut write = database.write().await.unwrap();
        for statement in [
            "INSERT INTO persons (id, login, name, password_hash, must_change) VALUES (?, 'anna', 'Anna', '', 0)",
            "INSERT INTO devices (id, kind, name, certificate_serial, certificate_sha256, not_after, enrolled_at)
             SELECT x'01', 'media-server', 'host', '01', randomblob(32), 0, 0 WHERE ? IS NOT NULL",
        ] {
            sqlx::query(statement).bind(ANNA).execute(&mut *write).await.unwrap();
        }
        add(&mut write, 1, "voice", "ready").await;
        add(&mut write, 2, "screen", "ready").await;
        add(&mut write, 3, "voice", "failed").await;
        let mut found = async |wanted: Wanted, limit| {
            let list = latest(&mut write, &wanted, limit).await.unwrap();
            list.into_iter().map(|one| (one.id.0.as_u128(), one.agents.join(","))).collect::<Vec<_>>()
        };
        let both = || "1002,anna".to_owned();
        let all = [(3, both()), (2, "anna".to_owned()), (1, both())];
        assert_eq!(found(Wanted::default(), 10).await, all);
        assert_eq!(found(Wanted::default(), 1).await, all[..1]);
        let number = Some("+49 (30) 1".to_owned());
        assert_eq!(found(Wanted { number, ..Wanted::default() }, 10).await, all);
        let number = Some("4711".to_owned());
        assert!(found(Wanted { number, ..Wanted::default() }, 10).await.is_empty());
        let state = Some("failed".to_owned());
        assert_eq!(found(Wanted { state, ..Wanted::default() }, 10).await, all[..1]);
        let (from, to) = (Some(Timestamp(2)), Some(Timestamp(3)));
        assert_eq!(found(Wanted { from, to, ..Wanted::default() }, 10).await, all[1..2]);
        let line = &latest(&mut write, &Wanted::default(), 1).await.unwrap()[0];
        assert_eq!(line.numbers, Some(("+49 30 1".to_owned(), "1001".to_owned())));
        assert_eq!((line.kind.as_str(), line.duration_ms), ("voice", Some(61_000)));
    }
}
