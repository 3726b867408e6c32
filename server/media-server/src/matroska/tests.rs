use super::*;
use std::process::Command;

fn tracks() -> Vec<VoiceTrack> {
    [(1, Party::Agent, Codec::Pcmu), (2, Party::Customer, Codec::Pcma)]
        .map(|(number, party, codec)| VoiceTrack {
            number,
            party,
            number_or_dn: "1001".into(),
            codec: codec.name().into(),
            clock_rate: 8000,
        })
        .into()
}

/// Ten seconds of two tracks in 50 ms steps, with a gap of two seconds on the second.
fn recording() -> (Vec<u8>, Vec<IndexEntry>) {
    let mut out = Vec::new();
    let mut writer = Writer::start(RecordingId::new(), Timestamp(1_795_000_000_000_000), &tracks(), &mut out);
    for n in 0..500i64 {
        writer.block(1, n * 20, &[n as u8; 160]);
        if !(100..200).contains(&n) {
            writer.block(2, n * 20 + 7, &[n as u8 ^ 0x55; 160]);
        }
        if n % 3 == 2 {
            writer.flush(&mut out);
        }
        if n == 250 {
            writer.flush(&mut out);
            let void = hindsight_seal::ebml_void(5000);
            writer.skip(void.len());
            out.extend(void);
        }
    }
    writer.flush(&mut out);
    (out, writer.into_index())
}

#[test]
fn ffmpeg_decodes_both_tracks_with_their_gaps_in_time() {
    let (bytes, _) = recording();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("voice.mka");
    std::fs::write(&file, &bytes).unwrap();
    for (track, codec, frames) in [(0, "pcm_mulaw", 500), (1, "pcm_alaw", 400)] {
        let probe = Command::new("ffprobe")
            .args(["-v", "error", "-select_streams", &track.to_string(), "-of", "csv=p=0"])
            .args(["-show_entries", "stream=codec_name,sample_rate:packet=pts_time,size"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(
            probe.status.success() && probe.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&probe.stderr)
        );
        let text = String::from_utf8(probe.stdout).unwrap();
        let packets: Vec<&str> = text.lines().filter(|line| line.ends_with(",160")).collect();
        assert_eq!(packets.len(), frames);
        assert!(text.contains(codec) && text.contains("8000"), "{text}");
        let last: f64 = packets[frames - 1].split(',').next().unwrap().parse().unwrap();
        assert!((last - if track == 0 { 9.980 } else { 9.987 }).abs() < 1e-6, "{last}");
    }
    let decode = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(&file)
        .args(["-map", "0:0", "-f", "s16le", "-"])
        .output()
        .unwrap();
    assert!(
        decode.status.success() && decode.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&decode.stderr)
    );
    assert_eq!(decode.stdout.len(), 500 * 160 * 2);
}

/// Silence in Opus: a CELT frame of 20 ms without content, as libopus writes it in a pause (RFC 6716 2.1.9).
const OPUS_SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

#[test]
fn ffmpeg_decodes_the_wideband_codecs() {
    for (codec, name, rate, payload) in [
        (Codec::G722, "adpcm_g722", 16_000, vec![0xfa; 160]),
        (Codec::Opus, "opus", 48_000, OPUS_SILENCE.to_vec()),
    ] {
        let track =
            VoiceTrack { codec: codec.name().into(), clock_rate: codec.clock_rate(), ..tracks().remove(0) };
        let mut bytes = Vec::new();
        let mut writer = Writer::start(RecordingId::new(), Timestamp(0), &[track], &mut bytes);
        for n in 0..100 {
            writer.block(1, n * 20, &payload);
        }
        writer.flush(&mut bytes);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("voice.mka");
        std::fs::write(&file, &bytes).unwrap();
        let probe = Command::new("ffprobe")
            .args(["-v", "error", "-of", "csv=p=0", "-show_entries", "stream=codec_name,sample_rate"])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&probe.stdout).into_owned();
        assert_eq!(said.trim(), format!("{name},{rate}"), "{}", String::from_utf8_lossy(&probe.stderr));
        let decode = Command::new("ffmpeg")
            .args(["-v", "error", "-xerror", "-i"])
            .arg(&file)
            .args(["-f", "s16le", "-ac", "1", "-"])
            .output()
            .unwrap();
        assert!(decode.status.success(), "{name}: {}", String::from_utf8_lossy(&decode.stderr));
        assert_eq!(decode.stdout.len(), 2 * rate * 2, "{name}: two seconds");
    }
}

