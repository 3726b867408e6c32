//! openh264 with any settings.

use crate::Result;
use anyhow::{Context as _, bail, ensure};
use hindsight_agent_core::{
    capture::{Frame, Region},
    encode::{Canvas, Scale},
};
use openh264::{
    OpenH264API, Timestamp,
    encoder::{
        Complexity, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, QpRange, RateControlMode,
        SpsPpsStrategy, UsageType, VuiConfig,
    },
};
use openh264_sys2::{ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, PRO_MAIN, SEncParamExt};
use std::{
    io::{Read as _, Write as _},
    mem::MaybeUninit,
    path::Path,
    process::{Command, Stdio},
};

const SIZE: (u32, u32) = (1920, 1080);

struct Settings {
    quantiser: i32,
    layers: i32,
    cabac: i32,
    complexity: Complexity,
    usage: UsageType,
    filter: i32,
    refs: i32,
    threads: u16,
}

impl Settings {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut settings = Self {
            quantiser: hindsight_wire::policy::CapturePolicy::default().quantiser.into(),
            layers: 2,
            cabac: 1,
            complexity: Complexity::Low,
            usage: UsageType::ScreenContentRealTime,
            filter: 0,
            refs: 0,
            threads: 1,
        };
        for setting in text.split(',').filter(|setting| !setting.is_empty()) {
            let (name, value) = setting.split_once('=').context("name=value")?;
            match (name, value) {
                ("q", value) => settings.quantiser = value.parse()?,
                ("layers", value) => settings.layers = value.parse()?,
                ("cabac", value) => settings.cabac = value.parse()?,
                ("complexity", "0") => settings.complexity = Complexity::Low,
                ("complexity", "1") => settings.complexity = Complexity::Medium,
                ("complexity", "2") => settings.complexity = Complexity::High,
                ("usage", "screen") => settings.usage = UsageType::ScreenContentRealTime,
                ("usage", "camera") => settings.usage = UsageType::CameraVideoRealTime,
                ("filter", value) => settings.filter = value.parse()?,
                ("refs", value) => settings.refs = value.parse()?,
                ("threads", value) => settings.threads = value.parse()?,
                _ => bail!("unknown setting {setting}"),
            }
        }
        Ok(settings)
    }

    fn encoder(&self, frame_rate: u32, first: &Canvas) -> anyhow::Result<Encoder> {
        let config = EncoderConfig::new()
            .usage_type(self.usage)
            .rate_control_mode(RateControlMode::Off)
            .skip_frames(false)
            .complexity(self.complexity)
            .adaptive_quantization(false)
            .background_detection(false)
            .max_frame_rate(FrameRate::from_hz(frame_rate as f32))
            .intra_frame_period(IntraFramePeriod::auto())
            .qp(QpRange::new(0, 51))
            .sps_pps_strategy(SpsPpsStrategy::ConstantId)
            .num_threads(self.threads)
            .vui(VuiConfig::bt709());
        let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config)?;
        encoder.encode(first.picture())?;
        let mut params = MaybeUninit::<SEncParamExt>::zeroed();
        // SAFETY: as in the product's encoder: initialised, plain data, read and written only during the calls.
        let (got, set) = unsafe {
            let raw = encoder.raw_api();
            let got = raw.get_option(ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, params.as_mut_ptr().cast());
            let mut params = params.assume_init();
            params.iTemporalLayerNum = self.layers;
            params.iEntropyCodingModeFlag = self.cabac;
            params.iLoopFilterDisableIdc = self.filter;
            if self.refs > 0 {
                params.iNumRefFrame = self.refs;
            }
            params.sSpatialLayers[0].uiProfileIdc = PRO_MAIN;
            params.sSpatialLayers[0].iDLayerQp = self.quantiser;
            (got, raw.set_option(ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, (&raw mut params).cast()))
        };
        ensure!(got == 0 && set == 0, "the encoder refused its settings");
        encoder.force_intra_frame();
        Ok(encoder)
    }
}

/// Converts and encodes every picture of the source, one after the other.
pub fn encode(source: &Path, settings: &str, frame_rate: u32, to: &Path) -> anyhow::Result<Result> {
    let settings = Settings::parse(settings)?;
    let mut decoder = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(source)
        .args(["-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "bgr0", "-"])
        .stdout(Stdio::piped())
        .spawn()
        .context("ffmpeg")?;
    let mut pictures = decoder.stdout.take().context("ffmpeg's output")?;
    let mut frame = Frame::new(SIZE.0, SIZE.1);
    let mut canvas = Canvas::new(SIZE.0, SIZE.1, Scale::for_size(SIZE.0, SIZE.1, 100)?, false);
    let mut encoder = settings.encoder(frame_rate, &canvas)?;
    let mut pixels = vec![0; (SIZE.0 * SIZE.1 * 4) as usize];
    let mut file = std::io::BufWriter::new(std::fs::File::create(to)?);
    let mut result = Result { cpu_seconds: 0.0, bytes: 0, key_pictures: 0 };
    let mut number = 0;
    while pictures.read_exact(&mut pixels).is_ok() {
        frame.put(&frame.area(), &pixels);
        let before = cpu_seconds();
        canvas.update(&frame, &[frame.area()], &Region::default())?;
        let at = Timestamp::from_millis(number * 1000 / u64::from(frame_rate));
        let stream = encoder.encode_at(canvas.picture(), at)?;
        result.cpu_seconds += cpu_seconds() - before;
        result.key_pictures += usize::from(matches!(stream.frame_type(), FrameType::IDR));
        let bytes = stream.to_vec();
        result.bytes += bytes.len() as u64;
        file.write_all(&bytes)?;
        number += 1;
    }
    file.flush()?;
    ensure!(decoder.wait()?.success(), "ffmpeg failed");
    Ok(result)
}

/// Processor time of this process, user and system.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
