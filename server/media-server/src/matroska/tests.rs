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

#[test]
fn the_index_points_at_clusters_a_second_apart() {
    let (bytes, index) = recording();
    assert!((9..=11).contains(&index.len()), "{}", index.len());
    for entry in &index {
        let at = entry.position as usize;
        assert_eq!(bytes[at..at + 4], CLUSTER.to_be_bytes(), "at {} ms", entry.time_ms);
    }
    assert!(index.windows(2).all(|pair| pair[1].time_ms >= pair[0].time_ms + INDEX_STEP_MS));
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
