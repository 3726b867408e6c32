//! Settings of the web services; directories and addresses are given by the process that runs them.

use crate::single_sign_on::SingleSignOnConfig;
use serde::{Deserialize, Serialize};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// Default port of HTTPS.
pub const DEFAULT_PORT: u16 = 8443;

/// Where things are and how long they may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port of HTTPS.
    pub listen: SocketAddr,
    /// HTTPS certificate chain, PEM.
    pub tls_certificate: PathBuf,
    /// Its private key, PKCS#8 PEM.
    pub tls_key: PathBuf,
    /// Directory of the site's authority (`ca.pem`, `ca.key`): it signs the certificates of devices.
    pub authority: PathBuf,
    /// Directory of this component's identity (`device.pem`, `device.key`): it signs receipts.
    pub identity: PathBuf,
    /// Directory of the updates that are offered to desktops.
    pub updates: PathBuf,
    /// A console without a request for so long is signed out, minutes.
    pub idle_minutes: u32,
    /// No console session is longer, hours.
    pub session_hours: u32,
    /// A desktop that was not linked for so long must sign in again, hours.
    pub desktop_hours: u32,
    /// An upload that nobody touches for so long is given up, hours.
    pub upload_hours: u32,
    /// Largest upload, bytes.
    pub largest_upload: u64,
    /// How long the SIP server may take to answer a control request, milliseconds.
    pub control_timeout_ms: u64,
    /// IANA name of the site's time zone (`Europe/Berlin`): what the hours and days of reports are; empty: that of this host.
    pub time_zone: String,
    /// Most connections at a time.
    pub connections: usize,
    /// Sign-in at desktops by the site's identity provider; absent: by password only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single_sign_on: Option<SingleSignOnConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::UNSPECIFIED, DEFAULT_PORT).into(),
            tls_certificate: "tls/web.pem".into(),
            tls_key: "tls/web.key".into(),
            authority: "ca".into(),
            identity: "components/web-services".into(),
            updates: "updates".into(),
            idle_minutes: 30,
            session_hours: 12,
            desktop_hours: 24,
            upload_hours: 7 * 24,
            largest_upload: 64 << 30,
            control_timeout_ms: 5000,
            time_zone: String::new(),
            connections: 8192,
            single_sign_on: None,
        }
    }
}

impl Config {
    /// [`Config::control_timeout_ms`].
    pub fn control_timeout(&self) -> Duration {
        Duration::from_millis(self.control_timeout_ms)
    }
}
