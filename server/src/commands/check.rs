//! `check`: what would keep the server from running well. Each finding is a line: `ok`, `warn` or `FAIL`.

use crate::{
    commands::{
        findings::{Findings, Level},
        reach,
    },
    data_directory::DataDirectory,
    listeners::{self, Listener},
    process,
    requirements::requirements,
    settings::Settings,
};
use hindsight_crypto_server::{CryptoError, KeyStore, audit::AuditLog, certificate::CertificateInfo};
use hindsight_model::Role;
use hindsight_sip_server::ledger;
use hindsight_store::{Database, audit};
use hindsight_wire::Timestamp;
use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::ExitCode,
};

/// Certificates that end sooner than this are warned of.
const SOON_MS: i64 = 30 * 24 * 3_600_000;
/// Descriptors of everything that is not counted: databases, journals, logs, uploads under way.
const OTHER_DESCRIPTORS: u64 = 500;
/// Free bytes below which there is a warning; a tenth of it is a failure. 100 calls write 6 GB in eight hours.
const FREE_BYTES: u64 = 10 << 30;

/// Prints the findings; status 1 when one is a failure.
pub async fn check(data: &DataDirectory) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(data)?;
    let mut findings = Findings::default();
    findings.add(Level::Ok, "settings", &data.settings().display().to_string());
    directory(&mut findings, data.path());
    let roles: BTreeSet<Role> = settings.roles.iter().copied().collect();
    for requirement in requirements(&settings, data, &roles) {
        match requirement.met {
            Ok(text) => findings.add(Level::Ok, &requirement.what, &text),
            Err(why) => findings.add(Level::Fail, &requirement.what, &why),
        }
    }
    certificates(&mut findings, data, &settings);
    if settings.roles.contains(&Role::CryptoServer) {
        crypto(&mut findings, data);
    }
    let on_database = [Role::WebServices, Role::RecordingProcessor, Role::ReportingServer];
    if settings.roles.iter().any(|role| on_database.contains(role)) {
        database(&mut findings, data).await;
    }
    if settings.roles.contains(&Role::SipServer) {
        kept(&mut findings, data);
    }
    descriptors(&mut findings, &settings);
    disk(&mut findings, data.path());
    ports(&mut findings, &settings, &roles);
    reach::web_services(&mut findings, data, &settings);
    reach::each_other(&mut findings, &settings);
    Ok(if findings.worst() == Level::Fail { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn directory(findings: &mut Findings, path: &Path) {
    match fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o777) {
        Ok(mode) if mode & 0o077 == 0 => {
            findings.add(Level::Ok, "data directory", "only its owner may enter")
        }
        Ok(mode) => {
            let text = format!("others may enter it (mode {mode:o}); chmod 700 {}", path.display());
            findings.add(Level::Warn, "data directory", &text);
        }
        Err(error) => findings.add(Level::Fail, "data directory", &error.to_string()),
    }
}

fn certificates(findings: &mut Findings, data: &DataDirectory, settings: &Settings) {
    if settings.roles.contains(&Role::WebServices) {
        let authority = data.authority().join(hindsight_management::authority::CERTIFICATE_FILE);
        certificate(findings, "authority", &authority);
        certificate(findings, "HTTPS certificate", &settings.web_services.tls_certificate);
    }
    for role in settings.roles.iter().filter(|role| role.is_device()) {
        certificate(
            findings,
            &format!("certificate of {}", role.as_str()),
            &data.identity(*role).join("device.pem"),
        );
    }
}

fn certificate(findings: &mut Findings, what: &str, path: &Path) {
    let now = Timestamp::now();
    match fs::read_to_string(path).map(|pem| CertificateInfo::from_pem(&pem)) {
        Ok(Some(info)) if info.not_after <= now => {
            findings.add(Level::Fail, what, &format!("ended {}", info.not_after));
        }
        Ok(Some(info)) if info.not_after < now.plus_ms(SOON_MS) => {
            findings.add(Level::Warn, what, &format!("ends {}", info.not_after));
        }
        Ok(Some(info)) => findings.add(Level::Ok, what, &format!("good until {}", info.not_after)),
        Ok(None) => findings.add(Level::Fail, what, &format!("{}: no certificate", path.display())),
        Err(error) => findings.add(Level::Fail, what, &format!("{}: {error}", path.display())),
    }
}

fn crypto(findings: &mut Findings, data: &DataDirectory) {
    match KeyStore::open(&data.crypto()) {
        Ok(keys) => {
            let now = Timestamp::now();
            match keys.recipients(now).iter().map(|recipient| recipient.not_after).max() {
                None => findings.add(
                    Level::Fail,
                    "recording keys",
                    "no valid certificate: nothing can be recorded",
                ),
                Some(end) if end < now.plus_ms(SOON_MS) => {
                    findings.add(Level::Warn, "recording keys", &format!("the last certificate ends {end}"));
                }
                Some(end) => {
                    let text = format!("{} opened, good until {end}", keys.certificates().len());
                    findings.add(Level::Ok, "recording keys", &text);
                }
            }
        }
        Err(error) => findings.add(Level::Fail, "recording keys", &error.to_string()),
    }
    match AuditLog::new(&data.crypto()).verify() {
        Ok(head) => {
            findings.add(Level::Ok, "key audit log", &format!("{} records, chain whole", head.sequence))
        }
        Err(error @ CryptoError::AuditTorn { .. }) => {
            findings.add(Level::Warn, "key audit log", &format!("{error}; the next start sets it aside"));
        }
        Err(error) => findings.add(Level::Fail, "key audit log", &error.to_string()),
    }
}

async fn database(findings: &mut Findings, data: &DataDirectory) {
    match examine(data).await {
        Ok((text, None)) => findings.add(Level::Ok, "database", &text),
        Ok((_, Some(damage))) => findings.add(Level::Fail, "database", &damage),
        Err(error) => findings.add(Level::Fail, "database", &error.to_string()),
    }
}

/// Damage to what the SIP server keeps is no failure: it starts and goes on with what can be read.
fn kept(findings: &mut Findings, data: &DataDirectory) {
    let folder = data.of_role(Role::SipServer);
    let ran_before = folder.join("journal").exists();
    let fault = ledger::examine(&folder).ok().and_then(|condition| condition.fault(ran_before));
    if let Some(fault) = fault {
        let text = format!("{}: {fault}", folder.join("kept").display());
        findings.add(Level::Warn, "kept calls and registrations", &text);
    }
}

/// The state of the database, and what is wrong with it.
async fn examine(data: &DataDirectory) -> Result<(String, Option<String>), hindsight_store::StoreError> {
    let database = Database::open(&data.store()).await?;
    let damage = database.verify().await?;
    let broken = audit::verify(&mut *database.read().await?).await?;
    let version = database.schema_version().await?;
    database.close().await;
    let wrong = match (damage.first(), broken) {
        (Some(line), _) => Some(line.clone()),
        (None, Some(position)) => Some(format!("the audit log's chain breaks at row {position}")),
        (None, None) => None,
    };
    Ok((format!("sound, schema version {version}, audit chain whole"), wrong))
}

/// File descriptors for everything that the settings allow at a time.
fn wanted_descriptors(settings: &Settings) -> u64 {
    let of_role = |role: &Role| match role {
        Role::MediaServer => hindsight_media_server::limits::descriptors(settings.media_server.max_legs),
        Role::WebServices => settings.web_services.connections as u64,
        _ => 0,
    };
    OTHER_DESCRIPTORS + settings.roles.iter().map(of_role).sum::<u64>()
}

fn descriptors(findings: &mut Findings, settings: &Settings) {
    let wanted = wanted_descriptors(settings);
    match process::descriptor_limit() {
        Some(limit) if limit < wanted => {
            let text = format!(
                "{limit} allowed; as many calls and connections as configured need {wanted} (LimitNOFILE=, ulimit -Hn)"
            );
            findings.add(Level::Warn, "file descriptors", &text);
        }
        Some(limit) => {
            findings.add(Level::Ok, "file descriptors", &format!("{limit} allowed, {wanted} wanted"))
        }
        None => findings.add(Level::Ok, "file descriptors", "no limit"),
    }
}

fn disk(findings: &mut Findings, path: &Path) {
    match rustix::fs::statvfs(path) {
        Ok(volume) => {
            let free = volume.f_bavail.saturating_mul(volume.f_frsize);
            let level = if free < FREE_BYTES / 10 {
                Level::Fail
            } else if free < FREE_BYTES {
                Level::Warn
            } else {
                Level::Ok
            };
            findings.add(level, "disk", &format!("{} GiB free", free >> 30));
        }
        Err(error) => findings.add(Level::Fail, "disk", &error.to_string()),
    }
}

fn ports(findings: &mut Findings, settings: &Settings, roles: &BTreeSet<Role>) {
    for Listener { role, key, address, udp } in listeners::of(settings, roles) {
        let tls = if key.contains(".tls.") { " (TLS)" } else { "" };
        let what = format!("port of {}{tls}", role.as_str());
        match bind(address, udp) {
            Ok(()) => findings.add(Level::Ok, &what, &format!("{address} is free")),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                findings.add(
                    Level::Warn,
                    &what,
                    &format!("{address} is in use (by the server itself, if it runs)"),
                );
            }
            Err(error) => findings.add(Level::Fail, &what, &format!("{address}: {error}")),
        }
    }
}

fn bind(address: SocketAddr, udp: bool) -> std::io::Result<()> {
    TcpListener::bind(address)?;
    if udp {
        UdpSocket::bind(address)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_wanted_for_what_the_settings_allow() {
        let mut settings = Settings::default();
        // 2,000 calls, 8,192 connections.
        assert_eq!(wanted_descriptors(&settings), 12_200 + 8_192 + 500);
        settings.roles = vec![Role::MediaServer];
        settings.media_server.max_legs = 100;
        assert_eq!(wanted_descriptors(&settings), 500 + 500);
    }
}
