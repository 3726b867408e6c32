//! Who this device is: `device.key`, `device.pem`, `ca.pem`, `address` in one directory.

use crate::{
    LinkError, atomic,
    enrol::{self, CA, CERTIFICATE},
    error::with_causes,
    key_place::{KeyFile, KeyPlace},
    proxy::Proxy,
    tls,
    verifier::fingerprint,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hindsight_wire::{
    DeviceId, Timestamp,
    enrolment::{DeviceKind, EnrolmentString},
    manifest::Signed,
};
use rustls::ClientConfig;
use std::{fs, io, path::Path, sync::Arc, time::Duration};
use x509_cert::der::Decode as _;
use zeroize::Zeroizing;

/// A key, its certificate and the site's CA, known to belong together. Without `Debug`: it holds the key.
pub struct Identity {
    device: DeviceId,
    kind: String,
    key_pem: Zeroizing<String>,
    cert_pem: String,
    ca_pem: String,
    address: Option<String>,
    not_after: Timestamp,
    tls: Arc<ClientConfig>,
    proxy: Option<Proxy>,
}

impl Identity {
    /// The identity kept in `dir`, with its key in a file there; none there yet: gets one with the enrolment string.
    /// `name` is the host's, for people.
    pub async fn load_or_enrol(
        dir: &Path,
        kind: DeviceKind,
        name: &str,
        enrolment: Option<&EnrolmentString>,
    ) -> Result<Self, LinkError> {
        Self::load_or_enrol_with(dir, Arc::new(KeyFile::new(dir)), kind, name, enrolment).await
    }

    /// The same, with its key in a place of the owner's choice.
    pub async fn load_or_enrol_with(
        dir: &Path,
        keys: Arc<dyn KeyPlace>,
        kind: DeviceKind,
        name: &str,
        enrolment: Option<&EnrolmentString>,
    ) -> Result<Self, LinkError> {
        Self::load_or_enrol_through(dir, keys, kind, name, enrolment, None).await
    }

    /// The same, with a proxy on the way to the site, now and later.
    pub async fn load_or_enrol_through(
        dir: &Path,
        keys: Arc<dyn KeyPlace>,
        kind: DeviceKind,
        name: &str,
        enrolment: Option<&EnrolmentString>,
        proxy: Option<Proxy>,
    ) -> Result<Self, LinkError> {
        let (from, place) = (dir.to_owned(), keys.clone());
        let loaded = tokio::task::spawn_blocking(move || Self::load_with(&from, &*place)).await;
        let loaded = loaded.map_err(|error| LinkError::KeyStore(error.to_string()))?;
        if let Some(identity) = loaded? {
            if let Some(enrolment) = enrolment
                && fingerprint(&tls::certificates(&identity.ca_pem)?[0]) != enrolment.ca_sha256
            {
                return Err(LinkError::OtherSite(dir.to_owned()));
            }
            return Ok(identity.through(proxy));
        }
        let enrolment = enrolment.ok_or_else(|| LinkError::NotEnrolled(dir.to_owned()))?;
        let identity = enrol::enrol(dir, &keys, kind, name, enrolment, proxy.as_ref()).await?;
        Ok(identity.through(proxy))
    }

    /// The identity kept in `dir`, if any. Certificate and key must fit each other and the CA.
    pub fn load(dir: &Path) -> Result<Option<Self>, LinkError> {
        Self::load_with(dir, &KeyFile::new(dir))
    }

    /// The same, with its key in a place of the owner's choice.
    pub fn load_with(dir: &Path, keys: &dyn KeyPlace) -> Result<Option<Self>, LinkError> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).map_err(LinkError::storage("reading", path))
        };
        match read(CERTIFICATE) {
            Err(LinkError::Storage { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(cert_pem) => {
                let address = read(enrol::ADDRESS).ok().map(|address| address.trim().to_owned());
                let key = keys.load()?;
                let key = key.ok_or_else(|| LinkError::Identity("the device key is gone".to_owned()))?;
                Self::new(key, cert_pem, read(CA)?, address).map(Some)
            }
        }
    }

    /// An identity of these parts (PEM); refused when they do not belong together.
    pub fn new(
        key_pem: Zeroizing<String>,
        cert_pem: String,
        ca_pem: String,
        address: Option<String>,
    ) -> Result<Self, LinkError> {
        let tls = tls::mutual(&key_pem, &cert_pem, &ca_pem)?;
        let (since, until) = validity(&cert_pem)?;
        let now = u64::try_from(Timestamp::now().0 / 1_000_000).unwrap_or(0);
        if now < since || now > until {
            // The device records all the same; it is for the server to refuse it.
            tracing::warn!(
                since,
                until,
                now,
                "the device certificate is not valid now, or the clock is wrong"
            );
        }
        // A signature that verifies proves all at once: the key, the certificate, the CA.
        let probe = b"hindsight identity";
        let signature = hindsight_seal::sign_detached(probe, &key_pem, &cert_pem)?;
        let both_valid = since.max(validity(&ca_pem)?.0);
        let signer = hindsight_seal::verify_detached(probe, &signature, &ca_pem, both_valid)?;
        let device = signer
            .common_name
            .parse()
            .map_err(|_| LinkError::Identity("the certificate's common name is no device id".to_owned()))?;
        let kind = signer.organizational_unit.unwrap_or_default();
        let not_after = Timestamp(i64::try_from(until).unwrap_or(i64::MAX).saturating_mul(1_000_000));
        Ok(Self {
            device,
            kind,
            key_pem,
            cert_pem,
            ca_pem,
            address,
            not_after,
            tls: Arc::new(tls),
            proxy: None,
        })
    }

    /// With a proxy on the way to the site.
    pub fn through(self, proxy: Option<Proxy>) -> Self {
        Self { proxy, ..self }
    }

    /// Reaching the site at another `host:port` than the one it enrolled at.
    pub fn reaching(self, address: String) -> Self {
        Self { address: Some(address), ..self }
    }

    /// The proxy on the way to the site.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// The device's id: the certificate's common name.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// What the device is: the certificate's organizational unit, a name of [`DeviceKind::as_str`].
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The device certificate, PEM.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The site's CA certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// `host:port` it enrolled at, or that was given in its place.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// When the device certificate ends.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// TLS settings for connections to the site's servers.
    pub fn tls(&self) -> Arc<ClientConfig> {
        self.tls.clone()
    }

    /// An HTTP client with this identity, for the site's servers only.
    pub fn http_client(&self) -> Result<reqwest::Client, LinkError> {
        client(ClientConfig::clone(&self.tls), self.proxy.as_ref())
    }

    /// Signs a document as this device.
    pub fn sign(&self, document: &[u8]) -> Result<Signed, LinkError> {
        let signature = hindsight_seal::sign_detached(document, &self.key_pem, &self.cert_pem)?;
        Ok(Signed { document: BASE64.encode(document), signature: BASE64.encode(signature) })
    }

    /// Signs the JSON form of `value` as this device.
    pub fn sign_json(&self, value: &impl serde::Serialize) -> Result<Signed, LinkError> {
        let document = serde_json::to_vec(value).map_err(|error| LinkError::Identity(error.to_string()))?;
        self.sign(&document)
    }
}

/// First and last second of the first certificate, since the Unix epoch.
fn validity(pem: &str) -> Result<(u64, u64), LinkError> {
    let certificate = tls::certificates(pem)?.swap_remove(0);
    let certificate = x509_cert::Certificate::from_der(&certificate);
    let certificate = certificate.map_err(|error| LinkError::Identity(error.to_string()))?;
    let validity = certificate.tbs_certificate.validity;
    Ok((validity.not_before.to_unix_duration().as_secs(), validity.not_after.to_unix_duration().as_secs()))
}

/// A client that speaks to the site, through no proxy but the one that was named.
pub(crate) fn client(tls: ClientConfig, proxy: Option<&Proxy>) -> Result<reqwest::Client, LinkError> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10));
    let builder = match proxy {
        Some(proxy) => builder.proxy(proxy.for_client()?),
        None => builder,
    };
    builder.build().map_err(|error| LinkError::Identity(with_causes(&error)))
}

/// Puts a file of the identity in place.
pub(crate) fn store(dir: &Path, name: &str, content: &str) -> Result<(), LinkError> {
    let path = dir.join(name);
    atomic::write(&path, content.as_bytes()).map_err(LinkError::storage("writing", path))
}
