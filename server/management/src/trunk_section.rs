//! `[[trunk]]` and `[outside]` of a configuration file, and what is wrong with them.

use crate::{
    Configuration, ManagementError,
    plan::{Plan, Step, rule},
    site_file::SiteFile,
};
use hindsight_store::dns::OwnedDn;
use hindsight_wire::{
    policy::VoicePolicy,
    trunk::{DirectNumber, NumberFormat, Outside, Trunk, TrunkTransport},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

/// `[[trunk]]`. What a section leaves out takes its default, except the password, which stays.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrunkSection {
    /// Its name.
    pub name: String,
    /// `host` or `host:port`; an IPv6 address in brackets. Needed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// `udp` or `tcp`.
    #[serde(default)]
    pub transport: TrunkTransport,
    /// Lower ones are tried first; 1 where none is given.
    #[serde(default = "one")]
    pub priority: u16,
    /// Share of the calls among trunks of one priority; 1 where none is given.
    #[serde(default = "one")]
    pub weight: u16,
    /// User name for its challenges and of the registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password for its challenges from now on; never exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// We register with it.
    #[serde(default)]
    pub register: bool,
    /// It is asked by OPTIONS whether it is there.
    #[serde(default = "yes")]
    pub options: bool,
    /// Networks that its calls come from; empty: its address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    /// `full-time`: its calls are recorded whatever the DN's policy says.
    #[serde(default)]
    pub record_voice: VoicePolicy,
    /// How it writes numbers.
    #[serde(default)]
    pub format: NumberFormat,
    /// What it has before every number, and wants there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Shown to who is called by a DN without a number of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub caller: String,
    /// Whom its calls reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<DirectNumber>,
    /// Remove it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
}

fn one() -> u16 {
    1
}

fn yes() -> bool {
    true
}

impl TrunkSection {
    /// The section of a trunk, without its password.
    pub fn of(trunk: &Trunk) -> Self {
        let Trunk { name, address, transport, priority, weight, user, register, options, .. } = trunk.clone();
        let Trunk { from, record_voice, format, prefix, caller, numbers, .. } = trunk.clone();
        Self {
            name,
            address,
            transport,
            priority,
            weight,
            user,
            password: None,
            register,
            options,
            from,
            record_voice,
            format,
            prefix,
            caller,
            numbers,
            absent: false,
        }
    }

    /// The trunk that a section describes; `known`: as it was.
    pub fn trunk(&self, known: Option<&Trunk>) -> Result<Trunk, ManagementError> {
        let section = self.clone();
        let trunk = Trunk {
            password: section.password.or_else(|| known?.password.clone()),
            name: section.name,
            address: section.address,
            transport: section.transport,
            priority: section.priority,
            weight: section.weight,
            user: section.user,
            register: section.register,
            options: section.options,
            from: section.from,
            record_voice: section.record_voice,
            format: section.format,
            prefix: section.prefix,
            caller: section.caller,
            numbers: section.numbers,
        };
        match fault(&trunk) {
            Some(fault) => rule(format!("trunk {}: {fault}", trunk.name)),
            None => Ok(trunk),
        }
    }
}

