//! macOS: ScreenCaptureKit, by the `screencapturekit` library. Type-checked, never run.
//!
//! The system hands over a picture when something changed, at most 15 a second, with the cursor in it; the newest is
//! kept (not copied) until a grab asks for it. The system's own permission ("Screen Recording" in the privacy
//! settings) is the agent's consent: without it there is nothing to share, and that is told as a refusal. Pixels, not
//! points, are recorded; the scale of a monitor is known from macOS 14 on.

use crate::capture::{Backend, CaptureError, Frame, Layout, Monitor, Rect, Screens};
use screencapturekit::{
    cm::{CMSampleBuffer, CMSampleBufferExt as _, CMSampleBufferSCExt as _, SCFrameStatus},
    cv::CVPixelBuffer,
    error::SCError,
    shareable_content::{SCDisplay, SCShareableContent},
    stream::{
        SCStream,
        configuration::{PixelFormat, SCStreamConfiguration},
        content_filter::SCContentFilter,
        delegate_trait::StreamCallbacks,
        output_type::SCStreamOutputType,
    },
};
use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

/// What can be tried on this system.
pub const BACKENDS: &[Backend] = &[Backend::ScreenCaptureKit];

/// Most pictures a second: the most that a policy can ask for.
const FRAME_RATE: u32 = 15;
/// How long the first picture may take.
const FIRST_PICTURE: Duration = Duration::from_secs(3);

/// Opens a backend; macOS has one display, which has no name.
pub fn open(backend: Backend, _display: Option<&str>) -> Result<Box<dyn Screens>, CaptureError> {
    match backend {
        Backend::Auto | Backend::ScreenCaptureKit => Ok(Box::new(MacScreens::open()?)),
        other => Err(CaptureError::Unsupported(format!("{other:?} on macOS"))),
    }
}

struct MacScreens {
    monitors: Vec<Monitor>,
    views: Vec<View>,
}

struct View {
    stream: SCStream,
    shared: Arc<Shared>,
    /// The next grab takes all of the picture.
    all: bool,
}

#[derive(Default)]
struct Shared {
    latest: Mutex<Latest>,
    arrived: Condvar,
}

#[derive(Default)]
struct Latest {
    picture: Option<CVPixelBuffer>,
    fresh: bool,
    stopped: Option<String>,
}

impl MacScreens {
    fn open() -> Result<Self, CaptureError> {
        let displays = displays()?;
        let (mut monitors, mut views) = (Vec::new(), Vec::new());
        for display in &displays {
            let filter = SCContentFilter::create()
                .with_display(display)
                .with_excluding_windows(&[])
                .build()
                .map_err(refused)?;
            let monitor = monitor(display, filter.point_pixel_scale());
            views.push(View::start(&filter, &monitor)?);
            monitors.push(monitor);
        }
        Ok(Self { monitors, views })
    }
}

impl Screens for MacScreens {
    fn monitors(&self) -> &[Monitor] {
        &self.monitors
    }

    fn poll(&mut self) -> Result<Layout, CaptureError> {
        // A monitor that goes away, or changes its mode, stops its stream or changes the size of its pictures.
        let stopped = self.views.iter().any(|view| view.shared.lock().stopped.is_some());
        Ok(if stopped { Layout::Changed } else { Layout::Same })
    }

    fn grab(
        &mut self,
        monitor: usize,
        frame: &mut Frame,
        changed: &mut Vec<Rect>,
    ) -> Result<(), CaptureError> {
        let view = &mut self.views[monitor];
        let picture = {
            let mut latest = view.shared.lock();
            if !std::mem::take(&mut latest.fresh) && !view.all {
                return Ok(());
            }
            latest.picture.clone().ok_or_else(|| CaptureError::Refused("no picture came".to_owned()))?
        };
        let locked = picture
            .lock_read_only()
            .map_err(|code| CaptureError::Refused(format!("its memory cannot be read ({code})")))?;
        let area = frame.area();
        if (locked.width(), locked.height()) != (area.width as usize, area.height as usize) {
            return Err(CaptureError::LayoutChanged);
        }
        // SAFETY: the picture is locked for reading, and the system never writes to one that was handed over and is
        // still held.
        let pixels = unsafe { locked.as_slice() };
        let pixels = pixels.ok_or_else(|| CaptureError::Refused("its memory cannot be read".to_owned()))?;
        changed.extend(frame.take_over(pixels, locked.bytes_per_row(), std::mem::take(&mut view.all)));
        Ok(())
    }

    fn invalidate(&mut self) {
        for view in &mut self.views {
            view.all = true;
        }
    }
}

impl View {
    /// Starts a stream and waits for its first picture.
    fn start(filter: &SCContentFilter, monitor: &Monitor) -> Result<Self, CaptureError> {
        let shared = Arc::new(Shared::default());
        let configuration = SCStreamConfiguration::new()
            .with_width(monitor.area.width)
            .with_height(monitor.area.height)
            .with_pixel_format(PixelFormat::BGRA)
            .with_fps(FRAME_RATE)
            .with_shows_cursor(true);
        let told = shared.clone();
        let delegate = StreamCallbacks::new().on_error(move |error| {
            told.lock().stopped = Some(error.to_string());
            told.arrived.notify_all();
        });
        let mut stream = SCStream::new_with_delegate(filter, &configuration, delegate).map_err(refused)?;
        let told = shared.clone();
        let handler = move |sample: CMSampleBuffer, _: SCStreamOutputType| {
            if sample.frame_status() == Some(SCFrameStatus::Complete) {
                let mut latest = told.lock();
                latest.picture = sample.pixel_buffer();
                latest.fresh = true;
                told.arrived.notify_all();
            }
        };
        stream.add_output_handler(handler, SCStreamOutputType::Screen).map_err(refused)?;
        stream.start_capture().map_err(refused)?;
        let (latest, _) = shared
            .arrived
            .wait_timeout_while(shared.lock(), FIRST_PICTURE, |latest| {
                latest.picture.is_none() && latest.stopped.is_none()
            })
            .unwrap_or_else(PoisonError::into_inner);
        if latest.picture.is_none() {
            let why = latest.stopped.clone().unwrap_or_else(|| "no picture came".to_owned());
            return Err(CaptureError::Refused(why));
        }
        drop(latest);
        Ok(Self { stream, shared, all: true })
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Err(error) = self.stream.stop_capture() {
            tracing::debug!(%error, "a stream did not stop");
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn displays() -> Result<Vec<SCDisplay>, CaptureError> {
    let displays = SCShareableContent::get().map_err(refused)?.displays();
    if displays.is_empty() { Err(CaptureError::NoMonitor) } else { Ok(displays) }
}

fn monitor(display: &SCDisplay, scale: f32) -> Monitor {
    let (frame, scale) = (display.frame(), f64::from(scale).max(1.0));
    let pixels = |points: f64| (points * scale).round();
    Monitor {
        name: format!("display {}", display.display_id()),
        area: Rect {
            x: pixels(frame.origin.x) as i32,
            y: pixels(frame.origin.y) as i32,
            width: pixels(frame.size.width) as u32,
            height: pixels(frame.size.height) as u32,
        },
        // The first display lies at the origin by definition.
        primary: frame.origin.x == 0.0 && frame.origin.y == 0.0,
    }
}

fn refused(error: SCError) -> CaptureError {
    CaptureError::Refused(error.to_string())
}
