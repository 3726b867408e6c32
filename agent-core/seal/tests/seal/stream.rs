//! Writing, seeking, padding and repairing.

use crate::pki::{PKI, RECORDING, bytes};
use hindsight_seal::*;

/// A sealed file of `plaintext`.
pub fn seal(plaintext: &[u8], recipients: &[Recipient]) -> Vec<u8> {
    let (mut sealer, mut file) = Sealer::new(RECORDING, recipients).unwrap();
    sealer.write(plaintext, &mut file).unwrap();
    sealer.finish(&mut file).unwrap();
    file
}

/// A sealed file with its key and an opener whose length is proven.
pub fn opener(file: &[u8]) -> (DataKey, Opener) {
    let (envelope, payload) = split(file).unwrap();
    let key = open_envelope(envelope, &PKI.p256.private_key()).unwrap();
    let opener = Opener::new(RECORDING, &key, payload.first_chunk().unwrap(), payload.len() as u64).unwrap();
    let last = opener.last_segment();
    opener.prove_length(&payload[last.start as usize..last.end as usize]).unwrap();
    (key, opener)
}

/// Lengths around every edge of the first three segments.
fn telling_lengths() -> Vec<usize> {
    let edges = [0, 4040, 4040 + 4080, 4040 + 2 * 4080];
    edges.iter().flat_map(|&edge: &usize| edge.saturating_sub(2)..edge + 3).collect()
}

#[test]
fn what_was_sealed_opens_at_every_telling_length_and_in_pieces_of_any_size() {
    let recipients = [PKI.p256.recipient()];
    let key = PKI.p256.private_key();
    for len in telling_lengths() {
        let plaintext = bytes(len);
        for piece in [1, 7, 4040, 4080, 4096, 100_000] {
            let (mut sealer, mut file) = Sealer::new(RECORDING, &recipients).unwrap();
            for part in plaintext.chunks(piece) {
                sealer.write(part, &mut file).unwrap();
            }
            assert_eq!(sealer.plaintext_len(), len as u64);
            sealer.finish(&mut file).unwrap();
            assert_eq!(open_all(RECORDING, &file, &key).unwrap(), plaintext, "{len} bytes by {piece}");
            assert_eq!(PayloadShape::new(file.len() as u64 - 4096).unwrap().plaintext_len(), len as u64);
        }
    }
}

#[test]
fn only_whole_segments_leave_the_writer_and_one_full_one_is_held_back() {
    let (mut sealer, mut file) = Sealer::new(RECORDING, &[PKI.p256.recipient()]).unwrap();
    assert_eq!(file.len(), 4096 + 40);
    let mut written = 0;
    for piece in [1, 4039, 1, 4079, 1, 8160, 5000] {
        sealer.write(&bytes(piece), &mut file).unwrap();
        written += piece;
        let released = if file.len() == 4136 { 0 } else { file.len() - 4096 };
        assert_eq!(released % SEGMENT_LEN, 0);
        let plaintext_released = released / SEGMENT_LEN * 4080 - if released > 0 { 40 } else { 0 };
        assert_eq!(sealer.unsealed_len(), written - plaintext_released);
        assert!(sealer.unsealed_len() > 0 && sealer.unsealed_len() <= 4080);
    }
}

#[test]
fn padding_of_the_size_asked_for_releases_every_byte_so_far() {
    for len in telling_lengths().into_iter().filter(|&len| len > 0) {
        for padding in [
            (|sealer: &Sealer| ebml_void(sealer.padding_to_release())) as fn(&Sealer) -> Vec<u8>,
            |sealer| mp4_free_box(sealer.padding_to_release()),
            |sealer| mp4_free_box(pad_to_release(sealer.unsealed_len())),
        ] {
            let (mut sealer, mut file) = Sealer::new(RECORDING, &[PKI.p256.recipient()]).unwrap();
            sealer.write(&bytes(len), &mut file).unwrap();
            assert!(sealer.padding_to_release() <= pad_to_release(sealer.unsealed_len()));
            sealer.write(&padding(&sealer), &mut file).unwrap();
            let sealed = PayloadShape::plaintext_start(((file.len() - 4096) / SEGMENT_LEN) as u32);
            assert!(sealed >= len as u64, "{len} bytes, {sealed} sealed");
        }
    }
    let (sealer, _) = Sealer::new(RECORDING, &[PKI.p256.recipient()]).unwrap();
    assert_eq!((sealer.padding_to_release(), pad_to_release(0)), (0, 0));
}

#[test]
fn a_seek_needs_only_the_segments_of_its_range() {
    let plaintext = bytes(40_000);
    let file = seal(&plaintext, &[PKI.p256.recipient()]);
    let payload = &file[4096..];
    let (_, opener) = opener(&file);
    assert_eq!(opener.plaintext_len(), 40_000);
    let points = [0u64, 1, 4039, 4040, 4041, 8119, 8120, 20_000, 39_999, 40_000];
    for &from in &points {
        for &to in points.iter().filter(|&&to| to >= from) {
            let needed = opener.segments_for(from..to).unwrap();
            assert!(needed.end - needed.start <= (to - from).div_ceil(4080) * 4096 + 4096);
            let sealed = &payload[needed.start as usize..needed.end as usize];
            let opened = opener.open_range(from..to, sealed).unwrap();
            assert_eq!(opened, plaintext[from as usize..to as usize], "{from}..{to}");
        }
    }
    assert_eq!(opener.segments_for(0..40_001), Err(SealError::OutOfRange));
    assert_eq!(opener.segments_for(u64::MAX - 1..u64::MAX), Err(SealError::OutOfRange));
}

