//! One page of a list, and whether a single interaction or recording may be seen.

use crate::{Cursor, Filter, Scope, heard::persons_of, scope::push_key};
use hindsight_store::{
    Connection, StoreError,
    interactions::{self, COLUMNS, Interaction, Row, agent_key, number_key},
    recordings,
};
use hindsight_wire::{InteractionId, RecordingId};
use sqlx::{QueryBuilder, Sqlite};
use uuid::Uuid;

/// Most interactions on a page.
pub const LARGEST_PAGE: u32 = 200;

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Newest first.
    pub items: Vec<Interaction>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<Cursor>,
}

/// The interactions in `scope` that match `filter`, newest first, at most `limit` of them.
pub async fn find(
    db: &mut Connection,
    scope: &Scope,
    filter: &Filter,
    limit: u32,
) -> Result<Page, StoreError> {
    let limit = limit.clamp(1, LARGEST_PAGE) as usize;
    let mut query = build(scope, filter, limit + 1);
    let mut rows: Vec<Row> = query.build_query_as().fetch_all(&mut *db).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        items.push(interactions::complete(db, row).await?);
    }
    let last = items.last().filter(|_| more);
    let next = last.map(|last: &Interaction| Cursor { started_at: last.started_at, interaction: last.id });
    Ok(Page { items, next })
}

fn build(scope: &Scope, filter: &Filter, limit: usize) -> QueryBuilder<Sqlite> {
    let mut keys = Vec::new();
    keys.extend(filter.number.as_deref().map(number_key));
    keys.extend(filter.agent.as_deref().map(agent_key));
    let entry = keys.first().cloned().or_else(|| scope.key());
    let mut query = QueryBuilder::new(format!("SELECT {COLUMNS} FROM "));
    // CROSS JOIN is SQLite's way to say in which order to loop: the key's index first, never the whole table.
    let (start, id) = match entry {
        Some(key) => {
            query.push("interaction_keys d CROSS JOIN interactions i ON i.id = d.interaction WHERE d.key = ");
            query.push_bind(key);
            ("d.started_at", "d.interaction")
        }
        None => {
            query.push("interactions i WHERE 1");
            ("i.started_at", "i.id")
        }
    };
    for key in keys.into_iter().skip(1) {
        query.push(" AND ");
        push_key(&mut query, key);
    }
    query.push(" AND ");
    scope.push_sql(&mut query);
    if let Some(from) = filter.from {
        query.push(format_args!(" AND {start} >= ")).push_bind(from.0);
    }
    if let Some(to) = filter.to {
        query.push(format_args!(" AND {start} < ")).push_bind(to.0);
    }
    if let Some(after) = filter.after {
        query.push(format_args!(" AND ({start}, {id}) < ("));
        query.push_bind(after.started_at.0).push(", ").push_bind(after.interaction.0).push(")");
    }
    query.push(format_args!(" ORDER BY {start} DESC, {id} DESC LIMIT ")).push_bind(limit as i64);
    query
}

/// Whether an interaction exists and is in the scope: the two cannot be told apart from outside.
pub async fn may_see(
    db: &mut Connection,
    scope: &Scope,
    interaction: InteractionId,
) -> Result<bool, StoreError> {
    let mut query = QueryBuilder::new("SELECT EXISTS (SELECT 1 FROM interactions i WHERE i.id = ");
    query.push_bind(interaction.0).push(" AND ");
    scope.push_sql(&mut query);
    query.push(")");
    Ok(query.build_query_scalar().fetch_one(db).await?)
}

