//! Under which address the components of this data directory reach the web services.
//!
//! The site's own ones, beside its authority, follow `[web-services] listen`, so that a changed port cannot leave them
//! behind; one that joined from another host follows `address` of its settings, else what it enrolled at.

use crate::{data_directory::DataDirectory, settings::Settings};
use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    server::ParsedCertificate,
};
use std::{net::IpAddr, path::Path};

/// `host:port` of the web services for a component that enrolled at `enrolled`.
pub fn of_component(settings: &Settings, data: &DataDirectory, enrolled: Option<&str>) -> String {
    if is_first_host(data) {
        return of_own(settings);
    }
    match enrolled {
        Some(enrolled) if settings.address == Settings::default().address => enrolled.to_owned(),
        _ => settings.address.clone(),
    }
}

/// Whether this data directory is the site's own, not one that joined.
pub fn is_first_host(data: &DataDirectory) -> bool {
    data.authority().is_dir()
}

fn of_own(settings: &Settings) -> String {
    let web = &settings.web_services;
    let listen = web.listen;
    let local = match listen.ip() {
        // The certificate names 127.0.0.1 always; a listener on every IPv6 address hears it too.
        address if address.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        address => address,
    };
    if local.is_loopback() || names(&web.tls_certificate, &local.to_string()) {
        std::net::SocketAddr::new(local, listen.port()).to_string()
    } else {
        settings.address.clone()
    }
}

/// Host of a `host:port`.
pub fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Port of a `host:port`.
pub fn port(address: &str) -> Option<u16> {
    address.rsplit_once(':')?.1.parse().ok()
}

/// Whether a certificate is one for this host name or address. False also when it cannot be read: that is told elsewhere.
pub fn names(certificate: &Path, host: &str) -> bool {
    let Ok(der) = CertificateDer::from_pem_file(certificate) else { return false };
    let Ok(parsed) = ParsedCertificate::try_from(&der) else { return false };
    ServerName::try_from(host).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(address: &str, listen: &str) -> Settings {
        let mut settings = Settings { address: address.to_owned(), ..Settings::default() };
        settings.web_services.listen = listen.parse().unwrap();
        settings
    }

    #[test]
    fn the_sites_own_components_follow_the_listener() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDirectory::new(directory.path().to_owned());
        let authority = hindsight_management::SiteAuthority::create(&data.authority(), "test").unwrap();
        let hosts = ["rec.example".to_owned(), "192.0.2.10".to_owned(), "127.0.0.1".to_owned()];
        let made = authority.make_https(&hosts).unwrap();
        let certificate = directory.path().join("web.pem");
        std::fs::write(&certificate, &made.certificate.pem).unwrap();
        let own = |listen: &str| {
            let mut settings = settings("rec.example:443", listen);
            settings.web_services.tls_certificate = certificate.clone();
            of_component(&settings, &data, Some("127.0.0.1:8443"))
        };
        assert_eq!(own("0.0.0.0:9443"), "127.0.0.1:9443");
        assert_eq!(own("[::]:9443"), "127.0.0.1:9443");
        assert_eq!(own("127.0.0.1:9443"), "127.0.0.1:9443");
        assert_eq!(own("192.0.2.10:9443"), "192.0.2.10:9443");
        assert_eq!(
            own("192.0.2.11:9443"),
            "rec.example:443",
            "an address that the certificate does not name"
        );
    }

    #[test]
    fn one_that_joined_follows_its_settings_else_what_it_enrolled_at() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDirectory::new(directory.path().to_owned());
        let of =
            |address: &str| of_component(&settings(address, "0.0.0.0:8443"), &data, Some("rec.example:8443"));
        assert_eq!(of("other.example:9443"), "other.example:9443");
        assert_eq!(of(&Settings::default().address), "rec.example:8443");
    }

    #[test]
    fn host_and_port_of_an_address() {
        assert_eq!((host("[::1]:8443"), port("[::1]:8443")), ("::1", Some(8443)));
        assert_eq!((host("rec.example:1"), port("rec.example")), ("rec.example", None));
    }
}
