//! `init`: a new site on this host, ready to run.

use crate::{
    cli::InitArguments,
    commands::{COMMAND_LINE, enrol},
    data_directory::DataDirectory,
    output::say,
};
use anyhow::{Context, ensure};
use hindsight_crypto_server::{
    KeyStore,
    audit::{AuditLog, Record},
};
use hindsight_management::{
    Configuration, SiteAuthority, SiteFile, authority::IssuedKey, password, site_file::PersonSection,
};
use hindsight_model::Role;
use hindsight_store::{
    Database,
    devices::{self, Device},
    objects,
    persons::PersonRole,
};
use hindsight_wire::{
    DeviceId, Timestamp,
    enrolment::{DeviceKind, EnrolmentString},
};
use rustls::pki_types::ServerName;
use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    num::NonZeroU32,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Names under which the host always reaches itself.
const LOCAL: [&str; 2] = ["localhost", "127.0.0.1"];
/// The first desktop may enrol for so long.
const ENROLMENT_HOURS: u32 = 7 * 24;

/// Stands in comments for an address that is not known (RFC 5737).
const EXAMPLE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

/// Longest name of a site: with what is added to it, it stands in certificates (RFC 5280, ub-common-name).
const LONGEST_SITE: usize = 40;
/// Longest host name (RFC 1035 2.3.4).
const LONGEST_HOST: usize = 253;
/// Stands in a directory while a site is being made in it.
const MARK: &str = ".init";

/// What is printed once.
struct Noted {
    login: String,
    password: String,
    enrolment: EnrolmentString,
}

pub async fn init(data: &DataDirectory, arguments: &InitArguments) -> anyhow::Result<()> {
    sensible(arguments)?;
    let unfinished = prepare(data)?;
    let noted = make(data, arguments).await?;
    unfinished.done()?;
    show(data, arguments, &noted);
    Ok(())
}

async fn make(data: &DataDirectory, arguments: &InitArguments) -> anyhow::Result<Noted> {
    let hosts = hosts(arguments);
    let address = format!("{}:{}", bracketed(&hosts[0]), arguments.https_port);
    let authority = SiteAuthority::create(&data.authority(), &arguments.site)?;
    let https = authority.make_https(&hosts)?;
    write_pair(&data.https_certificate(), &data.https_key(), &https)?;
    let recipient = recording_key(data, &authority, arguments)?;
    let database = Database::create(&data.store()).await?;
    objects::DirectoryObjects::open(&data.objects())?;
    // Components on this host find the web services whatever the names of the host resolve to.
    let local = format!("127.0.0.1:{}", arguments.https_port);
    for role in Role::ALL {
        let Some(kind) = device_kind(role) else { continue };
        component(data, &database, &authority, (role, kind), &local).await?;
    }
    hindsight_management::set_recipients(&database, &[recipient], COMMAND_LINE, Timestamp::now()).await?;
    let noted = site(&database, &authority, arguments, address.clone()).await?;
    database.close().await;
    // Last: where this file is, the site is whole.
    write_new(&data.settings(), &settings_text(arguments, &address))?;
    Ok(noted)
}

/// Refuses, before anything is made, what no site can be made of.
fn sensible(arguments: &InitArguments) -> anyhow::Result<()> {
    for host in &arguments.hosts {
        ensure!(
            is_reachable(host),
            "--host {host:?}: a host name (rec.example.com) or the address of a host (192.0.2.10) is expected, without https:// and without a port"
        );
    }
    let site = &arguments.site;
    ensure!(
        !site.trim().is_empty()
            && site.chars().count() <= LONGEST_SITE
            && !site.chars().any(char::is_control),
        "--site: a name of at most {LONGEST_SITE} characters is expected"
    );
    // The same rules as for a file of `config apply`.
    hindsight_management::plan::plan(
        &Configuration::default(),
        &first_file(arguments, &password::one_time()),
    )?;
    Ok(())
}

/// Whether browsers and devices can be sent there: what they accept as a name in a certificate, and no address of
/// nobody, of many or of everything.
fn is_reachable(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast()
        }
        Ok(IpAddr::V6(address)) => !address.is_unspecified() && !address.is_multicast(),
        Err(_) => {
            // 300.1.1.1 is a mistaken address, not a name (RFC 1123 2.1).
            let last = host.rsplit('.').next().unwrap_or_default();
            let numeric = last.chars().all(|c| c.is_ascii_digit());
            !numeric && host.len() <= LONGEST_HOST && ServerName::try_from(host).is_ok()
        }
    }
}

/// A directory in which a site is being made. Until it is whole, everything that was made goes again with it: it was
/// empty before, and nobody else can make a site in it meanwhile.
struct Unfinished {
    path: PathBuf,
    existed: bool,
    whole: bool,
}

