//! A virtual display of its own for each test, and what is drawn on it.

use crate::scene;
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};
use x11rb::{
    connection::Connection as _,
    protocol::xproto::{ChangeWindowAttributesAux, ConnectionExt as _},
    rust_connection::RustConnection,
    wrapper::ConnectionExt as _,
};

/// The tests measure time and processor use: one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const TWO_HEADS: &str = r#"
Section "ServerFlags"
    Option "AutoAddDevices" "false"
    Option "AutoAddGPU" "false"
    Option "DontVTSwitch" "true"
EndSection
Section "Device"
    Identifier "dummy"
    Driver "dummy"
    VideoRam 65536
EndSection
Section "Monitor"
    Identifier "monitor"
    HorizSync 5.0 - 1000.0
    VertRefresh 5.0 - 200.0
EndSection
Section "Screen"
    Identifier "screen"
    Device "dummy"
    Monitor "monitor"
    DefaultDepth 24
EndSection
"#;

/// An X server.
pub struct Display {
    server: Child,
    name: String,
    _turn: MutexGuard<'static, ()>,
}

impl Display {
    pub fn start(width: u32, height: u32) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let screen = format!("{width}x{height}x24");
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", &screen, "-nolisten", "tcp", "-noreset"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb is installed (packaging/setup.sh)");
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        Self { server, name: format!(":{}", number.trim()), _turn: turn }
    }

    /// Xorg with its dummy driver: outputs `DUMMY0` and `DUMMY1` that are plugged and unplugged as real ones are. The first
    /// has 800 × 600 pixels, the second, to its right, 640 × 480.
    pub fn start_with_two_heads(directory: &std::path::Path) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let configuration = directory.join("xorg.conf");
        std::fs::write(&configuration, TWO_HEADS).unwrap();
        let mut server = Command::new("Xorg")
            .args(["-displayfd", "1", "-config"])
            .arg(&configuration)
            .arg("-logfile")
            .arg(directory.join("xorg.log"))
            .args(["-noreset", "-nolisten", "tcp", "-novtswitch", "-sharevts", "-keeptty"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xorg is installed (packaging/setup.sh)");
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        assert!(!number.is_empty(), "Xorg: {:?}", std::fs::read_to_string(directory.join("xorg.log")));
        let display = Self { server, name: format!(":{}", number.trim()), _turn: turn };
        display.xrandr(&["--output", "DUMMY0", "--mode", "800x600"]);
        display.xrandr(&["--addmode", "DUMMY1", "640x480"]);
        display.xrandr(&["--output", "DUMMY1", "--mode", "640x480", "--right-of", "DUMMY0"]);
        display
    }

    pub fn xset(&self, arguments: &[&str]) {
        let status = Command::new("xset").args(["-display", &self.name]).args(arguments).status().unwrap();
        assert!(status.success(), "xset {arguments:?}");
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn xrandr(&self, arguments: &[&str]) {
        let output = Command::new("xrandr").args(["--display", &self.name]).args(arguments).output().unwrap();
        assert!(output.status.success(), "xrandr {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes the mode `small`, 1280 × 720 (or 1024 × 576 where that is what the screen has).
    pub fn add_mode(&self) {
        let small = if self.size().0 > 1280 {
            ["74.50", "1280", "1344", "1472", "1664", "720", "723", "728", "748"]
        } else {
            ["46.50", "1024", "1064", "1160", "1296", "576", "579", "584", "599"]
        };
        self.xrandr(&[&["--newmode", "small"], &small[..]].concat());
        self.xrandr(&["--addmode", "screen", "small"]);
    }

    /// Fills the whole screen.
    pub fn paint(&self, rgb: [u8; 3]) {
        let (connection, screen) = RustConnection::connect(Some(&self.name)).unwrap();
        let root = connection.setup().roots[screen].root;
        let pixel = u32::from_be_bytes([0, rgb[0], rgb[1], rgb[2]]);
        let look = ChangeWindowAttributesAux::new().background_pixel(pixel);
        connection.change_window_attributes(root, &look).unwrap();
        connection.clear_area(false, root, 0, 0, 0, 0).unwrap();
        connection.sync().unwrap();
    }

    /// Moves the mouse.
    pub fn point_at(&self, x: i16, y: i16) {
        let (connection, screen) = RustConnection::connect(Some(&self.name)).unwrap();
        let root = connection.setup().roots[screen].root;
        connection.warp_pointer(x11rb::NONE, root, 0, 0, 0, 0, x, y).unwrap();
        connection.sync().unwrap();
    }

    fn size(&self) -> (u16, u16) {
        let (connection, screen) = RustConnection::connect(Some(&self.name)).unwrap();
        let screen = &connection.setup().roots[screen];
        (screen.width_in_pixels, screen.height_in_pixels)
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A scene that is drawn on a display until it is dropped.
pub struct Drawing {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drawing {
    pub fn start(display: &Display, kind: scene::Kind) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut stage = scene::Stage::open(Some(display.name())).unwrap();
        let mut scene = kind.start(&mut stage).unwrap();
        stage.show().unwrap();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let started = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                // The display may be gone at the end of a test.
                let Ok(next) = scene::play(scene.as_mut(), &mut stage, started.elapsed()) else { return };
                std::thread::sleep(next.saturating_sub(started.elapsed()));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Drawing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