#[test]
fn the_index_points_at_clusters_a_second_apart() {
    let (bytes, index) = recording();
    assert!((9..=12).contains(&index.len()), "{}", index.len());
    for entry in &index {
        let at = entry.position as usize;
        assert_eq!(bytes[at..at + 4], CLUSTER.to_be_bytes(), "at {} ms", entry.time_ms);
    }
}

/// Start times of the blocks in some clusters.
fn block_times(mut bytes: &[u8]) -> Vec<i64> {
    let size = |bytes: &[u8]| {
        let length = bytes[0].leading_zeros() as usize + 1;
        let value = bytes[..length].iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        ((value & !(1 << (7 * length))) as usize, length)
    };
    let mut times = Vec::new();
    while !bytes.is_empty() {
        let id = if bytes[0] == 0xec { 1 } else { 4 };
        let (length, width) = size(&bytes[id..]);
        let (element, rest) = bytes[id + width..].split_at(length);
        bytes = rest;
        if id == 1 {
            continue;
        }
        let (width, mut base) = (usize::from(element[1] & 0x7f), 0i64);
        for byte in &element[2..2 + width] {
            base = base << 8 | i64::from(*byte);
        }
        let mut blocks = &element[2 + width..];
        while !blocks.is_empty() {
            let (length, width) = size(&blocks[1..]);
            let block = &blocks[1 + width..][..length];
            times.push(base + i64::from(i16::from_be_bytes([block[1], block[2]])));
            blocks = &blocks[1 + width + length..];
        }
    }
    times
}

#[test]
fn an_index_entry_stands_for_a_second_also_when_packets_were_waited_for() {
    let mut out = Vec::new();
    let mut writer = Writer::start(RecordingId::new(), Timestamp(0), &tracks(), &mut out);
    let first = out.len();
    for n in 0..1000i64 {
        writer.block(1, n * 20, &[1; 160]);
        // The other track comes up to 440 ms late.
        if n % 23 == 22 {
            for late in n - 22..=n {
                writer.block(2, late * 20, &[2; 160]);
            }
        }
        if n % 3 == 0 {
            writer.flush(&mut out);
        }
    }
    writer.flush(&mut out);
    let index = writer.into_index();
    assert_eq!(index[0].position as usize, first);
    for (number, entry) in index.iter().enumerate() {
        let end = index.get(number + 1).map_or(out.len(), |next| next.position as usize);
        for at in block_times(&out[entry.position as usize..end]) {
            let span = entry.time_ms as i64..entry.time_ms as i64 + 1_500;
            assert!(span.contains(&at), "block at {at} under the entry of {}", entry.time_ms);
        }
    }
    assert!(index.windows(2).all(|pair| pair[1].time_ms >= pair[0].time_ms));
    assert!((15..=60).contains(&index.len()), "{}", index.len());
}

#[test]
fn blocks_that_others_may_still_precede_wait() {
    let mut out = Vec::new();
    let mut writer = Writer::start(RecordingId::new(), Timestamp(0), &tracks(), &mut out);
    let first = out.len();
    for n in 0..10 {
        writer.block(1, n * 20, &[n as u8; 160]);
    }
    writer.flush_before(100, &mut out);
    for n in 5..10 {
        writer.block(2, n * 20, &[n as u8 + 100; 160]);
    }
    writer.flush(&mut out);
    let times = block_times(&out[first..]);
    assert!(times.is_sorted() && times.len() == 15, "{times:?}");
    assert_eq!((5..10).filter(|n| out.windows(160).any(|w| w == [*n; 160])).count(), 5);
}

#[test]
fn a_block_that_was_waited_for_keeps_its_time_in_a_later_cluster() {
    let mut out = Vec::new();
    let mut writer = Writer::start(RecordingId::new(), Timestamp(0), &tracks(), &mut out);
    writer.block(1, 1000, &[1; 4]);
    writer.flush(&mut out);
    let before = out.len();
    writer.block(2, 760, &[2; 4]);
    writer.flush(&mut out);
    let expected =
        [0x1f, 0x43, 0xb6, 0x75, 0x80 | 14, 0xe7, 0x82, 0x03, 0xe8, 0xa3, 0x88, 0x82, 0xff, 0x10, 0x80];
    assert_eq!(out[before..before + expected.len()], expected);
}

#[test]
fn a_burst_longer_than_a_second_is_cut_into_clusters() {
    let mut out = Vec::new();
    let mut writer = Writer::start(RecordingId::new(), Timestamp(0), &tracks(), &mut out);
    for n in 0..200 {
        writer.block(1, n * 20, &[0; 160]);
    }
    writer.flush(&mut out);
    assert_eq!(writer.into_index().len(), 4);
}
