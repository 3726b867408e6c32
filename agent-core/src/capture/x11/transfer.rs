//! Moving pixels from the X server to a frame: by MIT-SHM with a memfd of our own, or in plain replies when the
//! server cannot take one (a display on another host).

use super::{broken, refused};
use crate::capture::{CaptureError, Frame, Rect};
use rustix::fs::{MemfdFlags, Mode, SealFlags};
use std::{fs::File, os::unix::fs::FileExt};
use x11rb::{
    connection::Connection,
    protocol::{
        shm::{self, ConnectionExt as _},
        xproto::{ConnectionExt as _, ImageFormat, Window},
    },
    rust_connection::RustConnection,
};

/// The `format` of pixels in rows, as `GetImage` numbers it.
const Z_PIXMAP: u8 = 2;

/// How pixels come over.
pub enum Transfer {
    /// Through memory that only the X server and this process can open.
    Shared(Shared),
    /// Over the connection.
    Plain,
}

/// A memfd that the X server writes to.
pub struct Shared {
    segment: shm::Seg,
    memory: File,
    size: usize,
    packed: Vec<u8>,
}

impl Transfer {
    /// Offers the server `size` bytes of shared memory.
    pub fn open(connection: &RustConnection, root: Window, size: usize) -> Result<Self, CaptureError> {
        match Shared::open(connection, root, size)? {
            Some(shared) => Ok(Transfer::Shared(shared)),
            None => {
                tracing::warn!("the display takes no shared memory; pictures come over the connection");
                Ok(Transfer::Plain)
            }
        }
    }

    /// The memory, if pixels are shared.
    pub fn memory(&self) -> Option<&File> {
        match self {
            Transfer::Shared(shared) => Some(&shared.memory),
            Transfer::Plain => None,
        }
    }

    /// Fetches `areas` (of the frame) of the monitor at `monitor`.
    pub fn fetch(
        &mut self,
        connection: &RustConnection,
        root: Window,
        monitor: &Rect,
        areas: &[Rect],
        frame: &mut Frame,
    ) -> Result<(), CaptureError> {
        match self {
            Transfer::Shared(shared) => shared.fetch(connection, root, monitor, areas, frame),
            Transfer::Plain => fetch_plain(connection, root, monitor, areas, frame),
        }
    }
}

impl Shared {
    /// `None`: the server knows no MIT-SHM 1.2, or is not on this host.
    fn open(connection: &RustConnection, root: Window, size: usize) -> Result<Option<Self>, CaptureError> {
        let Ok(version) = connection.shm_query_version().map_err(broken)?.reply() else { return Ok(None) };
        if (version.major_version, version.minor_version) < (1, 2) {
            return Ok(None);
        }
        let memory = private_memory(size)?;
        let segment = connection.generate_id().map_err(|error| CaptureError::Display(error.to_string()))?;
        let attached = connection.shm_attach_fd(segment, memory.try_clone()?, false);
        let Ok(attached) = attached else { return Ok(None) };
        if attached.check().is_err() {
            return Ok(None);
        }
        let mut shared = Self { segment, memory, size, packed: Vec::new() };
        // A server may attach and still refuse to write (seen behind proxies): ask for one pixel.
        let pixel = Rect::of_size(1, 1);
        let works = shared.fetch(connection, root, &pixel, &[pixel], &mut Frame::new(2, 2)).is_ok();
        Ok(works.then_some(shared))
    }

    fn fetch(
        &mut self,
        connection: &RustConnection,
        root: Window,
        monitor: &Rect,
        areas: &[Rect],
        frame: &mut Frame,
    ) -> Result<(), CaptureError> {
        let total: u64 = areas.iter().map(Rect::area).sum();
        if total * 4 > self.size as u64 {
            // Overlapping areas: what they cover together fits.
            let all = areas.iter().copied().reduce(|all, area| all.union(&area));
            let Some(all) = all.and_then(|all| all.intersection(&frame.area())) else { return Ok(()) };
            return self.fetch_packed(connection, root, monitor, &[all], frame);
        }
        self.fetch_packed(connection, root, monitor, areas, frame)
    }

    /// Lays the areas one after another into the memory: all requests first, then all replies.
    fn fetch_packed(
        &mut self,
        connection: &RustConnection,
        root: Window,
        monitor: &Rect,
        areas: &[Rect],
        frame: &mut Frame,
    ) -> Result<(), CaptureError> {
        let mut offset = 0;
        let mut requests = Vec::with_capacity(areas.len());
        for area in areas {
            let (x, y) = ((monitor.x + area.x) as i16, (monitor.y + area.y) as i16);
            let (width, height) = (area.width as u16, area.height as u16);
            let request = connection
                .shm_get_image(root, x, y, width, height, !0, Z_PIXMAP, self.segment, offset)
                .map_err(broken)?;
            requests.push((request, offset));
            offset += area.area() as u32 * 4;
        }
        for ((request, offset), area) in requests.into_iter().zip(areas) {
            request.reply().map_err(refused)?;
            self.packed.resize(area.area() as usize * 4, 0);
            self.memory.read_exact_at(&mut self.packed, offset.into())?;
            frame.put(area, &self.packed);
        }
        Ok(())
    }
}

/// A memfd that cannot change its size and that no other user can open (also not through /proc).
fn private_memory(size: usize) -> Result<File, CaptureError> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory =
        File::from(rustix::fs::memfd_create("hindsight-screen", flags).map_err(std::io::Error::from)?);
    rustix::fs::fchmod(&memory, Mode::RUSR | Mode::WUSR).map_err(std::io::Error::from)?;
    memory.set_len(size as u64)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&memory, seals).map_err(std::io::Error::from)?;
    Ok(memory)
}

fn fetch_plain(
    connection: &RustConnection,
    root: Window,
    monitor: &Rect,
    areas: &[Rect],
    frame: &mut Frame,
) -> Result<(), CaptureError> {
    for area in areas {
        let (x, y) = ((monitor.x + area.x) as i16, (monitor.y + area.y) as i16);
        let (width, height) = (area.width as u16, area.height as u16);
        let image = connection
            .get_image(ImageFormat::Z_PIXMAP, root, x, y, width, height, !0)
            .map_err(broken)?
            .reply()
            .map_err(refused)?;
        frame.put(area, &image.data);
    }
    Ok(())
}
