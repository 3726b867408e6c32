//! Keeps the configuration on disk beside the calls, one after the other: two stores at a time would share one temporary
//! file. Of several that wait only the one received last is written.

use hindsight_link::ConfigCache;
use hindsight_wire::component::VoiceConfig;
use tokio::{sync::watch, task::JoinHandle};

/// Writes configurations to the cache.
pub(crate) struct ConfigKeeper {
    wanted: watch::Sender<Option<VoiceConfig>>,
    task: JoinHandle<()>,
}

impl ConfigKeeper {
    /// Starts its task.
    pub(crate) fn start(cache: ConfigCache) -> Self {
        let (wanted, latest) = watch::channel(None);
        Self { wanted, task: tokio::spawn(keep(cache, latest)) }
    }

    /// To be kept; never waits. The link delivers in order, so the last is the one in force, whatever its version: a
    /// site restored from a backup goes back to an earlier one.
    pub(crate) fn keep(&self, config: VoiceConfig) {
        self.wanted.send_replace(Some(config));
    }

    /// Waits until the last is on disk.
    pub(crate) async fn close(self) {
        drop(self.wanted);
        if self.task.await.is_err() {
            tracing::error!("the task that keeps the configuration broke");
        }
    }
}

/// Ends with its sender, once what it sent last is written.
async fn keep(cache: ConfigCache, mut latest: watch::Receiver<Option<VoiceConfig>>) {
    while latest.changed().await.is_ok() {
        let Some(config) = latest.borrow_and_update().clone() else { continue };
        let cache = cache.clone();
        match tokio::task::spawn_blocking(move || cache.store(&config)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "configuration not cached"),
            Err(error) => tracing::error!(%error, "storing the configuration broke"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn of_configurations_at_the_same_moment_the_last_is_kept() {
        let dir = std::env::temp_dir().join(format!("hindsight-keeper-{}", uuid::Uuid::new_v4()));
        let cache = ConfigCache::open(&dir).unwrap();
        for round in 1..20 {
            let keeper = ConfigKeeper::start(cache.clone());
            for version in [round * 10, round * 10 + 1, round * 10 + 2] {
                keeper.keep(VoiceConfig { version, ..VoiceConfig::default() });
                tokio::task::yield_now().await;
            }
            keeper.close().await;
            assert_eq!(cache.load().unwrap().unwrap().version, round * 10 + 2);
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
