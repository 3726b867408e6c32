//! What every request can reach.

use crate::{
    WebError,
    config::Config,
    link::{director::Director, hub::Hub},
    manifests::Committing,
    media::Open,
    single_sign_on::SingleSignOn,
    telemetry,
    throttle::Throttle,
};
use hindsight_crypto_server::CryptoClient;
use hindsight_management::{SiteAuthority, lockout::LockOut};
use hindsight_reporting_server::Zone;
use hindsight_store::{Database, ObjectStore, UploadArea};
use hindsight_wire::manifest::Signed;
use metrics_exporter_prometheus::PrometheusHandle;
use std::{
    ops::Deref,
    path::Path,
    sync::{Arc, Mutex},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Wrong passwords from one address that cost nothing.
const FREE_SIGN_INS: u32 = 30;
/// Wrong enrolment codes from one address that cost nothing.
const FREE_ENROLMENTS: u32 = 10;

/// Shared by all requests. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// See [`App`].
pub struct Inner {
    /// Settings.
    pub config: Config,
    /// The site's database.
    pub database: Database,
    /// Committed recordings.
    pub objects: Arc<dyn ObjectStore>,
    /// Recordings that still arrive.
    pub area: UploadArea,
    /// Unwraps the keys of recordings.
    pub crypto: CryptoClient,
    /// Recordings that are being replayed.
    pub open: Open,
    /// Signs the certificates of devices.
    pub authority: SiteAuthority,
    /// Signs receipts.
    pub signer: Signer,
    /// Links of devices.
    pub hub: Hub,
    /// Which desktop captures for which call.
    pub director: Director,
    /// Recordings that are being committed.
    pub committing: Committing,
    /// Of sign-ins.
    pub sign_ins: Mutex<Throttle>,
    /// Who is locked out of a login, and where.
    pub lock_out: Mutex<LockOut>,
    /// Of enrolments.
    pub enrolments: Mutex<Throttle>,
    /// Sign-in at desktops by an identity provider, where there is one.
    pub single_sign_on: Option<SingleSignOn>,
    /// Version of the configuration.
    pub version: watch::Receiver<u64>,
    /// The site's time zone.
    pub zone: Zone,
    /// What is counted.
    pub metrics: PrometheusHandle,
    /// The end.
    pub shutdown: CancellationToken,
}

impl Deref for App {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    pub(crate) fn new(
        config: Config,
        database: Database,
        objects: Arc<dyn ObjectStore>,
        area: UploadArea,
        crypto: CryptoClient,
        shutdown: CancellationToken,
    ) -> Result<Self, WebError> {
        let authority = SiteAuthority::load(&config.authority)?;
        let signer = Signer::load(&config.identity)?;
        let single_sign_on = config.single_sign_on.as_ref().map(SingleSignOn::new).transpose()?;
        let hub = Hub::default();
        let director = Director::spawn(database.clone(), hub.clone(), shutdown.clone());
        let version = hindsight_management::watch::follow_version(database.clone());
        Ok(Self(Arc::new(Inner {
            zone: Zone::named(&config.time_zone)?,
            authority,
            signer,
            hub,
            director,
            committing: Committing::default(),
            sign_ins: Mutex::new(Throttle::new(FREE_SIGN_INS)),
            lock_out: Mutex::default(),
            enrolments: Mutex::new(Throttle::new(FREE_ENROLMENTS)),
            single_sign_on,
            version,
            metrics: telemetry::recorder(),
            config,
            database,
            objects,
            area,
            crypto,
            open: Open::default(),
            shutdown,
        })))
    }
}

/// This component's own key and certificate.
pub struct Signer {
    key_pem: String,
    certificate_pem: String,
}

impl Signer {
    fn load(directory: &Path) -> Result<Self, WebError> {
        Ok(Self {
            key_pem: read(&directory.join("device.key"))?,
            certificate_pem: read(&directory.join("device.pem"))?,
        })
    }

    /// A document with our detached signature.
    pub fn sign(&self, document: &[u8]) -> Result<Signed, hindsight_seal::SealError> {
        use base64::{Engine, prelude::BASE64_STANDARD};
        let signature = hindsight_seal::sign_detached(document, &self.key_pem, &self.certificate_pem)?;
        Ok(Signed {
            document: BASE64_STANDARD.encode(document),
            signature: BASE64_STANDARD.encode(signature),
        })
    }
}

/// The text of a file that must be there.
pub(crate) fn read(path: &Path) -> Result<String, WebError> {
    std::fs::read_to_string(path).map_err(|source| WebError::File { path: path.to_owned(), source })
}
