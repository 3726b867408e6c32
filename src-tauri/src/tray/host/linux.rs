//! The session's host for tray icons (org.kde.StatusNotifierWatcher). At login the panel starts at the same time as this
//! program; libayatana-appindicator, when it meets a host in the very moment in which it falls back to the icons of old
//! (XEmbed), shows both. So the host is waited for, for a while; one that comes later is noticed by the library.

use std::time::Duration;
use tokio::time::{sleep, timeout};
use zbus::{fdo::DBusProxy, names::BusName};

const HOST: &str = "org.kde.StatusNotifierWatcher";
/// A session without one starts its panel within this time, or has none.
const COMES: Duration = Duration::from_secs(5);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(200);
/// A host that has just come is taken for ready after this time.
const SETTLES: Duration = Duration::from_millis(500);

/// Waits until there is a host, or there will probably be none.
pub async fn wait() {
    match timeout(COMES, host()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::info!(%error, "the session has no message bus"),
        Err(_) => tracing::info!("the session has no host for tray icons so far"),
    }
}

async fn host() -> zbus::Result<()> {
    let bus = zbus::Connection::session().await?;
    let names = DBusProxy::new(&bus).await?;
    let mut waited = false;
    while !names.name_has_owner(BusName::try_from(HOST)?).await? {
        waited = true;
        sleep(LOOK).await;
    }
    if waited {
        sleep(SETTLES).await;
    }
    Ok(())
}
