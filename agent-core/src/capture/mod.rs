//! Taking pictures of the screens: one trait, one file or folder per backend.
//!
//! A backend is made on the capture thread and stays there (none needs to be `Send`). It lists monitors, tells when
//! that list changes, and brings a [`Frame`] up to date by fetching only what changed since the last call.

mod cursor;
mod frame;
pub mod mask;
mod rect;
mod region;
#[cfg(target_os = "linux")]
mod scrap;
pub mod session;
#[cfg(target_os = "linux")]
#[path = "system/linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "system/macos.rs"]
mod system;
#[cfg(windows)]
#[path = "system/windows.rs"]
mod system;
#[cfg(all(target_os = "linux", feature = "wayland"))]
mod wayland;
#[cfg(all(target_os = "linux", not(feature = "wayland")))]
#[path = "wayland/absent.rs"]
mod wayland;
pub mod windows;
#[cfg(target_os = "linux")]
pub mod x11;

pub use cursor::{CursorImage, Stamp};
pub use frame::Frame;
pub use rect::Rect;
pub use region::Region;

use serde::{Deserialize, Serialize};

/// A monitor, in pixels of the whole desktop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitor {
    /// The system's name of it.
    pub name: String,
    /// Where it lies.
    pub area: Rect,
    /// Whether the system calls it the first.
    pub primary: bool,
}

/// Whether the monitors are still those that were listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Nothing moved.
    Same,
    /// Another number, place or size of monitors: open the backend again.
    Changed,
}

/// Why no picture could be taken.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The display could not be reached, or the connection broke.
    #[error("the display cannot be reached: {0}")]
    Display(String),
    /// The display has no monitor.
    #[error("the display has no monitor")]
    NoMonitor,
    /// The display lacks something without which nothing can be captured.
    #[error("the display does not offer {0}")]
    Unsupported(String),
    /// The monitors changed while a picture was taken: open the backend again.
    #[error("the monitors changed")]
    LayoutChanged,
    /// A picture was refused.
    #[error("the display refused a picture: {0}")]
    Refused(String),
    /// The person at this desktop, or the system on their behalf, does not allow it.
    #[error("the screens may not be captured: {0}")]
    NotAllowed(String),
    /// The operating system refused memory or a handle.
    #[error("shared memory: {0}")]
    Memory(#[from] std::io::Error),
}

/// A source of pictures.
pub trait Screens {
    /// The monitors, in an order that stays while the layout stays.
    fn monitors(&self) -> &[Monitor];

    /// Takes in what the system reported since the last call. Costs one round trip at most when nothing happened.
    fn poll(&mut self) -> Result<Layout, CaptureError>;

    /// Brings `frame` up to date with monitor number `monitor` as of the last [`Screens::poll`], and adds to `changed`
    /// the areas (of the frame) that differ. Nothing is fetched when nothing changed.
    fn grab(
        &mut self,
        monitor: usize,
        frame: &mut Frame,
        changed: &mut Vec<Rect>,
    ) -> Result<(), CaptureError>;

    /// Forgets what is known of the frames: the next grab of each monitor fetches all of it.
    fn invalidate(&mut self);

    /// What whoever replays the pictures should know, and they do not show, such as a monitor that is missing.
    fn remarks(&self) -> &[String] {
        &[]
    }
}

/// Which backend takes the pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// What fits the session that the recorder runs in: on Linux `wayland` where there is a Wayland compositor and no
    /// display is set, else `x11`.
    #[default]
    Auto,
    /// X11 by our own code: damage, cursor, memory that no other process can open. The default on X11.
    X11,
    /// The `scrap` library, on X11. What it does badly is mended: its world-readable memory is closed to others before the
    /// first picture and vanishes with the recorder, its list of monitors (use after free) is not used, the cursor is
    /// drawn, a change of resolution opens a new part. What stays: every picture is fetched whole and compared (a still
    /// screen costs four times as much as with `x11`), and twice the size of each monitor is held in memory.
    Scrap,
    /// Wayland by the desktop portal and PipeWire: the agent is asked once. The default on Wayland. No windows can be
    /// masked, because a compositor tells nobody of them.
    Wayland,
    /// Windows.Graphics.Capture, by the `windows-capture` library. The default on Windows.
    WindowsGraphics,
    /// ScreenCaptureKit, by the library of that name. The default on macOS.
    ScreenCaptureKit,
}

pub use system::{BACKENDS, open};
