//! Why something could not be sealed, opened or trusted.

/// The reason of a refusal. Variants are grouped by whose fault it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    // Configuration.
    /// The certificate cannot be a recipient.
    #[error("the certificate cannot be a recipient: {0}")]
    BadRecipient(&'static str),
    /// Sealing to nobody.
    #[error("a recording needs at least one recipient")]
    NoRecipients,
    /// The largest envelope (8192 bytes) does not hold them.
    #[error("the recipients do not fit an envelope of 8192 bytes")]
    TooManyRecipients,
    /// Not an unencrypted PKCS#8 key of RSA (2048 bits or more), P-256 or P-384.
    #[error("the private key cannot be used: {0}")]
    BadPrivateKey(&'static str),
    /// The certificate of a signer or of a CA cannot be read.
    #[error("the certificate cannot be read")]
    BadCertificate,

    // Envelope.
    /// Not the ASN.1 that CMS prescribes.
    #[error("the envelope is malformed: {0}")]
    MalformedEnvelope(&'static str),
    /// Another CMS type, such as EnvelopedData (CBC): accepting it would offer a padding oracle.
    #[error("the envelope is not AuthEnvelopedData; unauthenticated encryption is refused")]
    NotAuthEnveloped,
    /// Authenticated, but not by what this format uses.
    #[error("the envelope uses an algorithm outside the format: {0}")]
    UnsupportedAlgorithm(&'static str),
    /// A shortened authentication tag.
    #[error("the envelope's authentication tag is not 16 bytes")]
    BadIcvLen,
    /// No recipient's wrapped key opens with this private key. (A changed byte inside that wrapped key looks the
    /// same; [`crate::recipients`] tells whether the certificate is among those named.)
    #[error("no recipient of the envelope opens with this private key")]
    WrongKey,
    /// The private key is a recipient's, but the content was changed.
    #[error("the envelope is damaged: its content does not authenticate")]
    EnvelopeDamaged,
    /// Opened, but what is inside is not a usable Tink keyset.
    #[error("the keyset in the envelope is unusable: {0}")]
    BadKeyset(&'static str),

    // Payload.
    /// Shorter than a stream header and one tag, or the header's first byte is not 40.
    #[error("the payload does not begin with a stream header and a segment")]
    MalformedPayload,
    /// Envelope and payload belong together, and to another recording than the one asked for.
    #[error("the sealed file belongs to another recording")]
    ForeignRecording,
    /// The envelope was made neither for this recording nor for this payload.
    #[error("the envelope was swapped: it belongs to another recording and another payload")]
    EnvelopeSwapped,
    /// The envelope is this recording's, the payload (or its header) is not the one it was made for.
    #[error("the key does not match the payload: payload swapped or its header damaged")]
    KeyDoesNotMatchPayload,
    /// This segment, and not all of them, was changed.
    #[error("segment {segment} is damaged")]
    SegmentDamaged {
        /// Counted from 0.
        segment: u32,
    },
    /// Key, recording and header belong together, and no segment authenticates.
    #[error("every segment is damaged")]
    EverySegmentDamaged,
    /// Whole segments are missing at the end: the last one present is authentic, without the final flag.
    #[error("the payload is cut: segment {last_present} is not the final one")]
    Truncated {
        /// The last segment that is there.
        last_present: u32,
    },
    /// The last, partial segment does not authenticate: cut within it, or changed. A manifest's `payloadSize`
    /// tells which.
    #[error("the payload's tail is cut or damaged within segment {segment}")]
    TailDamaged {
        /// The partial segment.
        segment: u32,
    },
    /// The final segment is not at the end.
    #[error("bytes follow the final segment {final_segment}")]
    TrailingBytes {
        /// The one with the final flag.
        final_segment: u32,
    },

    // Use of this crate.
    /// A segment was asked for before the last one proved the length.
    #[error("the last segment must be opened first: its flag proves the length")]
    LengthNotProven,
    /// The bytes given are not as many as this range or segment has.
    #[error("{given} bytes given where {expected} are needed")]
    WrongLength {
        /// How many there should be.
        expected: u64,
        /// How many there were.
        given: u64,
    },
    /// Past the end of the plaintext, or a segment that does not exist.
    #[error("the range lies outside the recording")]
    OutOfRange,
    /// 2^32 segments (16 TiB).
    #[error("the recording has reached the largest size of the format")]
    TooLong,

    // Signatures.
    /// Not a detached CMS SignedData with one signer and no attributes.
    #[error("the signature is malformed: {0}")]
    MalformedSignature(&'static str),
    /// The document or the signature was changed.
    #[error("the signature does not match the document")]
    SignatureMismatch,
    /// The signer's certificate does not lead to the CA.
    #[error("the signer is not trusted: {0}")]
    UntrustedSigner(&'static str),
    /// At the time in question a certificate was not yet, or no longer, valid.
    #[error("a certificate of the signer is not valid at that time")]
    CertificateNotValidThen,

    // The machine.
    /// The library refused something that cannot be refused: no randomness, no memory.
    #[error("a cryptographic operation failed: {0}")]
    Crypto(&'static str),
}
