//! From a sealed recording to what a browser plays, without a decrypted byte on any disk and in constant memory.
//!
//! ```text
//! object store ── Payload ── Plaintext ─┬─ Voice: clusters → PCM, a virtual WAV in blocks of one second
//!                (ciphertext)(segments  └─ Screen: fragments behind a virtual head with the duration
//!                             asked for)
//! ```
//!
//! | file | what |
//! |---|---|
//! | `plaintext` | random access to the decrypted bytes, segment by segment; counts the segments opened |
//! | `matroska` | reading our own live Matroska: head and clusters |
//! | `codec`, `g711` | payloads to samples |
//! | `conceal` | what is heard in place of lost packets |
//! | `voice` | the virtual WAV, peaks |
//! | `fragments` | reading our own fragmented MP4: boxes, times |
//! | `screen` | the virtual MP4 |
//! | `rebuild` | index and length of a recording that a crash cut off |

mod codec;
mod conceal;
mod error;
mod fragments;
mod g711;
mod matroska;
mod plaintext;
mod rebuild;
mod screen;
mod voice;
mod wav;

pub use error::PlaybackError;
pub use plaintext::{Payload, Plaintext};
pub use rebuild::{Rebuilt, rebuild_screen, rebuild_voice};
pub use screen::Screen;
pub use voice::{Peaks, Voice};
