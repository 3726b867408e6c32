//! `openssl cms` opens our envelopes and writes ones that we open.

use crate::pki::{PKI, Party, openssl, try_openssl};
use crate::stream::seal;
use hindsight_seal::*;

/// The keyset, as a site without us would get it.
pub fn decrypt(sealed: &[u8], party: &Party) -> Vec<u8> {
    let key = party.key.to_str().unwrap();
    openssl(&["cms", "-decrypt", "-binary", "-inform", "DER", "-inkey", key], Some(sealed))
}

/// An envelope by OpenSSL around `content`.
pub fn encrypt(content: &[u8], party: &Party, options: &[&str]) -> Vec<u8> {
    let certificate = party.certificate.to_str().unwrap();
    let mut arguments = vec!["cms", "-encrypt", "-binary", "-outform", "DER"];
    arguments.extend(options);
    arguments.extend(["-recip", certificate]);
    if let Some(at) = options.iter().position(|option| *option == "-keyopt") {
        // -keyopt belongs after its -recip.
        let moved: Vec<&str> = options[at..].to_vec();
        arguments.retain(|argument| !moved.contains(argument));
        arguments.extend(moved);
    }
    openssl(&arguments, Some(content))
}

const OAEP: [&str; 6] =
    ["-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256", "-keyopt", "rsa_mgf1_md:sha256"];

#[test]
fn openssl_opens_our_envelope_for_each_kind_of_recipient() {
    let file = seal(b"x", &[PKI.p256.recipient()]);
    let json = open_envelope(&file[..4096], &PKI.p256.private_key()).unwrap().to_json();
    for party in [&PKI.rsa2048, &PKI.rsa3072, &PKI.p256, &PKI.p384] {
        let envelope = rewrap(&file[..4096], &PKI.p256.private_key(), &[party.recipient()]).unwrap();
        assert_eq!(envelope.len(), 4096);
        assert_eq!(envelope[..4], [0x30, 0x82, 0x0f, 0xfc]);
        let opened = String::from_utf8(decrypt(&envelope, party)).unwrap();
        assert_eq!(opened.trim_end_matches(' '), &**json);
        assert_eq!(open_envelope(&envelope, &party.private_key()).unwrap().to_json(), json);
    }
}

#[test]
fn openssl_opens_a_whole_sealed_file_and_finds_its_recipient_by_certificate() {
    let parties = [&PKI.rsa3072, &PKI.p256, &PKI.p384, &PKI.rsa2048, &PKI.p256_other];
    let file = seal(&[1; 9000], &parties.map(Party::recipient));
    for party in parties {
        let (key, certificate) = (party.key.to_str().unwrap(), party.certificate.to_str().unwrap());
        let arguments =
            ["cms", "-decrypt", "-binary", "-inform", "DER", "-inkey", key, "-recip", certificate];
        let json = openssl(&arguments, Some(&file));
        assert_eq!(decrypt(&file, party), json);
        let ours = open_envelope(&file[..4096], &party.private_key()).unwrap().to_json();
        assert_eq!(String::from_utf8(json).unwrap().trim_end(), ours.as_str());
        assert!(recipients(&file[..4096]).unwrap().contains(&party.recipient().id()));
    }
    assert_eq!(recipients(&file[..4096]).unwrap().len(), 5);
}

#[test]
fn openssl_says_that_the_object_is_what_the_format_says() {
    let file = seal(b"", &[PKI.rsa3072.recipient(), PKI.p256.recipient(), PKI.p384.recipient()]);
    let printed = openssl(&["cms", "-cmsout", "-print", "-inform", "DER"], Some(&file));
    let words: Vec<_> = std::str::from_utf8(&printed).unwrap().split_whitespace().collect();
    let printed = words.join(" ");
    for wanted in [
        "id-smime-ct-authEnvelopedData",
        "rsaesOaep",
        "dhSinglePass-stdDH-sha256kdf-scheme",
        "dhSinglePass-stdDH-sha384kdf-scheme",
        "aes-256-gcm",
        "authAttrs: <ABSENT>",
        "unauthAttrs: <ABSENT>",
    ] {
        assert!(printed.contains(wanted), "{wanted} is missing");
    }
}

#[test]
fn envelopes_by_openssl_open_here_der_and_streamed_ber() {
    let file = seal(b"x", &[PKI.p256.recipient()]);
    let json = open_envelope(&file[..4096], &PKI.p256.private_key()).unwrap().to_json();
    // Streamed BER comes in pieces when the content is larger than a buffer.
    let long = format!("{}{}", &*json, " ".repeat(20_000));
    let sha256 = ["-keyopt", "ecdh_kdf_md:sha256"];
    let sha384 = ["-keyopt", "ecdh_kdf_md:sha384"];
    let cases: [(&Party, &[&str]); 8] = [
        (&PKI.rsa2048, &OAEP),
        (&PKI.rsa3072, &OAEP),
        (&PKI.p256, &sha256),
        (&PKI.p256, &[]),
        (&PKI.p384, &sha384),
        (&PKI.p384, &sha256),
        (&PKI.p384, &[]),
        (&PKI.p256, &["-keyid"]),
    ];
    for (party, options) in cases {
        for content in [json.as_str(), &long] {
            for stream in [&[][..], &["-stream"][..]] {
                let all: Vec<&str> = ["-aes-256-gcm"].iter().chain(stream).chain(options).copied().collect();
                let envelope = encrypt(content.as_bytes(), party, &all);
                let opened = open_envelope(&envelope, &party.private_key());
                let opened = opened.unwrap_or_else(|error| panic!("{all:?}: {error}"));
                assert_eq!(opened.to_json(), json);
            }
        }
    }
}

