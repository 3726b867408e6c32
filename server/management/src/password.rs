//! Passwords of persons: Argon2id with the library's parameters (19 MiB, two passes), kept as a PHC string.

use crate::ManagementError;
use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier, password_hash::SaltString};
use ring::rand::{SecureRandom, SystemRandom};

/// Shortest password (NIST SP 800-63B 5.1.1).
pub const MIN_LENGTH: usize = 8;
/// Longest password, bytes: hashing it must stay cheap.
pub const MAX_LENGTH: usize = 256;

/// Digits of a one-time password: letters and numbers that are not taken for one another.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnopqrstuvwxyz2345678";

/// Hashes a password. Takes some 20 ms of a core: not on an async thread.
pub fn hash(password: &str) -> Result<String, ManagementError> {
    let mut random = [0_u8; 16];
    SystemRandom::new().fill(&mut random).expect("the operating system gives random bytes");
    let failed = |error: argon2::password_hash::Error| ManagementError::Password(error.to_string());
    let salt = SaltString::encode_b64(&random).map_err(failed)?;
    Ok(Argon2::default().hash_password(password.as_bytes(), &salt).map_err(failed)?.to_string())
}

/// Whether this is the password of the hash. Takes as long as [`hash`].
pub fn verify(password: &str, hash: &str) -> bool {
    password.len() <= MAX_LENGTH
        && PasswordHash::new(hash)
            .is_ok_and(|parsed| Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok())
}

/// Why a new password will not do; `None` when it will.
pub fn refusal(password: &str) -> Option<&'static str> {
    if password.chars().count() < MIN_LENGTH {
        Some("a password has at least 8 characters")
    } else if password.len() > MAX_LENGTH {
        Some("a password has at most 256 bytes")
    } else {
        None
    }
}

/// A one-time password to print once: `xxxxx-xxxxx-xxxxx`, 75 random bits.
pub fn one_time() -> String {
    let mut random = [0_u8; 15];
    SystemRandom::new().fill(&mut random).expect("the operating system gives random bytes");
    let letters: Vec<char> = random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    letters.chunks(5).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_verifies_against_its_own_hash_only() {
        let kept = hash("correct horse").unwrap();
        assert!(kept.starts_with("$argon2id$"));
        assert!(verify("correct horse", &kept));
        assert!(!verify("correct horsf", &kept));
        assert!(!verify("correct horse", "no hash at all"));
    }

    #[test]
    fn one_time_passwords_differ_and_are_long_enough() {
        let (one, two) = (one_time(), one_time());
        assert_ne!(one, two);
        assert_eq!(one.len(), 17);
        assert_eq!(refusal(&one), None);
    }
}
