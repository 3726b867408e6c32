//! The system calls of the relay loop. Level-triggered: one read per event, no read that finds nothing.
//!
//! Datagrams are read and sent by the bare calls. Those of the C library can be cancelled, for which they take note of
//! every call: some 5 % of the relay's time.

use socket2::SockAddr;
use std::{
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    time::Duration,
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
    /// There may be more than came out.
    pub fn is_full(&self) -> bool {
        self.list.len() == BATCH
    }

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

    /// Sleeps until woken, at most so long (under a second).
    pub fn sleep(&self, at_most: Duration) {
        let mut fd = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let limit = libc::timespec { tv_sec: 0, tv_nsec: at_most.subsec_nanos().into() };
        // SAFETY: one descriptor and a time that live as long as the call. It can only fail by a signal: then it is over
        // early, as by a wake-up.
        unsafe { libc::ppoll(&raw mut fd, 1, &raw const limit, std::ptr::null()) };
    }

    /// Forgets the wake-ups so far.
    pub fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight writable bytes. It can only fail when there was no wake-up.
        unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

/// Reads a datagram into the buffer: its length, at most the buffer's, and where it comes from. `None` when none is
/// there, or the socket told of an error in its place.
pub fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    // SAFETY: the descriptor is open, buffer and address are writable for the lengths given, and the kernel fills in
    // the address and its length.
    let received = unsafe {
        SockAddr::try_init(|address, length| {
            let (start, size) = (buffer.as_mut_ptr(), buffer.len());
            let call = libc::SYS_recvfrom;
            let read =
                libc::syscall(call, socket.as_raw_fd(), start, size, libc::MSG_DONTWAIT, address, length);
            usize::try_from(read).map_err(|_| io::Error::last_os_error())
        })
    };
    let (length, from) = received.ok()?;
    Some((length, from.as_socket()?))
}

/// Sends a datagram; false when the kernel did not take it.
pub fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddr) -> bool {
    let to = SockAddr::from(to);
    let (call, start, size) = (libc::SYS_sendto, bytes.as_ptr(), bytes.len());
    // SAFETY: the descriptor is open, bytes and address are readable for the lengths given.
    let sent = unsafe {
        libc::syscall(call, socket.as_raw_fd(), start, size, libc::MSG_DONTWAIT, to.as_ptr(), to.len())
    };
    sent >= 0
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that the kernel has just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
