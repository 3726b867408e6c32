//! `key`: the recording keys on this host. They are read from the crypto server's directory, running or not.

use crate::{
    cli::KeyCommand,
    commands::COMMAND_LINE,
    data_directory::DataDirectory,
    output::{complain, say},
};
use anyhow::Context;
use hindsight_crypto_server::{
    KeyStore,
    audit::{AuditLog, Record},
};
use hindsight_wire::Timestamp;
use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

pub fn key(data: &DataDirectory, command: KeyCommand) -> anyhow::Result<()> {
    let keys = KeyStore::open(&data.crypto())?;
    match command {
        KeyCommand::List => {
            for certificate in keys.certificates() {
                say(&format!("{}  until {}", certificate.sha256, certificate.not_after));
            }
            Ok(())
        }
        KeyCommand::Export { out, certificate } => export(data, &keys, &out, &certificate),
    }
}

fn export(data: &DataDirectory, keys: &KeyStore, out: &Path, certificate: &str) -> anyhow::Result<()> {
    let (name, pem) = keys.export(certificate)?;
    // The file first: a name that is taken must not leave a record of an export that never was.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(out)
        .with_context(|| out.display().to_string())?;
    AuditLog::new(&data.crypto()).append(Record {
        at: Timestamp::now(),
        actor: COMMAND_LINE.to_owned(),
        caller: String::new(),
        action: "key.export".to_owned(),
        object: name.clone(),
        purpose: "export".to_owned(),
        outcome: "granted".to_owned(),
    })?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    say(&format!("{name} -> {}", out.display()));
    complain("This key opens every recording sealed for it, and is not encrypted in this file.");
    Ok(())
}
