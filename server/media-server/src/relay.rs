//! The relay: RTP and RTCP between the two legs of a conference, untouched, by a plain epoll loop per thread. The recorder
//! gets a copy of both.
//!
//! | file | what |
//! |---|---|
//! | `ports` | socket pairs from the port range |
//! | `latch` | pure: whose packets a leg takes, and where its packets go |
//! | `early` | pure: the first packets of a leg, for an order to record that comes after them |
//! | `tap` | the bounded queue that hands recorded packets to the recorder thread |
//! | `epoll` | the system calls |
//! | `thread` | the loop: no allocation, no lock held across a system call, no task switch per packet |
//! | `handle` | commands to the loop, from the control side |

pub mod early;
pub mod epoll;
pub mod handle;
pub mod latch;
pub mod ports;
pub mod tap;
pub mod thread;

pub use handle::{Leg, Relay};
pub use latch::Peer;
pub use ports::PortRange;
pub use tap::{Tap, TapQueue};
pub use thread::LegCounters;
