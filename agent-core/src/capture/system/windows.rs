//! Windows: Windows.Graphics.Capture, by the `windows-capture` library. Type-checked, never run.
//!
//! The system hands over a picture when something changed, with the cursor in it; it stays in graphics memory (one
//! texture that the processor can read) until a grab asks for it. Where the system can be told, no border is drawn
//! around the monitor and no more than 15 pictures a second are made. The lock screen and elevation prompts are on
//! another desktop: meanwhile nothing is handed over, and the last picture stands.

use crate::capture::{Backend, CaptureError, Frame, Layout, Monitor, Rect, Screens};
use std::{
    mem::size_of,
    sync::mpsc::{SyncSender, sync_channel},
    time::Duration,
};
use windows::{
    Win32::{
        Graphics::{
            Direct3D11::{D3D11_MAP_READ, D3D11_MAPPED_SUBRESOURCE, ID3D11DeviceContext, ID3D11Multithread},
            Gdi::{GetMonitorInfoW, HMONITOR, MONITORINFO, MONITORINFOEXW},
        },
        UI::{
            HiDpi::{DPI_AWARENESS_CONTEXT_PER_MONITOR_AWARE_V2, SetProcessDpiAwarenessContext},
            WindowsAndMessaging::MONITORINFOF_PRIMARY,
        },
    },
    core::Interface as _,
};
use windows_capture::{
    capture::{CaptureControl, Context, GraphicsCaptureApiHandler},
    d3d11::StagingTexture,
    frame::Frame as Picture,
    graphics_capture_api::{GraphicsCaptureApi, InternalCaptureControl},
    monitor::Monitor as Handle,
    settings::{
        ColorFormat, CursorCaptureSettings, DirtyRegionSettings, DrawBorderSettings,
        MinimumUpdateIntervalSettings, SecondaryWindowSettings, Settings,
    },
};

/// What can be tried on this system.
pub const BACKENDS: &[Backend] = &[Backend::WindowsGraphics];

/// Least time between two pictures: the policy asks for 15 a second at most.
const INTERVAL: Duration = Duration::from_millis(66);
/// How long the first picture may take.
const FIRST_PICTURE: Duration = Duration::from_secs(3);

/// Opens a backend; Windows has one display, which has no name.
pub fn open(backend: Backend, _display: Option<&str>) -> Result<Box<dyn Screens>, CaptureError> {
    match backend {
        Backend::Auto | Backend::WindowsGraphics => Ok(Box::new(WindowsScreens::open()?)),
        other => Err(CaptureError::Unsupported(format!("{other:?} on Windows"))),
    }
}

type Control = CaptureControl<Keeper, windows_capture::d3d11::Error>;

struct WindowsScreens {
    monitors: Vec<Monitor>,
    views: Vec<View>,
}

struct View {
    /// `None` only while it is dropped.
    control: Option<Control>,
    /// The next grab takes all of the picture.
    all: bool,
}

impl WindowsScreens {
    fn open() -> Result<Self, CaptureError> {
        // Without it the system tells of pixels that it scaled. It fails when it was set before: that is as good.
        // SAFETY: takes a constant and sets a property of the process.
        let _ = unsafe { SetProcessDpiAwarenessContext(DPI_AWARENESS_CONTEXT_PER_MONITOR_AWARE_V2) };
        let mut found = monitors()?;
        if found.is_empty() {
            return Err(CaptureError::NoMonitor);
        }
        found.sort_by_key(|(_, monitor)| !monitor.primary);
        let (mut monitors, mut views) = (Vec::new(), Vec::new());
        for (handle, monitor) in found {
            views.push(View::start(handle)?);
            monitors.push(monitor);
        }
        Ok(Self { monitors, views })
    }
}

impl Screens for WindowsScreens {
    fn monitors(&self) -> &[Monitor] {
        &self.monitors
    }

    fn poll(&mut self) -> Result<Layout, CaptureError> {
        let ended = self.views.iter().any(|view| view.control.as_ref().is_none_or(Control::is_finished));
        let now = monitors()?;
        let same = now.len() == self.monitors.len()
            && now.iter().all(|(_, monitor)| self.monitors.contains(monitor));
        Ok(if ended || !same { Layout::Changed } else { Layout::Same })
    }

    fn grab(
        &mut self,
        monitor: usize,
        frame: &mut Frame,
        changed: &mut Vec<Rect>,
    ) -> Result<(), CaptureError> {
        let view = &mut self.views[monitor];
        let Some(control) = &view.control else { return Err(CaptureError::LayoutChanged) };
        let keeper = control.callback();
        let mut keeper = keeper.lock();
        if std::mem::take(&mut keeper.fresh) || view.all {
            changed.extend(keeper.read(frame, std::mem::take(&mut view.all))?);
        }
        Ok(())
    }

    fn invalidate(&mut self) {
        for view in &mut self.views {
            view.all = true;
        }
    }
}

