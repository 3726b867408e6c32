//! What a configuration file would change: pure, but for the salt of new password hashes.

use crate::{
    ManagementError,
    capture_section::CaptureSection,
    configuration::Configuration,
    ha1::ha1,
    password,
    site_file::{AgentSection, DnSection, PersonSection, SiteFile, TraceSection},
};
use hindsight_store::{
    changes::ObjectChange,
    dns::OwnedDn,
    persons::{Person, PersonRole},
};
use hindsight_wire::{
    PersonId,
    agent::Medium,
    component::Dn,
    policy::CapturePolicy,
    trunk::{Outside, Trunk},
};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Most days that signalling is kept: ten years.
const MOST_TRACE_DAYS: u32 = 3653;
/// Longest reason for "not ready".
const LONGEST_REASON: usize = 100;

/// A change to write.
pub enum Step {
    /// Sets the realm.
    Realm(String),
    /// Sets the capture policy.
    Capture(CapturePolicy),
    /// Sets which media are captured.
    Media(Vec<Medium>),
    /// Sets what agents see.
    Agent(AgentSection),
    /// Sets what is kept of signalling.
    Trace(TraceSection),
    /// Adds a person.
    AddPerson(Person),
    /// Sets name and roles of a person; their password too, when there is one here.
    ChangePerson(Person, Option<String>),
    /// Adds or replaces a DN.
    PutDn(OwnedDn),
    /// Removes a DN.
    RemoveDn(String),
    /// Sets how numbers outside are dialled and written.
    Outside(Outside),
    /// Sets the trunks.
    Trunks(Vec<Trunk>),
}

/// What a file would change, in the order to write it, and the same for people and for the record.
#[derive(Default)]
pub struct Plan {
    /// To write.
    pub steps: Vec<Step>,
    /// To show and to keep.
    pub changes: Vec<ObjectChange>,
    /// Version of the configuration that it was made against.
    pub version: u64,
}

/// Compares a file with the configuration. Verifies and hashes passwords: not on an async thread.
pub fn plan(current: &Configuration, file: &SiteFile) -> Result<Plan, ManagementError> {
    let mut plan = Plan { version: current.version, ..Plan::default() };
    unique("person", file.persons.iter().map(|person| person.login.to_lowercase()))?;
    unique("dn", file.dns.iter().map(|dn| dn.number.clone()))?;
    unique("trunk", file.trunks.iter().map(|trunk| trunk.name.clone()))?;
    let realm = plan.realm(current, file)?;
    if let Some(section) = &file.capture {
        plan.capture(current, section)?;
    }
    if let Some(section) = &file.agent {
        plan.agent(current, section)?;
    }
    if let Some(section) = &file.trace {
        plan.trace(current, *section)?;
    }
    let mut people = Vec::new();
    for section in &file.persons {
        people.push((plan.person(current, section)?, section));
    }
    let mut dns = current.dns.clone();
    for section in &file.dns {
        edit_dn(&mut dns, section, &realm)?;
    }
    let names = logins(current, &people);
    people.retain(|(_, section)| section.dn.is_some());
    // First all leave their DNs, so that one file can hand them round.
    for (person, _) in &people {
        dns.iter_mut().filter(|owned| owned.owner == Some(*person)).for_each(|owned| owned.owner = None);
    }
    for (person, section) in people {
        set_own_dn(&mut dns, person, section)?;
    }
    plan.dns(current, &dns, &names);
    plan.trunks(current, file, &dns)?;
    Ok(plan)
}

/// What people call those who are known and those who are new.
fn logins(current: &Configuration, new: &[(PersonId, &PersonSection)]) -> HashMap<PersonId, String> {
    let known = current.persons.iter().map(|person| (person.id, person.login.clone()));
    let new = new.iter().map(|(id, section)| (*id, section.login.clone()));
    new.chain(known).collect()
}

pub(crate) fn rule<T>(text: impl Into<String>) -> Result<T, ManagementError> {
    Err(ManagementError::Rule(text.into()))
}

fn unique(what: &str, names: impl Iterator<Item = String>) -> Result<(), ManagementError> {
    let mut seen = HashSet::new();
    for name in names {
        if seen.contains(&name) {
            return rule(format!("{what} {name} stands in the file twice"));
        }
        seen.insert(name);
    }
    Ok(())
}

impl Plan {
    pub(crate) fn note(&mut self, object: String, before: Option<Value>, after: Option<Value>) {
        self.changes.push(ObjectChange { object, before, after });
    }

