//! The recorder: packets from the relay to sealed files in the spool, on a thread of its own.
//!
//! | file | what |
//! |---|---|
//! | `capture` | pure: one run of recording; packets in, Matroska out |
//! | `capture/reports` | pure: RTCP of the parties, for the figures and the streams |
//! | `file` | Matroska to the sealed file in the spool |
//! | `run` | one capture with its files: parts, manifests, events |
//! | `thread` | the loop |
//! | `handle` | commands to the loop, from the control side |
//! | `recovery` | what a crash left in the spool |
//! | `site` | what the recorder needs from outside: signatures, recipients, journal |

pub mod capture;
pub mod file;
pub mod handle;
pub mod recovery;
pub mod run;
pub mod site;
pub mod thread;

pub use capture::{AGENT, CUSTOMER, PartySetup};
pub use handle::{Recorder, Start, Started};
pub use run::Broken;
pub use site::Site;
