//! TLS: our certificate, and client certificates of the site's authority where a client has one.

use crate::{WebError, config::Config, state::read};
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{path::Path, sync::Arc};

/// HTTPS of the site. Browsers come without a certificate, devices with theirs; one of another authority ends the handshake.
pub fn server_config(config: &Config) -> Result<ServerConfig, WebError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    let authority = config.authority.join(hindsight_management::authority::CERTIFICATE_FILE);
    let authorities = certificates(&authority)?;
    for certificate in &authorities {
        roots.add(certificate.clone())?;
    }
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| unusable(&authority, &error))?;
    let key = PrivateKeyDer::from_pem_slice(read(&config.tls_key)?.as_bytes())
        .map_err(|error| unusable(&config.tls_key, &error))?;
    let mut chain = certificates(&config.tls_certificate)?;
    // A device that enrols knows the authority by its fingerprint only: the chain must hold it.
    chain.extend(authorities.into_iter().filter(|authority| !chain.contains(authority)).collect::<Vec<_>>());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InvalidCertificate(_) => unusable(&config.tls_certificate, &error),
            _ => unusable(&config.tls_key, &error),
        })?;
    // One protocol: uploads, media and the link need nothing of HTTP/2, and its many streams per connection would need
    // bounds of their own.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, WebError> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(unusable(path, &"it holds no certificate")),
        Err(error) => Err(unusable(path, &error)),
    }
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> WebError {
    WebError::Certificate { path: path.to_owned(), why: why.to_string() }
}
