//! The system's own tray: always there.

/// Nothing to wait for.
pub async fn wait() {}
