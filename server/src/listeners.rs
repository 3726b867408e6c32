//! Where the roles of a process listen, and whether they are in each other's way.

use crate::settings::Settings;
use anyhow::ensure;
use hindsight_model::Role;
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

/// A listener of this process.
pub struct Listener {
    /// Its role.
    pub role: Role,
    /// The setting that says where.
    pub key: String,
    /// Where.
    pub address: SocketAddr,
    /// By UDP too, not only by TCP.
    pub udp: bool,
}

/// All of these roles.
pub fn of(settings: &Settings, roles: &BTreeSet<Role>) -> Vec<Listener> {
    let mut all = Vec::new();
    for role in roles {
        let (address, udp) = match role {
            Role::CryptoServer => (settings.crypto_server.listen, false),
            Role::WebServices => (settings.web_services.listen, false),
            Role::MediaServer => (settings.media_server.listen, true),
            Role::SipServer => (settings.sip_server.listen, true),
            Role::ResourceManager => (settings.resource_manager.listen, true),
            Role::RecordingProcessor | Role::ReportingServer => continue,
        };
        all.push(Listener { role: *role, key: format!("{}.listen", role.as_str()), address, udp });
    }
    if let Some(tls) = settings.sip_server.tls.as_ref().filter(|_| roles.contains(&Role::SipServer)) {
        let (role, key) = (Role::SipServer, "sip-server.tls.listen".to_owned());
        all.push(Listener { role, key, address: tls.listen, udp: false });
    }
    all
}

/// No two want the same port, and none one of those that voice is sent to.
pub fn apart(settings: &Settings, roles: &BTreeSet<Role>) -> anyhow::Result<String> {
    let all = of(settings, roles);
    for (at, one) in all.iter().enumerate() {
        // Everything listens by TCP. Port 0 is any that is free.
        let same = |other: &&Listener| {
            one.address.port() != 0
                && one.address.port() == other.address.port()
                && overlap(one.address.ip(), other.address.ip())
        };
        if let Some(other) = all[..at].iter().find(same) {
            anyhow::bail!(
                "{} = {} and {} = {} are the same port: give one of them another",
                other.key,
                other.address,
                one.key,
                one.address
            );
        }
    }
    if roles.contains(&Role::MediaServer) {
        let media = &settings.media_server;
        let voice = media.rtp_first..=media.rtp_last;
        for one in all.iter().filter(|one| one.udp && overlap(one.address.ip(), media.media_address())) {
            ensure!(
                !voice.contains(&one.address.port()),
                "{} = {} is one of the ports for voice, {}-{}: move it, or media-server.rtp_first or rtp_last",
                one.key,
                one.address,
                media.rtp_first,
                media.rtp_last
            );
        }
    }
    Ok(format!("{} on ports of their own", all.len()))
}

/// Whether sockets at both addresses can be in each other's way. `::` takes IPv4 too.
fn overlap(one: IpAddr, other: IpAddr) -> bool {
    let takes = |whole: IpAddr, one: IpAddr| whole.is_unspecified() && (whole.is_ipv6() || one.is_ipv4());
    one == other || takes(one, other) || takes(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(change: impl FnOnce(&mut Settings)) -> Option<String> {
        let mut settings = Settings::default();
        change(&mut settings);
        apart(&settings, &Role::ALL.into_iter().collect()).err().map(|error| error.to_string())
    }

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    #[test]
    fn the_defaults_are_apart() {
        assert_eq!(fault(|_| {}), None);
    }

    #[test]
    fn two_on_one_port_are_named_and_on_two_addresses_they_are_apart() {
        let said = fault(|settings| settings.media_server.listen = at("127.0.0.1:5060")).unwrap();
        assert!(said.contains("sip-server.listen") && said.contains("media-server.listen = 127.0.0.1:5060"));
        let said = fault(|settings| {
            let tls = hindsight_sip_server::tls::TlsConfig { listen: at("[::]:8443"), ..Default::default() };
            settings.sip_server.tls = Some(tls);
        });
        assert!(said.unwrap().contains("sip-server.tls.listen = [::]:8443"));
        let apart = |settings: &mut Settings| {
            settings.resource_manager.listen = at("127.0.0.2:5080");
            (settings.sip_server.listen, settings.web_services.listen) = (at("0.0.0.0:0"), at("0.0.0.0:0"));
        };
        assert_eq!(fault(apart), None);
    }

    #[test]
    fn a_port_for_voice_is_nobody_elses_unless_it_takes_no_datagrams() {
        let said = fault(|settings| settings.resource_manager.listen = at("127.0.0.1:20000")).unwrap();
        assert!(said.contains("resource-manager.listen = 127.0.0.1:20000"), "{said}");
        assert!(fault(|settings| settings.sip_server.listen = at("0.0.0.0:29999")).is_some());
        assert_eq!(fault(|settings| settings.web_services.listen = at("0.0.0.0:20001")), None);
        assert_eq!(fault(|settings| settings.sip_server.listen = at("0.0.0.0:30000")), None);
    }
}
