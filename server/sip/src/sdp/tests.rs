//! Descriptions of phones, media servers and recording clients.

use super::*;
use std::net::SocketAddr;

const PHONE: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
    m=audio 4000 RTP/AVP 18 9 0 8 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-15\r\na=candidate:1 1 UDP 1 10.0.0.1 4000 typ host\r\na=ptime:20\r\na=sendonly\r\n";

fn payload_types(audio: &Audio) -> Vec<u8> {
    audio.formats.iter().map(|format| format.payload_type).collect()
}

fn here() -> SocketAddr {
    "10.0.0.1:20000".parse().unwrap()
}

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap()
}

#[test]
fn a_description_written_keeps_lines_codecs_and_direction_and_nothing_else() {
    let read = Description::parse(PHONE.as_bytes()).unwrap();
    assert_eq!(payload_types(&read.audio), [9, 0, 8, 101]);
    assert!(read.audio.direction.holds());
    let mut shape = Shape::default();
    shape.follow(&read);
    let written = text(Writer::new(7).write(&read.audio, &shape));
    assert!(written.contains("o=hindsight 7 1 IN IP4 192.0.2.1\r\n"));
    assert!(written.contains("m=video 0 RTP/AVP 96\r\nm=audio 4000 RTP/AVP 9 0 8 101\r\n"), "{written}");
    assert!(written.contains("a=sendonly\r\n") && !written.contains("candidate"));
    assert_eq!(Description::parse(written.as_bytes()).unwrap().audio, read.audio);
}

#[test]
fn an_answer_keeps_the_order_and_mirrors_the_flow() {
    let offer = Description::parse(PHONE.as_bytes()).unwrap();
    let answer = offer.audio.answered_at(here(), None);
    let written = text(Writer::new(7).write(&answer, offer.shape()));
    assert!(written.contains("m=video 0 RTP/AVP 96\r\nm=audio 20000 RTP/AVP 9 0 8 101\r\n"), "{written}");
    assert!(written.ends_with("a=fmtp:101 0-15\r\na=recvonly\r\n"), "{written}");
    let read = Description::parse(written.as_bytes()).unwrap().audio;
    assert_eq!((read.rtp(), read.formats), (Some(here()), offer.audio.formats));
}

#[test]
fn the_version_grows_only_with_a_change() {
    let read = Description::parse(PHONE.as_bytes()).unwrap();
    let (mut writer, shape) = (Writer::new(1), Shape::default());
    let first = writer.write(&read.audio, &shape);
    assert_eq!(writer.write(&read.audio, &shape), first);
    let held = writer.write(&read.audio.with_direction(Direction::Inactive), &shape);
    assert!(text(held).contains("o=hindsight 1 2 "));
}

#[test]
fn holding_is_understood_in_each_of_its_shapes() {
    let direction = |from: &str, to: &str| {
        Description::parse(PHONE.replace("a=sendonly", "a=sendrecv").replace(from, to).as_bytes())
            .unwrap()
            .audio
            .direction
    };
    assert_eq!(direction("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0"), Direction::SendOnly, "RFC 2543");
    assert_eq!(direction("a=sendrecv", "a=inactive"), Direction::Inactive);
    assert_eq!(direction("a=ptime:20\r\na=sendrecv", "a=ptime:20"), Direction::SendRecv);
    assert_eq!(
        Description::parse(
            PHONE.replace("a=sendonly\r\n", "").replace("t=0 0\r\n", "t=0 0\r\na=sendonly\r\n").as_bytes()
        )
        .unwrap()
        .audio
        .direction,
        Direction::SendOnly,
        "of the whole session"
    );
}

#[test]
fn an_answer_never_allows_what_the_offer_did_not() {
    use Direction::*;
    assert_eq!(SendOnly.answer(SendRecv), RecvOnly);
    assert_eq!(SendRecv.answer(SendOnly), SendOnly);
    assert_eq!(Inactive.answer(SendRecv), Inactive);
    assert_eq!(RecvOnly.answer(RecvOnly), Inactive);
}

#[test]
fn only_what_both_have_under_one_payload_type_is_agreed() {
    let offered = Format::everything();
    let mut answered =
        vec![Format::voice(8, Codec::Pcma), Format::voice(0, Codec::Pcmu), Format::events(96, 8_000)];
    let codecs = |formats: Vec<Format>| formats.iter().map(|format| format.payload_type).collect::<Vec<_>>();
    assert_eq!(codecs(Format::agreed(&offered, &answered).unwrap()), [8]);
    assert_eq!(Format::agreed(&offered[..1], &answered[..1]), None);
    answered = vec![Format::voice(96, Codec::Opus), Format::events(101, 8_000), Format::events(97, 48_000)];
    assert_eq!(codecs(Format::agreed(&offered, &answered).unwrap()), [96, 97], "events in the voice's clock");
    assert_eq!(codecs(Format::agreed(&offered, &answered[..2]).unwrap()), [96, 101]);
}

