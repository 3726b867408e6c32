use super::*;
use crate::{
    matroska::sample,
    plaintext::tests::{damage, sealed},
};
use hindsight_sip::sdp::Codec;

/// One second of 8 kHz, bytes.
const BLOCK: u64 = 8_000 * FRAME;

/// `seconds` clusters of 50 packets a track: the agent's octet is the second, the customer's is silent.
async fn recording(seconds: u32) -> Voice<Vec<u8>> {
    let mut plain = sample::head();
    let mut index = Vec::new();
    for second in 0..seconds {
        let time_ms = u64::from(second) * 1000;
        index.push(IndexEntry {
            time_ms,
            position: plain.len() as u64,
            key: true,
            span_ms: None,
            pictures: None,
        });
        let packets: Vec<_> = (0..50)
            .flat_map(|n| [(1, n * 20, vec![second as u8; 160]), (2, n * 20, vec![0xd5; 160])])
            .collect();
        plain.extend(sample::cluster(second * 1000, &packets));
    }
    let duration = u64::from(seconds) * 1000;
    Voice::open(sealed(&plain).await, index, duration).await.unwrap()
}

async fn all(voice: &Voice<Vec<u8>>, mut range: Range<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    while range.start < range.end.min(voice.len()) {
        let part = voice.read(range.clone()).await.unwrap();
        assert!(!part.is_empty());
        range.start += part.len() as u64;
        out.extend(part);
    }
    out
}

#[tokio::test]
async fn every_range_gives_the_bytes_of_the_whole() {
    let voice = recording(4).await;
    let whole = all(&voice, 0..u64::MAX).await;
    assert_eq!(whole.len() as u64, voice.len());
    assert_eq!(&whole[..4], b"RIFF");
    assert_eq!(i16::from_le_bytes([whole[44 + 32000], whole[44 + 32001]]), crate::g711::MU_LAW[1]);
    assert_eq!(i16::from_le_bytes([whole[46], whole[47]]), 8);
    for range in [0..44, 10..50, 43..45, 44..45, 31_990..64_100, 100_000..128_044, 128_043..200_000] {
        let end = (range.end as usize).min(whole.len());
        assert_eq!(all(&voice, range.clone()).await, whole[range.start as usize..end], "{range:?}");
    }
}

#[tokio::test]
async fn a_seek_opens_only_the_segments_of_its_second() {
    let (short, long) = (recording(20).await, recording(7200).await);
    let mut costs = Vec::new();
    for voice in [&short, &long] {
        let before = voice.segments_opened();
        voice.read(44 + 10 * BLOCK..44 + 10 * BLOCK + 1).await.unwrap();
        costs.push(voice.segments_opened() - before);
    }
    assert_eq!(costs[0], costs[1]);
    assert!(costs[0] <= 12, "{costs:?}");
}

#[tokio::test]
async fn packets_that_the_network_held_back_are_heard_at_their_own_time() {
    let mut plain = sample::head();
    let mut index = Vec::new();
    for second in 0..10u32 {
        IndexEntry::enter(
            &mut index,
            u64::from(second) * 1000,
            u64::from(second) * 1000 + 980,
            plain.len() as u64,
        );
        plain.extend(sample::cluster(second * 1000, &[(2, 0, vec![0xd5; 160])]));
    }
    // Four seconds of the agent come at once, in a cluster of the eleventh second.
    IndexEntry::enter(&mut index, 6000, 10_000, plain.len() as u64);
    plain.extend(sample::cluster(10_000, &[(1, -4000, vec![0x00; 160]), (1, -10, vec![0x00; 160])]));
    let voice = Voice::open(sealed(&plain).await, index, 11_000).await.unwrap();
    let at = |ms: u64| 44 + ms * 32;
    for (ms, sample) in [(6000, -32124), (9990, -32124), (5000, 0), (7000, 0)] {
        let bytes = voice.read(at(ms)..at(ms) + 2).await.unwrap();
        assert_eq!(i16::from_le_bytes([bytes[0], bytes[1]]), sample, "at {ms} ms");
    }
}

