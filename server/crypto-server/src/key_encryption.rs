//! The key-encryption key (KEK): recording keys lie on disk under AES-256-GCM with it.
//!
//! It comes from, in this order: the environment variable [`KEK_VARIABLE`] (64 hexadecimal digits), the systemd credential
//! [`KEK_CREDENTIAL`], the file [`KEK_FILE`] in the crypto server's directory (mode 0600; made by `init`).
//!
//! What this protects: backups and copies of the `keys` folder without the KEK. What it does not: the host itself. Whoever
//! is root on it, or the server's own user, reads both (a KEK file lies beside the keys; a credential keeps it off the
//! disk, not out of memory). An HSM (PKCS#11) or unsealing by several custodians is needed for more, and not here yet.

use crate::CryptoError;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Environment variable.
pub const KEK_VARIABLE: &str = "HINDSIGHT_KEY_ENCRYPTION_KEY";
/// Name of the systemd credential (`LoadCredential=`).
pub const KEK_CREDENTIAL: &str = "hindsight-key-encryption-key";
/// File in the crypto server's directory.
pub const KEK_FILE: &str = "key-encryption.key";

/// The key-encryption key. Never printed.
pub struct KeyEncryptionKey(LessSafeKey);

impl KeyEncryptionKey {
    /// Finds the key.
    pub fn load(directory: &Path) -> Result<Self, CryptoError> {
        match outside()? {
            Some(text) => Self::from_hex(&text),
            None => Self::from_file(&directory.join(KEK_FILE)),
        }
    }

    /// Finds the key, or makes the file with a new one.
    pub fn load_or_create(directory: &Path) -> Result<Self, CryptoError> {
        let path = directory.join(KEK_FILE);
        if outside()?.is_none() && !path.exists() {
            let mut random = Zeroizing::new([0_u8; 32]);
            let no_random = |_| CryptoError::KeyEncryptionKey("the system gives no random bytes".to_owned());
            SystemRandom::new().fill(&mut *random).map_err(no_random)?;
            let text = Zeroizing::new(hex::encode(*random));
            write_secret(&path, text.as_bytes())?;
        }
        Self::load(directory)
    }

    fn from_file(path: &Path) -> Result<Self, CryptoError> {
        let mode = fs::metadata(path).map_err(|error| CryptoError::file(path, error))?.permissions().mode();
        if mode & 0o077 != 0 {
            let why =
                format!("{}: others may read it (mode {:o}); it must be 0600", path.display(), mode & 0o777);
            return Err(CryptoError::KeyEncryptionKey(why));
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| CryptoError::file(path, error))?);
        Self::from_hex(&text)
    }

    fn from_hex(text: &str) -> Result<Self, CryptoError> {
        let wrong = || CryptoError::KeyEncryptionKey("64 hexadecimal digits are expected".to_owned());
        let mut bytes = Zeroizing::new([0_u8; 32]);
        hex::decode_to_slice(text.trim(), &mut *bytes).map_err(|_| wrong())?;
        Ok(Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*bytes).map_err(|_| wrong())?)))
    }

    /// Encrypts a key file's contents; `name` is bound to it.
    pub(crate) fn encrypt(&self, name: &str, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let failed = |_| CryptoError::KeyEncryptionKey("encryption failed".to_owned());
        let mut nonce = [0_u8; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(failed)?;
        let mut sealed = plaintext.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name.as_bytes()),
                &mut sealed,
            )
            .map_err(failed)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Decrypts a key file's contents.
    pub(crate) fn decrypt(&self, name: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut rest = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.0.open_in_place(nonce, Aad::from(name.as_bytes()), &mut rest).ok()?.len();
        rest.truncate(length);
        Some(rest)
    }
}

/// A key given by the environment or by systemd.
fn outside() -> Result<Option<Zeroizing<String>>, CryptoError> {
    if let Ok(text) = std::env::var(KEK_VARIABLE) {
        return Ok(Some(Zeroizing::new(text)));
    }
    let Some(directory) = std::env::var_os("CREDENTIALS_DIRECTORY") else { return Ok(None) };
    let path = PathBuf::from(directory).join(KEK_CREDENTIAL);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CryptoError::file(&path, error)),
    }
}

/// Writes a new file that only its owner reads, durably.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), CryptoError> {
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            path.parent().map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
        });
    written.map_err(|error| CryptoError::file(path, error))
}