    /// The realm after this file; every DN needs its password again when it changes.
    fn realm(&mut self, current: &Configuration, file: &SiteFile) -> Result<String, ManagementError> {
        let Some(realm) = &file.realm else { return Ok(current.realm.clone()) };
        if realm.is_empty()
            || realm.chars().any(|c| c.is_control() || c.is_whitespace() || "\"\\:@".contains(c))
        {
            return rule("realm: a host name is expected");
        }
        if *realm == current.realm {
            return Ok(realm.clone());
        }
        let again: HashSet<&str> = file
            .dns
            .iter()
            .filter(|dn| dn.password.is_some() || dn.absent)
            .map(|dn| dn.number.as_str())
            .collect();
        if let Some(left) = current.dns.iter().find(|owned| !again.contains(owned.dn.number.as_str())) {
            return rule(format!("the realm changes: dn {} needs its password again", left.dn.number));
        }
        self.note("realm".to_owned(), Some(json!(current.realm)), Some(json!(realm)));
        self.steps.push(Step::Realm(realm.clone()));
        Ok(realm.clone())
    }

    fn capture(&mut self, current: &Configuration, section: &CaptureSection) -> Result<(), ManagementError> {
        if let Some(fault) = section.fault() {
            return rule(format!("capture: {fault}"));
        }
        let policy = section.policy();
        if policy != current.capture {
            self.note("capture".to_owned(), Some(json!(current.capture)), Some(json!(policy)));
            self.steps.push(Step::Capture(policy));
        }
        let mut media = section.media.clone();
        media.sort_unstable_by_key(|medium| medium.as_str());
        media.dedup();
        let mut before = current.media.clone();
        before.sort_unstable_by_key(|medium| medium.as_str());
        if media != before {
            self.note("capture/media".to_owned(), Some(json!(before)), Some(json!(media)));
            self.steps.push(Step::Media(media));
        }
        Ok(())
    }

    fn agent(&mut self, current: &Configuration, section: &AgentSection) -> Result<(), ManagementError> {
        let bad =
            |reason: &String| reason.trim() != reason || reason.is_empty() || reason.len() > LONGEST_REASON;
        if let Some(reason) = section.reasons.iter().find(|reason| bad(reason)) {
            return rule(format!("agent: the reason {reason:?} is empty, too long or has blanks around it"));
        }
        unique("agent: reason", section.reasons.iter().cloned())?;
        if *section != current.agent {
            self.note("agent".to_owned(), Some(json!(current.agent)), Some(json!(section)));
            self.steps.push(Step::Agent(section.clone()));
        }
        Ok(())
    }

    fn trace(&mut self, current: &Configuration, section: TraceSection) -> Result<(), ManagementError> {
        if section.keep_days > MOST_TRACE_DAYS {
            return rule(format!("trace: keep_days is from 0 to {MOST_TRACE_DAYS}"));
        }
        if section != current.trace {
            self.note("trace".to_owned(), Some(json!(current.trace)), Some(json!(section)));
            self.steps.push(Step::Trace(section));
        }
        Ok(())
    }

    fn person(
        &mut self,
        current: &Configuration,
        section: &PersonSection,
    ) -> Result<PersonId, ManagementError> {
        let login = &section.login;
        if login.is_empty() || login.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return rule(format!("person {login:?}: a login has no blanks"));
        }
        for given in [&section.password, &section.one_time_password].into_iter().flatten() {
            if let Some(refusal) = password::refusal(given) {
                return rule(format!("person {login}: {refusal}"));
            }
        }
        match current.persons.iter().find(|person| person.login.to_lowercase() == login.to_lowercase()) {
            Some(known) => self.change_person(known, section),
            None => self.add_person(section),
        }
    }

    fn add_person(&mut self, section: &PersonSection) -> Result<PersonId, ManagementError> {
        let (first, must_change) = match (&section.password, &section.one_time_password) {
            (Some(password), None) => (password, false),
            (None, Some(password)) => (password, true),
            (None, None) => {
                return rule(format!(
                    "person {} is new: password or one_time_password is needed",
                    section.login
                ));
            }
            (Some(_), Some(_)) => {
                return rule(format!(
                    "person {}: password and one_time_password exclude each other",
                    section.login
                ));
            }
        };
        let person = Person {
            id: PersonId::new(),
            login: section.login.clone(),
            name: section.name.clone(),
            roles: roles(section)?,
            password_hash: password::hash(first)?,
            must_change,
            failed_attempts: 0,
            locked_until: None,
        };
        let id = person.id;
        self.note(format!("person/{}", person.login), None, Some(person_view(&person, true)));
        self.steps.push(Step::AddPerson(person));
        Ok(id)
    }

    fn change_person(
        &mut self,
        known: &Person,
        section: &PersonSection,
    ) -> Result<PersonId, ManagementError> {
        let new_password =
            section.password.as_ref().filter(|given| !password::verify(given, &known.password_hash));
        let after = Person { name: section.name.clone(), roles: roles(section)?, ..known.clone() };
        if after != *known || new_password.is_some() {
            let hash = new_password.map(|given| password::hash(given)).transpose()?;
            self.note(
                format!("person/{}", known.login),
                Some(person_view(known, false)),
                Some(person_view(&after, hash.is_some())),
            );
            self.steps.push(Step::ChangePerson(after, hash));
        }
        Ok(known.id)
    }

    /// Compares the DNs before and after. Removals come first.
    fn dns(&mut self, current: &Configuration, after: &[OwnedDn], names: &HashMap<PersonId, String>) {
        for gone in current.dns.iter().filter(|b| !after.iter().any(|a| a.dn.number == b.dn.number)) {
            self.note(format!("dn/{}", gone.dn.number), Some(dn_view(gone, names, false)), None);
            self.steps.push(Step::RemoveDn(gone.dn.number.clone()));
        }
        for owned in after {
            let before = current.dns.iter().find(|before| before.dn.number == owned.dn.number);
            if before == Some(owned) {
                continue;
            }
            let new_password = before.is_none_or(|before| {
                before.dn.ha1_md5 != owned.dn.ha1_md5 || before.dn.ha1_sha256 != owned.dn.ha1_sha256
            });
            self.note(
                format!("dn/{}", owned.dn.number),
                before.map(|before| dn_view(before, names, false)),
                Some(dn_view(owned, names, new_password)),
            );
            self.steps.push(Step::PutDn(owned.clone()));
        }
    }
}