#[test]
fn envelopes_outside_the_format_are_refused_with_their_reason() {
    let file = seal(b"x", &[PKI.p256.recipient()]);
    let json = open_envelope(&file[..4096], &PKI.p256.private_key()).unwrap().to_json();
    let json = json.as_bytes();
    let refusal =
        |envelope: &[u8], party: &Party| open_envelope(envelope, &party.private_key()).err().unwrap();
    let cbc = encrypt(json, &PKI.p256, &["-aes-256-cbc"]);
    assert_eq!(refusal(&cbc, &PKI.p256), SealError::NotAuthEnveloped);
    let aes128 = encrypt(json, &PKI.p256, &["-aes-128-gcm"]);
    assert!(matches!(refusal(&aes128, &PKI.p256), SealError::UnsupportedAlgorithm(_)));
    let pkcs1 = encrypt(json, &PKI.rsa2048, &["-aes-256-gcm"]);
    assert!(matches!(refusal(&pkcs1, &PKI.rsa2048), SealError::UnsupportedAlgorithm(_)));
    let sha1 = encrypt(json, &PKI.rsa2048, &["-aes-256-gcm", "-keyopt", "rsa_padding_mode:oaep"]);
    assert!(matches!(refusal(&sha1, &PKI.rsa2048), SealError::UnsupportedAlgorithm(_)));
    let not_a_keyset = encrypt(b"hello", &PKI.p256, &["-aes-256-gcm"]);
    assert!(matches!(refusal(&not_a_keyset, &PKI.p256), SealError::BadKeyset(_)));
    let signed = crate::signatures::sign(b"document");
    assert_eq!(refusal(&signed, &PKI.p256), SealError::NotAuthEnveloped);
}

#[test]
fn openssl_refuses_a_changed_envelope_and_a_wrong_key_too() {
    let file = seal(b"x", &[PKI.p256.recipient()]);
    let mut changed = file.clone();
    changed[3000] ^= 1;
    let key = PKI.p256.key.to_str().unwrap();
    let other = PKI.p256_other.key.to_str().unwrap();
    let arguments = |key| ["cms", "-decrypt", "-binary", "-inform", "DER", "-inkey", key];
    assert!(!try_openssl(&arguments(key), Some(&changed)).status.success());
    assert!(!try_openssl(&arguments(other), Some(&file)).status.success());
}

#[test]
fn recipients_that_do_not_fit_the_first_size_get_the_next() {
    let many: Vec<Recipient> = (0..40).map(|_| PKI.p256.recipient()).collect();
    let fits = |count: usize| {
        Sealer::new(crate::pki::RECORDING, &many[..count]).map(|(_, start)| envelope_len(&start).unwrap())
    };
    assert_eq!(fits(16), Ok(4096));
    assert_eq!(fits(24), Ok(8192));
    assert_eq!(fits(40), Err(SealError::TooManyRecipients));
    assert_eq!(fits(0), Err(SealError::NoRecipients));
    let file = seal(&[5; 10_000], &many[..24]);
    assert_eq!(open_all(crate::pki::RECORDING, &file, &PKI.p256.private_key()).unwrap(), [5; 10_000]);
    decrypt(&file, &PKI.p256);
}

#[test]
fn certificates_that_cannot_be_recipients_are_refused_with_their_reason() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ec = ["-newkey", "ec", "-pkeyopt"];
    let p521 = crate::pki::self_signed(dir, "p521", &[ec[0], ec[1], ec[2], "ec_paramgen_curve:P-521"]);
    let rsa1024 = crate::pki::self_signed(dir, "rsa1024", &["-newkey", "rsa:1024"]);
    let signer = crate::pki::self_signed(
        dir,
        "signer",
        &[ec[0], ec[1], ec[2], "ec_paramgen_curve:P-256", "-addext", "keyUsage=digitalSignature"],
    );
    for party in [&p521, &rsa1024, &signer] {
        let refusal = Recipient::from_pem(&party.certificate_pem()).err();
        assert!(matches!(refusal, Some(SealError::BadRecipient(_))), "{refusal:?}");
    }
    for party in [&p521, &rsa1024] {
        assert!(matches!(
            PrivateKey::from_pkcs8_pem(&party.key_pem()).err(),
            Some(SealError::BadPrivateKey(_))
        ));
    }
    assert!(matches!(Recipient::from_pem("").err(), Some(SealError::BadRecipient(_))));
    assert!(matches!(
        PrivateKey::from_pkcs8_pem(&PKI.p256.certificate_pem()).err(),
        Some(SealError::BadPrivateKey(_))
    ));
}
