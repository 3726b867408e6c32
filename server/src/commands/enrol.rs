//! `enrol`: one-time codes for desktops and components on other hosts.

use crate::{
    cli::EnrolCommand,
    commands::{COMMAND_LINE, database},
    data_directory::DataDirectory,
    output::say,
    settings::Settings,
};
use hindsight_crypto_server::certificate::CertificateInfo;
use hindsight_store::{Database, audit, enrolment_codes};
use hindsight_wire::{
    Timestamp,
    enrolment::{DeviceKind, EnrolmentString},
};

pub async fn enrol(data: &DataDirectory, command: EnrolCommand) -> anyhow::Result<()> {
    let EnrolCommand::New { kind, hours } = command;
    let settings = Settings::load(data)?;
    let path = data.authority().join(hindsight_management::authority::CERTIFICATE_FILE);
    let ca = CertificateInfo::from_pem(&std::fs::read_to_string(&path)?)
        .ok_or_else(|| anyhow::anyhow!("{}: no certificate", path.display()))?;
    let database = database(data).await?;
    let string = issue(&database, kind, hours, settings.address, ca.fingerprint()).await?;
    database.close().await;
    say(&string.to_string());
    Ok(())
}

/// Issues a code for one device of this kind.
pub async fn issue(
    database: &Database,
    kind: DeviceKind,
    hours: u32,
    address: String,
    ca_sha256: String,
) -> anyhow::Result<EnrolmentString> {
    let now = Timestamp::now();
    let expires_at = now.plus_ms(i64::from(hours) * 3_600_000);
    let mut write = database.write().await?;
    let code = enrolment_codes::issue(&mut write, &[kind], now, expires_at).await?;
    let record = audit::Record {
        at: now,
        actor: COMMAND_LINE,
        action: "enrolment.issue",
        object: kind.as_str(),
        details: serde_json::json!({ "expiresAt": expires_at }),
    };
    audit::append(&mut write, &record).await?;
    write.commit().await?;
    Ok(EnrolmentString { address, ca_sha256, code })
}