impl Plan {
    /// Trunks and the outside; `dns`: the DNs after this file.
    pub(crate) fn trunks(
        &mut self,
        current: &Configuration,
        file: &SiteFile,
        dns: &[OwnedDn],
    ) -> Result<(), ManagementError> {
        if let Some(outside) = &file.outside {
            if let Some(fault) = outside_fault(outside) {
                return rule(format!("outside: {fault}"));
            }
            if current.outside.as_ref() != Some(outside) {
                let before = current.outside.as_ref().map(|outside| json!(outside));
                self.note("outside".to_owned(), before, Some(json!(outside)));
                self.steps.push(Step::Outside(outside.clone()));
            }
        }
        let mut trunks = current.trunks.clone();
        for section in &file.trunks {
            let known = trunks.iter().position(|trunk| trunk.name == section.name);
            if section.absent {
                trunks.retain(|trunk| trunk.name != section.name);
                continue;
            }
            let trunk = section.trunk(known.map(|at| &trunks[at]))?;
            match known {
                Some(at) => trunks[at] = trunk,
                None => trunks.push(trunk),
            }
        }
        for trunk in &trunks {
            let known = |number: &str| dns.iter().any(|owned| owned.dn.number == number);
            if let Some(direct) = trunk.numbers.iter().find(|direct| !known(&direct.dn)) {
                return rule(format!("trunk {}: there is no dn {}", trunk.name, direct.dn));
            }
        }
        if trunks == current.trunks {
            return Ok(());
        }
        let by_name = |trunks: &[Trunk], name: &str| trunks.iter().find(|trunk| trunk.name == name).cloned();
        let names: BTreeSet<String> =
            current.trunks.iter().chain(&trunks).map(|trunk| trunk.name.clone()).collect();
        for name in names {
            let (before, after) = (by_name(&current.trunks, &name), by_name(&trunks, &name));
            if before != after {
                let new = before.as_ref().map(|trunk| &trunk.password)
                    != after.as_ref().map(|trunk| &trunk.password);
                let before = before.map(|trunk| view(&trunk, false));
                self.note(format!("trunk/{name}"), before, after.map(|trunk| view(&trunk, new)));
            }
        }
        self.steps.push(Step::Trunks(trunks));
        Ok(())
    }
}

/// For the record: no password, only whether it is another one.
fn view(trunk: &Trunk, new_password: bool) -> Value {
    let mut view = json!(TrunkSection::of(trunk));
    if new_password && trunk.password.is_some() {
        view["password"] = json!("new");
    }
    view
}

fn digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn is_network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most: u8 = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|bits| bits > 0 && bits <= most))
}

fn fault(trunk: &Trunk) -> Option<String> {
    let named = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if trunk.name.is_empty() || trunk.name.len() > 40 || !trunk.name.chars().all(named) {
        return Some("up to 40 letters, digits and - _ . make a name".to_owned());
    }
    if trunk.address.is_empty() {
        return Some("address is missing: a host, or host:port".to_owned());
    }
    if trunk.host_and_port().is_none() {
        return Some(format!("address {:?}: a host or host:port is expected", trunk.address));
    }
    if let Some(wrong) = trunk.from.iter().find(|text| !is_network(text)) {
        return Some(format!("from {wrong:?}: an address or a network such as 192.0.2.0/24 is expected"));
    }
    let user = trunk.user.as_deref().unwrap_or_default();
    if trunk.user.is_some() && (user.is_empty() || user.chars().any(|c| c.is_control() || c.is_whitespace()))
    {
        return Some("user: a name without blanks is expected".to_owned());
    }
    if trunk.user.is_some() != trunk.password.is_some() {
        return Some("user and password belong together".to_owned());
    }
    if trunk.register && trunk.user.is_none() {
        return Some("register needs user and password".to_owned());
    }
    if !digits(&trunk.prefix) {
        return Some(format!("prefix {:?}: digits are expected", trunk.prefix));
    }
    let mut seen = HashSet::new();
    for direct in &trunk.numbers {
        if direct.number.is_empty() || direct.number.len() > 32 || direct.number.chars().any(char::is_control)
        {
            return Some(format!("number {:?}: up to 32 characters make a number", direct.number));
        }
        if !seen.insert(&direct.number) {
            return Some(format!("number {} stands there twice", direct.number));
        }
    }
    None
}

