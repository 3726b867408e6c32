//! `enrol`: codes for desktops and components on other hosts.

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
use std::num::NonZeroU32;

pub async fn enrol(data: &DataDirectory, command: EnrolCommand) -> anyhow::Result<()> {
    let (kind, hours, uses) = match command {
        EnrolCommand::New { kind, hours, uses } => (kind, hours, uses),
        EnrolCommand::End => return end(data).await,
    };
    let settings = Settings::load(data)?;
    let path = data.authority().join(hindsight_management::authority::CERTIFICATE_FILE);
    let ca = CertificateInfo::from_pem(&std::fs::read_to_string(&path)?)
        .ok_or_else(|| anyhow::anyhow!("{}: no certificate", path.display()))?;
    let database = database(data).await?;
    let string = issue(&database, kind, (hours, uses), settings.address, ca.fingerprint()).await?;
    database.close().await;
    say(&string.to_string());
    Ok(())
}

/// Every code that was given out and could still be used is worthless from now on.
async fn end(data: &DataDirectory) -> anyhow::Result<()> {
    let database = database(data).await?;
    let now = Timestamp::now();
    let mut write = database.write().await?;
    let codes = enrolment_codes::end_all(&mut write, now).await?;
    let details = serde_json::json!({ "codes": codes });
    let record = audit::Record { at: now, actor: COMMAND_LINE, action: "enrolment.end", object: "", details };
    audit::append(&mut write, &record).await?;
    write.commit().await?;
    database.close().await;
    say(&format!("{codes} enrolment string(s) ended"));
    Ok(())
}

/// Issues a code for devices of this kind, good for so many hours and devices.
pub async fn issue(
    database: &Database,
    kind: DeviceKind,
    (hours, uses): (u32, NonZeroU32),
    address: String,
    ca_sha256: String,
) -> anyhow::Result<EnrolmentString> {
    let now = Timestamp::now();
    let expires_at = now.plus_ms(i64::from(hours) * 3_600_000);
    let mut write = database.write().await?;
    let code = enrolment_codes::issue_for_many(&mut write, &[kind], uses, now, expires_at).await?;
    let record = audit::Record {
        at: now,
        actor: COMMAND_LINE,
        action: "enrolment.issue",
        object: kind.as_str(),
        details: serde_json::json!({ "expiresAt": expires_at, "uses": uses }),
    };
    audit::append(&mut write, &record).await?;
    write.commit().await?;
    Ok(EnrolmentString { address, ca_sha256, code })
}
