//! Masks under real window managers, which put windows into frames, move, stack, minimise and restore them; with a
//! compositor, which draws the screen itself, and without.

use crate::{
    display::Display,
    masks::{BLUE, Desk, GREEN, MAGENTA, of, pictures_with, titled},
    rig::{Rig, wait_until},
    video::Video,
};
use hindsight_wire::policy::CapturePolicy;
use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};
use x11rb::{
    NONE,
    protocol::xproto::{
        AtomEnum, ClientMessageEvent, ConfigureWindowAux, ConnectionExt as _, EventMask, MapState, PropMode,
        Window,
    },
    wrapper::ConnectionExt as _,
};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
/// Between two steps: longer than what a window leaves stays masked, so that it shows in the pictures if it can.
const STEP: Duration = Duration::from_millis(700);
/// ICCCM 4.1.3.1.
const NORMAL_STATE: u32 = 1;
const ICONIC_STATE: u32 = 3;

/// A window manager, and the message bus that it may need. They end with the display at the latest.
struct Manager {
    programs: Vec<Child>,
    _home: tempfile::TempDir,
}

impl Manager {
    /// Starts it, and waits until it manages the display; with `composited` also until it draws it.
    fn start(display: &Display, command: &[&str], composited: bool) -> Self {
        let home = tempfile::tempdir().unwrap();
        let bus = format!("unix:path={}", home.path().join("bus").display());
        let spawn = |program: &str, arguments: &[&str]| {
            Command::new(program)
                .args(arguments)
                .env("DISPLAY", display.name())
                .env("HOME", home.path())
                .env("XDG_CONFIG_HOME", home.path())
                .env("XDG_CACHE_HOME", home.path())
                .env("XDG_RUNTIME_DIR", home.path())
                .env("DBUS_SESSION_BUS_ADDRESS", &bus)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("{program} (packaging/setup.sh): {error}"))
        };
        let address = format!("--address={bus}");
        let daemon = spawn("dbus-daemon", &["--session", "--nofork", "--nopidfile", &address]);
        wait_until("there is a message bus", || home.path().join("bus").exists());
        let manager = spawn(command[0], &command[1..]);
        // The manager first: it would complain of the end of its bus.
        let this = Self { programs: vec![manager, daemon], _home: home };
        let desk = Desk::open(display);
        // It answers once it attends to windows; openbox forgets those that are mapped a moment before.
        let probe = desk.bare(GREEN, (0, 0, 10, 10), false);
        wait_until("somebody manages the windows", || {
            ask(&desk, probe, "_NET_REQUEST_FRAME_EXTENTS", [0; 5]);
            !property(&desk, probe, "_NET_FRAME_EXTENTS").is_empty()
        });
        let draws = atom(&desk, "_NET_WM_CM_S0");
        let drawn = || desk.connection.get_selection_owner(draws).unwrap().reply().unwrap().owner != NONE;
        if composited {
            wait_until("somebody composites the screen", drawn);
        } else {
            assert!(!drawn(), "the screen is composited");
        }
        this
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

fn atom(desk: &Desk, name: &str) -> u32 {
    desk.connection.intern_atom(false, name.as_bytes()).unwrap().reply().unwrap().atom
}

fn property(desk: &Desk, window: Window, name: &str) -> Vec<u32> {
    let name = atom(desk, name);
    let found = desk.connection.get_property(false, window, name, AtomEnum::ANY, 0, 8).unwrap().reply();
    found.ok().and_then(|found| Some(found.value32()?.collect())).unwrap_or_default()
}

/// Asks the window manager for something (EWMH, ICCCM 4.1.4).
fn ask(desk: &Desk, window: Window, kind: &str, data: [u32; 5]) {
    let message = ClientMessageEvent::new(32, window, atom(desk, kind), data);
    let to = EventMask::SUBSTRUCTURE_REDIRECT | EventMask::SUBSTRUCTURE_NOTIFY;
    desk.connection.send_event(false, desk.root, to, message).unwrap();
    desk.connection.sync().unwrap();
}

/// To the front, as a task bar asks for it.
fn activate(desk: &Desk, window: Window) {
    ask(desk, window, "_NET_ACTIVE_WINDOW", [2, 0, 0, 0, 0]);
    wait_until("it is in front", || property(desk, desk.root, "_NET_ACTIVE_WINDOW").first() == Some(&window));
}

/// Where it is, of the root window.
fn place(desk: &Desk, window: Window) -> (i16, i16) {
    let reply = desk.connection.translate_coordinates(window, desk.root, 0, 0).unwrap().reply().unwrap();
    (reply.dst_x, reply.dst_y)
}

/// Moves it; its frame takes up some pixels.
fn move_to(desk: &Desk, window: Window, x: i16, y: i16) {
    let to = ConfigureWindowAux::new().x(i32::from(x)).y(i32::from(y));
    desk.connection.configure_window(window, &to).unwrap();
    desk.connection.sync().unwrap();
    let near = |(is_x, is_y): (i16, i16)| is_x.abs_diff(x) < 40 && is_y.abs_diff(y) < 40;
    wait_until("it has moved", || near(place(desk, window)));
}

fn is_shown(desk: &Desk, window: Window) -> bool {
    let attributes = desk.connection.get_window_attributes(window).unwrap().reply().unwrap();
    attributes.map_state == MapState::VIEWABLE
}

/// Two windows of programs, each in a frame of the manager's.
struct Desktop {
    desk: Desk,
    notes: Window,
    card: Window,
}

impl Desktop {
    fn open(display: &Display) -> Self {
        let desk = Desk::open(display);
        // A compositor draws no more of the root window than it is told to: desktops show a window of their own.
        let background = desk.bare(GREEN, (0, 0, WIDTH as u16, HEIGHT as u16), false);
        let (kind, desktop) =
            (atom(&desk, "_NET_WM_WINDOW_TYPE"), atom(&desk, "_NET_WM_WINDOW_TYPE_DESKTOP"));
        desk.connection
            .change_property32(PropMode::REPLACE, background, kind, AtomEnum::ATOM, &[desktop])
            .unwrap();
        desk.show(background);
        wait_until("the desktop's window shows", || is_shown(&desk, background));
        let notes = desk.window("Notes", "notes", BLUE, (300, 200, 200, 160));
        let card = desk.window("Card details", "firefox", MAGENTA, (40, 40, 180, 120));
        for window in [notes, card] {
            wait_until("the manager has framed it", || {
                let tree = desk.connection.query_tree(window).unwrap().reply().unwrap();
                tree.parent != desk.root && is_shown(&desk, window)
            });
        }
        Self { desk, notes, card }
    }