#[tokio::test]
async fn a_gap_is_silence_and_peaks_show_the_voice() {
    let mut plain = sample::head();
    let position = plain.len() as u64;
    plain.extend(sample::cluster(2000, &[(1, 0, vec![0x00; 160])]));
    let index = vec![IndexEntry { time_ms: 2000, position, key: true, span_ms: None, pictures: None }];
    let voice = Voice::open(sealed(&plain).await, index, 3000).await.unwrap();
    let whole = all(&voice, 0..u64::MAX).await;
    assert!(whole[44..44 + 64_000].iter().all(|&b| b == 0));
    assert_eq!(i16::from_le_bytes([whole[44 + 64_000], whole[44 + 64_001]]), -32124);
    let peaks = voice.peaks().await.unwrap();
    assert_eq!(peaks.per_second, 50.0);
    assert_eq!(peaks.tracks[0].len(), 300);
    assert!(peaks.tracks[0][200] < -0.9 && peaks.tracks[0][199] == 0.0);
    assert!(peaks.tracks[1].iter().all(|&v| v == 0.0));
}

#[tokio::test]
async fn what_does_not_open_is_silence_and_is_told_and_the_rest_is_heard() {
    let mut voice = recording(10).await;
    let sound = all(&voice, 0..u64::MAX).await;
    assert_eq!(voice.peaks().await.unwrap().damaged, []);
    // In the middle of the cluster of the fifth second: one segment, that no other cluster touches.
    let place = voice.span(4).start + 8_000;
    damage(&mut voice.plaintext, place);
    let heard = all(&voice, 0..u64::MAX).await;
    let second = |n: usize| 44 + n * 32_000..44 + (n + 1) * 32_000;
    assert!(heard[second(4)].iter().all(|byte| *byte == 0));
    assert!(heard[..second(4).start] == sound[..second(4).start]);
    assert!(heard[second(4).end..] == sound[second(4).end..]);
    let damaged = voice.peaks().await.unwrap().damaged;
    assert_eq!((damaged.len(), damaged[0].clone()), (1, 4000..5000));
}

#[tokio::test]
async fn a_party_that_changes_its_codec_stays_on_its_channel() {
    // Agent: PCMU then PCMA; customer: PCMA then PCMU. Each second one of the four tracks speaks.
    let mut plain =
        sample::head_of(&[(1, Codec::Pcmu), (2, Codec::Pcma), (3, Codec::Pcma), (4, Codec::Pcmu)]);
    let mut index = Vec::new();
    for second in 0..4u8 {
        let (time_ms, position) = (u64::from(second) * 1000, plain.len() as u64);
        index.push(IndexEntry { time_ms, position, key: true, span_ms: None, pictures: None });
        plain.extend(sample::cluster(u32::from(second) * 1000, &[(second + 1, 0, vec![0x00; 160])]));
    }
    let track = |number, party| VoiceTrack {
        number,
        party,
        number_or_dn: String::new(),
        codec: String::new(),
        clock_rate: 8000,
    };
    let parties = [Party::Agent, Party::Customer, Party::Agent, Party::Customer];
    let tracks: Vec<VoiceTrack> = (1..).zip(parties).map(|(n, party)| track(n, party)).collect();
    let voice = Voice::open(sealed(&plain).await, index, 4000).await.unwrap().with_tracks(&tracks);
    let (mu, a) = (crate::g711::MU_LAW[0], crate::g711::A_LAW[0]);
    for (second, expected) in [[mu, 0], [0, a], [a, 0], [0, mu]].into_iter().enumerate() {
        let at = 44 + second as u64 * 32_000;
        let bytes = voice.read(at..at + 4).await.unwrap();
        let heard = [0, 2].map(|i| i16::from_le_bytes([bytes[i], bytes[i + 1]]));
        assert_eq!(heard, expected, "second {second}");
    }
}

