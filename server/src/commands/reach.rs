//! For `check`: whether devices, components and web services look for one another where they are.

use crate::{
    commands::findings::{Findings, Level},
    data_directory::DataDirectory,
    settings::Settings,
    site_address,
};
use hindsight_link::Identity;
use hindsight_model::Role;
use std::net::SocketAddr;

/// Whether devices and the site's own components find the web services.
pub fn web_services(findings: &mut Findings, data: &DataDirectory, settings: &Settings) {
    let (address, certificate) = (&settings.address, &settings.web_services.tls_certificate);
    if settings.roles.contains(&Role::WebServices) {
        let (host, listens) = (site_address::host(address), settings.web_services.listen.port());
        if !site_address::names(certificate, host) {
            let text = format!(
                "devices and browsers are told {address}, and the HTTPS certificate is none for {host}: they will not connect"
            );
            findings.add(Level::Warn, "address", &text);
        } else if site_address::port(address) != Some(listens) {
            let text = format!(
                "devices and browsers are told {address}, and web-services.listen has port {listens}: right only where something in between translates"
            );
            findings.add(Level::Warn, "address", &text);
        } else {
            findings.add(Level::Ok, "address", &format!("devices and browsers are told {address}"));
        }
    }
    for role in settings.roles.iter().filter(|role| has_link(**role)) {
        // What is wrong with an identity is told among the requirements.
        let Ok(Some(identity)) = Identity::load(&data.identity(*role)) else { continue };
        let enrolled = identity.address();
        let used = site_address::of_component(settings, data, enrolled);
        let what = format!("link of {}", role.as_str());
        match enrolled.filter(|enrolled| *enrolled != used) {
            Some(enrolled) => {
                let text = format!("to {used}, as the settings say; {enrolled} of its enrolment is not used");
                findings.add(Level::Ok, &what, &text);
            }
            None => findings.add(Level::Ok, &what, &format!("to {used}")),
        }
    }
}

fn has_link(role: Role) -> bool {
    matches!(role, Role::MediaServer | Role::ResourceManager | Role::SipServer)
}

/// Whether SIP server, resource manager and media server of this process look for one another where they are.
pub fn each_other(findings: &mut Findings, settings: &Settings) {
    let has = |role| settings.roles.contains(&role);
    let (manager, media) = (settings.resource_manager.listen, settings.media_server.listen);
    if has(Role::SipServer) && has(Role::ResourceManager) {
        let asked = settings.sip_server.resource_manager;
        if hears(manager, asked) {
            findings.add(Level::Ok, "resource manager", &format!("the SIP server asks {asked}"));
        } else if !asked.ip().is_loopback() && asked.ip() != manager.ip() {
            let text =
                format!("the SIP server asks {asked}, which is not the one of this process ({manager})");
            findings.add(Level::Warn, "resource manager", &text);
        } else {
            let text = format!(
                "the SIP server asks {asked} (sip-server.resource_manager), and it listens at {manager} (resource-manager.listen): no call will go through"
            );
            findings.add(Level::Fail, "resource manager", &text);
        }
    }
    if has(Role::ResourceManager) && has(Role::MediaServer) {
        let pool = settings.resource_manager.pool.iter().map(|member| member.address);
        let pool: Vec<SocketAddr> = pool.collect();
        if pool.is_empty() {
            let text = "resource-manager.pool names no media server: no call will go through";
            findings.add(Level::Fail, "pool", text);
        } else if pool.iter().any(|asked| hears(media, *asked)) {
            findings.add(Level::Ok, "pool", &format!("{} media server(s), this one among them", pool.len()));
        } else {
            let text = format!("resource-manager.pool does not name this media server ({media})");
            findings.add(Level::Warn, "pool", &text);
        }
    }
}

/// Whether who listens here hears what is sent there.
fn hears(listens: SocketAddr, asked: SocketAddr) -> bool {
    listens.port() == asked.port() && (listens.ip().is_unspecified() || listens.ip() == asked.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_heard_at_every_address() {
        let hears = |listens: &str, asked: &str| hears(listens.parse().unwrap(), asked.parse().unwrap());
        assert!(hears("127.0.0.1:5070", "127.0.0.1:5070") && hears("0.0.0.0:5070", "10.0.0.1:5070"));
        assert!(!hears("127.0.0.1:5070", "127.0.0.1:5071") && !hears("10.0.0.2:5070", "127.0.0.1:5070"));
    }
}