/// Whether a recording belongs to an interaction in the scope, and is of somebody in the scope ([`persons_of`]). One that
/// belongs to no interaction is for those who see everything.
pub async fn may_see_recording(
    db: &mut Connection,
    scope: &Scope,
    recording: RecordingId,
) -> Result<bool, StoreError> {
    if *scope == Scope::Everything {
        let found =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM recordings WHERE id = ?)").bind(recording.0);
        return Ok(found.fetch_one(db).await?);
    }
    let mut query = QueryBuilder::new(
        "SELECT i.id FROM recording_interactions o JOIN interactions i ON i.id = o.interaction
         WHERE o.recording = ",
    );
    query.push_bind(recording.0).push(" AND ");
    scope.push_sql(&mut query);
    let seen: Vec<Uuid> = query.build_query_scalar().fetch_all(&mut *db).await?;
    let Some(found) = recordings::by_id(db, recording).await? else { return Ok(false) };
    for id in seen {
        let interaction = interactions::by_id(db, InteractionId(id)).await?;
        if interaction.is_some_and(|this| scope.admits(&persons_of(&found.manifest, &this.agents))) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_store::{
        Database,
        interactions::{Agent, Completeness},
    };
    use hindsight_wire::{PersonId, Timestamp, agent::Medium};
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use uuid::Uuid;

    const PEOPLE: u128 = 4;

    fn person(n: u128) -> PersonId {
        PersonId(Uuid::from_u128(1000 + n))
    }

    fn interaction(n: u128, started_at: i64, caller: &str, people: &[PersonId]) -> Interaction {
        let agent = |person: &PersonId| Agent {
            dn: format!("1{}", person.0.as_u128()),
            person: Some(*person),
            login: format!("Agent{}", person.0.as_u128()),
            name: String::new(),
        };
        Interaction {
            id: InteractionId(Uuid::from_u128(n)),
            medium: Medium::Voice,
            started_at: Timestamp(started_at),
            established_at: None,
            ended_at: None,
            caller: caller.to_owned(),
            dialled: "1001".to_owned(),
            voice: Completeness::None,
            screen: Completeness::None,
            recovered: false,
            paused: false,
            recheck_at: None,
            agents: people.iter().map(agent).collect(),
            gaps: Vec::new(),
        }
    }

    fn scopes() -> impl Strategy<Value = Scope> {
        let leaf = prop_oneof![Just(Scope::Everything), (0..PEOPLE).prop_map(|n| Scope::Of(person(n)))];
        leaf.prop_recursive(3, 12, 3, |inner| {
            let list = prop::collection::vec(inner, 0..3);
            prop_oneof![list.clone().prop_map(Scope::Any), list.prop_map(Scope::Each)]
        })
    }

    #[derive(Clone, Debug)]
    struct Case {
        /// Start and persons of each interaction; starts collide on purpose.
        interactions: Vec<(i64, BTreeSet<u128>)>,
        scope: Scope,
        agent: Option<u128>,
        number: Option<bool>,
        from: Option<i64>,
        to: Option<i64>,
        limit: u32,
    }

    prop_compose! {
        fn cases()(
            interactions in prop::collection::vec((0_i64..6, prop::collection::btree_set(0..PEOPLE, 0..3)), 0..14),
            scope in scopes(),
            agent in prop::option::of(0..PEOPLE),
            number in prop::option::of(any::<bool>()),
            from in prop::option::of(0_i64..6),
            to in prop::option::of(0_i64..7),
            limit in 1_u32..5,
        ) -> Case {
            Case { interactions, scope, agent, number, from, to, limit }
        }
    }

    const CALLERS: [&str; 2] = ["+46 70-123", "00498912"];
    const ASKED: [&str; 2] = ["004670 123", "+49 8912"];

    async fn check(case: Case) -> Result<(), TestCaseError> {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::create(directory.path()).await.unwrap();
        let mut expected = Vec::new();
        let mut write = database.write().await.unwrap();
        for (n, (started_at, people)) in case.interactions.iter().enumerate() {
            let people: Vec<PersonId> = people.iter().copied().map(person).collect();
            let this = interaction(n as u128, *started_at, CALLERS[n % 2], &people);
            interactions::put(&mut write, &this).await.unwrap();
            let visible = case.scope.admits(&people)
                && case.agent.is_none_or(|agent| people.contains(&person(agent)))
                && case.number.is_none_or(|first| (n % 2 == 0) == first)
                && case.from.is_none_or(|from| *started_at >= from)
                && case.to.is_none_or(|to| *started_at < to);
            if visible {
                expected.push(this);
            }
        }
        write.commit().await.unwrap();
        expected.sort_by_key(|this| std::cmp::Reverse((this.started_at, this.id)));
        let mut filter = Filter {
            agent: case.agent.map(|agent| format!("AGENT{}", person(agent).0.as_u128())),
            number: case.number.map(|first| ASKED[usize::from(!first)].to_owned()),
            from: case.from.map(Timestamp),
            to: case.to.map(Timestamp),
            after: None,
        };
        let mut db = database.read().await.unwrap();
        let mut found = Vec::new();
        loop {
            let page = find(&mut db, &case.scope, &filter, case.limit).await.unwrap();
            prop_assert!(page.items.len() <= case.limit as usize);
            found.extend(page.items);
            let Some(next) = page.next else { break };
            filter.after = Some(next.to_string().parse().unwrap());
        }
        prop_assert_eq!(&found, &expected);
        for (n, (_, people)) in case.interactions.iter().enumerate() {
            let people: Vec<PersonId> = people.iter().copied().map(person).collect();
            let seen =
                may_see(&mut db, &case.scope, InteractionId(Uuid::from_u128(n as u128))).await.unwrap();
            prop_assert_eq!(seen, case.scope.admits(&people));
        }
        drop(db);
        database.close().await;
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn what_the_sql_finds_is_what_the_scope_and_filter_admit(case in cases()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(check(case))?;
        }
    }

    #[tokio::test]
    async fn a_key_is_entered_by_its_index_and_never_by_the_whole_table() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::create(directory.path()).await.unwrap();
        let filter = Filter {
            agent: Some("ann".into()),
            number: Some("123".into()),
            after: Some(Cursor { started_at: Timestamp(5), interaction: InteractionId::new() }),
            ..Filter::default()
        };
        for (scope, filter) in [
            (Scope::Everything, filter.clone()),
            (Scope::Any(vec![Scope::Of(person(1))]), Filter::default()),
            (Scope::Everything, Filter::default()),
        ] {
            let mut query = QueryBuilder::<Sqlite>::new("EXPLAIN QUERY PLAN ");
            let inner = build(&scope, &filter, 10);
            query.push(inner.sql().as_str());
            let sql = query.sql();
            let plan: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(sqlx::AssertSqlSafe(sql.as_str().to_owned()))
                    .fetch_all(&mut *database.read().await.unwrap())
                    .await
                    .unwrap();
            let steps: Vec<&str> = plan.iter().map(|step| step.3.as_str()).collect();
            let sorts = steps.iter().any(|step| step.contains("TEMP B-TREE"));
            let scans = steps.iter().any(|step| step.starts_with("SCAN") && !step.contains("USING INDEX"));
            assert!(!sorts && !scans, "{steps:?}");
        }
    }

    #[test]
    fn a_foreign_cursor_is_refused() {
        for text in ["", "AAAA", "!!", &"A".repeat(400)] {
            assert!(text.parse::<Cursor>().is_err());
        }
    }
}
