//! The site's configuration in the store: read, planned, applied, exported.

use crate::{
    ManagementError,
    capture_section::CaptureSection,
    plan::{self, Plan, Step},
    site_file::{AgentSection, DnSection, PersonSection, SiteFile, TraceSection},
    voice::{agent_terms, captured_media, trace_terms},
};
use hindsight_store::{
    Connection, Database, changes,
    dns::{self, OwnedDn},
    persons::{self, Person},
    sessions, settings,
};
use hindsight_wire::{Timestamp, agent::Medium, policy::CapturePolicy};

/// Setting: SIP domain.
pub(crate) const REALM: &str = "realm";
/// Setting: how screens are captured.
pub(crate) const CAPTURE: &str = "capture";

/// Setting: which media are captured; absent: all.
pub(crate) const MEDIA: &str = "capture_media";
/// Setting: what agents see.
pub(crate) const AGENT: &str = "agent";
/// Setting: what is kept of the signalling of calls.
pub(crate) const TRACE: &str = "trace";

/// Everything that a configuration file can set.
#[derive(Clone, Default)]
pub struct Configuration {
    /// Grows with every change; 0: never configured.
    pub version: u64,
    /// SIP domain; empty before it is set.
    pub realm: String,
    /// How screens are captured.
    pub capture: CapturePolicy,
    /// Which media are captured.
    pub media: Vec<Medium>,
    /// What agents see.
    pub agent: AgentSection,
    /// What is kept of the signalling of calls.
    pub trace: TraceSection,
    /// By login.
    pub persons: Vec<Person>,
    /// By number.
    pub dns: Vec<OwnedDn>,
}

/// Reads the configuration.
pub async fn load(db: &mut Connection) -> Result<Configuration, ManagementError> {
    Ok(Configuration {
        version: changes::version(db).await?,
        realm: settings::get(db, REALM).await?.unwrap_or_default(),
        capture: settings::get(db, CAPTURE).await?.unwrap_or_default(),
        media: captured_media(db).await?,
        agent: agent_terms(db).await?,
        trace: trace_terms(db).await?,
        persons: persons::all(db).await?,
        dns: dns::all(db).await?,
    })
}

/// What a file would change.
pub async fn plan_file(database: &Database, file: SiteFile) -> Result<Plan, ManagementError> {
    let current = load(&mut *database.read().await?).await?;
    tokio::task::spawn_blocking(move || plan::plan(&current, &file))
        .await
        .map_err(|error| ManagementError::Password(error.to_string()))?
}

/// Carries a plan out as one change; the version of the configuration afterwards. Refused when the configuration is no
/// longer the one that the plan was made against.
pub async fn apply(
    database: &Database,
    plan: &Plan,
    actor: &str,
    reason: &str,
    now: Timestamp,
) -> Result<u64, ManagementError> {
    let mut write = database.write().await?;
    let version = changes::version(&mut write).await?;
    if version != plan.version {
        return Err(ManagementError::Changed);
    }
    if plan.steps.is_empty() {
        return Ok(version);
    }
    for step in &plan.steps {
        carry_out(&mut write, step).await?;
    }
    let version = changes::record(&mut write, now, actor, reason, &plan.changes).await?;
    write.commit().await?;
    Ok(version)
}

async fn carry_out(db: &mut Connection, step: &Step) -> Result<(), ManagementError> {
    match step {
        Step::Realm(realm) => settings::put(db, REALM, realm).await?,
        Step::Capture(policy) => settings::put(db, CAPTURE, policy).await?,
        Step::Media(media) => settings::put(db, MEDIA, media).await?,
        Step::Agent(section) => settings::put(db, AGENT, section).await?,
        Step::Trace(section) => settings::put(db, TRACE, section).await?,
        Step::AddPerson(person) => persons::put(db, person).await?,
        Step::ChangePerson(person, password) => {
            persons::set_profile(db, person.id, &person.name, &person.roles).await?;
            if let Some(hash) = password {
                persons::set_password(db, person.id, hash, false).await?;
            }
            // Who may do nothing any more is signed in nowhere any more.
            if person.roles.is_empty() {
                sessions::close_others(db, person.id, None).await?;
            }
        }
        Step::PutDn(dn) => dns::put(db, dn).await?,
        Step::RemoveDn(number) => {
            dns::remove(db, number).await?;
        }
    }
    Ok(())
}

/// The configuration as a file, without any password.
pub async fn export(db: &mut Connection) -> Result<SiteFile, ManagementError> {
    let current = load(db).await?;
    let own_dn = |person: &Person| {
        current.dns.iter().find(|owned| owned.owner == Some(person.id)).map(|owned| owned.dn.number.clone())
    };
    Ok(SiteFile {
        persons: current
            .persons
            .iter()
            .map(|person| PersonSection {
                login: person.login.clone(),
                name: person.name.clone(),
                roles: Some(person.roles.clone()),
                dn: own_dn(person),
                password: None,
                one_time_password: None,
            })
            .collect(),
        dns: current
            .dns
            .iter()
            .map(|owned| DnSection {
                number: owned.dn.number.clone(),
                password: None,
                record_voice: owned.dn.record_voice,
                record_screen: owned.dn.record_screen,
                absent: false,
            })
            .collect(),
        capture: Some(CaptureSection::of(&current.capture, &current.media)),
        agent: Some(current.agent),
        trace: Some(current.trace),
        realm: Some(current.realm).filter(|realm| !realm.is_empty()),
    })
}
