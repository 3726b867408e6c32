//! `join`: makes a host one of a site's voice components: its identity, by an enrolment string, and its settings.

use crate::{cli::JoinArguments, commands::init::write_new, data_directory::DataDirectory, output::say};
use anyhow::{Context, ensure};
use hindsight_link::Identity;
use hindsight_model::Role;
use hindsight_wire::enrolment::{DeviceKind, EnrolmentString};
use std::fs;

/// The roles that need nothing of the site's first host but its web services; the others share its database and keys.
pub const VOICE: [(Role, DeviceKind); 3] = [
    (Role::MediaServer, DeviceKind::MediaServer),
    (Role::ResourceManager, DeviceKind::ResourceManager),
    (Role::SipServer, DeviceKind::SipServer),
];

pub async fn join(data: &DataDirectory, arguments: &JoinArguments) -> anyhow::Result<()> {
    let role = arguments.role;
    let kind = VOICE.into_iter().find(|(voice, _)| *voice == role).map(|(_, kind)| kind);
    let kind = kind.with_context(|| {
        format!(
            "{} runs on the host of the database only; others can be media-server, resource-manager, sip-server",
            role.as_str()
        )
    })?;
    let enrolment: EnrolmentString = arguments.enrolment.parse().context("the enrolment string")?;
    let directory = data.identity(role);
    ensure!(
        Identity::load(&directory)?.is_none(),
        "{} is a {} of a site already",
        data.path().display(),
        role.as_str()
    );
    fs::create_dir_all(data.path()).with_context(|| data.path().display().to_string())?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = arguments.name.as_deref().unwrap_or(&host);
    let identity = Identity::load_or_enrol(&directory, kind, name, Some(&enrolment)).await?;
    say(&format!(
        "Joined as {} {}, certificate good until {}.",
        role.as_str(),
        identity.device(),
        identity.not_after()
    ));
    if data.settings().exists() {
        say(&format!("{} stays as it is: add the role to its `roles`.", data.settings().display()));
    } else {
        write_new(&data.settings(), &settings_text(role, &enrolment.address))?;
        say(&format!(
            "Next: say in {} where it listens, then hindsight-server run.",
            data.settings().display()
        ));
    }
    Ok(())
}

fn settings_text(role: Role, address: &str) -> String {
    let address = toml::Value::from(address);
    let section = match role {
        Role::MediaServer => {
            "# address of this host at which the resource manager reaches it (without authentication: a network of\n\
             # components only); it stands in the resource manager's `pool`\n\
             # listen = \"10.0.0.11:5080\"\n\
             # address of this host that phones send voice to\n\
             # advertised = \"192.0.2.11\"\n"
        }
        Role::ResourceManager => {
            "# address of this host at which SIP server and media servers reach it (without authentication: a network\n\
             # of components only); it is the SIP server's `resource_manager`\n\
             # listen = \"10.0.0.12:5070\"\n\
             # pool = [\"10.0.0.11:5080\"]\n"
        }
        _ => {
            "# where phones reach it\n\
             # listen = \"0.0.0.0:5060\"\n\
             # resource_manager = \"10.0.0.12:5070\"\n"
        }
    };
    let role = role.as_str();
    format!(
        "# Settings of this process. Each key is also an environment variable, which goes before this file:\n\
         # HINDSIGHT_LOG__FILTER. What is left out has its default.\n\
         \n\
         # host:port of the site's web services\n\
         address = {address}\n\
         roles = [\"{role}\"]\n\
         \n\
         [{role}]\n\
         {section}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn the_settings_of_each_role_load_also_with_every_comment_taken_away() {
        for (role, kind) in VOICE {
            assert_eq!(role.as_str(), kind.as_str());
            let text = settings_text(role, "rec.example.com:8443");
            let active: Vec<&str> = text
                .lines()
                .map(|line| if line.contains(" = ") { line.trim_start_matches("# ") } else { line })
                .collect();
            for text in [text.clone(), active.join("\n")] {
                let settings: Settings = toml::from_str(&text).unwrap();
                assert_eq!((settings.roles, settings.address.as_str()), (vec![role], "rec.example.com:8443"));
            }
        }
    }
}
