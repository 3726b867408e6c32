//! The private keys of the recording certificates: `keys/<certificate SHA-256>.{pem,key}`.

use crate::{
    CryptoError,
    api::RecipientCertificate,
    certificate::CertificateInfo,
    key_encryption::{KeyEncryptionKey, write_secret},
};
use hindsight_seal::{DataKey, PrivateKey, SealError, open_envelope};
use hindsight_wire::Timestamp;
use std::{
    fs,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Folder in the crypto server's directory.
const KEYS: &str = "keys";

/// The keys, opened. Private keys never leave it but by [`KeyStore::export`].
pub struct KeyStore {
    directory: PathBuf,
    kek: KeyEncryptionKey,
    keys: Vec<RecordingKey>,
}

struct RecordingKey {
    certificate: RecipientCertificate,
    key: PrivateKey,
}

impl KeyStore {
    /// Opens the keys of a crypto server's directory.
    pub fn open(directory: &Path) -> Result<Self, CryptoError> {
        Self::with_kek(directory, KeyEncryptionKey::load(directory)?)
    }

    /// Opens the keys, or makes the directory and a key-encryption key.
    pub fn open_or_create(directory: &Path) -> Result<Self, CryptoError> {
        let keys = directory.join(KEYS);
        fs::create_dir_all(&keys).map_err(|error| CryptoError::file(&keys, error))?;
        Self::with_kek(directory, KeyEncryptionKey::load_or_create(directory)?)
    }

    fn with_kek(directory: &Path, kek: KeyEncryptionKey) -> Result<Self, CryptoError> {
        let directory = directory.join(KEYS);
        let mut store = Self { directory, kek, keys: Vec::new() };
        let listing =
            fs::read_dir(&store.directory).map_err(|error| CryptoError::file(&store.directory, error))?;
        let mut paths = Vec::new();
        for entry in listing {
            paths.push(entry.map_err(|error| CryptoError::file(&store.directory, error))?.path());
        }
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "pem"));
        paths.sort();
        for path in paths {
            let pem = fs::read_to_string(&path).map_err(|error| CryptoError::file(&path, error))?;
            let certificate = recipient(pem).ok_or_else(|| CryptoError::KeyFile(path.clone()))?;
            let key = PrivateKey::from_pkcs8_pem(&store.read_key(&certificate.sha256)?)?;
            store.keys.push(RecordingKey { certificate, key });
        }
        // Newest last, so that new recordings are opened by the first key tried from the end.
        store.keys.sort_by_key(|key| key.certificate.not_after);
        Ok(store)
    }

    fn read_key(&self, sha256: &str) -> Result<Zeroizing<String>, CryptoError> {
        let path = self.directory.join(format!("{sha256}.key"));
        let sealed = fs::read(&path).map_err(|error| CryptoError::file(&path, error))?;
        let opened = self.kek.decrypt(sha256, &sealed).ok_or_else(|| CryptoError::KeyFile(path.clone()))?;
        let text = std::str::from_utf8(&opened).map_err(|_| CryptoError::KeyFile(path))?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// Takes a recording certificate with its private key (PKCS#8 PEM) in. The key first: a certificate is never offered
    /// before its key is durable.
    pub fn add(&mut self, certificate_pem: &str, key_pem: &str) -> Result<(), CryptoError> {
        let certificate = recipient(certificate_pem.to_owned())
            .ok_or_else(|| CryptoError::NoKey("the certificate cannot be read".to_owned()))?;
        let key = PrivateKey::from_pkcs8_pem(key_pem)?;
        let sealed = self.kek.encrypt(&certificate.sha256, key_pem.as_bytes())?;
        write_secret(&self.directory.join(format!("{}.key", certificate.sha256)), &sealed)?;
        write_secret(
            &self.directory.join(format!("{}.pem", certificate.sha256)),
            certificate_pem.as_bytes(),
        )?;
        self.keys.push(RecordingKey { certificate, key });
        Ok(())
    }

    /// Certificates that new recordings are sealed for: all that have not ended.
    pub fn recipients(&self, now: Timestamp) -> Vec<RecipientCertificate> {
        let certificates = self.keys.iter().map(|key| &key.certificate);
        certificates.filter(|certificate| now < certificate.not_after).cloned().collect()
    }

    /// Every certificate, ended ones too.
    pub fn certificates(&self) -> Vec<RecipientCertificate> {
        self.keys.iter().map(|key| key.certificate.clone()).collect()
    }

    /// The data key in an envelope, by whichever key opens it.
    pub fn unwrap(&self, envelope: &[u8]) -> Result<DataKey, SealError> {
        for key in self.keys.iter().rev() {
            match open_envelope(envelope, &key.key) {
                Err(SealError::WrongKey) => {}
                other => return other,
            }
        }
        Err(SealError::WrongKey)
    }

    /// A private key, PKCS#8 PEM: by the start of its certificate's SHA-256, or the only one.
    pub fn export(&self, sha256_prefix: &str) -> Result<(String, Zeroizing<String>), CryptoError> {
        let mut fitting = self
            .keys
            .iter()
            .map(|key| &key.certificate.sha256)
            .filter(|sha256| sha256.starts_with(sha256_prefix));
        match (fitting.next(), fitting.next()) {
            (Some(sha256), None) => Ok((sha256.clone(), self.read_key(sha256)?)),
            (Some(_), Some(_)) => {
                Err(CryptoError::NoKey("there are several; name one by its certificate".to_owned()))
            }
            (None, _) => Err(CryptoError::NoKey("there is none".to_owned())),
        }
    }
}

fn recipient(pem: String) -> Option<RecipientCertificate> {
    let info = CertificateInfo::from_pem(&pem)?;
    Some(RecipientCertificate { sha256: info.fingerprint(), not_after: info.not_after, certificate: pem })
}
