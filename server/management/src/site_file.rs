//! The form of a configuration file: what `config apply FILE.toml` reads and `config export` writes.
//!
//! What a file does not name stays as it is, so a site may keep persons and DNs in several files. A DN is removed by
//! `absent = true`. A person is never removed, for recordings and the audit log name them: `roles = []` lets them do nothing.

use crate::{ManagementError, capture_section::CaptureSection};
use hindsight_store::persons::PersonRole;
use hindsight_wire::policy::VoicePolicy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A configuration file.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteFile {
    /// SIP domain and realm of digest authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// How screens are captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<CaptureSection>,
    /// What agents see and may choose at their desktops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentSection>,
    /// What is kept of the signalling of calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceSection>,
    /// Persons.
    #[serde(default, rename = "person", skip_serializing_if = "Vec::is_empty")]
    pub persons: Vec<PersonSection>,
    /// Directory numbers.
    #[serde(default, rename = "dn", skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<DnSection>,
}

/// `[agent]`: fields left out take their default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentSection {
    /// Reasons for "not ready" that agents choose from.
    pub reasons: Vec<String>,
    /// Agents may see and replay the recordings of their own interactions at their desktop.
    pub own_recordings: bool,
}

/// `[trace]`: fields left out take their default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceSection {
    /// Days that the signalling of calls is kept; 0: none is kept, and SIP servers tell of none.
    pub keep_days: u32,
}

/// Long enough to look into what somebody complains of, shorter than recordings.
pub const TRACE_DAYS: u32 = 30;

impl Default for TraceSection {
    fn default() -> Self {
        Self { keep_days: TRACE_DAYS }
    }
}

/// `[[person]]`
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonSection {
    /// Login name.
    pub login: String,
    /// Name, for people.
    pub name: String,
    /// What they may do; needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<BTreeSet<PersonRole>>,
    /// Their own DN; empty: none from now on. Left out, it stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dn: Option<String>,
    /// Their password from now on. A new person has this or a one-time password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The first password of a new person, who must change it; ignored for who exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_time_password: Option<String>,
}

/// `[[dn]]`
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnSection {
    /// The number: user part of the address of record.
    pub number: String,
    /// What its phone registers with; only H(A1) is kept. Needed for a new DN and when the realm changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// `full-time` or `on-demand`.
    #[serde(default)]
    pub record_voice: VoicePolicy,
    /// Whether its agent's screens are recorded during its calls.
    #[serde(default)]
    pub record_screen: bool,
    /// Remove it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
}

impl SiteFile {
    /// Reads a file's text; the error names line and column.
    pub fn parse(text: &str) -> Result<Self, ManagementError> {
        toml::from_str(text).map_err(|error| ManagementError::File(without_source(&error, text)))
    }

    /// Writes a file's text.
    pub fn to_text(&self) -> Result<String, ManagementError> {
        toml::to_string(self).map_err(|error| ManagementError::File(error.to_string()))
    }
}

/// The message with its place; not the line itself, which may hold a password.
fn without_source(error: &toml::de::Error, text: &str) -> String {
    let Some(span) = error.span() else { return error.message().to_owned() };
    let before = &text[..text.floor_char_boundary(span.start)];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {}", error.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_refused_with_its_line_and_without_the_lines_text() {
        let text = "realm = \"x\"\n\n[[dn]]\nnumber = \"1001\"\npasword = \"geheim\"\n";
        let error = SiteFile::parse(text).err().unwrap().to_string();
        assert!(error.contains("line 5, column 1"), "{error}");
        assert!(error.contains("pasword") && !error.contains("geheim"), "{error}");
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let text = "realm = \"a.test\"\n[capture]\noffline = { keep_minutes = 5 }\nmasks = [{ program = \"vault\" }]\nmedia = [\"chat\"]\n[agent]\nreasons = [\"Lunch\"]\n[trace]\nkeep_days = 7\n[[person]]\nlogin = \"anna\"\nname = \"Anna\"\nroles = [\"agent\"]\ndn = \"1001\"\n[[dn]]\nnumber = \"1001\"\nrecord_voice = \"full-time\"\n";
        let first = SiteFile::parse(text).unwrap().to_text().unwrap();
        assert_eq!(SiteFile::parse(&first).unwrap().to_text().unwrap(), first);
    }
}
