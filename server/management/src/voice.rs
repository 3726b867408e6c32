//! What the voice components and the desktops are told: derived from the configuration.

use crate::{
    ManagementError,
    configuration::{AGENT, CAPTURE, MEDIA, REALM, TRACE},
    site_file::{AgentSection, TraceSection},
};
use hindsight_store::{
    Connection, Database,
    changes::{self, ObjectChange},
    dns, settings,
};
use hindsight_wire::{
    Timestamp,
    agent::Medium,
    component::{Dn, VoiceConfig},
    policy::CapturePolicy,
};
use ring::digest::{SHA256, digest};

/// Setting: certificates of the recipients of new recordings, PEM.
const RECIPIENTS: &str = "recipients";

/// What the voice components work from, with its version.
pub async fn voice_config(db: &mut Connection) -> Result<VoiceConfig, ManagementError> {
    // A site that captures no screens for calls asks for none.
    let calls = captured_media(db).await?.contains(&Medium::Voice);
    let dn = |owned: dns::OwnedDn| Dn { record_screen: owned.dn.record_screen && calls, ..owned.dn };
    Ok(VoiceConfig {
        version: changes::version(db).await?,
        realm: settings::get(db, REALM).await?.unwrap_or_default(),
        dns: dns::all(db).await?.into_iter().map(dn).collect(),
        recipients: recipients(db).await?,
    })
}

/// How screens are captured. One policy for the whole site so far.
pub async fn capture_policy(db: &mut Connection) -> Result<CapturePolicy, ManagementError> {
    Ok(settings::get(db, CAPTURE).await?.unwrap_or_default())
}

/// Which interactions are captured at DNs whose screens are recorded.
pub async fn captured_media(db: &mut Connection) -> Result<Vec<Medium>, ManagementError> {
    Ok(settings::get(db, MEDIA).await?.unwrap_or_else(|| Medium::ALL.to_vec()))
}

/// What agents see and may choose at their desktops.
pub async fn agent_terms(db: &mut Connection) -> Result<AgentSection, ManagementError> {
    Ok(settings::get(db, AGENT).await?.unwrap_or_default())
}

/// What is kept of the signalling of calls.
pub async fn trace_terms(db: &mut Connection) -> Result<TraceSection, ManagementError> {
    Ok(settings::get(db, TRACE).await?.unwrap_or_default())
}

/// Certificates (PEM) of the recipients of new recordings, voice and screens.
pub async fn recipients(db: &mut Connection) -> Result<Vec<String>, ManagementError> {
    Ok(settings::get(db, RECIPIENTS).await?.unwrap_or_default())
}

/// Sets the recipients of new recordings, as the crypto server names them; whether they are others than before.
pub async fn set_recipients(
    database: &Database,
    certificates: &[String],
    actor: &str,
    now: Timestamp,
) -> Result<bool, ManagementError> {
    let mut write = database.write().await?;
    let before = recipients(&mut write).await?;
    if before == certificates {
        return Ok(false);
    }
    settings::put(&mut write, RECIPIENTS, &certificates).await?;
    let change = ObjectChange {
        object: RECIPIENTS.to_owned(),
        before: Some(fingerprints(&before)),
        after: Some(fingerprints(certificates)),
    };
    changes::record(&mut write, now, actor, "recording certificates", &[change]).await?;
    write.commit().await?;
    Ok(true)
}

/// Enough to tell certificates apart in the record of changes.
fn fingerprints(certificates: &[String]) -> serde_json::Value {
    certificates.iter().map(|pem| hex::encode(digest(&SHA256, pem.as_bytes()))).collect()
}
