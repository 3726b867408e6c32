//! Windows in known colours, moved about while they are recorded: what policy masks is in no picture.

use crate::{
    display::Display,
    rig::{Rig, wait_until},
    video::Video,
};
use hindsight_wire::policy::{CapturePolicy, WindowMatch};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use x11rb::{
    connection::Connection as _,
    protocol::xproto::{
        AtomEnum, ChangeWindowAttributesAux, ConfigureWindowAux, ConnectionExt as _, CreateWindowAux,
        PropMode, StackMode, Window, WindowClass,
    },
    rust_connection::RustConnection,
    wrapper::ConnectionExt as _,
};

pub const WIDTH: u32 = 320;
pub const HEIGHT: u32 = 240;
pub const GREEN: [u8; 3] = [0x10, 0xA0, 0x20];
pub const BLUE: [u8; 3] = [0x20, 0x30, 0xE0];
pub const MAGENTA: [u8; 3] = [0xFF, 0x00, 0xFF];
const YELLOW: [u8; 3] = [0xF0, 0xF0, 0x10];
const CYAN: [u8; 3] = [0x10, 0xE0, 0xE0];

/// A program with windows.
pub struct Desk {
    pub connection: RustConnection,
    pub root: Window,
}

impl Desk {
    pub fn open(display: &Display) -> Self {
        let (connection, screen) = RustConnection::connect(Some(display.name())).unwrap();
        let root = connection.setup().roots[screen].root;
        Self { connection, root }
    }

    pub fn window(&self, title: &str, program: &str, colour: [u8; 3], area: (i16, i16, u16, u16)) -> Window {
        let window = self.bare(colour, area, false);
        self.connection
            .change_property8(
                PropMode::REPLACE,
                window,
                AtomEnum::WM_CLASS,
                AtomEnum::STRING,
                format!("{program}\0{program}\0").as_bytes(),
            )
            .unwrap();
        self.rename(window, title);
        self.show(window);
        window
    }

    pub fn bare(&self, colour: [u8; 3], area: (i16, i16, u16, u16), by_itself: bool) -> Window {
        let window = self.connection.generate_id().unwrap();
        let look = CreateWindowAux::new()
            .background_pixel(u32::from_be_bytes([0, colour[0], colour[1], colour[2]]))
            .override_redirect(u32::from(by_itself));
        let (x, y, width, height) = area;
        let class = WindowClass::INPUT_OUTPUT;
        self.connection.create_window(0, window, self.root, x, y, width, height, 0, class, 0, &look).unwrap();
        window
    }

    fn menu(&self, owner: Option<Window>, colour: [u8; 3], area: (i16, i16, u16, u16)) -> Window {
        let window = self.bare(colour, area, true);
        if let Some(owner) = owner {
            let property = AtomEnum::WM_TRANSIENT_FOR;
            self.connection
                .change_property32(PropMode::REPLACE, window, property, AtomEnum::WINDOW, &[owner])
                .unwrap();
        }
        self.show(window);
        window
    }

    fn rename(&self, window: Window, title: &str) {
        let (name, string) = (AtomEnum::WM_NAME, AtomEnum::STRING);
        self.connection.change_property8(PropMode::REPLACE, window, name, string, title.as_bytes()).unwrap();
        self.connection.sync().unwrap();
    }

    fn paint(&self, window: Window, colour: [u8; 3]) {
        let pixel = u32::from_be_bytes([0, colour[0], colour[1], colour[2]]);
        let look = ChangeWindowAttributesAux::new().background_pixel(pixel);
        self.connection.change_window_attributes(window, &look).unwrap();
        self.connection.clear_area(false, window, 0, 0, 0, 0).unwrap();
        self.connection.sync().unwrap();
    }

    pub fn show(&self, window: Window) {
        self.connection.map_window(window).unwrap();
        self.connection.sync().unwrap();
    }
}

