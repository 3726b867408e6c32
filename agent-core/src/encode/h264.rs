//! The encoder: openh264.

use super::{
    nal::{ParameterSets, sort_unit},
    picture::Picture,
};
use openh264::{
    OpenH264API, Timestamp,
    encoder::{
        Complexity, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, QpRange, RateControlMode,
        SpsPpsStrategy, UsageType, VuiConfig,
    },
};
use openh264_sys2::{ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, PRO_MAIN, SEncParamExt};
use std::mem::MaybeUninit;

/// A key frame at least this often. It is the largest thing in a quiet recording, and what a seek starts from.
pub const KEY_FRAME_EVERY_US: u64 = 60_000_000;

/// Every second picture is one that no other is built on. openh264 prepares its search for moved text once for each picture
/// that others are built on, as soon as any of the screen is still: that is two fifths of the cost of a small change, and
/// half of it is saved. Measured on the scene `office`: 37 % less processor time, 17 % more bytes (which the entropy
/// coding wins back), and a better SSIM.
const TEMPORAL_LAYERS: i32 = 2;
/// CABAC instead of CAVLC: 15 to 40 % fewer bytes for 1 to 3 % more processor time.
const CABAC: i32 = 1;

/// Why a picture could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Beyond twice the encoder's limit of 3840 × 2160 in either direction.
    #[error("a monitor of {width} × {height} is larger than the encoder can take, even at half size")]
    TooLarge {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Less than one macroblock.
    #[error("a monitor of {width} × {height} is too small to encode")]
    TooSmall {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The conversion of colours refused.
    #[error("colour conversion: {0}")]
    Convert(String),
    /// The encoder refused.
    #[error("openh264: {0}")]
    Encoder(#[from] openh264::Error),
    /// The encoder's output makes no sense.
    #[error("openh264 gave {0}")]
    Output(&'static str),
}

/// One encoded picture.
pub struct Encoded<'a> {
    /// Whether decoding can start here.
    pub key: bool,
    /// Units behind their lengths.
    pub sample: &'a [u8],
}

/// An H.264 encoder for one monitor.
pub struct Encoder {
    encoder: openh264::encoder::Encoder,
    sets: ParameterSets,
    sample: Vec<u8>,
    key: bool,
    last_key_us: Option<u64>,
    key_wanted: bool,
}

impl Encoder {
    /// For pictures of `width` × `height` (even, within [`super::Scale`]'s limits).
    pub fn new(width: u32, height: u32, frame_rate: u32, quantiser: u8) -> Result<Self, EncodeError> {
        let config = EncoderConfig::new()
            .usage_type(UsageType::ScreenContentRealTime)
            .rate_control_mode(RateControlMode::Off)
            .skip_frames(false)
            .complexity(Complexity::Low)
            .adaptive_quantization(false)
            .background_detection(false)
            .max_frame_rate(FrameRate::from_hz(frame_rate as f32))
            .intra_frame_period(IntraFramePeriod::auto())
            .qp(QpRange::new(0, 51))
            .sps_pps_strategy(SpsPpsStrategy::ConstantId)
            .num_threads(1)
            .vui(VuiConfig::bt709());
        let encoder = openh264::encoder::Encoder::with_api_config(OpenH264API::from_source(), config)?;
        let mut new = Self {
            encoder,
            sets: ParameterSets::default(),
            sample: Vec::new(),
            key: false,
            last_key_us: None,
            key_wanted: false,
        };
        // Only an encoder that has encoded can be told these: give it a blank picture first.
        new.encoder.encode(&Picture::neutral(width, height))?;
        new.tune(quantiser)?;
        new.key_wanted = true;
        Ok(new)
    }

    /// Makes the next picture a key frame.
    pub fn want_key_frame(&mut self) {
        self.key_wanted = true;
    }

    /// Encodes a picture of `at_us` microseconds after the start.
    pub fn encode(&mut self, picture: &Picture, at_us: u64) -> Result<Encoded<'_>, EncodeError> {
        self.encode_into_self(picture, at_us)?;
        Ok(self.last())
    }

    /// The picture encoded last (empty before the first).
    pub fn last(&self) -> Encoded<'_> {
        Encoded { key: self.key, sample: &self.sample }
    }

    fn encode_into_self(&mut self, picture: &Picture, at_us: u64) -> Result<(), EncodeError> {
        let due = self.last_key_us.is_some_and(|last| at_us.saturating_sub(last) >= KEY_FRAME_EVERY_US);
        if std::mem::take(&mut self.key_wanted) || due {
            self.encoder.force_intra_frame();
        }
        let stream = self.encoder.encode_at(picture, Timestamp::from_millis(at_us / 1000))?;
        self.sample.clear();
        for layer in (0..stream.num_layers()).filter_map(|index| stream.layer(index)) {
            for unit in (0..layer.nal_count()).filter_map(|index| layer.nal_unit(index)) {
                sort_unit(unit, &mut self.sets, &mut self.sample);
            }
        }
        self.key = matches!(stream.frame_type(), FrameType::IDR);
        if self.sample.is_empty() {
            return Err(EncodeError::Output("no picture"));
        }
        if self.key {
            self.last_key_us = Some(at_us);
        }
        Ok(())
    }

    /// Parameter sets of the pictures so far; they stay the same for the life of the encoder.
    pub fn parameter_sets(&self) -> &ParameterSets {
        &self.sets
    }

    /// Sets what the library's configuration has no word for.
    fn tune(&mut self, quantiser: u8) -> Result<(), EncodeError> {
        let mut params = MaybeUninit::<SEncParamExt>::zeroed();
        // SAFETY: the encoder has been initialised (a picture was encoded). `get_option` with this option fills a
        // `SEncParamExt`, plain data for which all zeroes is a value, and `set_option` reads one; both only during the call.
        let (got, set) = unsafe {
            let raw = self.encoder.raw_api();
            let got = raw.get_option(ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, params.as_mut_ptr().cast());
            let mut params = params.assume_init();
            params.iTemporalLayerNum = TEMPORAL_LAYERS;
            params.iEntropyCodingModeFlag = CABAC;
            params.sSpatialLayers[0].uiProfileIdc = PRO_MAIN;
            params.sSpatialLayers[0].iDLayerQp = quantiser.into();
            let set = raw.set_option(ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, (&raw mut params).cast());
            (got, set)
        };
        if got == 0 && set == 0 { Ok(()) } else { Err(EncodeError::Output("no ear for its parameters")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        capture::{Frame, Rect, Region},
        encode::{Canvas, Scale},
    };

    /// A picture with edges everywhere, different for each seed.
    fn busy(seed: u32) -> Picture {
        let mut frame = Frame::new(640, 360);
        for row in 0..360u32 {
            let area = Rect { x: 0, y: row as i32, width: 640, height: 1 };
            for (column, pixel) in frame.row_mut(&area, 0).chunks_exact_mut(4).enumerate() {
                let value =
                    (column as u32 / 8 * 37 + row / 8 * 101 + seed * 7919).wrapping_mul(2_654_435_761);
                pixel.copy_from_slice(&value.to_le_bytes());
            }
        }
        let scale = Scale::for_size(640, 360, 100).unwrap();
        let mut canvas = Canvas::new(640, 360, scale, false);
        canvas.update(&frame, &[frame.area()], &Region::default()).unwrap();
        canvas.picture().clone()
    }

    #[test]
    fn every_picture_is_encoded_and_key_frames_come_when_wanted_and_each_minute() {
        let mut encoder = Encoder::new(640, 360, 5, 26).unwrap();
        let picture = busy(1);
        assert!(encoder.encode(&picture, 0).unwrap().key);
        assert!(!encoder.encode(&picture, 200_000).unwrap().key);
        assert!(encoder.encode(&picture, 60_000_000).unwrap().key);
        encoder.want_key_frame();
        assert!(encoder.encode(&picture, 60_200_000).unwrap().key);
        assert!(!encoder.encode(&picture, 60_400_000).unwrap().key);
        assert_eq!(encoder.parameter_sets().sps[0] & 0x1F, 7);
        assert_eq!(encoder.parameter_sets().pps[0] & 0x1F, 8);
    }

    #[test]
    fn a_coarser_quantiser_makes_a_smaller_picture() {
        let size = |quantiser| {
            let mut encoder = Encoder::new(640, 360, 5, quantiser).unwrap();
            let encoded = encoder.encode(&busy(1), 0).unwrap();
            assert!(encoded.key);
            encoded.sample.len()
        };
        let (fine, built_in, coarse) = (size(20), size(26), size(38));
        assert!(fine > built_in && built_in > coarse, "{fine} {built_in} {coarse}");
    }
}
