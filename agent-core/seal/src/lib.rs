//! The sealed recording: a CMS envelope (RFC 5083) that carries a Tink keyset, followed by a Tink AES-GCM-HKDF
//! stream. Bytes in, bytes out: no files, sockets or clock; every function may be called from any thread.
//!
//! ```text
//! 0      envelope   ContentInfo { AuthEnvelopedData }, exactly 4096 bytes; 8192 when the recipients need it
//! P      payload    28 | salt 32 | nonce prefix 7 | segment 0 … segment n     (segment k ends at P + (k+1)·4096)
//! ```
//!
//! | file | what |
//! |---|---|
//! | `layout` | where things are: sizes, segments, split, join, trim |
//! | `keyset` | [`DataKey`]: the Tink keyset of one recording |
//! | `cipher` | the key stream derived from it; the only place that encrypts or decrypts payload |
//! | `sealer` | [`Sealer`]: append-only writer |
//! | `opener` | [`Opener`]: random access; `verifier`: [`Verifier`], [`open_all`] |
//! | `repair` | [`reseal_last`]: gives a cut payload its final flag |
//! | `padding` | MP4 `free` and EBML Void of an exact size |
//! | `envelope` | recipients, private keys, wrapping and unwrapping of the keyset |
//! | `signature` | detached CMS SignedData without attributes |
//!
//! Deliberately absent: writing or accepting CMS attributes, CBC, RSA PKCS#1 v1.5 key transport, segment sizes
//! other than 4 KiB, resuming a stream. A writer that restarts begins a new recording with a new key.

mod cipher;
mod envelope;
mod error;
mod keyset;
mod layout;
mod opener;
mod padding;
mod repair;
mod sealer;
mod signature;
mod verifier;

pub use envelope::{PrivateKey, Recipient, RecipientId, open_envelope, recipients, rewrap, seal_envelope};
pub use error::SealError;
pub use keyset::DataKey;
pub use layout::{
    ENVELOPE_SIZES, HEADER_LEN, PayloadShape, SEGMENT_LEN, TAG_LEN, envelope_len, join, split, trim_len,
};
pub use opener::Opener;
pub use padding::{MIN_FREE_BOX, MIN_VOID, ebml_void, mp4_free_box, pad_to_release};
pub use repair::reseal_last;
pub use sealer::Sealer;
pub use signature::{SignerInfo, sign_detached, verify_detached};
pub use verifier::{Verified, Verifier, open_all, verify};
