//! The system calls of the relay loop. Level-triggered: one read per event, no read that finds nothing.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// Events taken at once.
pub const BATCH: usize = 256;

/// A set of sockets that are waited for.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
}

/// Room for one batch of events.
pub struct Events {
    list: Vec<libc::epoll_event>,
}

impl Default for Events {
    fn default() -> Self {
        Self { list: Vec::with_capacity(BATCH) }
    }
}

impl Events {
    /// The tokens of the sockets that can be read.
    pub fn tokens(&self) -> impl Iterator<Item = u64> + '_ {
        self.list.iter().map(|event| event.u64)
    }
}

impl Epoll {
    /// An empty set.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked and owned by nobody else.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        Ok(Self { fd: owned(fd)? })
    }

    /// Waits for this socket too. It leaves the set when it is closed.
    pub fn add(&self, socket: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: both descriptors are open for the call, `event` is a valid pointer that the kernel only reads.
        let result = unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Waits until a socket can be read; no events after an interruption.
    pub fn wait(&self, events: &mut Events) -> io::Result<()> {
        events.list.clear();
        // SAFETY: the list has room for BATCH events and the kernel writes at most as many.
        let count =
            unsafe { libc::epoll_wait(self.fd.as_raw_fd(), events.list.as_mut_ptr(), BATCH as i32, -1) };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        // SAFETY: the kernel has filled in `count` of at most BATCH events.
        unsafe { events.list.set_len(count as usize) };
        Ok(())
    }
}

/// Wakes a loop from another thread.
#[derive(Debug)]
pub struct Waker {
    fd: OwnedFd,
}

impl Waker {
    /// A waker that has not been used.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked and owned by nobody else.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        Ok(Self { fd: owned(fd)? })
    }

    /// For [`Epoll::add`].
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd as _;
        self.fd.as_fd()
    }

    /// Makes the loop go round.
    pub fn wake(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight readable bytes. It can only fail when the counter is full: then the loop is awake anyway.
        unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Forgets the wake-ups so far.
    pub fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight writable bytes. It can only fail when there was no wake-up.
        unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that the kernel has just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