#[test]
fn codecs_are_read_with_their_clocks() {
    let body = PHONE.replace(
        "18 9 0 8 101\r\n",
        "111 109 13 9 101\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\na=rtpmap:109 opus/16000\r\n",
    );
    let audio = Description::parse(body.as_bytes()).unwrap().audio;
    assert_eq!(payload_types(&audio), [111, 13, 9, 101], "Opus has one clock only (RFC 7587 7)");
    assert_eq!(audio.formats[0].codec(), Some(Codec::Opus));
    assert_eq!(audio.formats[0].fmtp.as_deref(), Some("useinbandfec=1"));
    assert_eq!((audio.formats[1].encoding, audio.formats[2].clock_rate), (Encoding::ComfortNoise, 8_000));
    let written = text(Writer::new(1).write(&audio, &Shape::default()));
    assert!(written.contains("a=rtpmap:111 opus/48000/2\r\n"), "{written}");
}

#[test]
fn an_opus_packet_says_how_long_it_is() {
    for (packet, ms) in [
        (&[0x08, 1][..], 20),       // SILK, narrow band, 20 ms
        (&[0x18, 1][..], 60),       // SILK, 60 ms
        (&[0x78, 1][..], 20),       // hybrid, 20 ms
        (&[0xf8, 1][..], 20),       // CELT, full band, 20 ms
        (&[0xf9, 1][..], 40),       // two frames
        (&[0xfb, 0x03, 1][..], 60), // three frames
        (&[0x1b, 0x3f][..], 0),     // 63 frames of 60 ms: no packet is longer than 120 ms
        (&[0xfb][..], 0),
        (&[][..], 0),
    ] {
        assert_eq!(Codec::Opus.ticks(packet), ms * 48, "{packet:?}");
    }
    assert_eq!(Codec::G722.ticks(&[0; 160]), 160, "20 ms at its clock of 8000");
}

#[test]
fn rtcp_may_be_elsewhere() {
    let body = PHONE.replace("a=sendonly", "a=rtcp:53020 IN IP4 192.0.2.9");
    let audio = Description::parse(body.as_bytes()).unwrap().audio;
    assert_eq!(audio.rtcp(), "192.0.2.9:53020".parse().unwrap());
    let again = text(Writer::new(1).write(&audio, &Shape::default()));
    assert_eq!(Description::parse(again.as_bytes()).unwrap().audio.rtcp(), audio.rtcp());
    assert_eq!(Description::parse(PHONE.as_bytes()).unwrap().audio.rtcp().port(), 4001);
}

/// The example of RFC 4568 9.1, and what else phones offer.
const PROTECTED: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 49170 RTP/SAVP 0\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 FEC_ORDER=FEC_SRTP\r\n\
    a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj|2^20\r\n\
    a=crypto:3 F8_128_HMAC_SHA1_80 inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj\r\n\
    a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:dG9vIHNob3J0\r\n\
    a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n";

#[test]
fn keys_that_we_can_use_are_read_and_never_shown() {
    let audio = Description::parse(PROTECTED.as_bytes()).unwrap().audio;
    let tags: Vec<u32> = audio.keys.iter().map(|key| key.tag).collect();
    assert_eq!(tags, [2, 5], "a key index, an unknown suite and a short key are passed over");
    assert_eq!((audio.keys[0].master_key().len(), audio.keys[0].master_salt().len()), (16, 14));
    assert_eq!(audio.keys[0].suite, Suite::AesCm128HmacSha1_32);
    let shown = format!("{audio:?}");
    assert!(!shown.contains("NzB4") && !shown.contains("55, 48, 120"), "{shown}");
    let again = text(Writer::new(1).write(&audio, &Shape::default()));
    assert!(again.contains("m=audio 49170 RTP/SAVP 0\r\n"), "{again}");
    assert_eq!(Description::parse(again.as_bytes()).unwrap().audio, audio);
}

