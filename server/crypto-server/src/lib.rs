//! Keys of the site: keeps the private keys of the recording certificates, unwraps the data key of one recording for who
//! may replay it, re-seals the last segment of a cut recording, and writes an audit record before either.
//!
//! - [`service`]: HTTPS with mutual TLS; only web services and recording processors are heard.
//! - [`keys`]: private keys at rest; [`key_encryption`]: the key over them, and what it does and does not protect.
//! - [`audit`]: the hash-chained log. No record, no key.
//! - [`limit`]: how many data keys one person gets (pure).
//! - [`api`]: the messages; [`client`]: who sends them; [`certificate`]: what a peer's certificate says.
//!
//! Deliberately absent so far: rotation, several custodians, k-of-n unsealing, PKCS#11.

pub mod api;
pub mod audit;
pub mod certificate;
pub mod client;
pub mod config;
pub mod error;
pub mod key_encryption;
pub mod keys;
pub mod limit;
pub mod service;
pub mod tls;

pub use api::{Proof, Purpose, RepairRequest, UnwrapRequest};
pub use client::{ClientError, CryptoClient};
pub use config::Config;
pub use error::CryptoError;
pub use keys::KeyStore;
pub use service::run;