/// 20 ms packets of a tone that slides from 300 Hz to 3 kHz, encoded; and the tone itself, at the codec's rate.
fn encoded(codec: Codec, seconds: usize) -> (Vec<Vec<u8>>, Vec<i16>) {
    let rate = codec.sample_rate() as usize;
    let sound: Vec<i16> = (0..seconds * rate)
        .map(|n| {
            let t = n as f64 / rate as f64;
            let phase = std::f64::consts::TAU * (300.0 * t + 2700.0 * t * t / (2.0 * seconds as f64));
            (phase.sin() * 8000.0) as i16
        })
        .collect();
    let mut g722 =
        ezk_g722::libg722::encoder::Encoder::new(ezk_g722::libg722::Bitrate::Mode1_64000, false, false);
    let (channels, application) = (opusic_c::Channels::Mono, opusic_c::Application::Voip);
    let mut opus = opusic_c::Encoder::new(channels, opusic_c::SampleRate::Hz48000, application).unwrap();
    let packets = sound.chunks(rate / 50).map(|frame| match codec {
        Codec::G722 => g722.encode(frame),
        _ => {
            let frame: Vec<u16> = frame.iter().map(|sample| sample.cast_unsigned()).collect();
            let mut packet = vec![0; 1500];
            let length = opus.encode_to_slice(&frame, &mut packet).unwrap();
            packet.truncate(length);
            packet
        }
    });
    (packets.collect(), sound)
}

/// Best correlation of two sounds within 20 ms, and where.
fn correlation(a: &[i16], b: &[i16], most: usize) -> (f64, usize) {
    let at = |lag: usize| {
        let pairs = a.iter().zip(&b[lag..]).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        let (ab, aa, bb) =
            pairs.fold((0.0, 0.0, 0.0), |(ab, aa, bb), (a, b)| (ab + a * b, aa + a * a, bb + b * b));
        ab / (aa * bb).sqrt()
    };
    (0..most)
        .map(|lag| (at(lag), lag))
        .fold((-1.0, 0), |best, next| if next.0 > best.0 { next } else { best })
}

#[tokio::test]
async fn wideband_voices_are_heard_at_their_rate_and_every_range_gives_the_bytes_of_the_whole() {
    for codec in [Codec::G722, Codec::Opus] {
        let (packets, sound) = encoded(codec, 4);
        let mut plain = sample::head_of(&[(1, codec), (2, Codec::Pcma)]);
        let mut index = Vec::new();
        for (second, packets) in (0u32..).zip(packets.chunks(50)) {
            let (time_ms, position) = (u64::from(second) * 1000, plain.len() as u64);
            index.push(IndexEntry { time_ms, position, key: true, span_ms: None, pictures: None });
            let blocks: Vec<_> = (0i16..)
                .zip(packets)
                .flat_map(|(n, packet)| [(1, n * 20, packet.clone()), (2, n * 20, vec![0x2a; 160])])
                .collect();
            plain.extend(sample::cluster(second * 1000, &blocks));
        }
        let voice = Voice::open(sealed(&plain).await, index, 4000).await.unwrap();
        let whole = all(&voice, 0..u64::MAX).await;
        let rate = codec.sample_rate();
        assert_eq!(whole[24..28], rate.to_le_bytes());
        assert_eq!(whole.len(), 44 + rate as usize * 4 * 4);
        for range in [0..44, 40..100, 31_990..200_003, 100_000..400_000] {
            let end = (range.end as usize).min(whole.len());
            assert_eq!(all(&voice, range.clone()).await, whole[range.start as usize..end], "{range:?}");
        }
        let channel = |at: usize| -> Vec<i16> {
            whole[44..].chunks_exact(4).map(|f| i16::from_le_bytes([f[at], f[at + 1]])).collect()
        };
        let heard = channel(0);
        let (best, lag) = correlation(&sound[..heard.len() - 2_000], &heard, rate as usize / 50);
        println!("{codec:?}: correlation {best:.4} at {lag} samples");
        assert!(best >= 0.95, "{codec:?}: {best} at {lag}");
        // Where two blocks meet the sound goes on: no step that the tone itself does not have.
        for second in 1..4 {
            let at = rate as usize * second;
            let step = |at: usize| (i32::from(heard[at]) - i32::from(heard[at - 1])).abs();
            let usual = (at - 400..at - 50).map(step).max().unwrap();
            assert!(step(at) <= usual * 2 + 200, "{codec:?}: a step of {} at {second} s", step(at));
        }
        // A narrow-band track beside it keeps its level.
        let expected = crate::g711::A_LAW[0x2a];
        assert!(channel(2)[100..rate as usize].iter().all(|sample| *sample == expected));
    }
}