    /// What a person does with a window: moves it, half covers it, looks at it again, minimises it, restores it.
    fn handle(&self) {
        let Self { desk, notes, card } = self;
        let pause = || std::thread::sleep(STEP);
        pause();
        for (x, y) in [(60, 260), (420, 60), (200, 120)] {
            move_to(desk, *card, x, y);
            pause();
        }
        move_to(desk, *notes, 280, 160);
        activate(desk, *notes);
        pause();
        activate(desk, *card);
        pause();
        ask(desk, *card, "WM_CHANGE_STATE", [ICONIC_STATE, 0, 0, 0, 0]);
        wait_until("it is minimised", || property(desk, *card, "WM_STATE").first() == Some(&ICONIC_STATE));
        pause();
        activate(desk, *card);
        wait_until("it is restored", || {
            property(desk, *card, "WM_STATE").first() == Some(&NORMAL_STATE) && is_shown(desk, *card)
        });
        pause();
        move_to(desk, *card, 100, 200);
        pause();
    }
}

/// What is recorded while the windows are handled.
fn record(display: &Display, desktop: &Desktop, policy: impl FnOnce(&mut CapturePolicy)) -> Video {
    let rig = Rig::start(display, |job| {
        job.policy.frame_rate = 15;
        policy(&mut job.policy);
    });
    rig.wait_part();
    desktop.handle();
    let (recorded, _) = rig.finish_one();
    assert!(recorded.notes().is_empty(), "{:?}", recorded.notes());
    Video::decode(&recorded.mp4)
}

fn masks_hold_under(manager: &[&str], composited: bool) {
    let display = Display::start(WIDTH, HEIGHT);
    let _manager = Manager::start(&display, manager, composited);
    let desktop = Desktop::open(&display);
    let open = record(&display, &desktop, |_| {});
    let shown = pictures_with(&open, MAGENTA, 15_000);
    let desk = pictures_with(&open, GREEN, 60_000);
    let all = open.pictures.len();
    assert!(
        shown >= 3 && desk > all / 2,
        "where nothing is masked it shows: in {shown}, the desk in {desk} of {all} pictures"
    );

    let masked = record(&display, &desktop, |policy| policy.masks = vec![titled("card details")]);
    let all = masked.pictures.len();
    assert_eq!(pictures_with(&masked, MAGENTA, 1), 0, "of {all} pictures");
    let (notes, desk) = (pictures_with(&masked, BLUE, 8_000), pictures_with(&masked, GREEN, 60_000));
    assert!(notes > all / 2 && desk > all / 2, "everything else shows: {notes} and {desk} of {all} pictures");

    let only = record(&display, &desktop, |policy| policy.only = vec![of("notes")]);
    let all = only.pictures.len();
    for foreign in [MAGENTA, GREEN] {
        assert_eq!(pictures_with(&only, foreign, 1), 0, "{foreign:?} in {all} pictures");
    }
    let notes = pictures_with(&only, BLUE, 8_000);
    assert!(notes > all / 2, "the allowed program shows: in {notes} of {all} pictures");
}

#[test]
fn masks_hold_under_a_window_manager_that_frames_windows() {
    masks_hold_under(&["openbox"], false);
}

#[test]
fn masks_hold_under_a_window_manager_whose_compositor_is_off() {
    masks_hold_under(&["xfwm4", "--compositor=off"], false);
}

#[test]
fn masks_hold_under_a_window_manager_that_draws_the_screen_itself() {
    masks_hold_under(&["xfwm4", "--compositor=on", "--vblank=off"], true);
}
