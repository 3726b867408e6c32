//! Hostile input to both readers and to the signature reader: no panic, nothing accepted that was not sealed.

use crate::pki::{PKI, RECORDING, bytes};
use crate::stream::seal;
use hindsight_seal::*;
use proptest::prelude::*;
use std::sync::LazyLock;

static FILE: LazyLock<Vec<u8>> =
    LazyLock::new(|| seal(&bytes(9000), &[PKI.p256.recipient(), PKI.rsa2048.recipient()]));
static KEYS: LazyLock<[PrivateKey; 2]> =
    LazyLock::new(|| [PKI.p256.private_key(), PKI.rsa2048.private_key()]);
static DATA_KEY: LazyLock<DataKey> = LazyLock::new(|| open_envelope(&FILE[..4096], &KEYS[0]).unwrap());
/// BER as OpenSSL streams it: indefinite lengths, content in pieces.
static BER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let content = format!("{}{}", &*DATA_KEY.to_json(), " ".repeat(9000));
    crate::openssl::encrypt(content.as_bytes(), &PKI.p256, &["-aes-256-gcm", "-stream"])
});
static SIGNATURE: LazyLock<Vec<u8>> = LazyLock::new(|| crate::signatures::sign(b"document"));

/// One change to a valid input: the mutations that find holes in length-prefixed formats.
#[derive(Debug, Clone)]
enum Change {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat(prop::sample::Index, u8),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, to)| Change::Set(at, to)),
        2 => (at(), prop::sample::select(vec![0x00, 0x04, 0x24, 0x30, 0x31, 0x7f, 0x80, 0x81, 0x82, 0x84, 0xa0, 0xa1, 0xff]))
            .prop_map(|(at, to)| Change::Set(at, to)),
        1 => at().prop_map(Change::Cut),
        1 => (at(), any::<u8>()).prop_map(|(at, len)| Change::Remove(at, len)),
        1 => (at(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(at, new)| Change::Insert(at, new)),
        1 => (at(), any::<u8>()).prop_map(|(at, len)| Change::Repeat(at, len)),
    ]
}

/// `front` makes changes fall where the structure is, instead of somewhere in the padding.
fn mutated(valid: &[u8], changes: &[Change], front: usize) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        let within = bytes.len().min(front);
        match change {
            Change::Set(at, to) => bytes[at.index(within)] = *to,
            Change::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Change::Remove(at, len) => {
                let at = at.index(within);
                let end = (at + usize::from(*len)).min(bytes.len());
                bytes.drain(at..end);
            }
            Change::Insert(at, new) => {
                let at = at.index(within);
                bytes.splice(at..at, new.iter().copied());
            }
            Change::Repeat(at, len) => {
                let at = at.index(within);
                let again = bytes[at..(at + usize::from(*len)).min(bytes.len())].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(change(), 1..6)
}

fn read_envelope(envelope: &[u8]) {
    let _ = recipients(envelope);
    for key in &*KEYS {
        if let Ok(opened) = open_envelope(envelope, key) {
            assert_eq!(opened.to_json(), DATA_KEY.to_json());
        }
    }
}

fn read_payload(payload: &[u8], pieces: usize) {
    let mut verifier = Verifier::new(RECORDING, &DATA_KEY);
    let written = payload.chunks(pieces.max(1)).try_for_each(|piece| verifier.write(piece));
    let verdict = written.and_then(|()| verifier.finish());
    assert_eq!(verdict.is_ok(), payload == &FILE[4096..]);

    let Some(header) = payload.first_chunk() else { return };
    let Ok(opener) = Opener::new(RECORDING, &DATA_KEY, header, payload.len() as u64) else { return };
    let last = opener.last_segment();
    let proven = opener.prove_length(&payload[last.start as usize..last.end as usize]);
    let mut plaintext = Vec::new();
    let opened = proven.and_then(|()| opener.open_segments(0, &payload[HEADER_LEN..], &mut plaintext));
    assert_eq!(opened.is_ok(), payload == &FILE[4096..]);
    assert!(bytes(9000).starts_with(&plaintext));
    let _ = reseal_last(RECORDING, &DATA_KEY, header, payload.len() as u64, &payload[last.start as usize..]);
}

fn read_signature(signature: &[u8]) {
    let _ = verify_detached(b"document", signature, &PKI.p256.certificate_pem(), 1_800_000_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(2000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_envelope_reader_survives_mutants(changes in changes(), front in prop::sample::select(vec![60, 900, 8192])) {
        read_envelope(&mutated(&FILE[..4096], &changes, front));
    }

    #[test]
    fn the_envelope_reader_survives_mutants_of_streamed_ber(changes in changes(), front in prop::sample::select(vec![60, 400, 20_000])) {
        read_envelope(&mutated(&BER, &changes, front));
    }

    #[test]
    fn the_envelope_reader_survives_noise(noise in prop::collection::vec(any::<u8>(), 0..600)) {
        read_envelope(&noise);
        read_envelope(&[&[0x30, 0x80], noise.as_slice()].concat());
    }

    #[test]
    fn the_payload_reader_survives_mutants(changes in changes(), pieces in 1usize..9000) {
        read_payload(&mutated(&FILE[4096..], &changes, usize::MAX), pieces);
    }

    #[test]
    fn the_payload_reader_survives_noise(noise in prop::collection::vec(any::<u8>(), 0..600)) {
        read_payload(&noise, 64);
        read_payload(&[&[40], noise.as_slice()].concat(), 64);
    }

    #[test]
    fn the_splitter_and_the_shape_survive_anything(noise in prop::collection::vec(any::<u8>(), 0..64), len: u64, from: u64, to: u64) {
        let _ = split(&noise);
        let _ = join(&noise, &noise);
        prop_assert!(trim_len(len) <= len);
        if let Ok(shape) = PayloadShape::new(len) {
            prop_assert!(shape.plaintext_len() < len);
            if let Ok(segments) = shape.segments_of(&(from..to)) {
                prop_assert!(segments.end <= shape.last() + 1);
            }
        }
    }

    #[test]
    fn the_keyset_reader_survives_mutants(changes in changes()) {
        let json = DATA_KEY.to_json();
        let mutant = mutated(json.as_bytes(), &changes, usize::MAX);
        if let Ok(text) = std::str::from_utf8(&mutant) {
            let _ = DataKey::from_json(text);
        }
    }

    #[test]
    fn the_signature_reader_survives_mutants(changes in changes()) {
        read_signature(&mutated(&SIGNATURE, &changes, usize::MAX));
    }
}