/// A window that jumps about, comes and goes, until it is dropped.
struct Restless {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Restless {
    /// Moves a window of this title and program within the left `width` columns.
    fn start(display: &Display, title: &str, program: &str, width: i16) -> Self {
        let desk = Desk::open(display);
        let window = desk.window(title, program, MAGENTA, (10, 10, 50, 40));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut seed, mut moves) = (7u64, 0);
            while !stopped.load(Ordering::Relaxed) {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let random = (seed >> 33) as i32;
                let (x, y) = (random % i32::from(width - 50), random / 1_000 % (HEIGHT as i32 - 40));
                let mut to = ConfigureWindowAux::new().x(x).y(y);
                match random / 1_000_000 % 8 {
                    0 => to = to.stack_mode(StackMode::ABOVE),
                    1 => to = to.stack_mode(StackMode::BELOW),
                    2 => drop(desk.connection.unmap_window(window)),
                    _ => drop(desk.connection.map_window(window)),
                }
                desk.connection.configure_window(window, &to).unwrap();
                // The display may be gone at the end of a test.
                if desk.connection.sync().is_err() {
                    break;
                }
                moves += 1;
                // From as fast as it goes to slower than pictures are taken.
                std::thread::sleep(Duration::from_micros(match moves / 100 % 3 {
                    0 => 500,
                    1 => 7_000,
                    _ => 40_000,
                }));
            }
            moves
        });
        Self { stop, thread: Some(thread) }
    }

    fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Restless {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

pub fn titled(title: &str) -> WindowMatch {
    WindowMatch { title: Some(title.to_owned()), ..WindowMatch::default() }
}

pub fn of(program: &str) -> WindowMatch {
    WindowMatch { program: Some(program.to_owned()), ..WindowMatch::default() }
}

fn record(display: &Display, seconds: u64, policy: impl FnOnce(&mut CapturePolicy)) -> Video {
    let rig = Rig::start(display, |job| {
        job.policy.frame_rate = 15;
        policy(&mut job.policy);
    });
    rig.wait_part();
    std::thread::sleep(Duration::from_secs(seconds));
    let (recorded, _) = rig.finish_one();
    assert!(recorded.notes().is_empty(), "{:?}", recorded.notes());
    Video::decode(&recorded.mp4)
}

/// Pictures in which at least `least` pixels have about this colour.
pub fn pictures_with(video: &Video, colour: [u8; 3], least: usize) -> usize {
    let close = |pixel: &&[u8]| pixel.iter().zip(colour).all(|(is, should)| is.abs_diff(should) < 60);
    video
        .pictures
        .iter()
        .filter(|picture| picture.rgb.chunks_exact(3).filter(close).take(least).count() >= least)
        .count()
}

#[test]
fn a_masked_window_that_jumps_about_is_in_no_picture() {
    let display = Display::start(WIDTH, HEIGHT);
    display.paint(GREEN);
    let desk = Desk::open(&display);
    let _notes = desk.window("Notes", "gedit", BLUE, (200, 20, 100, 150));
    let restless = Restless::start(&display, "Card details - Firefox", "firefox", 250);
    let open = record(&display, 2, |_| {});
    assert!(pictures_with(&open, MAGENTA, 1_000) > 5, "it shows where nothing is masked");
    let masked = record(&display, 24, |policy| policy.masks = vec![titled("card")]);
    assert!(restless.stop() > 500, "it moved");
    assert!(masked.pictures.len() >= 250, "{} pictures", masked.pictures.len());
    assert_eq!(pictures_with(&masked, MAGENTA, 1), 0);
    let all = masked.pictures.len();
    assert_eq!(pictures_with(&masked, BLUE, 49 * 140), all, "where it never is, everything shows");
    assert!(pictures_with(&masked, GREEN, 20_000) > all / 3, "what it leaves shows again");
}

#[test]
fn in_default_deny_mode_only_the_allowed_program_and_its_own_menus_show() {
    let display = Display::start(WIDTH, HEIGHT);
    display.paint(GREEN);
    let desk = Desk::open(&display);
    let crm = desk.window("Customer", "crm", BLUE, (100, 20, 200, 200));
    desk.menu(Some(crm), CYAN, (260, 100, 50, 40));
    desk.menu(None, YELLOW, (260, 160, 50, 40));
    let _restless = Restless::start(&display, "Card details", "firefox", 200);
    let video = record(&display, 12, |policy| policy.only = vec![of("CRM")]);
    let all = video.pictures.len();
    assert!(all >= 100, "{all} pictures");
    for foreign in [MAGENTA, GREEN, YELLOW] {
        assert_eq!(pictures_with(&video, foreign, 1), 0, "{foreign:?}");
    }
    assert_eq!(pictures_with(&video, BLUE, 50 * 150), all);
    assert_eq!(pictures_with(&video, CYAN, 30 * 30), all);
}

#[test]
fn a_title_that_changes_masks_at_once() {
    let display = Display::start(WIDTH, HEIGHT);
    display.paint(GREEN);
    let desk = Desk::open(&display);
    let browser = desk.window("Orders", "firefox", BLUE, (50, 50, 150, 100));
    let rig = Rig::start(&display, |job| {
        job.policy.frame_rate = 15;
        job.policy.masks = vec![titled("payment")];
    });
    rig.wait_part();
    for _ in 0..12 {
        std::thread::sleep(Duration::from_millis(150));
        desk.rename(browser, "Payment");
        desk.paint(browser, MAGENTA);
        std::thread::sleep(Duration::from_millis(330));
        desk.paint(browser, BLUE);
        desk.rename(browser, "Orders");
        std::thread::sleep(Duration::from_millis(600));
    }
    let (recorded, _) = rig.finish_one();
    let video = Video::decode(&recorded.mp4);
    assert_eq!(pictures_with(&video, MAGENTA, 1), 0);
    let shown = pictures_with(&video, BLUE, 140 * 90);
    assert!(shown >= 12 && shown < video.pictures.len(), "{shown} of {}", video.pictures.len());
}

#[test]
fn a_monitor_can_be_masked_and_pictures_can_be_small_and_grey() {
    let display = Display::start(640, 240);
    display.xrandr(&["--setmonitor", "left", "320/100x240/80+0+0", "screen"]);
    display.xrandr(&["--setmonitor", "right", "320/100x240/80+320+0", "none"]);
    display.paint(MAGENTA);
    let rig = Rig::start(&display, |job| {
        let right = WindowMatch { monitor: Some("right".to_owned()), ..WindowMatch::default() };
        job.policy.masks = vec![right];
        job.policy.scale_percent = 50;
        job.policy.greyscale = true;
    });
    rig.wait_part();
    let [left, right] = &rig.finish()[..] else { panic!("two monitors") };
    let (left, right) = (Video::decode(&left.mp4), Video::decode(&right.mp4));
    assert_eq!((left.width, right.width), (160, 160));
    let first = |video: &Video| video.pictures[0].rgb.chunks_exact(3).nth(9_000).unwrap().to_vec();
    let (shown, masked) = (first(&left), first(&right));
    assert!(shown[0].abs_diff(shown[1]) < 6 && shown[0].abs_diff(shown[2]) < 6, "{shown:?} has colour");
    assert!(shown[0] > masked[0] + 10 || masked[0] > shown[0] + 10, "{shown:?} {masked:?}");
}

#[test]
fn the_list_of_windows_says_what_is_in_front() {
    use hindsight_agent_core::capture::{Backend, windows};
    let display = Display::start(WIDTH, HEIGHT);
    let desk = Desk::open(&display);
    let mut windows = windows::open(Backend::X11, Some(display.name())).unwrap();
    let rules = [titled("payment")];
    let orders = desk.window("Orders", "firefox", BLUE, (0, 0, 100, 100));
    let payment = desk.window("Payment", "firefox", MAGENTA, (0, 0, 100, 100));
    assert!(windows.look().unwrap().front_matches(&rules, &[]).is_some(), "the topmost without a focus");
    let focus = |window| {
        let to = x11rb::protocol::xproto::InputFocus::PARENT;
        desk.connection.set_input_focus(to, window, x11rb::CURRENT_TIME).unwrap();
        desk.connection.sync().unwrap();
    };
    focus(orders);
    assert!(windows.look().unwrap().front_matches(&rules, &[]).is_none());
    focus(payment);
    wait_until("it is in front", || windows.look().unwrap().front_matches(&rules, &[]).is_some());
    desk.rename(payment, "Thank you");
    assert!(windows.look().unwrap().front_matches(&rules, &[]).is_none());
}
