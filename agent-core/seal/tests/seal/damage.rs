//! Cut anywhere, flip anything, mix anything up: each is refused, with its reason.

use crate::pki::{OTHER_RECORDING, PKI, RECORDING, bytes};
use crate::stream::{opener, seal};
use hindsight_seal::*;

/// Four segments, the last a short one.
const LEN: usize = 4040 + 2 * 4080 + 100;

fn open(payload: &[u8], key: &DataKey) -> Result<Vec<u8>, SealError> {
    let header = payload.first_chunk().ok_or(SealError::MalformedPayload)?;
    let opener = Opener::new(RECORDING, key, header, payload.len() as u64)?;
    let last = opener.last_segment();
    opener.prove_length(&payload[last.start as usize..last.end as usize])?;
    let mut plaintext = Vec::new();
    opener.open_segments(0, &payload[HEADER_LEN..], &mut plaintext)?;
    Ok(plaintext)
}

fn verify(payload: &[u8], key: &DataKey) -> Result<Verified, SealError> {
    let mut verifier = Verifier::new(RECORDING, key);
    for piece in payload.chunks(1000) {
        verifier.write(piece)?;
    }
    verifier.finish()
}

#[test]
fn an_undamaged_payload_verifies() {
    let file = seal(&bytes(LEN), &[PKI.p256.recipient()]);
    let (key, _) = opener(&file);
    let verified = verify(&file[4096..], &key).unwrap();
    let payload_len = file.len() as u64 - 4096;
    assert_eq!(verified, Verified { payload_len, plaintext_len: LEN as u64, segments: 4 });
    for len in [0, 1, 4040, 4041] {
        let file = seal(&bytes(len), &[PKI.p256.recipient()]);
        assert_eq!(verify(&file[4096..], &opener(&file).0).unwrap().plaintext_len, len as u64);
    }
}

#[test]
fn a_payload_cut_at_any_byte_is_refused_as_cut() {
    let plaintext = bytes(LEN);
    let file = seal(&plaintext, &[PKI.p256.recipient()]);
    let payload = &file[4096..];
    let (key, _) = opener(&file);
    for cut in 0..payload.len() {
        let expected = match cut {
            0..56 => SealError::MalformedPayload,
            cut if cut % 4096 == 0 => SealError::Truncated { last_present: cut as u32 / 4096 - 1 },
            cut => SealError::TailDamaged { segment: cut as u32 / 4096 },
        };
        assert_eq!(open(&payload[..cut], &key), Err(expected.clone()), "cut at {cut}");
        assert_eq!(verify(&payload[..cut], &key), Err(expected), "cut at {cut}");
    }
}

#[test]
fn a_flip_of_any_byte_of_the_payload_is_refused_and_placed() {
    let file = seal(&bytes(LEN), &[PKI.p256.recipient()]);
    let mut payload = file[4096..].to_vec();
    let (key, _) = opener(&file);
    for at in 0..payload.len() {
        payload[at] ^= 1 << (at % 8);
        let expected = match at {
            0 => SealError::MalformedPayload,
            1..40 => SealError::KeyDoesNotMatchPayload,
            at if at / 4096 == 3 => SealError::TailDamaged { segment: 3 },
            at => SealError::SegmentDamaged { segment: at as u32 / 4096 },
        };
        assert_eq!(open(&payload, &key), Err(expected.clone()), "byte {at}");
        assert_eq!(verify(&payload, &key), Err(expected), "byte {at}");
        payload[at] ^= 1 << (at % 8);
    }
    assert!(verify(&payload, &key).is_ok());
}

#[test]
fn a_flip_or_a_cut_of_any_byte_of_the_envelope_is_refused_or_changes_nothing() {
    let file = seal(b"", &[PKI.p256.recipient(), PKI.p384.recipient()]);
    let mut envelope = file[..4096].to_vec();
    let keys = [PKI.p256.private_key(), PKI.p384.private_key()];
    let json = open_envelope(&envelope, &keys[0]).unwrap().to_json();
    for at in 0..envelope.len() {
        envelope[at] ^= 1 << (at % 8);
        for key in &keys {
            // The names of recipients, and what belongs to the other one, are not authenticated: whoever opens it
            // all the same gets the same keyset.
            if let Ok(opened) = open_envelope(&envelope, key) {
                assert_eq!(opened.to_json(), json, "byte {at}");
            }
        }
        envelope[at] ^= 1 << (at % 8);
    }
    for cut in 0..envelope.len() {
        let refusal = open_envelope(&envelope[..cut], &keys[0]).err();
        assert!(matches!(refusal, Some(SealError::MalformedEnvelope(_))), "cut at {cut}: {refusal:?}");
    }
    envelope.push(0);
    assert!(matches!(open_envelope(&envelope, &keys[0]).err(), Some(SealError::MalformedEnvelope(_))));
}

