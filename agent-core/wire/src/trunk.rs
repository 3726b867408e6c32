//! Trunks: lines to the world outside, what is dialled to reach it, and the one form of its numbers (E.164, `+49301234`).
//!
//! ```text
//! as the trunk says it  --Trunk::read-->   one form  --Trunk::write-->  as the trunk wants it
//! as a phone dials it   --Outside::dialled-->  one form, or none of ours to pass on
//! ```

use crate::policy::VoicePolicy;
use serde::{Deserialize, Serialize};

/// Longest number that is kept as one; E.164 has 15 digits.
const LONGEST: usize = 32;
/// Digits of the shortest number that may be one with its country code.
const SHORTEST_WITH_COUNTRY: usize = 7;

/// How numbers outside are dialled and written: `[outside]` of the site file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outside {
    /// Dialled before every number outside, and taken off; empty: none.
    pub prefix: String,
    /// Digits of the shortest number outside, where there is no prefix.
    pub shortest: usize,
    /// The site's country code, without `+`; empty: numbers are passed on as they were dialled.
    pub country: String,
    /// The site's area code, without the national prefix; empty: local numbers are not completed.
    pub area: String,
    /// Before a number within the country.
    pub national: String,
    /// Before a country code, for `+`.
    pub international: String,
    /// Dialled without prefix, passed on unchanged.
    pub emergency: Vec<String>,
    /// Beginnings of numbers (in their one form) that nobody may call.
    pub barred: Vec<String>,
    /// Who comes in by a trunk may go out by one: a caller, and a call that is transferred.
    pub trunk_to_trunk: bool,
}

impl Default for Outside {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            shortest: 7,
            country: String::new(),
            area: String::new(),
            national: "0".to_owned(),
            international: "00".to_owned(),
            emergency: vec!["110".to_owned(), "112".to_owned()],
            barred: Vec::new(),
            trunk_to_trunk: false,
        }
    }
}

/// How a trunk writes numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NumberFormat {
    /// `+49301234`.
    #[default]
    E164,
    /// `49301234`.
    Plain,
    /// `0049301234`.
    International,
    /// `0301234`, and `0043…` for other countries.
    National,
}

/// Transport of a trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrunkTransport {
    /// Datagrams.
    #[default]
    Udp,
    /// A connection that we make.
    Tcp,
}

/// A number outside that reaches a DN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectNumber {
    /// As the trunk says it, in any of the usual forms.
    pub number: String,
    /// The DN that it reaches.
    pub dn: String,
}

/// A line to the world outside.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trunk {
    /// Its name.
    pub name: String,
    /// `host` or `host:port`; an IPv6 address in brackets.
    pub address: String,
    /// How it is reached.
    #[serde(default)]
    pub transport: TrunkTransport,
    /// Lower ones are tried first.
    pub priority: u16,
    /// Share of the calls among trunks of one priority; 0: only when no other is left.
    pub weight: u16,
    /// User name for its challenges and of the registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password for its challenges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// We register with it.
    #[serde(default)]
    pub register: bool,
    /// It is asked by OPTIONS whether it is there.
    pub options: bool,
    /// Networks that its calls come from; empty: its address.
    #[serde(default)]
    pub from: Vec<String>,
    /// Whether its calls are recorded whatever the DN's policy says.
    #[serde(default)]
    pub record_voice: VoicePolicy,
    /// How it writes numbers.
    #[serde(default)]
    pub format: NumberFormat,
    /// What it has before every number, and wants there.
    #[serde(default)]
    pub prefix: String,
    /// Shown to who is called by a DN without a number of its own; empty: the DN.
    #[serde(default)]
    pub caller: String,
    /// Whom its calls reach.
    #[serde(default)]
    pub numbers: Vec<DirectNumber>,
}

impl std::fmt::Debug for Trunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trunk").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Digits, with or without `+`, of what people write with blanks, points and brackets; `None`: it is a name.
fn digits_of(number: &str) -> Option<String> {
    let number: String = number.chars().filter(|c| !" -.()/".contains(*c)).collect();
    let digits = number.strip_prefix('+').unwrap_or(&number);
    let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    (all && number.len() <= LONGEST).then_some(number)
}

impl Outside {
    /// The one form of a number; a name or a short number stays as it is.
    pub fn one_form(&self, number: &str) -> String {
        let Some(digits) = digits_of(number) else { return shortened(number) };
        if digits.starts_with('+') || self.emergency.contains(&digits) {
            return digits;
        }
        if let Some(rest) = after(&digits, &self.international).filter(|rest| !rest.starts_with('0')) {
            return format!("+{rest}");
        }
        if self.country.is_empty() {
            return digits;
        }
        match after(&digits, &self.national) {
            Some(rest) => format!("+{}{rest}", self.country),
            // A plan without a national prefix has no local numbers either.
            None if self.national.is_empty() && digits.len() >= SHORTEST_WITH_COUNTRY => {
                format!("+{}{digits}", self.country)
            }
            None if !self.area.is_empty() && digits.len() > 3 => {
                format!("+{}{}{digits}", self.country, self.area)
            }
            None => digits,
        }
    }

