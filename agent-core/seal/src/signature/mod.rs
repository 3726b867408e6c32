//! Detached CMS SignedData (RFC 5652, 5) without attributes: the signature is over the document's bytes themselves.

mod algorithm;
mod chain;

use crate::SealError;
use algorithm::{Hash, SigningKey};
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo as CmsSignerInfo,
    SignerInfos,
};
use der::asn1::{ObjectIdentifier, OctetString, SetOfVec};
use der::{Any, Decode, Encode};
use spki::AlgorithmIdentifierOwned;
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectKeyIdentifier;

const ID_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ID_SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATIONAL_UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");
/// A signature with a short chain of certificates; more is not ours.
const LARGEST_READ: usize = 64 * 1024;
/// Bounds the search for a chain.
const MOST_CERTIFICATES: usize = 8;

/// Who signed, as the CA certified them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerInfo {
    /// The signer's certificate.
    pub certificate_der: Vec<u8>,
    /// Common name of the subject (a device id); empty when it has none.
    pub common_name: String,
    /// First organizational unit of the subject (the kind of device).
    pub organizational_unit: Option<String>,
}

/// Signs a document. `cert_pem` begins with the signer's certificate; more after it are carried along as its chain.
/// ECDSA with P-256 (SHA-256) or P-384 (SHA-384), or RSA PKCS#1 v1.5 with SHA-256. The result is DER.
pub fn sign_detached(
    document: &[u8],
    signer_key_pkcs8_pem: &str,
    cert_pem: &str,
) -> Result<Vec<u8>, SealError> {
    let key = SigningKey::from_pkcs8_pem(signer_key_pkcs8_pem)?;
    let chain = certificates(cert_pem)?;
    let signer = chain.first().ok_or(SealError::BadCertificate)?;
    let public_key = &signer.tbs_certificate.subject_public_key_info;
    if public_key.subject_public_key.as_bytes() != Some(key.public_key()) {
        return Err(SealError::BadPrivateKey("not the key of the signer's certificate"));
    }
    let signature = key.sign(document)?;
    assemble(&key, signer.clone(), chain, signature)
        .map_err(|_| SealError::Crypto("a signature could not be encoded"))
}

fn assemble(
    key: &SigningKey,
    signer: Certificate,
    chain: Vec<Certificate>,
    signature: Vec<u8>,
) -> der::Result<Vec<u8>> {
    let digest_alg = AlgorithmIdentifierOwned { oid: key.hash().oid(), parameters: None };
    let tbs = signer.tbs_certificate;
    let sid = IssuerAndSerialNumber { issuer: tbs.issuer, serial_number: tbs.serial_number };
    let signer_info = CmsSignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(sid),
        digest_alg: digest_alg.clone(),
        signed_attrs: None,
        signature_algorithm: key.algorithm()?,
        signature: OctetString::new(signature)?,
        unsigned_attrs: None,
    };
    let certificates: Vec<_> = chain.into_iter().map(CertificateChoices::Certificate).collect();
    let data = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::try_from(vec![digest_alg])?,
        encap_content_info: EncapsulatedContentInfo { econtent_type: ID_DATA, econtent: None },
        certificates: Some(CertificateSet(SetOfVec::try_from(certificates)?)),
        crls: None,
        signer_infos: SignerInfos(SetOfVec::try_from(vec![signer_info])?),
    };
    ContentInfo { content_type: ID_SIGNED_DATA, content: Any::encode_from(&data)? }.to_der()
}

/// Checks that `signature` is over `document`, by a certificate that leads to one in `ca_pem`, all valid `at`
/// (Unix seconds). Attributes are refused: a signature over attributes could otherwise pass for one over a document.
pub fn verify_detached(
    document: &[u8],
    signature: &[u8],
    ca_pem: &str,
    at: u64,
) -> Result<SignerInfo, SealError> {
    let anchors = certificates(ca_pem)?;
    let (info, carried) = read(signature)?;
    let signer = carried.iter().find(|certificate| is_named(certificate, &info.sid));
    let signer = signer.ok_or(SealError::MalformedSignature("the signer's certificate is missing"))?;
    let hash = Hash::of_digest(&info.digest_alg);
    let hash = hash.ok_or(SealError::MalformedSignature("unknown digest algorithm"))?;
    algorithm::verify(
        &signer.tbs_certificate.subject_public_key_info,
        &info.signature_algorithm,
        Some(hash),
        document,
        info.signature.as_bytes(),
    )
    .ok_or(SealError::SignatureMismatch)?;
    chain::check(signer, &carried, &anchors, at)?;
    describe(signer)
}

fn read(signature: &[u8]) -> Result<(CmsSignerInfo, Vec<Certificate>), SealError> {
    let bad = SealError::MalformedSignature;
    if signature.len() > LARGEST_READ {
        return Err(bad("too large"));
    }
    let content = ContentInfo::from_der(signature).map_err(|_| bad("not a CMS object"))?;
    if content.content_type != ID_SIGNED_DATA {
        return Err(bad("not SignedData"));
    }
    let data: SignedData = content.content.decode_as().map_err(|_| bad("not SignedData"))?;
    if data.encap_content_info.econtent.is_some() || data.encap_content_info.econtent_type != ID_DATA {
        return Err(bad("not detached data"));
    }
    let [info] = data.signer_infos.0.as_slice() else { return Err(bad("not exactly one signer")) };
    if info.signed_attrs.is_some() || info.unsigned_attrs.is_some() {
        return Err(bad("attributes"));
    }
    let carried = data.certificates.map(|set| set.0.into_vec()).unwrap_or_default();
    if carried.len() > MOST_CERTIFICATES {
        return Err(bad("too many certificates"));
    }
    let x509 = |choice| match choice {
        CertificateChoices::Certificate(certificate) => Some(certificate),
        CertificateChoices::Other(_) => None,
    };
    Ok((info.clone(), carried.into_iter().filter_map(x509).collect()))
}

fn is_named(certificate: &Certificate, sid: &SignerIdentifier) -> bool {
    let tbs = &certificate.tbs_certificate;
    match sid {
        SignerIdentifier::IssuerAndSerialNumber(id) => {
            tbs.issuer == id.issuer && tbs.serial_number == id.serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => {
            tbs.get::<SubjectKeyIdentifier>().is_ok_and(|found| found.is_some_and(|(_, found)| found == *id))
        }
    }
}

fn certificates(pem: &str) -> Result<Vec<Certificate>, SealError> {
    Certificate::load_pem_chain(pem.trim_start().as_bytes()).map_err(|_| SealError::BadCertificate)
}

fn describe(signer: &Certificate) -> Result<SignerInfo, SealError> {
    let attribute = |oid| {
        let mut attributes = signer.tbs_certificate.subject.0.iter().flat_map(|name| name.0.iter());
        let value = attributes.find(|attribute| attribute.oid == oid)?.value.value();
        std::str::from_utf8(value).ok().map(str::to_owned)
    };
    Ok(SignerInfo {
        certificate_der: signer.to_der().map_err(|_| SealError::BadCertificate)?,
        common_name: attribute(COMMON_NAME).unwrap_or_default(),
        organizational_unit: attribute(ORGANIZATIONAL_UNIT),
    })
}
