//! Sign-in of persons, at the console and at desktops.

use crate::{
    ManagementError,
    lockout::{self, LockOut},
    password,
};
use hindsight_store::{
    Database, StoreError,
    persons::{self, Person},
    sessions,
};
use hindsight_wire::{PersonId, Timestamp};
use std::{
    net::IpAddr,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Semaphore;

/// Passwords hashed at the same time: each takes 19 MiB and a core.
static HASHING: Semaphore = Semaphore::const_new(2);

/// Verified against when the login is unknown, so that the answer takes as long as for a known one.
static NOBODY: LazyLock<String> = LazyLock::new(|| password::hash(&password::one_time()).unwrap_or_default());

/// Why a sign-in or a change of password was refused.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Unknown login or wrong password; never said which.
    #[error("user name or password is wrong")]
    Refused,
    /// Too many wrong passwords.
    #[error("too many wrong passwords; try again after {0}")]
    Locked(Timestamp),
    /// The password is right, and the person has no role any more. Told only to who knows the password.
    #[error("this person has no role here")]
    NoRole,
    /// The new password will not do.
    #[error("{0}")]
    Weak(&'static str),
    /// Storage, or a bug.
    #[error(transparent)]
    Failed(#[from] ManagementError),
}

impl From<StoreError> for SignInError {
    fn from(error: StoreError) -> Self {
        SignInError::Failed(error.into())
    }
}

/// Where and when a password is tried, and who is locked out.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// Of this process: shared by all attempts.
    pub lock_out: &'a Mutex<LockOut>,
    /// Where it comes from.
    pub address: IpAddr,
    /// When.
    pub now: Timestamp,
}

impl Attempt<'_> {
    fn lock_out(&self) -> MutexGuard<'_, LockOut> {
        self.lock_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when this person is not heard: from this address, or from anywhere.
    fn locked(&self, person: &Person) -> Option<Timestamp> {
        let everywhere = person.locked_until.filter(|until| lockout::is_locked(Some(*until), self.now));
        self.lock_out().locked(person.id, self.address, self.now).max(everywhere)
    }
}

/// Checks login and password; counts what fails and locks out who fails too often. Who has no role does not get in.
pub async fn sign_in(
    database: &Database,
    login: &str,
    password: &str,
    attempt: Attempt<'_>,
) -> Result<Person, SignInError> {
    let person = persons::by_login(&mut *database.read().await?, login).await?;
    let person = check(database, person, password, attempt).await?;
    if person.roles.is_empty() { Err(SignInError::NoRole) } else { Ok(person) }
}

/// Changes a person's password and ends their other sessions; `session` is the token of the one that stays.
pub async fn change_password(
    database: &Database,
    person: PersonId,
    current: &str,
    new: &str,
    session: Option<&str>,
    attempt: Attempt<'_>,
) -> Result<Person, SignInError> {
    if let Some(refusal) = password::refusal(new) {
        return Err(SignInError::Weak(refusal));
    }
    if current == new {
        return Err(SignInError::Weak("the new password is the old one"));
    }
    let known = persons::by_id(&mut *database.read().await?, person).await?;
    let mut known = check(database, known, current, attempt).await?;
    let hash = hash(new).await?;
    let mut write = database.write().await?;
    persons::set_password(&mut write, person, &hash, false).await?;
    sessions::close_others(&mut write, person, session).await?;
    write.commit().await?;
    known.password_hash = hash;
    known.must_change = false;
    Ok(known)
}

async fn check(
    database: &Database,
    person: Option<Person>,
    password: &str,
    attempt: Attempt<'_>,
) -> Result<Person, SignInError> {
    if let Some(locked) = person.as_ref().and_then(|person| attempt.locked(person)) {
        return Err(SignInError::Locked(locked));
    }
    let hash = person.as_ref().map_or_else(|| NOBODY.clone(), |p| p.password_hash.clone());
    let right = verify(password, hash).await?;
    let Some(person) = person else { return Err(SignInError::Refused) };
    let mut write = database.write().await?;
    // Read again: others may have guessed meanwhile.
    let Some(person) = persons::by_id(&mut write, person.id).await? else { return Err(SignInError::Refused) };
    if let Some(locked) = attempt.locked(&person) {
        return Err(SignInError::Locked(locked));
    }
    if right {
        attempt.lock_out().right(person.id, attempt.address);
        persons::set_attempts(&mut write, person.id, 0, None).await?;
    } else {
        attempt.lock_out().wrong(person.id, attempt.address, attempt.now);
        let (failed, until) = lockout::after_failure(person.failed_attempts, attempt.now);
        persons::set_attempts(&mut write, person.id, failed, until).await?;
    }
    write.commit().await?;
    if right { Ok(person) } else { Err(SignInError::Refused) }
}

async fn verify(given: &str, hash: String) -> Result<bool, ManagementError> {
    let given = given.to_owned();
    hashing(move || password::verify(&given, &hash)).await
}

async fn hash(new: &str) -> Result<String, ManagementError> {
    let new = new.to_owned();
    hashing(move || password::hash(&new)).await?
}

async fn hashing<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ManagementError> {
    let failed = |error: &dyn std::fmt::Display| ManagementError::Password(error.to_string());
    let _turn = HASHING.acquire().await.map_err(|error| failed(&error))?;
    tokio::task::spawn_blocking(work).await.map_err(|error| failed(&error))
}