    /// The one form of a number outside that a phone dialled; `None`: it is none.
    pub fn dialled(&self, number: &str) -> Option<String> {
        let digits = digits_of(number)?;
        if digits.starts_with('+') || self.emergency.contains(&digits) {
            return Some(digits);
        }
        let rest = match self.prefix.as_str() {
            "" => Some(digits.as_str()).filter(|digits| digits.len() >= self.shortest),
            prefix => after(&digits, prefix),
        };
        Some(self.one_form(rest?))
    }

    /// Whether nobody may call this number (in its one form).
    pub fn is_barred(&self, number: &str) -> bool {
        !self.emergency.iter().any(|known| known == number)
            && self.barred.iter().any(|beginning| number.starts_with(beginning.as_str()))
    }
}

impl Trunk {
    /// The one form of a number that this trunk said.
    pub fn read(&self, number: &str, plan: &Outside) -> String {
        let Some(digits) = digits_of(number) else { return shortened(number) };
        let digits = after(&digits, &self.prefix).unwrap_or(&digits);
        let with_country = self.format == NumberFormat::Plain
            && digits.len() >= SHORTEST_WITH_COUNTRY
            && !digits.starts_with(['+', '0']);
        if with_country { format!("+{digits}") } else { plan.one_form(digits) }
    }

    /// A number in its one form as this trunk wants it.
    pub fn write(&self, number: &str, plan: &Outside) -> String {
        let Some(digits) = number.strip_prefix('+') else { return format!("{}{number}", self.prefix) };
        let abroad = || format!("{}{digits}", plan.international);
        let written = match self.format {
            NumberFormat::E164 => number.to_owned(),
            NumberFormat::Plain => digits.to_owned(),
            NumberFormat::International => abroad(),
            NumberFormat::National => match after(digits, &plan.country) {
                Some(rest) => format!("{}{rest}", plan.national),
                None => abroad(),
            },
        };
        format!("{}{written}", self.prefix)
    }

    /// The DN that a number of this trunk reaches.
    pub fn reaches(&self, number: &str, plan: &Outside) -> Option<&str> {
        let wanted = self.read(number, plan);
        let found = self.numbers.iter().find(|direct| self.read(&direct.number, plan) == wanted);
        found.map(|direct| direct.dn.as_str())
    }

    /// What is shown of a DN to who is called by this trunk, in its one form.
    pub fn shown(&self, dn: &str, plan: &Outside) -> String {
        let own = self.numbers.iter().find(|direct| direct.dn == dn).map(|direct| direct.number.as_str());
        match own.or(Some(self.caller.as_str()).filter(|caller| !caller.is_empty())) {
            Some(number) => self.read(number, plan),
            None => dn.to_owned(),
        }
    }

    /// Host and port, where one is written.
    pub fn host_and_port(&self) -> Option<(&str, Option<u16>)> {
        let (host, port) = match self.address.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
            }
            None => match self.address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (self.address.as_str(), None),
            },
        };
        let named = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b));
        let port = match port {
            Some(port) => Some(port.parse().ok().filter(|port| *port != 0)?),
            None => None,
        };
        (named && !host.is_empty()).then_some((host, port))
    }
}

/// What stands after a beginning that is not empty, when anything does.
fn after<'a>(number: &'a str, beginning: &str) -> Option<&'a str> {
    if beginning.is_empty() {
        return None;
    }
    number.strip_prefix(beginning).filter(|rest| !rest.is_empty())
}