impl View {
    /// Starts a capture and waits for its first picture.
    fn start(handle: Handle) -> Result<Self, CaptureError> {
        let (arrived, first) = sync_channel(1);
        let border = match GraphicsCaptureApi::is_border_settings_supported() {
            Ok(true) => DrawBorderSettings::WithoutBorder,
            Ok(false) | Err(_) => DrawBorderSettings::Default,
        };
        let interval = match GraphicsCaptureApi::is_minimum_update_interval_supported() {
            Ok(true) => MinimumUpdateIntervalSettings::Custom(INTERVAL),
            Ok(false) | Err(_) => MinimumUpdateIntervalSettings::Default,
        };
        let settings = Settings::new(
            handle,
            CursorCaptureSettings::Default,
            border,
            SecondaryWindowSettings::Default,
            interval,
            DirtyRegionSettings::Default,
            ColorFormat::Bgra8,
            arrived,
        );
        let control = Keeper::start_free_threaded(settings)
            .map_err(|error| CaptureError::Refused(error.to_string()))?;
        let view = Self { control: Some(control), all: true };
        first.recv_timeout(FIRST_PICTURE).map_err(|_| CaptureError::Refused("no picture came".to_owned()))?;
        Ok(view)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.control.take().map(Control::stop) {
            tracing::debug!(%error, "a capture did not stop");
        }
    }
}

/// Keeps the newest picture of a monitor. The library calls it under the lock that a grab takes, so that one thread
/// at a time uses the context.
struct Keeper {
    context: ID3D11DeviceContext,
    texture: Option<StagingTexture>,
    fresh: bool,
    arrived: SyncSender<()>,
}

impl GraphicsCaptureApiHandler for Keeper {
    type Flags = SyncSender<()>;
    type Error = windows_capture::d3d11::Error;

    fn new(context: Context<Self::Flags>) -> Result<Self, Self::Error> {
        let shared: ID3D11Multithread = context.device_context.cast()?;
        // SAFETY: a flag of a context that lives. The system uses the context too, on threads of its own.
        let _ = unsafe { shared.SetMultithreadProtected(true) };
        Ok(Self { context: context.device_context, texture: None, fresh: false, arrived: context.flags })
    }

    fn on_frame_arrived(
        &mut self,
        picture: &mut Picture<'_>,
        _: InternalCaptureControl,
    ) -> Result<(), Self::Error> {
        let wanted = *picture.desc();
        let fits = |texture: &StagingTexture| {
            let has = texture.desc();
            (has.Width, has.Height, has.Format) == (wanted.Width, wanted.Height, wanted.Format)
        };
        if !self.texture.as_ref().is_some_and(fits) {
            let made = StagingTexture::new(picture.device(), wanted.Width, wanted.Height, wanted.Format)?;
            self.texture = Some(made);
        }
        if let Some(texture) = &self.texture {
            // SAFETY: both textures live, are of one device, size and format, and neither is mapped.
            unsafe { self.context.CopyResource(texture.texture(), picture.as_raw_texture()) };
            self.fresh = true;
            // Only the first is waited for.
            let _ = self.arrived.try_send(());
        }
        Ok(())
    }
}

impl Keeper {
    /// Takes the newest picture over into `frame`.
    fn read(&mut self, frame: &mut Frame, all: bool) -> Result<Option<Rect>, CaptureError> {
        let Some(texture) = &self.texture else {
            return Err(CaptureError::Refused("no picture came".to_owned()));
        };
        let (size, area) = (texture.desc(), frame.area());
        if (size.Width, size.Height) != (area.width, area.height) {
            return Err(CaptureError::LayoutChanged);
        }
        let mut mapped = D3D11_MAPPED_SUBRESOURCE::default();
        // SAFETY: the texture was made for reading by the processor and is not mapped; `mapped` outlives the call.
        unsafe { self.context.Map(texture.texture(), 0, D3D11_MAP_READ, 0, Some(&raw mut mapped)) }
            .map_err(|error| CaptureError::Refused(error.to_string()))?;
        let stride = mapped.RowPitch as usize;
        // SAFETY: a mapped texture has this many rows of this many bytes; it is unmapped after the last use.
        let pixels =
            unsafe { std::slice::from_raw_parts(mapped.pData.cast::<u8>(), stride * size.Height as usize) };
        let band = frame.take_over(pixels, stride, all);
        // SAFETY: it is mapped, and nothing refers to its memory any more.
        unsafe { self.context.Unmap(texture.texture(), 0) };
        Ok(band)
    }
}

/// The monitors as they are now.
fn monitors() -> Result<Vec<(Handle, Monitor)>, CaptureError> {
    let handles = Handle::enumerate().map_err(|error| CaptureError::Display(error.to_string()))?;
    Ok(handles.into_iter().filter_map(|handle| Some((handle, describe(handle)?))).collect())
}

/// `None`: it went away.
fn describe(handle: Handle) -> Option<Monitor> {
    let mut info = MONITORINFOEXW::default();
    info.monitorInfo.cbSize = size_of::<MONITORINFOEXW>() as u32;
    // SAFETY: the size says that the larger structure is there, and it outlives the call.
    let known =
        unsafe { GetMonitorInfoW(HMONITOR(handle.as_raw_hmonitor()), (&raw mut info).cast::<MONITORINFO>()) };
    let area = info.monitorInfo.rcMonitor;
    let end = info.szDevice.iter().position(|&unit| unit == 0).unwrap_or(info.szDevice.len());
    known.as_bool().then(|| Monitor {
        name: String::from_utf16_lossy(&info.szDevice[..end]),
        area: Rect {
            x: area.left,
            y: area.top,
            width: area.right.abs_diff(area.left),
            height: area.bottom.abs_diff(area.top),
        },
        primary: info.monitorInfo.dwFlags & MONITORINFOF_PRIMARY != 0,
    })
}
