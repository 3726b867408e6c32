//! TLS for phones: where, and with which certificate.

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Default listener.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 5061);

/// Settings of the TLS listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// TCP listener.
    pub listen: SocketAddr,
    /// PEM file of the certificate and those it was issued by, relative to the data directory.
    pub certificate: PathBuf,
    /// PEM file of its key.
    pub key: PathBuf,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { listen: DEFAULT_LISTEN, certificate: "tls/web.pem".into(), key: "tls/web.key".into() }
    }
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", .path.display())]
pub struct TlsError {
    path: PathBuf,
    why: String,
}

impl TlsConfig {
    /// Reads the files. TLS 1.2 and 1.3; phones prove who they are by digest.
    pub fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let chain = CertificateDer::pem_file_iter(&self.certificate).and_then(Iterator::collect);
        let chain: Vec<_> = chain.map_err(|error| unusable(&self.certificate, error))?;
        if chain.is_empty() {
            return Err(unusable(&self.certificate, "it holds no certificate"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| unusable(&self.key, error))?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
        Ok(Arc::new(config.map_err(|error| match error {
            rustls::Error::InvalidCertificate(_) => unusable(&self.certificate, error),
            _ => unusable(&self.key, error),
        })?))
    }
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> TlsError {
    TlsError { path: path.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused_with_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = (directory.path().join("c.pem"), directory.path().join("k.pem"));
        let config = TlsConfig { certificate: certificate.clone(), key: key.clone(), ..TlsConfig::default() };
        assert!(config.load().unwrap_err().to_string().contains("c.pem"));
        std::fs::write(&certificate, "").unwrap();
        assert!(config.load().unwrap_err().to_string().contains("no certificate"));
        let made = rcgen::generate_simple_self_signed(["sip.example".to_owned()]).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        assert!(config.load().unwrap_err().to_string().contains("k.pem"));
        std::fs::write(&key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(config.load().is_err(), "a key of another certificate");
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        assert!(config.load().is_ok());
    }
}