fn edit_dn(dns: &mut Vec<OwnedDn>, section: &DnSection, realm: &str) -> Result<(), ManagementError> {
    let number = &section.number;
    if number.is_empty() || !number.chars().all(|c| c.is_ascii_alphanumeric() || "+-_.*#".contains(c)) {
        return rule(format!("dn {number:?}: digits, letters and + - _ . * # make a number"));
    }
    let known = dns.iter().position(|owned| owned.dn.number == *number);
    if section.absent {
        dns.retain(|owned| owned.dn.number != *number);
        return Ok(());
    }
    let (ha1_md5, ha1_sha256) = match (&section.password, known.map(|at| &dns[at].dn)) {
        (Some(password), known) => {
            let ha1 = ha1(number, realm, password);
            // One that a phone has already goes on being good.
            let new = known.is_none_or(|dn| dn.ha1_sha256 != ha1.sha256);
            if let Some(refusal) = password::refusal(password).filter(|_| new) {
                return rule(format!("dn {number}: {refusal}"));
            }
            (ha1.md5, ha1.sha256)
        }
        (None, Some(dn)) => (dn.ha1_md5.clone(), dn.ha1_sha256.clone()),
        (None, None) => return rule(format!("dn {number} is new: a password is needed")),
    };
    if realm.is_empty() {
        return rule("realm: it is needed before the first dn");
    }
    let dn = Dn {
        number: number.clone(),
        ha1_md5,
        ha1_sha256,
        record_voice: section.record_voice,
        record_screen: section.record_screen,
    };
    match known {
        Some(at) => dns[at].dn = dn,
        None => dns.push(OwnedDn { dn, owner: None }),
    }
    Ok(())
}

/// A DN has one owner.
fn set_own_dn(dns: &mut [OwnedDn], person: PersonId, section: &PersonSection) -> Result<(), ManagementError> {
    let Some(number) = section.dn.as_ref().filter(|number| !number.is_empty()) else { return Ok(()) };
    match dns.iter_mut().find(|owned| owned.dn.number == *number) {
        Some(owned) if owned.owner.is_some() => {
            rule(format!("person {}: dn {number} is another person's own", section.login))
        }
        Some(owned) => {
            owned.owner = Some(person);
            Ok(())
        }
        None => rule(format!("person {}: there is no dn {number}", section.login)),
    }
}

/// They are not guessed: nobody gets or loses a right because a line was forgotten.
fn roles(section: &PersonSection) -> Result<BTreeSet<PersonRole>, ManagementError> {
    let missing = || {
        let what = "roles is missing: [\"agent\"], \"supervisor\", \"administrator\", \"auditor\"; [] lets them do nothing";
        ManagementError::Rule(format!("person {}: {what}", section.login))
    };
    section.roles.clone().ok_or_else(missing)
}

/// For the record: no hash, only whether the password is another one.
fn person_view(person: &Person, new_password: bool) -> Value {
    let mut view = json!({ "name": person.name, "roles": person.roles });
    if new_password {
        view["password"] = json!("new");
    }
    view
}

fn dn_view(owned: &OwnedDn, names: &HashMap<PersonId, String>, new_password: bool) -> Value {
    let mut view = json!({
        "recordVoice": owned.dn.record_voice,
        "recordScreen": owned.dn.record_screen,
        "owner": owned.owner.map(|owner| names.get(&owner).cloned().unwrap_or_else(|| owner.to_string())),
    });
    if new_password {
        view["password"] = json!("new");
    }
    view
}

#[cfg(test)]
mod tests;