#[test]
fn keys_are_agreed_by_tag_and_suite_and_protection_is_all_or_nothing() {
    let offer = Description::parse(PROTECTED.as_bytes()).unwrap().audio;
    let carried = offer.formats.clone();
    let key = |tag, suite| Key::new(tag, suite, vec![7; 30]).unwrap();
    let answer = |key| offer.answered_at(here(), key);
    let suite = Suite::AesCm128HmacSha1_80;
    let agreed = offer.agreed(&carried, &answer(Some(key(5, suite)))).unwrap();
    assert_eq!((agreed.offerer[0].tag, agreed.answerer[0].master_key()), (5, &[7; 16][..]));
    assert_ne!(agreed.offerer, agreed.answerer);
    assert_eq!(offer.agreed(&carried, &answer(Some(key(2, suite)))), None, "another suite under this tag");
    assert_eq!(offer.agreed(&carried, &answer(None)), None, "no plain answer to a protected offer");
    let plain = Audio { profile: Profile::Avp, keys: Vec::new(), ..answer(None) };
    assert_eq!(offer.agreed(&carried, &plain), None);
    let may = Audio { profile: Profile::Avp, ..offer.clone() };
    let agreed = may.agreed(&carried, &plain).unwrap();
    assert!(agreed.offerer.is_empty() && agreed.answerer.is_empty(), "protection that was only possible");
    assert!(Key::new(1, suite, vec![0; 29]).is_none());
}

const CLIENT: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\na=label:16777227\r\n\
    m=video 5000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
    m=audio 4002 RTP/AVP 0\r\na=inactive\r\n";

#[test]
fn every_audio_line_of_a_recording_session_is_answered_with_its_label_in_the_clients_order() {
    let offer = StreamsOffer::parse(CLIENT.as_bytes()).unwrap();
    let labels: Vec<&str> = offer.streams().map(|stream| stream.label.as_str()).collect();
    assert_eq!(labels, ["16777227", "3"], "a line without a label is named by its position");
    let answer =
        offer.answer(&mut Writer::new(7), here().ip(), |stream| Some(stream.audio.answered_at(here(), None)));
    let answer = text(answer);
    let lines: Vec<&str> = answer.lines().filter(|line| !line.starts_with("a=rtpmap")).skip(5).collect();
    assert_eq!(
        lines,
        [
            "m=audio 20000 RTP/AVP 8 0 101",
            "a=recvonly",
            "a=label:16777227",
            "m=video 0 RTP/AVP 96",
            "m=audio 20000 RTP/AVP 0",
            "a=inactive",
            "a=label:3"
        ]
    );
}

#[test]
fn a_recording_session_with_a_stream_that_cannot_be_recorded_is_refused_whole() {
    let other = CLIENT.replace("m=audio 4002 RTP/AVP 0", "m=audio 4002 RTP/AVP 18");
    assert_eq!(StreamsOffer::parse(other.as_bytes()), Err(SdpError::NothingInCommon));
    let none = CLIENT.replace("m=audio 4000", "m=audio 0").replace("m=audio 4002", "m=audio 0");
    assert_eq!(StreamsOffer::parse(none.as_bytes()), Err(SdpError::NothingInCommon));
    let odd = CLIENT.replace("a=label:16777227", "a=label:\u{1}x y");
    assert_eq!(StreamsOffer::parse(odd.as_bytes()).unwrap().streams().next().unwrap().label, "1");
}

#[test]
fn a_placeholder_is_nowhere() {
    let audio = Audio::placeholder(Format::everything());
    let written = Writer::new(1).write(&audio, &Shape::default());
    let read = Description::parse(&written).unwrap().audio;
    assert_eq!((read.rtp(), read.direction, read.formats), (None, Direction::Inactive, Format::everything()));
}

#[test]
fn what_cannot_be_carried_is_named() {
    let error = |body: &str| Description::parse(body.as_bytes()).unwrap_err();
    assert_eq!(error("hello"), SdpError::Malformed);
    for (from, to) in [
        ("18 9 0 8 101", "18"),
        ("4000 RTP/AVP", "0 RTP/AVP"),
        ("RTP/AVP 18", "RTP/SAVP 18"),
        ("RTP/AVP 18", "UDP/TLS/RTP/SAVPF 18"),
    ] {
        assert_eq!(error(&PHONE.replace(from, to)), SdpError::NothingInCommon, "{to}");
    }
    assert_eq!(error(&PHONE.replace("c=IN IP4 192.0.2.1\r\n", "")), SdpError::Malformed);
    let lines = "m=audio 4000 RTP/AVP 0\r\n".repeat(17);
    assert_eq!(error(&PHONE.replace("m=video", &format!("{lines}m=video"))), SdpError::Malformed);
}