fn shortened(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> Outside {
        let text = |text: &str| text.to_owned();
        Outside { prefix: text("0"), country: text("49"), area: text("30"), ..Outside::default() }
    }

    fn trunk(format: NumberFormat, prefix: &str) -> Trunk {
        let text = r#"{"name":"a","address":"192.0.2.9","priority":1,"weight":1,"options":true}"#;
        Trunk { format, prefix: prefix.to_owned(), ..serde_json::from_str(text).unwrap() }
    }

    #[test]
    fn a_number_has_one_form_whichever_way_it_is_written() {
        let plan = berlin();
        for written in ["+49301234", "0049301234", "0301234", "+49 (30) 12-34", "1234", "030 / 1234"] {
            assert_eq!(plan.one_form(written), "+49301234", "{written}");
        }
        assert_eq!(plan.one_form("0043123456"), "+43123456");
        assert_eq!(plan.one_form("0491555"), "+49491555", "an area code that begins like the country code");
        for unchanged in ["112", "anonymous", "100", "a\u{1F600}"] {
            assert_eq!(plan.one_form(unchanged), unchanged);
        }
        assert_eq!(Outside::default().one_form("0301234"), "0301234", "no country is known");
        let denmark = Outside { country: "45".into(), national: String::new(), ..Outside::default() };
        assert_eq!(
            (denmark.one_form("33123456"), denmark.one_form("0049301")),
            ("+4533123456".into(), "+49301".into())
        );
    }

    #[test]
    fn a_phone_reaches_the_outside_by_the_prefix_by_plus_or_where_there_is_no_prefix_by_length() {
        let plan = berlin();
        for dialled in ["00301234", "0+49301234", "+49301234", "000 49 30 1234"] {
            let expected = (!dialled.starts_with("0+")).then(|| "+49301234".to_owned());
            assert_eq!(plan.dialled(dialled), expected, "{dialled}");
        }
        assert_eq!(plan.dialled("112").as_deref(), Some("112"));
        assert_eq!(plan.dialled("0112").as_deref(), Some("112"));
        for inside in ["1001", "301234", "0", "anna", ""] {
            assert_eq!(plan.dialled(inside), None, "{inside}");
        }
        let without = Outside { prefix: String::new(), ..plan };
        assert_eq!(without.dialled("0301234").as_deref(), Some("+49301234"));
        assert_eq!((without.dialled("1001"), without.dialled("112").as_deref()), (None, Some("112")));
    }

    #[test]
    fn each_trunk_says_a_number_its_own_way_and_reads_it_back() {
        let plan = berlin();
        for (format, prefix, home, abroad) in [
            (NumberFormat::E164, "", "+49301234", "+43123456"),
            (NumberFormat::Plain, "", "49301234", "43123456"),
            (NumberFormat::Plain, "0", "049301234", "043123456"),
            (NumberFormat::International, "", "0049301234", "0043123456"),
            (NumberFormat::National, "", "0301234", "0043123456"),
            (NumberFormat::National, "9", "90301234", "90043123456"),
        ] {
            let trunk = trunk(format, prefix);
            let written = (trunk.write("+49301234", &plan), trunk.write("+43123456", &plan));
            assert_eq!(written, (home.to_owned(), abroad.to_owned()), "{format:?}");
            assert_eq!(trunk.read(home, &plan), "+49301234", "{format:?} {prefix}");
            assert_eq!(trunk.read(abroad, &plan), "+43123456", "{format:?} {prefix}");
        }
        assert_eq!(trunk(NumberFormat::National, "").write("112", &plan), "112");
    }

    #[test]
    fn a_direct_number_is_found_in_any_form_and_shown_for_its_dn() {
        let mut trunk = trunk(NumberFormat::E164, "");
        trunk.numbers = vec![DirectNumber { number: "030 1234".into(), dn: "1001".into() }];
        trunk.caller = "+49301230".into();
        let plan = berlin();
        assert_eq!(trunk.reaches("+49301234", &plan), Some("1001"));
        assert_eq!(trunk.reaches("0049301234", &plan), Some("1001"));
        assert_eq!(trunk.reaches("1001", &plan), None, "a DN is not reached by its own number");
        assert_eq!(
            (trunk.shown("1001", &plan), trunk.shown("1002", &plan)),
            ("+49301234".into(), "+49301230".into())
        );
    }

    #[test]
    fn what_is_barred_is_so_in_every_form_and_an_emergency_never() {
        let plan = Outside { barred: vec!["+49900".into(), "1".into()], ..berlin() };
        let number = plan.dialled("00900123456").unwrap();
        assert!(plan.is_barred(&number) && !plan.is_barred("+49301234") && !plan.is_barred("112"));
    }

    #[test]
    fn an_address_is_a_host_and_perhaps_a_port() {
        let at = |address: &str| {
            let trunk = Trunk { address: address.to_owned(), ..trunk(NumberFormat::E164, "") };
            trunk.host_and_port().map(|(host, port)| (host.to_owned(), port))
        };
        assert_eq!(at("sbc.example"), Some(("sbc.example".into(), None)));
        assert_eq!(at("192.0.2.1:5070"), Some(("192.0.2.1".into(), Some(5070))));
        assert_eq!(at("[2001:db8::1]:5070"), Some(("2001:db8::1".into(), Some(5070))));
        for wrong in
            ["", "host:", "host:0", "host:70000", "ho st", "[x]", "sip:host@x", "2001:db8::1", "[::1]5060"]
        {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }
}
