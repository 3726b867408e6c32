//! Detached signatures: made and checked by us and by OpenSSL, and every way of not trusting one.

use crate::pki::{PKI, Party, bytes, openssl, self_signed, try_openssl};
use hindsight_seal::*;
use std::path::Path;
use std::time::SystemTime;

const DOCUMENT: &[u8] = br#"{"version":1,"recording":"0198c0de-0000-7000-8000-000000000001"}"#;
const P256: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// Issues a certificate with `extensions` by `issuer`.
fn issue(dir: &Path, name: &str, subject: &str, kind: &[&str], extensions: &str, issuer: &Party) -> Party {
    let party = Party { certificate: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) };
    let request = dir.join(format!("{name}.csr"));
    let (request, key) = (request.to_str().unwrap(), party.key.to_str().unwrap());
    let mut arguments = vec!["req", "-new", "-nodes", "-subj", subject, "-out", request, "-keyout", key];
    arguments.extend(kind);
    openssl(&arguments, None);
    let config = dir.join(format!("{name}.ext"));
    std::fs::write(&config, extensions).unwrap();
    let by = (issuer.certificate.to_str().unwrap(), issuer.key.to_str().unwrap());
    let out = party.certificate.to_str().unwrap();
    let mut arguments = vec!["x509", "-req", "-in", request, "-CA", by.0, "-CAkey", by.1, "-days", "30"];
    arguments.extend(["-out", out, "-CAcreateserial", "-extfile", config.to_str().unwrap()]);
    openssl(&arguments, None);
    party
}

fn ca(dir: &Path, name: &str) -> Party {
    self_signed(dir, name, &P256)
}

const DEVICE: &str = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n";
const SUBJECT: &str = "/OU=media-server/CN=0198c0de-1111-7000-8000-000000000009";

/// Some signature by some key.
pub fn sign(document: &[u8]) -> Vec<u8> {
    sign_detached(document, &PKI.p256.key_pem(), &PKI.p256.certificate_pem()).unwrap()
}

fn openssl_verifies(dir: &Path, document: &[u8], signature: &[u8], ca: &Party) -> bool {
    let (content, sig) = (dir.join("document"), dir.join("signature"));
    std::fs::write(&content, document).unwrap();
    std::fs::write(&sig, signature).unwrap();
    let (content, sig) = (content.to_str().unwrap(), sig.to_str().unwrap());
    let mut arguments = vec!["cms", "-verify", "-binary", "-inform", "DER", "-in", sig, "-content", content];
    arguments.extend(["-CAfile", ca.certificate.to_str().unwrap(), "-out", "/dev/null"]);
    try_openssl(&arguments, None).status.success()
}

#[test]
fn what_we_sign_we_and_openssl_verify_with_each_kind_of_key() {
    let dir = tempfile::tempdir().unwrap();
    let ca = ca(dir.path(), "ca");
    let p384 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
    for (name, kind) in [("p256", &P256[..]), ("p384", &p384), ("rsa", &["-newkey", "rsa:2048"])] {
        let signer = issue(dir.path(), name, SUBJECT, kind, DEVICE, &ca);
        let signature = sign_detached(DOCUMENT, &signer.key_pem(), &signer.certificate_pem()).unwrap();
        let who = verify_detached(DOCUMENT, &signature, &ca.certificate_pem(), now()).unwrap();
        assert_eq!(who.common_name, "0198c0de-1111-7000-8000-000000000009");
        assert_eq!(who.organizational_unit.as_deref(), Some("media-server"));
        assert_eq!(
            Recipient::from_der(&who.certificate_der).err(),
            Recipient::from_pem(&signer.certificate_pem()).err()
        );
        assert!(openssl_verifies(dir.path(), DOCUMENT, &signature, &ca), "{name}");
        assert!(!openssl_verifies(dir.path(), b"other", &signature, &ca), "{name}");
    }
}

#[test]
fn what_openssl_signs_without_attributes_we_verify_and_with_attributes_we_refuse() {
    let dir = tempfile::tempdir().unwrap();
    let ca = ca(dir.path(), "ca");
    let document = dir.path().join("document");
    std::fs::write(&document, DOCUMENT).unwrap();
    for (name, kind) in [("p256", &P256[..]), ("rsa", &["-newkey", "rsa:2048"])] {
        let signer = issue(dir.path(), name, SUBJECT, kind, DEVICE, &ca);
        let (certificate, key) = (signer.certificate.to_str().unwrap(), signer.key.to_str().unwrap());
        let mut arguments = vec!["cms", "-sign", "-binary", "-outform", "DER", "-md", "sha256"];
        arguments.extend(["-signer", certificate, "-inkey", key, "-in", document.to_str().unwrap()]);
        let with_attributes = openssl(&arguments, None);
        arguments.push("-noattr");
        let without = openssl(&arguments, None);
        arguments.push("-keyid");
        let by_key_id = openssl(&arguments, None);
        let verify = |signature: &[u8]| verify_detached(DOCUMENT, signature, &ca.certificate_pem(), now());
        verify(&without).unwrap();
        verify(&by_key_id).unwrap();
        assert_eq!(verify(&with_attributes), Err(SealError::MalformedSignature("attributes")));
        arguments.push("-nodetach");
        let attached = openssl(&arguments, None);
        assert!(matches!(verify(&attached), Err(SealError::MalformedSignature(_))));
    }
}

