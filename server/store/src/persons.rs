//! Persons who can sign in.

use crate::{Connection, StoreError};
use hindsight_wire::{PersonId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use std::{collections::BTreeSet, str::FromStr};
use uuid::Uuid;

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PersonRole {
    /// Takes calls; their screen is recorded.
    Agent,
    /// Finds and replays recordings.
    Supervisor,
    /// Changes the configuration and enrols devices.
    Administrator,
    /// Reads the audit log.
    Auditor,
}

impl PersonRole {
    /// All.
    pub const ALL: [PersonRole; 4] =
        [PersonRole::Agent, PersonRole::Supervisor, PersonRole::Administrator, PersonRole::Auditor];

    /// The name used in configuration and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            PersonRole::Agent => "agent",
            PersonRole::Supervisor => "supervisor",
            PersonRole::Administrator => "administrator",
            PersonRole::Auditor => "auditor",
        }
    }
}

impl FromStr for PersonRole {
    type Err = StoreError;
    fn from_str(text: &str) -> Result<Self, StoreError> {
        PersonRole::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| StoreError::damaged("person's role", text))
    }
}

/// A person.
#[derive(Clone, PartialEq)]
pub struct Person {
    /// Id.
    pub id: PersonId,
    /// Login name; letter case does not count.
    pub login: String,
    /// Name, for people.
    pub name: String,
    /// What they may do.
    pub roles: BTreeSet<PersonRole>,
    /// Argon2id, PHC string.
    pub password_hash: String,
    /// The password is a one-time password: nothing may be done before it is changed.
    pub must_change: bool,
    /// Wrong passwords since the last right one.
    pub failed_attempts: u32,
    /// No sign-in before this.
    pub locked_until: Option<Timestamp>,
}

impl Person {
    /// Whether the person has this role.
    pub fn is(&self, role: PersonRole) -> bool {
        self.roles.contains(&role)
    }
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    login: String,
    name: String,
    password_hash: String,
    must_change: bool,
    failed_attempts: u32,
    locked_until: Option<i64>,
    roles: Option<String>,
}

impl Row {
    fn into_person(self) -> Result<Person, StoreError> {
        let roles = self.roles.unwrap_or_default();
        Ok(Person {
            id: PersonId(self.id),
            login: self.login,
            name: self.name,
            roles: roles.split(',').filter(|r| !r.is_empty()).map(str::parse).collect::<Result<_, _>>()?,
            password_hash: self.password_hash,
            must_change: self.must_change,
            failed_attempts: self.failed_attempts,
            locked_until: self.locked_until.map(Timestamp),
        })
    }
}

/// The person with this login, in any letter case.
pub async fn by_login(db: &mut Connection, login: &str) -> Result<Option<Person>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT p.*, (SELECT group_concat(role) FROM person_roles WHERE person = p.id) AS roles
         FROM persons p WHERE login = ?",
    )
    .bind(login)
    .fetch_optional(db)
    .await?;
    row.map(Row::into_person).transpose()
}

/// The person with this id.
pub async fn by_id(db: &mut Connection, id: PersonId) -> Result<Option<Person>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT p.*, (SELECT group_concat(role) FROM person_roles WHERE person = p.id) AS roles
         FROM persons p WHERE id = ?",
    )
    .bind(id.0)
    .fetch_optional(db)
    .await?;
    row.map(Row::into_person).transpose()
}

/// Everybody, by login.
pub async fn all(db: &mut Connection) -> Result<Vec<Person>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT p.*, (SELECT group_concat(role) FROM person_roles WHERE person = p.id) AS roles
         FROM persons p ORDER BY login",
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(Row::into_person).collect()
}

/// Adds a person, or replaces everything but the id of an existing one.
pub async fn put(db: &mut Connection, person: &Person) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO persons (id, login, name, password_hash, must_change, failed_attempts, locked_until)
         VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET login = excluded.login, name = excluded.name,
             password_hash = excluded.password_hash, must_change = excluded.must_change,
             failed_attempts = excluded.failed_attempts, locked_until = excluded.locked_until",
    )
    .bind(person.id.0)
    .bind(&person.login)
    .bind(&person.name)
    .bind(&person.password_hash)
    .bind(person.must_change)
    .bind(person.failed_attempts)
    .bind(person.locked_until.map(|at| at.0))
    .execute(&mut *db)
    .await?;
    set_roles(db, person.id, &person.roles).await
}

/// Sets what the configuration says of an existing person, and leaves their password and lock-out alone.
pub async fn set_profile(
    db: &mut Connection,
    id: PersonId,
    name: &str,
    roles: &BTreeSet<PersonRole>,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE persons SET name = ? WHERE id = ?").bind(name).bind(id.0).execute(&mut *db).await?;
    set_roles(db, id, roles).await
}

async fn set_roles(
    db: &mut Connection,
    id: PersonId,
    roles: &BTreeSet<PersonRole>,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM person_roles WHERE person = ?").bind(id.0).execute(&mut *db).await?;
    for role in roles {
        sqlx::query("INSERT INTO person_roles (person, role) VALUES (?, ?)")
            .bind(id.0)
            .bind(role.as_str())
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}

/// Sets a password's hash, and whether it must be changed at the next sign-in. Clears the lock-out.
pub async fn set_password(
    db: &mut Connection,
    id: PersonId,
    password_hash: &str,
    must_change: bool,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE persons SET password_hash = ?, must_change = ?, failed_attempts = 0, locked_until = NULL WHERE id = ?",
    )
    .bind(password_hash)
    .bind(must_change)
    .bind(id.0)
    .execute(db)
    .await?;
    Ok(())
}

/// Records the outcome of a sign-in: how many have failed since the last success, and until when no other is heard.
pub async fn set_attempts(
    db: &mut Connection,
    id: PersonId,
    failed_attempts: u32,
    locked_until: Option<Timestamp>,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE persons SET failed_attempts = ?, locked_until = ? WHERE id = ?")
        .bind(failed_attempts)
        .bind(locked_until.map(|at| at.0))
        .bind(id.0)
        .execute(db)
        .await?;
    Ok(())
}
