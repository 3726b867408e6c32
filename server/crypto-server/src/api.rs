//! Messages to the crypto server: JSON over HTTPS, binary fields in base64.

use hindsight_wire::{RecordingId, Timestamp};
use serde::{Deserialize, Serialize};

/// Path of [`UnwrapRequest`] → [`Unwrapped`].
pub const UNWRAP_PATH: &str = "/unwrap";
/// Path of [`RepairRequest`] → [`Repaired`].
pub const REPAIR_PATH: &str = "/repair";
/// Path of → [`Certificates`].
pub const CERTIFICATES_PATH: &str = "/certificates";

/// What a data key is wanted for; kept in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// A person replays the recording.
    Play,
    /// A person takes the recording out.
    Export,
    /// The recording processor rebuilds the index of a recovered recording.
    Index,
    /// The recording is checked from first to last segment.
    Verify,
}

/// Shows that envelope, recording id and payload belong together: the last segment opens with the envelope's key and the
/// id as associated data. So the audit log cannot name another recording than the one whose key is given out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proof {
    /// The payload's first 40 bytes.
    #[serde(with = "base64_bytes")]
    pub header: Vec<u8>,
    /// Bytes of the payload.
    pub payload_size: u64,
    /// The payload's last segment (`hindsight_seal::Opener::last_segment` says which bytes).
    #[serde(with = "base64_bytes")]
    pub last_segment: Vec<u8>,
}

/// Asks for the data key of one recording.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnwrapRequest {
    /// Which.
    pub recording: RecordingId,
    /// Its envelope.
    #[serde(with = "base64_bytes")]
    pub envelope: Vec<u8>,
    /// That they belong together.
    pub proof: Proof,
    /// What for.
    pub purpose: Purpose,
    /// For whom: a login, or the name of a component.
    pub actor: String,
}

/// Answer to [`UnwrapRequest`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unwrapped {
    /// Tink keyset, JSON. Secret.
    pub keyset: String,
}

impl Drop for Unwrapped {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.keyset);
    }
}

/// Asks for the last whole segment of a cut payload to be sealed again as the final one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RepairRequest {
    /// Which.
    pub recording: RecordingId,
    /// Its envelope.
    #[serde(with = "base64_bytes")]
    pub envelope: Vec<u8>,
    /// The cut payload, trimmed to whole segments: its header, size and last segment.
    pub payload: Proof,
    /// For whom: the name of a component.
    pub actor: String,
}

/// Answer to [`RepairRequest`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Repaired {
    /// Takes the place of the last segment; as long as it.
    #[serde(with = "base64_bytes")]
    pub last_segment: Vec<u8>,
}

/// The recipients of new recordings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Certificates {
    /// Valid ones.
    pub recipients: Vec<RecipientCertificate>,
}

/// A recording certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecipientCertificate {
    /// PEM.
    pub certificate: String,
    /// SHA-256 of the DER, lower-case hexadecimal: the name of the key.
    pub sha256: String,
    /// Its end.
    pub not_after: Timestamp,
}

/// Body of every refusal: `{"error":{"code","message"}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why.
    pub error: RefusalDetail,
}

/// In a [`Refusal`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalDetail {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
}

mod base64_bytes {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)
    }
}
