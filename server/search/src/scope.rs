//! Who may see which interactions: one expression, compiled to SQL for lists and for single ones alike.

use hindsight_store::{
    interactions::person_key,
    persons::{Person, PersonRole},
};
use hindsight_wire::PersonId;
use sqlx::{QueryBuilder, Sqlite};

/// A set of interactions. Deny by default: the empty union is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every interaction of the site.
    Everything,
    /// Those that a person took part in.
    Of(PersonId),
    /// Those of at least one of these.
    Any(Vec<Scope>),
    /// Those of each of these.
    Each(Vec<Scope>),
}

impl Scope {
    /// What a person's roles let them see: agents their own interactions, supervisors and administrators all.
    pub fn of(person: &Person) -> Self {
        if person.is(PersonRole::Supervisor) || person.is(PersonRole::Administrator) {
            return Scope::Everything;
        }
        let own = person.is(PersonRole::Agent).then_some(Scope::Of(person.id));
        Scope::Any(own.into_iter().collect())
    }

    /// Whether an interaction with these persons is in the set. The SQL of [`Scope::push_sql`] says the same.
    pub fn admits(&self, persons: &[PersonId]) -> bool {
        match self {
            Scope::Everything => true,
            Scope::Of(person) => persons.contains(person),
            Scope::Any(scopes) => scopes.iter().any(|scope| scope.admits(persons)),
            Scope::Each(scopes) => scopes.iter().all(|scope| scope.admits(persons)),
        }
    }

    /// The one key that every interaction in the set has, where there is one: the index is entered by it.
    pub fn key(&self) -> Option<String> {
        match self {
            Scope::Everything => None,
            Scope::Of(person) => Some(person_key(*person)),
            Scope::Any(scopes) => match scopes.as_slice() {
                [one] => one.key(),
                _ => None,
            },
            Scope::Each(scopes) => scopes.iter().find_map(Scope::key),
        }
    }

    /// The condition on `interactions i`.
    pub fn push_sql(&self, query: &mut QueryBuilder<Sqlite>) {
        match self {
            Scope::Everything => {
                query.push("1");
            }
            Scope::Of(person) => push_key(query, person_key(*person)),
            Scope::Any(scopes) => push_list(query, scopes, "0", " OR "),
            Scope::Each(scopes) => push_list(query, scopes, "1", " AND "),
        }
    }
}

/// That `interactions i` has a key.
pub(crate) fn push_key(query: &mut QueryBuilder<Sqlite>, key: String) {
    query.push("EXISTS (SELECT 1 FROM interaction_keys k WHERE k.key = ");
    query.push_bind(key);
    query.push(" AND k.started_at = i.started_at AND k.interaction = i.id)");
}

fn push_list(query: &mut QueryBuilder<Sqlite>, scopes: &[Scope], empty: &str, between: &str) {
    query.push("(");
    if scopes.is_empty() {
        query.push(empty);
    }
    for (position, scope) in scopes.iter().enumerate() {
        if position > 0 {
            query.push(between);
        }
        scope.push_sql(query);
    }
    query.push(")");
}
