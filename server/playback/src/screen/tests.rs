use super::*;
use crate::{plaintext::tests::sealed, rebuild::rebuild_screen};
use mp4_atom::{
    Any, Avc1, Avcc, Codec, DecodeMaybe, FourCC, Ftyp, Mdhd, Mdia, Mfhd, Minf, Moof, Mvex, Mvhd, Stbl, Stsd,
    Tfdt, Tfhd, Traf, Trak, Trex, Trun, TrunEntry, TrunSamples,
};

const TIMESCALE: u32 = 90_000;

fn head() -> Vec<u8> {
    let mut out = Vec::new();
    Ftyp { major_brand: FourCC::new(b"iso6"), minor_version: 0, compatible_brands: vec![] }
        .encode(&mut out)
        .unwrap();
    let avcc = Avcc::new(&[0x67, 66, 0xC0, 31, 1], &[0x68, 1]).unwrap();
    let stsd = Stsd { codecs: vec![Codec::Avc1(Avc1 { avcc, ..Avc1::default() })] };
    let minf = Minf { stbl: Stbl { stsd, ..Stbl::default() }, ..Minf::default() };
    let mdhd = Mdhd { timescale: TIMESCALE, language: "und".to_owned(), ..Mdhd::default() };
    let moov = Moov {
        mvhd: Mvhd { timescale: TIMESCALE, ..Mvhd::default() },
        mvex: Some(Mvex { mehd: None, trex: vec![Trex { track_id: 1, ..Trex::default() }] }),
        trak: vec![Trak { mdia: Mdia { mdhd, minf, ..Mdia::default() }, ..Trak::default() }],
        ..Moov::default()
    };
    moov.encode(&mut out).unwrap();
    out
}

/// Pictures of 100 ms; the number of each is in all of its bytes.
fn fragment(first: u32, sizes: &[u32], key: bool) -> Vec<u8> {
    let samples = sizes.iter().enumerate().map(|(n, size)| TrunEntry {
        duration: Some(TIMESCALE / 10),
        size: Some(*size),
        flags: Some(if key && n == 0 { 0x0200_0000 } else { 0x0101_0000 }),
        cts: None,
    });
    let moof = Moof {
        mfhd: Mfhd { sequence_number: first },
        traf: vec![Traf {
            tfhd: Tfhd { track_id: 1, default_base_is_moof: true, ..Tfhd::default() },
            tfdt: Some(Tfdt { base_media_decode_time: u64::from(first * TIMESCALE / 10) }),
            trun: vec![Trun { data_offset: Some(0), samples: TrunSamples::Explicit(samples.collect()) }],
            ..Traf::default()
        }],
    };
    let mut out = Vec::new();
    moof.encode(&mut out).unwrap();
    out.extend((sizes.iter().sum::<u32>() + 8).to_be_bytes());
    out.extend(b"mdat");
    for (n, size) in sizes.iter().enumerate() {
        out.extend(vec![(first as usize + n) as u8; *size as usize]);
    }
    out
}

/// Three runs of several fragments with padding between, one fragment larger than a chunk; its index, and pictures.
fn recording() -> (Vec<u8>, Vec<IndexEntry>, Vec<u8>) {
    let (mut plain, mut index, mut pictures, mut first) = (head(), Vec::new(), Vec::new(), 0);
    let plan: [(&[u32], bool); 7] = [
        (&[5000, 40], true),
        (&[30, 20, 10], false),
        (&[9], false),
        (&[CHUNK as u32 + 777, 50], true),
        (&[60], false),
        (&[4000], true),
        (&[70, 80], false),
    ];
    for (sizes, key) in plan {
        let bytes = sizes.iter().sum();
        index.push(IndexEntry {
            time_ms: u64::from(first) * 100,
            position: plain.len() as u64,
            key,
            span_ms: None,
            pictures: Some(Pictures { count: sizes.len() as u32, bytes }),
        });
        let made = fragment(first, sizes, key);
        pictures.extend_from_slice(&made[made.len() - bytes as usize..]);
        plain.extend(made);
        plain.extend(hindsight_seal::mp4_free_box(900));
        first += sizes.len() as u32;
    }
    (plain, index, pictures)
}

