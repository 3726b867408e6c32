//! RTCP of the phones, plain and protected by a foreign sender: what they say of what they hear is in the manifest.

use crate::{
    POOR, Voices, key_of,
    network::{Datagram, Source, protect, receiver_report, sender_report},
    payload_type,
    recording::{ORIGIN_US, Recording},
    setup,
    sound::PACKETS,
    ticks,
};
use hindsight_sip::sdp::{Codec, Suite};
use hindsight_wire::manifest::{Reception, ReceptionFigures};

const SSRC: [u32; 2] = [77, 78];

#[tokio::test]
async fn what_the_phones_report_is_in_the_manifest_for_every_protection() {
    const SECONDS: usize = 12;
    for (codec, suite) in std::iter::once(None)
        .chain(Suite::ALL.map(Some))
        .flat_map(|suite| [Codec::Pcma, Codec::Opus].map(|codec| (codec, suite)))
    {
        let voices = Voices::new(codec, true);
        let keys = [0, 1].map(|side| suite.map(|suite| key_of(suite, side)));
        let setups = [0, 1].map(|side: usize| setup(codec, keys[side].as_ref().map(|(_, key)| key.clone())));
        let mut recording = Recording::start(setups);
        let mut arrived = Vec::new();
        let rate = codec.clock_rate();
        for side in [0, 1] {
            let mut sent: Vec<Datagram> = Vec::new();
            let mut source = Source { ssrc: SSRC[side], ..Source::new(payload_type(codec), 0, ticks(codec)) };
            let start = source.timestamp;
            source.send(ORIGIN_US, voices.packets[side].iter().take(SECONDS * PACKETS), &mut sent);
            let mut carried = POOR.carry(11 + side as u64, protected(suite, &keys[side], sent));
            let mut control: Vec<Datagram> = Vec::new();
            for second in [2i64, 5, 8] {
                let (at_us, other) = (ORIGIN_US + second * 1_000_000, SSRC[1 - side]);
                control.push((
                    at_us,
                    sender_report(SSRC[side], at_us, start.wrapping_add(second as u32 * rate)),
                ));
                // The other's report was with it for 800 ms, and came over a way of 20 ms from the media server; the answer
                // goes back over one of 30 ms.
                let figures =
                    ([26, 77, 5][second as usize / 3], second as u32 * 3, rate / 1_000 * second as u32 * 4);
                let answer = receiver_report(SSRC[side], other, figures, at_us, 800_000);
                control.push((at_us + 850_000, answer));
            }
            carried.extend(protected(suite, &keys[side], control));
            arrived.extend(carried.into_iter().map(|(at, bytes)| (side, at, bytes)));
        }
        recording.hear(arrived);
        let parts = recording.finish(ORIGIN_US + (SECONDS as i64 + 1) * 1_000_000).await;
        assert_eq!(parts.len(), 1);
        let last = ReceptionFigures { loss_percent: 2.0, jitter_ms: 32, round_trip_ms: Some(50) };
        let worst = ReceptionFigures { loss_percent: 30.1, ..last };
        let reported = Reception { reports: 3, lost: 24, last, worst };
        let what = format!("{} {}", codec.name(), suite.map_or("plain", Suite::name));
        for quality in &parts[0].manifest.quality {
            assert_eq!(quality.reception, Some(reported.clone()), "{what}");
            assert!(quality.expected >= 590 && quality.lost + quality.late > 10, "{what}: {quality:?}");
        }
        assert!(!parts[0].manifest.notes.iter().any(|note| note.text.contains("SRTP")), "{what}: all opened");
        println!("{what}: {:?}", parts[0].manifest.quality[0].reception);
    }
}

fn protected(
    suite: Option<Suite>,
    key: &Option<(Vec<u8>, hindsight_sip::sdp::Key)>,
    mut sent: Vec<Datagram>,
) -> Vec<Datagram> {
    if let (Some(suite), Some((master, _))) = (suite, key) {
        protect(suite, master, &mut sent);
    }
    sent
}