impl Unfinished {
    fn done(mut self) -> anyhow::Result<()> {
        self.whole = true;
        let mark = self.path.join(MARK);
        fs::remove_file(&mark).with_context(|| mark.display().to_string())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.whole {
            return;
        }
        // Best effort: the error that led here is what is told.
        if !self.existed {
            let _ = fs::remove_dir_all(&self.path);
            return;
        }
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

fn prepare(data: &DataDirectory) -> anyhow::Result<Unfinished> {
    let path = data.path();
    ensure!(!data.settings().exists(), "{} holds a site already", path.display());
    let existed = path.exists();
    fs::create_dir_all(path).with_context(|| path.display().to_string())?;
    let mut listing = fs::read_dir(path).with_context(|| path.display().to_string())?;
    ensure!(
        listing.next().is_none(),
        "{} is not empty and holds no whole site: empty it, or name another directory with --data",
        path.display()
    );
    // Whoever makes it has the directory; a second `init` at the same moment leaves what the first one makes alone.
    let mark = path.join(MARK);
    fs::File::create_new(&mark).with_context(|| mark.display().to_string())?;
    Ok(Unfinished { path: path.to_owned(), existed, whole: false })
}

/// What was asked for, and what always works.
fn hosts(arguments: &InitArguments) -> Vec<String> {
    let mut hosts = arguments.hosts.clone();
    for local in LOCAL {
        if !hosts.iter().any(|host| host == local) {
            hosts.push(local.to_owned());
        }
    }
    hosts
}

/// An IPv6 address before a port stands in brackets (RFC 3986 3.2.2).
fn bracketed(host: &str) -> String {
    if host.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() }
}

/// Makes the recording key; its certificate.
fn recording_key(
    data: &DataDirectory,
    authority: &SiteAuthority,
    arguments: &InitArguments,
) -> anyhow::Result<String> {
    let made = authority.make_recording(&arguments.site)?;
    let mut keys = KeyStore::open_or_create(&data.crypto())?;
    AuditLog::new(&data.crypto()).append(Record {
        at: Timestamp::now(),
        actor: COMMAND_LINE.to_owned(),
        caller: String::new(),
        action: "key.add".to_owned(),
        object: hex::encode(made.certificate.sha256),
        purpose: "init".to_owned(),
        outcome: "granted".to_owned(),
    })?;
    keys.add(&made.certificate.pem, &made.key_pem)?;
    Ok(made.certificate.pem)
}

/// Gives a role its identity and enters it among the devices.
async fn component(
    data: &DataDirectory,
    database: &Database,
    authority: &SiteAuthority,
    (role, kind): (Role, DeviceKind),
    address: &str,
) -> anyhow::Result<()> {
    let id = DeviceId::new();
    let listens = if role == Role::CryptoServer { LOCAL.map(str::to_owned).to_vec() } else { Vec::new() };
    let made = authority.make_device(id, kind, &listens)?;
    let directory = data.identity(role);
    write_pair(&directory.join("device.pem"), &directory.join("device.key"), &made)?;
    write_new(&directory.join("ca.pem"), authority.certificate_pem())?;
    write_new(&directory.join("address"), address)?;
    let device = Device {
        id,
        kind,
        name: "this host".to_owned(),
        certificate_serial: made.certificate.serial,
        certificate_sha256: made.certificate.sha256,
        not_after: made.certificate.not_after,
        enrolled_at: Timestamp::now(),
        revoked_at: None,
    };
    let mut write = database.write().await?;
    devices::add(&mut write, &device).await?;
    write.commit().await?;
    Ok(())
}

/// What a role is among the devices; one that speaks to nobody is none.
fn device_kind(role: Role) -> Option<DeviceKind> {
    Some(match role {
        Role::CryptoServer => DeviceKind::CryptoServer,
        Role::WebServices => DeviceKind::WebServices,
        Role::RecordingProcessor => DeviceKind::RecordingProcessor,
        Role::MediaServer => DeviceKind::MediaServer,
        Role::ResourceManager => DeviceKind::ResourceManager,
        Role::SipServer => DeviceKind::SipServer,
        Role::ReportingServer => return None,
    })
}

/// The first configuration: the realm and the administrator.
fn first_file(arguments: &InitArguments, one_time: &str) -> SiteFile {
    let administrator = PersonSection {
        login: arguments.administrator.clone(),
        name: "Administrator".to_owned(),
        roles: Some(BTreeSet::from([PersonRole::Administrator, PersonRole::Supervisor, PersonRole::Auditor])),
        dn: None,
        password: None,
        one_time_password: Some(one_time.to_owned()),
    };
    let realm = arguments.realm.clone().unwrap_or_else(|| hosts(arguments)[0].clone());
    SiteFile { realm: Some(realm), persons: vec![administrator], ..SiteFile::default() }
}

/// Applies the first configuration, and lets the first desktop enrol.
async fn site(
    database: &Database,
    authority: &SiteAuthority,
    arguments: &InitArguments,
    address: String,
) -> anyhow::Result<Noted> {
    let one_time = password::one_time();
    let file = first_file(arguments, &one_time);
    let plan = hindsight_management::plan_file(database, file).await?;
    hindsight_management::apply(database, &plan, COMMAND_LINE, "init", Timestamp::now()).await?;
    let enrolment = enrol::issue(
        database,
        DeviceKind::Desktop,
        (ENROLMENT_HOURS, NonZeroU32::MIN),
        address,
        authority.fingerprint(),
    )
    .await?;
    Ok(Noted { login: arguments.administrator.clone(), password: one_time, enrolment })
}

/// The first host asked for that is an address at which phones elsewhere can reach this site. IPv4, as the listener for
/// phones.
fn phones_reach(arguments: &InitArguments) -> Option<Ipv4Addr> {
    let addresses = arguments.hosts.iter().filter_map(|host| host.parse::<Ipv4Addr>().ok());
    addresses.into_iter().find(|address| !address.is_loopback() && !address.is_unspecified())
}

/// Whether a socket can be bound to it.
fn is_own(address: Ipv4Addr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// Where phones send media. SIP of the media server stays on this host: phones never speak it.
fn media_text(address: Option<Ipv4Addr>) -> String {
    // As comments where there is nothing to say, with values of their shape.
    let key = |active: bool, line: &str| format!("{}{line}\n", if active { "" } else { "# " });
    let shown = address.unwrap_or(EXAMPLE);
    let elsewhere = address.is_some_and(|address| !is_own(address));
    let (first, last) = (hindsight_media_server::config::RTP_FIRST, hindsight_media_server::config::RTP_LAST);
    [
        "\n[media-server]\n".to_owned(),
        "# address of this host that phones send voice to; without it only phones on this host can talk\n"
            .to_owned(),
        key(address.is_some(), &format!("advertised = \"{shown}\"")),
        "# to be set when that is no address of this host but of a router that forwards the ports\n"
            .to_owned(),
        key(elsewhere, "media_address = \"0.0.0.0\""),
        "# UDP ports for voice, to be let through firewalls together with 5060 (SIP, UDP and TCP) and 5061 (SIP, TLS)\n"
            .to_owned(),
        key(false, &format!("rtp_first = {first}")),
        key(false, &format!("rtp_last = {last}")),
    ]
    .concat()
}

fn settings_text(arguments: &InitArguments, address: &str) -> String {
    let address = toml::Value::from(address);
    let port = arguments.https_port;
    format!(
        "# Settings of this process. Each key is also an environment variable, which goes before this file:\n\
         # HINDSIGHT_WEB_SERVICES__LISTEN, HINDSIGHT_LOG__FILTER. What is left out has its default.\n\
         # Persons, DNs and recording policy are not here: see `hindsight-server config`.\n\
         \n\
         # host:port under which devices reach the web services\n\
         address = {address}\n\
         \n\
         [log]\n\
         filter = \"info\"\n\
         format = \"text\" # or \"json\"\n\
         \n\
         [web-services]\n\
         listen = \"0.0.0.0:{port}\"\n\
         \n\
         [crypto-server]\n\
         listen = \"127.0.0.1:{crypto}\"\n\
         \n\
         [sip-server]\n\
         listen = \"0.0.0.0:5060\"\n\
         \n\
         # phones that speak TLS, with the certificate of the web services unless another one is named\n\
         [sip-server.tls]\n\
         listen = \"0.0.0.0:5061\"\n\
         # certificate = \"tls/web.pem\"\n\
         # key = \"tls/web.key\"\n\
         {media}",
        crypto = hindsight_crypto_server::config::DEFAULT_PORT,
        media = media_text(phones_reach(arguments)),
    )
}

fn show(data: &DataDirectory, arguments: &InitArguments, noted: &Noted) {
    let console = format!("https://{}/", noted.enrolment.address);
    if arguments.json {
        let value = serde_json::json!({
            "console": console,
            "administrator": { "login": noted.login, "oneTimePassword": noted.password },
            "desktopEnrolment": noted.enrolment.to_string(),
            "authority": data.authority().join("ca.pem"),
        });
        return say(&value.to_string());
    }
    say(&format!("A new site in {}. These are shown once:", data.path().display()));
    say("");
    say(&format!("  console            {console}"));
    say(&format!("  sign in as         {}", noted.login));
    say(&format!("  one-time password  {}", noted.password));
    say(&format!("  desktop enrolment  {}", noted.enrolment));
    say("");
    say(&format!(
        "Browsers trust the console once they trust {}.",
        data.authority().join("ca.pem").display()
    ));
    say("Next: hindsight-server config apply FILE.toml (persons and phones), hindsight-server run");
}

fn write_pair(certificate: &Path, key: &Path, made: &IssuedKey) -> anyhow::Result<()> {
    write_new(key, &made.key_pem)?;
    write_new(certificate, &made.certificate.pem)
}

/// A file of its owner only; it must not exist.
pub(super) fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = || -> std::io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    written().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_that_others_can_be_sent_to() {
        for good in
            ["rec.example.com", "localhost", "rec", "192.0.2.10", "2001:db8::1", "127.0.0.1", "a1.b-2"]
        {
            assert!(is_reachable(good), "{good}");
        }
        for bad in [
            "",
            " ",
            "https://rec.example.com",
            "rec.example.com:8443",
            "192.0.2.10:8443",
            "[2001:db8::1]",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.300",
            "1",
            "a b",
            "-a.b",
            "a..b",
            "*.example.com",
            "ü.example",
        ] {
            assert!(!is_reachable(bad), "{bad}");
        }
    }
}