async fn whole(screen: &Screen<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    while (out.len() as u64) < screen.len() {
        out.extend(screen.read(out.len() as u64..u64::MAX).await.unwrap());
    }
    out
}

fn be(bytes: &[u8]) -> usize {
    u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize
}

#[tokio::test]
async fn each_key_frame_begins_the_only_fragment_up_to_the_next_and_the_sidx_finds_it() {
    let (plain, index, pictures) = recording();
    let screen = Screen::open(sealed(&plain).await, &index, 1200).await.unwrap();
    let file = whole(&screen).await;
    let at = file.windows(4).position(|kind| kind == b"sidx").unwrap() - 4;
    let (len, count) = (be(&file[at..]), be(&file[at + 36..]));
    assert_eq!((len, count), (40 + 3 * 12, 3));
    let (mut place, mut seen, mut durations) = (at + len, Vec::new(), Vec::new());
    for reference in file[at + 40..at + len].chunks(12) {
        assert_eq!(be(&reference[8..]), 0x9000_0000);
        durations.push(be(&reference[4..]) as u32 / (TIMESCALE / 1000));
        let mut run = &file[place..place + be(reference)];
        let Some(Any::Moof(moof)) = Any::decode_maybe(&mut run).unwrap() else { panic!("no moof") };
        let track = &moof.traf[0];
        assert_eq!(track.trun.len(), 1);
        assert_eq!(track.trun[0].samples.iter().next().unwrap().flags, Some(0x0200_0000));
        assert_eq!(track.trun[0].data_offset, Some((be(reference) - run.len() + 8) as i32));
        let Some(Any::Mdat(mdat)) = Any::decode_maybe(&mut run).unwrap() else { panic!("no mdat") };
        assert!(run.is_empty());
        seen.extend(mdat.data);
        place += be(reference);
    }
    assert_eq!(place, file.len());
    assert_eq!(durations, [600, 300, 300]);
    assert!(seen == pictures);
}

#[tokio::test]
async fn any_range_is_the_same_bytes() {
    let (plain, index, _) = recording();
    let screen = Screen::open(sealed(&plain).await, &index, 1200).await.unwrap();
    let file = whole(&screen).await;
    for from in (0..file.len()).step_by(997).chain(file.len() - 40..file.len()) {
        for len in [1, 50, 3000] {
            let part = screen.read(from as u64..(from + len) as u64).await.unwrap();
            assert!(!part.is_empty() && part.len() <= len);
            assert!(part == file[from..from + part.len()], "{from}, {len}");
        }
    }
    assert!(screen.read(file.len() as u64..u64::MAX).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_index_that_does_not_say_what_fragments_hold_gives_the_same_file() {
    let (plain, index, _) = recording();
    let rebuilt = rebuild_screen(&sealed(&plain).await).await.unwrap();
    assert_eq!(rebuilt.index, index);
    let silent: Vec<_> = index.iter().map(|entry| IndexEntry { pictures: None, ..*entry }).collect();
    let one = Screen::open(sealed(&plain).await, &index, 1200).await.unwrap();
    let other = Screen::open(sealed(&plain).await, &silent, 1200).await.unwrap();
    assert!(whole(&one).await == whole(&other).await);
}

#[tokio::test]
async fn an_index_that_lies_is_refused_before_a_wrong_byte() {
    let (plain, index, _) = recording();
    let lie = |change: &dyn Fn(&mut IndexEntry)| {
        let mut index = index.clone();
        change(&mut index[1]);
        index
    };
    for index in [
        lie(&|entry| entry.position += 1),
        lie(&|entry| entry.pictures = Some(Pictures { count: 2, bytes: 60 })),
        lie(&|entry| entry.pictures = Some(Pictures { count: 3, bytes: 61 })),
    ] {
        let screen = Screen::open(sealed(&plain).await, &index, 1200).await.unwrap();
        let moof = screen.runs[0].place;
        assert!(matches!(screen.read(moof..moof + 1).await, Err(PlaybackError::Screen { .. })));
    }
    let huge = lie(&|entry| entry.pictures = Some(Pictures { count: u32::MAX, bytes: u32::MAX }));
    assert!(Screen::open(sealed(&plain).await, &huge, 1200).await.is_err());
    let back = lie(&|entry| entry.position = 0);
    assert!(Screen::open(sealed(&plain).await, &back, 1200).await.is_err());
}
