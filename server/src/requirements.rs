//! What a process needs of its settings, keys and folders. `check` lists it, `run` refuses to start without it: one list,
//! so that what `check` passes does not fail at `run`.

use crate::{data_directory::DataDirectory, listeners, logging, output::told, settings::Settings};
use anyhow::{Context, ensure};
use hindsight_link::Identity;
use hindsight_management::authority::KEY_FILE;
use hindsight_media_server::ServerError;
use hindsight_model::Role;
use hindsight_store::database::DATABASE_FILE;
use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::ErrorKind,
    net::UdpSocket,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Something that must be so.
pub struct Requirement {
    /// What, for people.
    pub what: String,
    /// How it is, or why it is not.
    pub met: Result<String, String>,
}

/// All of them for a process with these roles. Nothing is changed but a file made and removed again in each folder.
pub fn requirements(settings: &Settings, data: &DataDirectory, roles: &BTreeSet<Role>) -> Vec<Requirement> {
    let mut list = Vec::new();
    let mut add = |what: &str, met: anyhow::Result<String>| {
        list.push(Requirement { what: what.to_owned(), met: met.map_err(|error| told(&error)) });
    };
    add("log", logging::filter(&settings.log).map(|_| "the filter is understood".to_owned()));
    add("protection", protected(data));
    add("folders", writable(data, roles));
    for role in roles.iter().filter(|role| role.is_device()) {
        add(&format!("key of {}", role.as_str()), identity(data, *role));
    }
    if roles.contains(&Role::CryptoServer) {
        let listener = hindsight_crypto_server::tls::server_config(&data.identity(Role::CryptoServer));
        let listener = listener.map(|_| "certificate and key belong together".to_owned());
        add("crypto server's listener", listener.map_err(Into::into));
    }
    if roles.contains(&Role::WebServices) {
        let https = hindsight_web_services::service::check(&settings.web_services);
        let https = https.map(|()| "certificates and keys belong together".to_owned());
        add("HTTPS and authority", https.map_err(Into::into));
    }
    add("listeners", listeners::apart(settings, roles));
    if roles.contains(&Role::MediaServer) {
        add("ports for voice", voice_ports(settings));
        add("address for voice", voice_address(settings));
    }
    if roles.contains(&Role::SipServer) {
        let trusted = settings.sip_server.trusted();
        let trusted = trusted.map(|list| format!("{} network(s)", list.len()));
        add("sip-server.trusted", trusted.map_err(Into::into));
        let kept = hindsight_sip_server::ledger::examine(&data.of_role(Role::SipServer));
        let kept = kept.map(|_| "calls and registrations can be kept".to_owned());
        add("sip-server/kept", kept.map_err(Into::into));
        if let Some(tls) = &settings.sip_server.tls {
            let tls = tls.load().map(|_| "certificate and key belong together".to_owned());
            add("TLS for phones", tls.map_err(Into::into));
        }
    }
    list
}

fn voice_ports(settings: &Settings) -> anyhow::Result<String> {
    let media = &settings.media_server;
    let legs = media.legs_by_ports();
    ensure!(legs >= 2, ServerError::PortRange(media.rtp_first, media.rtp_last));
    Ok(format!("{}-{}, room for {} calls", media.rtp_first, media.rtp_last, legs / 2))
}

/// Sockets for voice are bound when a call comes: too late to find out that they cannot be.
fn voice_address(settings: &Settings) -> anyhow::Result<String> {
    let media = &settings.media_server;
    let (address, advertised) = (media.media_address(), media.advertised());
    UdpSocket::bind((address, 0)).with_context(|| {
        let key = if media.media_address.is_some() { "media_address" } else { "advertised" };
        format!(
            "media-server.{key} = {address} is no address of this host (where a router forwards the ports: media_address = \"0.0.0.0\")"
        )
    })?;
    Ok(format!("phones send voice to {advertised}, bound to {address}"))
}

/// Loads and proves the identity of a role, as its start does.
fn identity(data: &DataDirectory, role: Role) -> anyhow::Result<String> {
    let directory = data.identity(role);
    let identity = Identity::load(&directory).with_context(|| directory.display().to_string())?;
    let identity = identity.with_context(|| no_identity(&directory))?;
    ensure!(
        identity.kind() == role.as_str(),
        "{}: the certificate is of a {}",
        directory.display(),
        identity.kind()
    );
    Ok("it is that of the certificate".to_owned())
}

/// What to do where a role has no identity.
pub fn no_identity(directory: &Path) -> String {
    format!(
        "no identity in {}: `hindsight-server init` makes it, or `join` on another host",
        directory.display()
    )
}

/// Nobody else may put files into the data directory, or read what everything else hangs on.
fn protected(data: &DataDirectory) -> anyhow::Result<String> {
    let mode = |path: &Path| -> anyhow::Result<Option<u32>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.permissions().mode() & 0o777)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    };
    let whole = mode(data.path())?.unwrap_or_default();
    let path = data.path().display();
    ensure!(
        whole & 0o002 == 0,
        "everybody may write to the data directory (mode {whole:o}): chmod 700 {path}"
    );
    for (path, others) in
        [(data.authority().join(KEY_FILE), 0o077), (data.store().join(DATABASE_FILE), 0o007)]
    {
        let found = mode(&path)?.unwrap_or_default();
        let path = path.display();
        ensure!(found & others == 0, "others may read {path} (mode {found:o}): chmod 600 {path}");
    }
    Ok("nobody else reads the authority's key or the database".to_owned())
}

/// The folders that these roles write to.
fn folders(data: &DataDirectory, roles: &BTreeSet<Role>) -> Vec<PathBuf> {
    let mut folders = vec![data.path().to_owned(), data.path().join("run")];
    for role in roles {
        match role {
            Role::CryptoServer => folders.push(data.crypto()),
            Role::WebServices | Role::RecordingProcessor => {
                folders.extend([data.store(), data.objects(), data.objects().join("uploads")]);
            }
            Role::ReportingServer => folders.push(data.store()),
            Role::MediaServer | Role::ResourceManager | Role::SipServer => folders.push(data.of_role(*role)),
        }
    }
    folders.sort();
    folders.dedup();
    folders
}

fn writable(data: &DataDirectory, roles: &BTreeSet<Role>) -> anyhow::Result<String> {
    let folders = folders(data, roles);
    for folder in &folders {
        try_writing(folder).with_context(|| format!("{} cannot be written to", folder.display()))?;
    }
    Ok(format!("{} can be written to", folders.len()))
}

/// Makes a file and removes it again: rights alone do not tell of a disk that is read-only. A folder that is not there is
/// made at the start, in one that is.
fn try_writing(folder: &Path) -> anyhow::Result<()> {
    match fs::metadata(folder) {
        Ok(metadata) => ensure!(metadata.is_dir(), "it is no folder"),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let probe = folder.join(format!(".writable-{}", std::process::id()));
    OpenOptions::new().write(true).create(true).truncate(true).open(&probe)?;
    fs::remove_file(&probe)?;
    Ok(())
}
