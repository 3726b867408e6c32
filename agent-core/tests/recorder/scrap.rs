//! The memory of the scrap backend: closed to others while it captures, gone when it is killed.

use crate::{
    display::Display,
    rig::{Segment, shared_segments, wait_until},
};
use hindsight_agent_core::capture::{self, Backend, Frame};
use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, Stdio},
};

const DISPLAY: &str = "HINDSIGHT_TEST_SCRAP_DISPLAY";

/// Captures for ever, when it is run by the test below in a process of its own.
#[test]
#[ignore = "a part of the next test"]
fn captures_until_it_is_killed() {
    let Ok(display) = std::env::var(DISPLAY) else { return };
    let mut screens = capture::open(Backend::Scrap, Some(&display)).unwrap();
    let area = screens.monitors()[0].area;
    let mut frame = Frame::new(area.width, area.height);
    loop {
        screens.poll().unwrap();
        screens.grab(0, &mut frame, &mut Vec::new()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nobody_else_can_open_the_memory_and_none_is_left_after_sigkill() {
    let display = Display::start(640, 480);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "scrap::captures_until_it_is_killed", "--ignored"])
        .env(DISPLAY, display.name())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let own = || -> Vec<Segment> {
        shared_segments().into_iter().filter(|segment| segment.creator == child.0.id()).collect()
    };
    // Attached by both: pictures are being taken.
    wait_until("the backend captures", || own().iter().any(|segment| segment.attached == 2));
    let segments = own();
    assert_eq!(segments.len(), 1);
    assert_eq!(segments[0].mode & 0o777, 0o600, "read and write for the owner alone");
    child.0.kill().unwrap();
    assert_eq!(child.0.wait().unwrap().signal(), Some(9));
    wait_until("the memory is gone", || shared_segments().iter().all(|one| one.id != segments[0].id));
}