#[test]
fn a_byte_two_hours_in_needs_one_segment_and_no_memory_for_the_rest() {
    // 2 h of two G.711 tracks; the segments before it need not even exist here.
    let (_, opener) = {
        let file = seal(b"", &[PKI.p256.recipient()]);
        let (key, _) = opener(&file);
        let long =
            Opener::new(RECORDING, &key, file[4096..].first_chunk().unwrap(), 2 * 3600 * 16_000).unwrap();
        (key, long)
    };
    let needed = opener.segments_for(100_000_000..100_000_001).unwrap();
    assert_eq!(needed.end - needed.start, 4096);
}

#[test]
fn nothing_opens_before_the_last_segment_has_proved_the_length() {
    let file = seal(&bytes(10_000), &[PKI.p256.recipient()]);
    let (key, _) = opener(&file);
    let payload = &file[4096..];
    let fresh = Opener::new(RECORDING, &key, payload.first_chunk().unwrap(), payload.len() as u64).unwrap();
    assert_eq!(fresh.open_segment(0, &payload[40..4096]), Err(SealError::LengthNotProven));
    assert_eq!(
        fresh.prove_length(&payload[8192..payload.len() - 1]),
        Err(SealError::WrongLength {
            expected: payload.len() as u64 - 8192,
            given: payload.len() as u64 - 8193
        })
    );
    fresh.prove_length(&payload[8192..]).unwrap();
    assert_eq!(fresh.open_segment(0, &payload[40..4096]).unwrap(), bytes(4040));
    assert_eq!(fresh.open_segment(3, &[]), Err(SealError::OutOfRange));
}

#[test]
fn a_cut_recording_is_trimmed_and_repaired_and_loses_at_most_what_was_not_whole() {
    let plaintext = bytes(15_000);
    let (mut sealer, mut file) = Sealer::new(RECORDING, &[PKI.p256.recipient()]).unwrap();
    sealer.write(&plaintext, &mut file).unwrap();
    drop(sealer); // a crash
    let (key, whole) = (open_envelope(&file[..4096], &PKI.p256.private_key()).unwrap(), file.split_off(4096));
    for cut in [4096, 4097, 8191, 8192, 12_000, whole.len()] {
        let mut payload = whole[..cut].to_vec();
        payload.truncate(trim_len(cut as u64) as usize);
        let header = *payload.first_chunk().unwrap();
        let shape = PayloadShape::new(payload.len() as u64).unwrap();
        let last = shape.segment(shape.last());
        let last = last.start as usize..last.end as usize;
        let opener = Opener::new(RECORDING, &key, &header, payload.len() as u64).unwrap();
        assert_eq!(
            opener.prove_length(&payload[last.clone()]),
            Err(SealError::Truncated { last_present: shape.last() })
        );
        let resealed =
            reseal_last(RECORDING, &key, &header, payload.len() as u64, &payload[last.clone()]).unwrap();
        payload[last.clone()].copy_from_slice(&resealed);
        let again = reseal_last(RECORDING, &key, &header, payload.len() as u64, &payload[last]).unwrap();
        assert_eq!(again, resealed, "repair is idempotent");
        let repaired = join(&file, &payload).unwrap();
        let opened = open_all(RECORDING, &repaired, &PKI.p256.private_key()).unwrap();
        assert_eq!(opened, plaintext[..opened.len()]);
        assert_eq!(opened.len() as u64, shape.plaintext_len());
    }
    assert_eq!(trim_len(4095), 0);
}

#[test]
fn split_and_join_are_inverse_and_refuse_other_sizes() {
    let file = seal(&bytes(5000), &[PKI.p256.recipient()]);
    let (envelope, payload) = split(&file).unwrap();
    assert_eq!((envelope.len(), envelope_len(&file)), (4096, Ok(4096)));
    assert_eq!(join(envelope, payload).unwrap(), file);
    assert!(join(&envelope[..4095], payload).is_err());
    assert!(split(&file[..4095]).is_err());
    assert!(envelope_len(&[0x30, 0x82, 0x0f]).is_err());
    assert!(envelope_len(&[0x30, 0x82, 0x0f, 0xfd]).is_err());
}

#[test]
fn padding_elements_have_exactly_the_length_asked_for() {
    for len in (0..200).chain([255, 256, 4080, 4081, 20_000]) {
        let free = mp4_free_box(len);
        assert_eq!(free.len(), len.max(MIN_FREE_BOX));
        assert_eq!(u32::from_be_bytes(*free.first_chunk().unwrap()) as usize, free.len());
        assert_eq!(&free[4..8], b"free");

        let void = ebml_void(len);
        assert_eq!(void.len(), len.max(MIN_VOID));
        let (width, size) = match void[1] {
            0x01 => (8, u64::from_be_bytes(*void[1..].first_chunk().unwrap()) & ((1 << 56) - 1)),
            short => (1, u64::from(short & 0x7f)),
        };
        assert_eq!(1 + width + size as usize, void.len());
        assert_ne!(void[1], 0xff, "unknown size");
    }
}
