//! The `scrap` library as a backend, with what it does badly mended (its findings: PEERS.md, Desktop).
//!
//! - Its shared memory is made for everyone to read: it is closed to others, and marked to vanish with the process,
//!   before the first picture is asked for.
//! - Its list of monitors reads freed memory: ours is used, through its public `Display::new`.
//! - It swallows errors, so that after a change of resolution it repeats an old picture for ever: RandR is watched.
//! - It has no damage and no cursor: frames are compared, the cursor is drawn here.
//!
//! What cannot be mended: every picture is fetched whole (about 2 % of a core on a still screen, a third more than ours
//! on a busy one), twice the size of each monitor is held in memory, the picture lags one look behind after a pause, and
//! the segment is open to others for the microseconds between its making and its closing (whoever uses them is found,
//! and the capture refused).

use super::{
    CaptureError, Frame, Layout, Monitor, Rect, Screens, Stamp,
    x11::{LayoutWatch, Pointer, check_pixels, connect},
};
use std::{ffi::CString, io, ptr, rc::Rc};
use x11rb::{connection::Connection, protocol::xproto::Window, rust_connection::RustConnection};

/// Screens by `scrap`.
pub struct ScrapScreens {
    connection: RustConnection,
    root: Window,
    layout: LayoutWatch,
    pointer: Pointer,
    views: Vec<View>,
}

struct View {
    capturer: scrap::x11::Capturer,
    stamp: Stamp,
    /// `scrap` asks for each picture one call ahead: the first one after a start or a pause is old.
    skip: u32,
    fresh: bool,
}

impl ScrapScreens {
    /// Connects and lists the monitors.
    pub fn open(display: Option<&str>) -> Result<Self, CaptureError> {
        let (connection, screen) = connect(display)?;
        check_pixels(&connection, screen)?;
        let root = connection.setup().roots[screen].root;
        let layout = LayoutWatch::open(&connection, root)?;
        let pointer = Pointer::open(&connection, root)?;
        let server = Rc::new(connect_scrap(display)?);
        let mut views = Vec::with_capacity(layout.monitors().len());
        for monitor in layout.monitors() {
            let capturer = open_capturer(&server, root, monitor)?;
            views.push(View { capturer, stamp: Stamp::default(), skip: 1, fresh: true });
        }
        Ok(Self { connection, root, layout, pointer, views })
    }
}

impl Screens for ScrapScreens {
    fn monitors(&self) -> &[Monitor] {
        self.layout.monitors()
    }

    fn poll(&mut self) -> Result<Layout, CaptureError> {
        let broken = |error: x11rb::errors::ConnectionError| CaptureError::Display(error.to_string());
        while let Some(event) = self.connection.poll_for_event().map_err(broken)? {
            self.layout.take_in(&event, self.root);
            self.pointer.take_in(&event);
        }
        if self.layout.refresh(&self.connection, self.root)? == Layout::Changed {
            return Ok(Layout::Changed);
        }
        self.pointer.refresh(&self.connection, self.root)?;
        Ok(Layout::Same)
    }

    fn grab(
        &mut self,
        monitor: usize,
        frame: &mut Frame,
        changed: &mut Vec<Rect>,
    ) -> Result<(), CaptureError> {
        let view = &mut self.views[monitor];
        let area = self.layout.monitors()[monitor].area;
        let lifted = view.stamp.lift(frame);
        for _ in 0..std::mem::take(&mut view.skip) {
            view.capturer.frame();
        }
        let stride = area.width as usize * 4;
        let picture = view.capturer.frame();
        let fresh = std::mem::take(&mut view.fresh);
        let differs = frame.take_over(picture, stride, fresh);
        let cursor = self.pointer.on(&area);
        let drawn = cursor.and_then(|(serial, at)| view.stamp.draw(frame, self.pointer.image(), serial, at));
        if lifted != drawn || differs.is_some() {
            changed.extend(differs.into_iter().chain(lifted).chain(drawn));
        }
        Ok(())
    }

    fn invalidate(&mut self) {
        for view in &mut self.views {
            view.stamp.forget();
            view.skip = 1;
            view.fresh = true;
        }
    }
}

fn connect_scrap(display: Option<&str>) -> Result<scrap::x11::Server, CaptureError> {
    let unreachable = |why: &str| CaptureError::Display(why.to_owned());
    let name =
        display.map(CString::new).transpose().map_err(|_| unreachable("its name holds a zero byte"))?;
    let name = name.as_ref().map_or(ptr::null(), |name| name.as_ptr());
    scrap::x11::Server::connect(name).map_err(|error| unreachable(&format!("{error:?}")))
}

fn open_capturer(
    server: &Rc<scrap::x11::Server>,
    root: Window,
    monitor: &Monitor,
) -> Result<scrap::x11::Capturer, CaptureError> {
    let area = monitor.area;
    let rect =
        scrap::x11::Rect { x: area.x as i16, y: area.y as i16, w: area.width as u16, h: area.height as u16 };
    let before = own_segments()?;
    // SAFETY: `Display::new` asks that the root window belongs to the server: both connections are to the same
    // display, and RandR has just said that the rectangle lies on it.
    let display = unsafe { scrap::x11::Display::new(server.clone(), monitor.primary, rect, root) };
    let capturer = scrap::x11::Capturer::new(display)?;
    // The request for the first picture waits in the connection's buffer until `frame` is called, so nothing has been
    // written to the segment when it is closed to others.
    let made: Vec<i32> = own_segments()?.into_iter().filter(|id| !before.contains(id)).collect();
    let [segment] = made[..] else {
        return Err(io::Error::other("the memory that scrap made cannot be told from others").into());
    };
    close_segment(segment)?;
    Ok(capturer)
}

/// System V segments that this process made, from /proc/sysvipc/shm (columns: key shmid perms size cpid …).
fn own_segments() -> io::Result<Vec<i32>> {
    let own = std::process::id().to_string();
    let table = std::fs::read_to_string("/proc/sysvipc/shm")?;
    let id_if_own = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let id = columns.nth(1)?;
        (columns.nth(2)? == own).then(|| id.parse().ok())?
    };
    Ok(table.lines().skip(1).filter_map(id_if_own).collect())
}

/// Lets nobody but this user open the segment, and has the kernel free it when the last process lets go of it
/// (so that a killed recorder leaves nothing behind). Linux still lets the X server attach by its number. Whoever was
/// quick enough to open it before would keep it: that is found, and the segment is not used.
fn close_segment(segment: i32) -> io::Result<()> {
    let mut status = segment_status(segment)?;
    status.shm_perm.mode = 0o600;
    control_segment(segment, libc::IPC_SET, &raw mut status)?;
    // The X server is not there yet: its request waits in the connection's buffer.
    let others = segment_status(segment)?.shm_nattch.saturating_sub(1);
    control_segment(segment, libc::IPC_RMID, ptr::null_mut())?;
    if others == 0 {
        Ok(())
    } else {
        Err(io::Error::other("another process has opened the memory of the pictures"))
    }
}

fn segment_status(segment: i32) -> io::Result<libc::shmid_ds> {
    // SAFETY: it is plain data for which all zeroes is a value.
    let mut status: libc::shmid_ds = unsafe { std::mem::zeroed() };
    control_segment(segment, libc::IPC_STAT, &raw mut status)?;
    Ok(status)
}

fn control_segment(segment: i32, command: i32, status: *mut libc::shmid_ds) -> io::Result<()> {
    // SAFETY: `status` is valid for the commands that use it (both callers), and null for the one that does not.
    match unsafe { libc::shmctl(segment, command, status) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
