//! Two monitors by Xorg's dummy driver, unplugged, changed and blanked while they are recorded: every recording decodes from
//! end to end and says what happened. The driver refuses to rotate: a portrait mode stands for that, which is what a rotated
//! monitor looks like to a recorder.

use crate::{
    display::{Display, Drawing},
    rig::{Recorded, Rig},
    scene,
    video::Video,
};
use hindsight_wire::manifest::Media;
use std::time::Duration;

fn size(recorded: &Recorded) -> (u32, u32) {
    match recorded.manifest.media {
        Media::Screen { width, height, .. } => (width, height),
        ref other => panic!("{other:?}"),
    }
}

fn says(recorded: &Recorded, what: &str) -> bool {
    recorded.manifest.notes.iter().any(|note| note.text.contains(what))
}

#[test]
fn monitors_that_come_go_and_change_are_parts_that_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let display = Display::start_with_two_heads(directory.path());
    let _drawing = Drawing::start(&display, scene::Kind::Office);
    display.xrandr(&["--newmode", "tall", "30.00", "480", "504", "552", "624", "800", "803", "813", "831"]);
    display.xrandr(&["--addmode", "DUMMY0", "tall"]);
    let second = Duration::from_millis(1_000);
    let rig = Rig::start(&display, |_| {});
    assert_eq!(rig.wait_part().len(), 2, "two monitors");
    std::thread::sleep(second);
    display.xrandr(&["--output", "DUMMY1", "--off"]);
    assert_eq!(rig.wait_part().len(), 1, "one was unplugged");
    std::thread::sleep(second);
    display.xrandr(&["--output", "DUMMY0", "--mode", "1024x768"]);
    assert_eq!(rig.wait_part().len(), 1, "another resolution");
    std::thread::sleep(second);
    display.xrandr(&["--output", "DUMMY0", "--mode", "tall"]);
    assert_eq!(rig.wait_part().len(), 1, "portrait");
    display.xset(&["s", "activate"]);
    std::thread::sleep(Duration::from_millis(2_500));
    display.xset(&["s", "reset"]);
    std::thread::sleep(Duration::from_millis(1_500));
    display.xrandr(&["--output", "DUMMY1", "--mode", "640x480", "--right-of", "DUMMY0"]);
    assert_eq!(rig.wait_part().len(), 2, "plugged in again");
    std::thread::sleep(second);
    let recorded = rig.finish();
    let mut seen: Vec<(u32, (u32, u32))> =
        recorded.iter().map(|recorded| (recorded.manifest.part, size(recorded))).collect();
    seen.sort_unstable();
    let (wide, small, large, tall) = ((800, 600), (640, 480), (1024, 768), (480, 800));
    assert_eq!(seen, [(1, small), (1, wide), (2, wide), (3, large), (4, tall), (5, tall), (5, small)]);
    for recorded in &recorded {
        let video = Video::decode(&recorded.mp4);
        assert!(!video.pictures.is_empty());
        let said = recorded.manifest.duration_ms.unwrap() as f64 / 1000.0;
        assert!((video.duration - said).abs() < 0.01, "{} s in the file, {said} s said", video.duration);
        let (first, last) = (recorded.manifest.part == 1, recorded.manifest.part == 5);
        assert!(last || says(recorded, "the next part goes on"), "{:?}", recorded.manifest.notes);
        assert!(first || says(recorded, "the monitors changed from"), "{:?}", recorded.manifest.notes);
    }
    let of = |part| recorded.iter().find(|recorded| recorded.manifest.part == part).unwrap();
    assert!(says(of(2), "DUMMY0 800×600 at 0,0 and DUMMY1 640×480 at 800,0 to DUMMY0 800×600 at 0,0"));
    assert!(says(of(4), "the screen saver came on") && says(of(4), "the screen saver ended"));
}
