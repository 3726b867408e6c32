//! The start of the file: `ftyp` and `moov`.

use super::MuxError;
use crate::encode::ParameterSets;
use mp4_atom::{
    Avc1, Avcc, Codec, Colr, Dinf, Dref, Encode, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov, Mvex, Mvhd,
    Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url, Visual, Vmhd,
};

/// Ticks a second, the customary 90 kHz.
pub const TIMESCALE: u32 = 90_000;
/// Number of the only track.
pub(super) const TRACK: u32 = 1;

/// The track as the header describes it.
pub struct TrackShape<'a> {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// For the `avcC` box.
    pub sets: &'a ParameterSets,
}

/// Appends `ftyp` and `moov`. Durations are zero: they are in the fragments.
pub fn header(shape: &TrackShape<'_>, out: &mut Vec<u8>) -> Result<(), MuxError> {
    let brand = |code: &[u8; 4]| FourCC::new(code);
    let ftyp = Ftyp {
        major_brand: brand(b"iso6"),
        minor_version: 0,
        compatible_brands: vec![brand(b"iso6"), brand(b"iso5"), brand(b"avc1"), brand(b"mp41")],
    };
    ftyp.encode(out)?;
    let moov = Moov {
        mvhd: Mvhd { timescale: TIMESCALE, next_track_id: TRACK + 1, ..Mvhd::default() },
        mvex: Some(Mvex {
            mehd: None,
            trex: vec![Trex { track_id: TRACK, default_sample_description_index: 1, ..Trex::default() }],
        }),
        trak: vec![track(shape)?],
        ..Moov::default()
    };
    moov.encode(out)?;
    Ok(())
}

fn track(shape: &TrackShape<'_>) -> Result<Trak, MuxError> {
    let (width, height) = (shape.width as u16, shape.height as u16);
    Ok(Trak {
        tkhd: Tkhd {
            track_id: TRACK,
            enabled: true,
            in_movie: true,
            width: width.into(),
            height: height.into(),
            ..Tkhd::default()
        },
        mdia: Mdia {
            mdhd: Mdhd { timescale: TIMESCALE, language: "und".to_owned(), ..Mdhd::default() },
            hdlr: Hdlr { handler: FourCC::new(b"vide"), name: "screen".to_owned() },
            minf: Minf {
                vmhd: Some(Vmhd::default()),
                dinf: Dinf { dref: Dref { entries: vec![Url::default().into()] } },
                stbl: Stbl {
                    stsd: Stsd { codecs: vec![Codec::Avc1(sample_entry(shape)?)] },
                    stco: Some(Stco::default()),
                    ..Stbl::default()
                },
                ..Minf::default()
            },
        },
        ..Trak::default()
    })
}

fn sample_entry(shape: &TrackShape<'_>) -> Result<Avc1, MuxError> {
    Ok(Avc1 {
        visual: Visual {
            data_reference_index: 1,
            width: shape.width as u16,
            height: shape.height as u16,
            ..Visual::default()
        },
        avcc: Avcc::new(&shape.sets.sps, &shape.sets.pps)?,
        // BT.709 throughout, limited range: as the encoder was told.
        colr: Some(Colr::Nclx {
            colour_primaries: 1,
            transfer_characteristics: 1,
            matrix_coefficients: 1,
            full_range_flag: false,
        }),
        ..Avc1::default()
    })
}