/// What is wrong with how numbers outside are written.
pub(crate) fn outside_fault(outside: &Outside) -> Option<String> {
    let fields = [
        ("prefix", &outside.prefix),
        ("country", &outside.country),
        ("area", &outside.area),
        ("national", &outside.national),
        ("international", &outside.international),
    ];
    if let Some((name, value)) = fields.into_iter().find(|(_, value)| !digits(value) || value.len() > 8) {
        return Some(format!("{name} {value:?}: up to 8 digits are expected"));
    }
    if outside.country.starts_with('0') {
        return Some("country: the country code without + or 00 is expected, such as 49".to_owned());
    }
    if !outside.area.is_empty() && outside.country.is_empty() {
        return Some("area needs country".to_owned());
    }
    let emergency = |number: &&String| number.is_empty() || !digits(number);
    if let Some(wrong) = outside.emergency.iter().find(emergency) {
        return Some(format!("emergency {wrong:?}: digits are expected"));
    }
    let barred = |number: &&String| !digits(number.strip_prefix('+').unwrap_or(number)) || number.len() < 2;
    if let Some(wrong) = outside.barred.iter().find(barred) {
        return Some(format!("barred {wrong:?}: the beginning of a number is expected, such as +49900"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Step;
    use crate::{Configuration, SiteFile, plan::plan};

    const TRUNK: &str = "[[trunk]]\nname = \"carrier\"\naddress = \"192.0.2.9\"\n";

    fn said(text: &str) -> Result<Vec<String>, String> {
        let file = SiteFile::parse(text).map_err(|error| error.to_string())?;
        let plan = plan(&Configuration::default(), &file).map_err(|error| error.to_string())?;
        Ok(plan.changes.into_iter().map(|change| change.object).collect())
    }

    #[test]
    fn a_trunk_needs_a_name_and_an_address_and_nothing_else() {
        assert_eq!(said(TRUNK), Ok(vec!["trunk/carrier".to_owned()]));
    }

    #[test]
    fn a_trunks_password_stays_where_a_file_leaves_it_out_and_reaches_no_record_and_no_export() {
        let with = |more: &str| format!("{TRUNK}user = \"site\"\n{more}register = true\n");
        let file = SiteFile::parse(&with("password = \"geheim-word\"\n")).unwrap();
        let first = plan(&Configuration::default(), &file).unwrap();
        let Some(Step::Trunks(trunks)) = first.steps.into_iter().next() else { panic!("no trunks") };
        assert_eq!(trunks[0].password.as_deref(), Some("geheim-word"));
        let record = serde_json::to_string(&first.changes).unwrap();
        assert!(record.contains("\"password\":\"new\"") && !record.contains("geheim"), "{record}");
        let exported = toml::to_string(&TrunkSection::of(&trunks[0])).unwrap();
        assert!(!exported.contains("geheim") && !format!("{:?}", trunks[0]).contains("geheim"), "{exported}");

        let current = Configuration { trunks, ..Configuration::default() };
        let again = SiteFile::parse(&with("")).unwrap();
        assert!(plan(&current, &again).unwrap().steps.is_empty(), "the same without its password");
        let gone = SiteFile::parse("[[trunk]]\nname = \"carrier\"\nabsent = true\n").unwrap();
        let steps = plan(&current, &gone).unwrap().steps;
        assert!(matches!(&steps[..], [Step::Trunks(left)] if left.is_empty()));
    }

    #[test]
    fn impossible_trunks_are_refused_with_what_is_wrong() {
        for (more, expected) in [
            ("prority = 2", "line 4, column 1"),
            ("transport = \"tls\"", "line 4, column 13"),
            ("priority = -1", "line 4"),
            ("from = [\"192.0.2.0/33\"]", "trunk carrier: from \"192.0.2.0/33\""),
            ("from = [\"0.0.0.0/0\"]", "trunk carrier: from"),
            ("user = \"u\"", "user and password belong together"),
            ("register = true", "register needs user and password"),
            ("prefix = \"+0\"", "prefix"),
            ("numbers = [{ number = \"+4930123\", dn = \"4711\" }]", "trunk carrier: there is no dn 4711"),
            ("numbers = [{ number = \"\", dn = \"4711\" }]", "make a number"),
            ("name = \"x\"", "line 4"),
        ] {
            let error = said(&format!("{TRUNK}{more}\n")).unwrap_err();
            assert!(error.contains(expected), "{more}: {error}");
        }
        assert!(said("[[trunk]]\nname = \"a\"\n").unwrap_err().contains("address is missing"));
        assert!(
            said("[[trunk]]\nname = \"a\"\naddress = \"sip:x@y\"\n")
                .unwrap_err()
                .contains("host:port is expected")
        );
        assert!(said(&format!("{TRUNK}{TRUNK}")).unwrap_err().contains("twice"));
        for (outside, expected) in [
            ("country = \"+49\"", "country"),
            ("country = \"0049\"", "without + or 00"),
            ("area = \"30\"", "area needs country"),
            ("barred = [\"\"]", "barred"),
            ("emergency = [\"11x\"]", "emergency"),
        ] {
            let error = said(&format!("[outside]\n{outside}\n")).unwrap_err();
            assert!(error.contains(expected), "{outside}: {error}");
        }
    }
}
