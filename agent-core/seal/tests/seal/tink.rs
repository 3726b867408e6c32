//! Google's Tink (Python) reads what we write and writes what we read.

use crate::openssl::decrypt;
use crate::pki::{OTHER_RECORDING, PKI, RECORDING, bytes, run};
use crate::stream::seal;
use hindsight_seal::*;
use std::path::PathBuf;
use std::process::{Command, Output};

fn interpreter() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("HINDSIGHT_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("hindsight")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/hindsight")))
        .expect("HOME is set");
    let python = cache.join("venv/bin/python");
    assert!(python.exists(), "{} is missing: packaging/setup.sh test installs Tink there", python.display());
    python
}

fn tink(mode: &str, keyset: &[u8], associated_data: &str, input: &[u8]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keyset.json");
    std::fs::write(&file, keyset).unwrap();
    let script = "tests/seal/peer_tink.py";
    run(Command::new(interpreter()).args([script, mode]).arg(&file).arg(associated_data), Some(input))
}

const URN: &str = "urn:uuid:0198c0de-0000-7000-8000-000000000001";

#[test]
fn tink_opens_our_payload_with_the_keyset_that_openssl_took_from_the_envelope() {
    assert_eq!(RECORDING.urn().to_string(), URN);
    for len in [0, 1, 4040, 4041, 8120, 8121, 300_000] {
        let plaintext = bytes(len);
        let file = seal(&plaintext, &[PKI.p256.recipient()]);
        let keyset = decrypt(&file, &PKI.p256);
        let opened = tink("decrypt", &keyset, URN, &file[4096..]);
        assert!(opened.status.success(), "{len}: {}", String::from_utf8_lossy(&opened.stderr));
        assert!(opened.stdout == plaintext, "{len} bytes differ");
    }
}

#[test]
fn tink_opens_a_repaired_payload() {
    let plaintext = bytes(20_000);
    let file = seal(&plaintext, &[PKI.p256.recipient()]);
    let (envelope, payload) = split(&file).unwrap();
    let key = open_envelope(envelope, &PKI.p256.private_key()).unwrap();
    let mut payload = payload[..trim_len(13_000) as usize].to_vec();
    let len = payload.len() as u64;
    let last = PayloadShape::new(len).unwrap().segment(2).start as usize;
    let resealed =
        reseal_last(RECORDING, &key, payload.first_chunk().unwrap(), len, &payload[last..]).unwrap();
    payload[last..].copy_from_slice(&resealed);
    let opened = tink("decrypt", key.to_json().as_bytes(), URN, &payload);
    assert!(opened.status.success());
    assert!(opened.stdout == plaintext[..4040 + 2 * 4080]);
}

#[test]
fn tink_refuses_another_recording_and_a_cut_payload() {
    let file = seal(&bytes(20_000), &[PKI.p256.recipient()]);
    let keyset = decrypt(&file, &PKI.p256);
    let other = OTHER_RECORDING.urn().to_string();
    assert!(!tink("decrypt", &keyset, &other, &file[4096..]).status.success());
    assert!(!tink("decrypt", &keyset, URN, &file[4096..3 * 4096]).status.success());
}

#[test]
fn what_tink_seals_opens_here() {
    let file = seal(b"", &[PKI.p256.recipient()]);
    let keyset = decrypt(&file, &PKI.p256);
    for len in [0, 1, 4040, 4041, 8120, 8121, 300_000] {
        let plaintext = bytes(len);
        let sealed = tink("encrypt", &keyset, URN, &plaintext);
        assert!(sealed.status.success(), "{len}: {}", String::from_utf8_lossy(&sealed.stderr));
        let joined = join(&file[..4096], &sealed.stdout).unwrap();
        assert_eq!(joined.len(), 4096 + seal(&plaintext, &[PKI.p256.recipient()]).len() - 4096);
        assert!(open_all(RECORDING, &joined, &PKI.p256.private_key()).unwrap() == plaintext, "{len}");
    }
}
