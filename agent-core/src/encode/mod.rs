//! From pictures of a monitor to H.264.
//!
//! One encoder per monitor, with the settings that were measured for screens (PEERS.md, Desktop): screen content mode,
//! a fixed quantiser instead of a bit rate (a bit rate drops a third of the frames under motion), no skipped frames.

mod canvas;
mod h264;
mod nal;
mod picture;
mod scale;

pub use canvas::Canvas;
pub use h264::{EncodeError, Encoded, Encoder, KEY_FRAME_EVERY_US};
pub use nal::ParameterSets;
pub use picture::Picture;
pub use scale::Scale;