#[test]
fn no_changed_byte_of_document_or_signature_is_accepted_as_another_signer_or_document() {
    let dir = tempfile::tempdir().unwrap();
    let ca = ca(dir.path(), "ca");
    let signer = issue(dir.path(), "device", SUBJECT, &P256, DEVICE, &ca);
    let ca_pem = ca.certificate_pem();
    let signature = sign_detached(DOCUMENT, &signer.key_pem(), &signer.certificate_pem()).unwrap();
    let honest = verify_detached(DOCUMENT, &signature, &ca_pem, now()).unwrap();
    for at in 0..DOCUMENT.len() {
        let mut document = DOCUMENT.to_vec();
        document[at] ^= 1;
        let refusal = verify_detached(&document, &signature, &ca_pem, now());
        assert_eq!(refusal, Err(SealError::SignatureMismatch));
    }
    for at in 0..signature.len() {
        for bit in [1, 0x80] {
            let mut changed = signature.clone();
            changed[at] ^= bit;
            // Version numbers and unused digest lists are not signed; whoever is named must still be the same.
            if let Ok(who) = verify_detached(DOCUMENT, &changed, &ca_pem, now()) {
                assert_eq!(who, honest, "byte {at}");
            }
        }
        assert!(verify_detached(DOCUMENT, &signature[..at], &ca_pem, now()).is_err());
    }
}

#[test]
fn signers_that_do_not_lead_to_the_ca_or_not_at_that_time_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (ours, theirs) = (ca(dir, "ours"), ca(dir, "theirs"));
    let sign =
        |signer: &Party| sign_detached(DOCUMENT, &signer.key_pem(), &signer.certificate_pem()).unwrap();
    let verify = |signature: &[u8], at| verify_detached(DOCUMENT, signature, &ours.certificate_pem(), at);
    let untrusted = |signature: &[u8]| {
        let refusal = verify(signature, now());
        assert!(matches!(refusal, Err(SealError::UntrustedSigner(_))), "{refusal:?}");
    };

    let device = issue(dir, "device", SUBJECT, &P256, DEVICE, &ours);
    verify(&sign(&device), now()).unwrap();
    let day = 24 * 3600;
    assert_eq!(verify(&sign(&device), now() - day), Err(SealError::CertificateNotValidThen));
    assert_eq!(verify(&sign(&device), now() + 40 * day), Err(SealError::CertificateNotValidThen));

    untrusted(&sign(&issue(dir, "foreign", SUBJECT, &P256, DEVICE, &theirs)));
    untrusted(&sign(&self_signed(dir, "self", &P256)));
    untrusted(&sign(&issue(dir, "encryptor", SUBJECT, &P256, "keyUsage=keyAgreement\n", &ours)));
    let critical = format!("{DEVICE}1.2.3.4=critical,DER:0500\n");
    untrusted(&sign(&issue(dir, "critical", SUBJECT, &P256, &critical, &ours)));

    // An end-entity certificate is no issuer, even with the CA's name: same subject, other key.
    let impostor =
        self_signed(dir, "ours-impostor", &[&P256[..], &["-subj", "/O=Hindsight tests/CN=ours"]].concat());
    untrusted(&sign(&issue(dir, "by-impostor", SUBJECT, &P256, DEVICE, &impostor)));
    let below = issue(dir, "below-device", SUBJECT, &P256, DEVICE, &device);
    let chain = format!("{}{}", below.certificate_pem(), device.certificate_pem());
    untrusted(&sign_detached(DOCUMENT, &below.key_pem(), &chain).unwrap());
}

#[test]
fn an_intermediate_ca_carried_along_is_followed_within_its_path_length() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let root = ca(dir, "root");
    let extensions = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n";
    let first = issue(dir, "first", "/CN=first", &P256, extensions, &root);
    let device = issue(dir, "device", SUBJECT, &P256, DEVICE, &first);
    let chain = format!("{}{}", device.certificate_pem(), first.certificate_pem());
    let signature = sign_detached(DOCUMENT, &device.key_pem(), &chain).unwrap();
    verify_detached(DOCUMENT, &signature, &root.certificate_pem(), now()).unwrap();
    assert!(openssl_verifies(dir, DOCUMENT, &signature, &root));
    let alone = sign_detached(DOCUMENT, &device.key_pem(), &device.certificate_pem()).unwrap();
    assert!(verify_detached(DOCUMENT, &alone, &root.certificate_pem(), now()).is_err());

    let second = issue(dir, "second", "/CN=second", &P256, extensions, &first);
    let deep = issue(dir, "deep", SUBJECT, &P256, DEVICE, &second);
    let chain = [&deep, &second, &first].map(Party::certificate_pem).concat();
    let signature = sign_detached(DOCUMENT, &deep.key_pem(), &chain).unwrap();
    let refusal = verify_detached(DOCUMENT, &signature, &root.certificate_pem(), now());
    assert!(matches!(refusal, Err(SealError::UntrustedSigner(_))), "{refusal:?}");
}

#[test]
fn a_key_that_is_not_the_certificates_does_not_sign() {
    let refusal = sign_detached(DOCUMENT, &PKI.p256_other.key_pem(), &PKI.p256.certificate_pem());
    assert!(matches!(refusal, Err(SealError::BadPrivateKey(_))));
    assert!(sign_detached(DOCUMENT, "", &PKI.p256.certificate_pem()).is_err());
    assert!(sign_detached(DOCUMENT, &PKI.p256.key_pem(), "").is_err());
}

#[test]
fn documents_of_any_size_are_signed_as_they_are() {
    for len in [0, 1, 100_000] {
        let signature = sign(&bytes(len));
        let refusal = verify_detached(&bytes(len), &signature, &PKI.p256.certificate_pem(), now());
        // Self-signed by a CA certificate: trusted because it is the anchor itself.
        assert!(refusal.is_ok(), "{refusal:?}");
    }
}