#[test]
fn a_changed_content_is_told_from_a_wrong_key() {
    let mut file = seal(b"", &[PKI.p256.recipient()]);
    assert_eq!(open_envelope(&file[..4096], &PKI.p256_other.private_key()).err(), Some(SealError::WrongKey));
    assert_eq!(open_envelope(&file[..4096], &PKI.p384.private_key()).err(), Some(SealError::WrongKey));
    assert_eq!(open_envelope(&file[..4096], &PKI.rsa2048.private_key()).err(), Some(SealError::WrongKey));
    file[3500] ^= 1;
    assert_eq!(open_envelope(&file[..4096], &PKI.p256.private_key()).err(), Some(SealError::EnvelopeDamaged));
}

#[test]
fn a_shortened_tag_is_refused() {
    let mut file = seal(b"", &[PKI.p256.recipient()]);
    // GCMParameters end with INTEGER 16.
    let parameters = file.windows(3).position(|bytes| bytes == [2, 1, 16]).unwrap();
    file[parameters + 2] = 12;
    assert_eq!(open_envelope(&file[..4096], &PKI.p256.private_key()).err(), Some(SealError::BadIcvLen));
}

#[test]
fn a_foreign_recording_a_swapped_envelope_and_a_swapped_payload_are_told_apart() {
    let (ours, key) = (seal(&bytes(LEN), &[PKI.p256.recipient()]), PKI.p256.private_key());
    let (mut sealer, mut theirs) = Sealer::new(OTHER_RECORDING, &[PKI.p256.recipient()]).unwrap();
    sealer.write(&bytes(LEN), &mut theirs).unwrap();
    sealer.finish(&mut theirs).unwrap();
    let check = |recording, envelope: &[u8], payload: &[u8], expected: SealError| {
        let file = join(&envelope[..4096], &payload[4096..]).unwrap();
        assert_eq!(open_all(recording, &file, &key), Err(expected.clone()));
        let mut verifier = Verifier::new(recording, &open_envelope(&file[..4096], &key).unwrap());
        verifier.write(&file[4096..]).unwrap();
        assert_eq!(verifier.finish(), Err(expected));
    };
    check(OTHER_RECORDING, &ours, &ours, SealError::ForeignRecording);
    check(RECORDING, &theirs, &ours, SealError::EnvelopeSwapped);
    check(RECORDING, &ours, &theirs, SealError::KeyDoesNotMatchPayload);
    let mut repaired = Err(SealError::LengthNotProven);
    if let Ok(data_key) = open_envelope(&theirs[..4096], &key) {
        let payload = &ours[4096..];
        let header = payload.first_chunk().unwrap();
        repaired = reseal_last(RECORDING, &data_key, header, 8192, &payload[4096..8192]);
    }
    assert_eq!(repaired, Err(SealError::EnvelopeSwapped));
}

#[test]
fn bytes_after_the_final_segment_are_an_error() {
    let file = seal(&bytes(4040 + 4080), &[PKI.p256.recipient()]);
    let (key, _) = opener(&file);
    let mut payload = file[4096..].to_vec();
    payload.extend(bytes(100));
    assert_eq!(verify(&payload, &key), Err(SealError::TrailingBytes { final_segment: 1 }));
    assert_eq!(open(&payload, &key), Err(SealError::TailDamaged { segment: 2 }));
    payload.truncate(8192 + 3);
    assert_eq!(verify(&payload, &key), Err(SealError::TrailingBytes { final_segment: 1 }));
}

#[test]
fn segments_in_another_order_or_from_another_place_are_refused() {
    let file = seal(&bytes(LEN), &[PKI.p256.recipient()]);
    let (key, opener) = opener(&file);
    let mut payload = file[4096..].to_vec();
    assert_eq!(opener.open_segment(2, &payload[4096..8192]), Err(SealError::SegmentDamaged { segment: 2 }));
    let (first, second) = payload.split_at_mut(8192);
    first[4096..].swap_with_slice(&mut second[..4096]);
    assert_eq!(verify(&payload, &key), Err(SealError::SegmentDamaged { segment: 1 }));
}

#[test]
fn damage_everywhere_is_told_from_a_mix_up() {
    let file = seal(&bytes(LEN), &[PKI.p256.recipient()]);
    let (key, _) = opener(&file);
    let mut payload = file[4096..].to_vec();
    for segment in 0..4 {
        payload[segment * 4096 + 50] ^= 1;
    }
    assert_eq!(verify(&payload, &key), Err(SealError::EverySegmentDamaged));
    payload[50] ^= 1;
    assert_eq!(verify(&payload, &key), Err(SealError::SegmentDamaged { segment: 1 }));
    assert_eq!(hindsight_seal::verify(RECORDING, &file, &PKI.p256.private_key()).unwrap().segments, 4);
}
