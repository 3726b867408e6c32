//! The recorder against a real X server: pictures that decode, at the right time, and only those that may be taken.

// unwrap: these modules are helpers of tests only; the lint spares only functions that are tests themselves.
#![allow(clippy::unwrap_used)]

#[path = "../../examples/scene/mod.rs"]
mod scene;

mod display;
mod managed;
mod masks;
mod monitors;
mod rig;
mod scrap;
mod video;

use display::{Display, Drawing};
use hindsight_agent_core::{
    capture::{Backend, Screens, x11::X11Screens},
    recording::{Command, Mark, media_clock_us},
    scene::read_clock,
};
use hindsight_wire::{
    InteractionId,
    manifest::{Ending, Media},
};
use rig::{Rig, wait_until};
use std::{
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    time::{Duration, Instant},
};
use video::Video;

/// One picture at five pictures a second.
const PICTURE_MS: i64 = 200;

/// Checks the clock in every picture against the time that the manifest gives it.
fn assert_clock_agrees(recorded: &rig::Recorded, video: &Video, minimum: usize) {
    let mut read = 0;
    for (number, picture) in video.pictures.iter().enumerate() {
        let shown_at_ms = recorded.manifest.started_at.0 / 1000 + (picture.seconds * 1000.0) as i64;
        // A picture taken while the clock was drawn is torn: not many are.
        let Some(clock_ms) = read_clock(&picture.luma, video.width, shown_at_ms as u64) else { continue };
        let off = clock_ms as i64 - shown_at_ms;
        assert!(off.abs() <= PICTURE_MS, "picture {number} is {off} ms off");
        read += 1;
    }
    assert!(read >= minimum, "the clock was read off {read} of {} pictures", video.pictures.len());
}

#[test]
fn every_picture_decodes_and_shows_the_time_that_the_manifest_says() {
    let display = Display::start(800, 600);
    let _drawing = Drawing::start(&display, scene::Kind::Clock);
    let call = InteractionId::new();
    let rig = Rig::start(&display, |job| job.interactions = vec![call]);
    rig.wait_part();
    std::thread::sleep(Duration::from_secs(5));
    let (recorded, took) = rig.finish_one();
    let video = Video::decode(&recorded.mp4);
    assert!(video.pictures.len() >= 18, "{} pictures in five seconds", video.pictures.len());
    assert_clock_agrees(&recorded, &video, 14);
    let manifest = &recorded.manifest;
    assert_eq!(manifest.ending, Ending::Complete);
    let duration = manifest.duration_ms.unwrap();
    assert!(
        duration.abs_diff(took.as_millis() as u64) <= 2 * PICTURE_MS as u64,
        "{duration} ms, took {took:?}"
    );
    assert!((video.duration * 1000.0 - duration as f64).abs() < 2.0, "the file is {} s long", video.duration);
    assert_eq!((manifest.interactions[0].interaction, manifest.interactions[0].from_ms), (call, 0));
    assert!(matches!(manifest.media, Media::Screen { monitor: 0, width: 800, height: 600, monitors: 1, .. }));
    assert!(manifest.index.len() >= 2);
    let mut last = None;
    for entry in &manifest.index {
        assert_eq!(&recorded.mp4[entry.position as usize + 4..][..4], b"moof");
        assert!(
            last.is_none_or(|last| entry.time_ms > last && entry.time_ms - last <= 2_400),
            "fragments of two seconds"
        );
        last = Some(entry.time_ms);
    }
}

#[test]
fn a_still_screen_costs_next_to_nothing_and_is_sealed_all_the_same() {
    let display = Display::start(1920, 1080);
    let _drawing = Drawing::start(&display, scene::Kind::Idle);
    let rig = Rig::start(&display, |_| {});
    let recording = rig.wait_part()[0];
    std::thread::sleep(Duration::from_secs(2));
    let cpu = rig::cpu_seconds();
    std::thread::sleep(Duration::from_secs(11));
    let cost = rig::cpu_seconds() - cpu;
    // Measured 0.02 to 0.03; encoding every picture would take about a second.
    assert!(cost < 0.15, "{cost} s of processor time in 11 s");
    // All but the repeated picture has left sealed, although the last segment never filled by itself.
    let sealed = rig.sealed_len(recording);
    let (recorded, _) = rig.finish_one();
    assert!(sealed > recorded.manifest.index[0].position + 4096, "{sealed} bytes sealed before the end");
    let video = Video::decode(&recorded.mp4);
    assert_eq!(video.pictures.len(), 3, "the first, once settled, and one to keep alive");
}

#[test]
fn no_pixel_of_a_pause_is_recorded_and_the_timeline_goes_on() {
    let display = Display::start(640, 480);
    let secret = [0xFF, 0x00, 0xFF];
    display.paint([0x20, 0x60, 0x20]);
    let rig = Rig::start(&display, |_| {});
    rig.wait_part();
    std::thread::sleep(Duration::from_millis(900));
    let pressed = Instant::now();
    rig.run.command(Command::Mark(Mark::Pause { by: "alice".to_owned(), reason: "card number".to_owned() }));
    rig.wait_for_pause();
    let paused = Instant::now();
    display.paint(secret);
    std::thread::sleep(Duration::from_millis(1_500));
    display.paint([0x20, 0x60, 0x20]);
    let at_least = paused.elapsed();
    rig.run.command(Command::Mark(Mark::Resume));
    std::thread::sleep(Duration::from_millis(900));
    let at_most = pressed.elapsed();
    let (recorded, _) = rig.finish_one();
    let video = Video::decode(&recorded.mp4);
    let pause = &recorded.manifest.pauses[0];
    let (from, to) = (pause.from_ms as f64 / 1000.0, pause.to_ms.unwrap() as f64 / 1000.0);
    let span = at_least.as_secs_f64() - PICTURE_MS as f64 / 1000.0..at_most.as_secs_f64();
    assert!(span.contains(&(to - from)), "{from} to {to}, and it was {span:?}");
    let (mut during, mut green_after) = (0, false);
    for picture in &video.pictures {
        for pixel in picture.rgb.chunks_exact(3) {
            let is_secret = pixel[0] > 0xA0 && pixel[1] < 0x60 && pixel[2] > 0xA0;
            assert!(!is_secret, "a pixel of the pause at {} s", picture.seconds);
        }
        let green = picture.rgb[1] > picture.rgb[0] + 20;
        if (from - 0.001..to - 0.001).contains(&picture.seconds) {
            during += 1;
            assert!(!green, "the picture of before shows at {} s", picture.seconds);
        } else if picture.seconds > to - 0.001 {
            green_after |= green;
        }
    }
    // The neutral picture, and once more so that it leaves the open segment early.
    assert!((1..=2).contains(&during), "{during} neutral pictures");
    assert!(green_after, "the screen shows again");
    assert!(video.duration > to + 0.8);
}

#[test]
fn a_change_of_resolution_opens_the_next_part() {
    let display = Display::start(1920, 1080);
    let _drawing = Drawing::start(&display, scene::Kind::Clock);
    display.add_mode();
    let rig = Rig::start(&display, |_| {});
    let first = rig.wait_part();
    std::thread::sleep(Duration::from_millis(1_500));
    display.xrandr(&["--output", "screen", "--mode", "small"]);
    let second = rig.wait_part();
    std::thread::sleep(Duration::from_millis(1_500));
    let parts = rig.finish();
    assert_eq!(parts.len(), 2);
    let part = |id| parts.iter().find(|part| part.id == id).unwrap();
    let (before, after) = (part(first[0]), part(second[0]));
    assert_eq!((before.manifest.part, after.manifest.part), (1, 2));
    assert_eq!(after.manifest.previous, Some(before.id));
    assert_eq!(before.manifest.capture, after.manifest.capture);
    assert!(matches!(after.manifest.media, Media::Screen { width: 1280, height: 720, .. }));
    for part in [before, after] {
        let video = Video::decode(&part.mp4);
        assert!(video.pictures.len() >= 5, "{} pictures", video.pictures.len());
        assert_clock_agrees(part, &video, 4);
    }
}

#[test]
fn two_monitors_are_two_recordings_of_one_capture() {
    let display = Display::start(1600, 720);
    display.xrandr(&["--setmonitor", "left", "800/200x720/190+0+0", "screen"]);
    display.xrandr(&["--setmonitor", "right", "800/200x720/190+800+0", "none"]);
    let _drawing = Drawing::start(&display, scene::Kind::Clock);
    let rig = Rig::start(&display, |_| {});
    assert_eq!(rig.wait_part().len(), 2);
    std::thread::sleep(Duration::from_millis(2_500));
    let recorded = rig.finish();
    let mut clocks = 0;
    for recorded in &recorded {
        let Media::Screen { monitors: 2, width: 800, height: 720, .. } = recorded.manifest.media else {
            panic!("{:?}", recorded.manifest.media)
        };
        let video = Video::decode(&recorded.mp4);
        let near = recorded.manifest.started_at.0 as u64 / 1000;
        let seen =
            video.pictures.iter().filter(|picture| read_clock(&picture.luma, 800, near).is_some()).count();
        clocks += usize::from(seen > 4);
        assert_eq!(recorded.manifest.capture, recorded.manifest.capture);
    }
    assert_eq!((recorded.len(), clocks), (2, 1), "the clock is on the left monitor");
}

#[test]
fn the_mouse_cursor_is_in_the_picture() {
    let display = Display::start(640, 480);
    display.paint([0, 0, 0]);
    let mut screens = X11Screens::open(Some(display.name())).unwrap();
    let mut frame = hindsight_agent_core::capture::Frame::new(640, 480);
    display.point_at(100, 100);
    screens.poll().unwrap();
    screens.grab(0, &mut frame, &mut Vec::new()).unwrap();
    let lit = |frame: &hindsight_agent_core::capture::Frame, x: i32, y: i32| {
        let area = hindsight_agent_core::capture::Rect { x: x - 16, y: y - 16, width: 32, height: 32 };
        (0..32).any(|row| frame.row(&area, row).chunks_exact(4).any(|pixel| pixel[..3] != [0, 0, 0]))
    };
    assert!(lit(&frame, 100, 100));
    display.point_at(400, 300);
    let mut changed = Vec::new();
    wait_until("the cursor has moved", || {
        screens.poll().unwrap();
        screens.grab(0, &mut frame, &mut changed).unwrap();
        !changed.is_empty()
    });
    assert!(lit(&frame, 400, 300) && !lit(&frame, 100, 100), "it leaves no trace");
}

#[test]
fn the_shared_memory_is_for_this_user_and_the_x_server_only() {
    let display = Display::start(640, 480);
    let screens = X11Screens::open(Some(display.name())).unwrap();
    let memory = screens.shared_memory().expect("Xvfb takes a memfd");
    assert_eq!(memory.metadata().unwrap().mode() & 0o777, 0o600);
    let link = std::fs::read_link(format!("/proc/self/fd/{}", memory.as_raw_fd())).unwrap();
    assert!(link.to_string_lossy().starts_with("/memfd:"), "{link:?} has a name in no file system");
    assert!(memory.set_len(0).is_err(), "nobody can shrink it under the reader");
}

#[test]
fn the_scrap_backend_records_and_its_memory_is_closed_and_vanishes() {
    let display = Display::start(1280, 720);
    let _drawing = Drawing::start(&display, scene::Kind::Clock);
    display.add_mode();
    let before = rig::shared_segments();
    let rig = Rig::start(&display, |job| job.backend = Backend::Scrap);
    rig.wait_part();
    let made: Vec<_> =
        rig::shared_segments().into_iter().filter(|segment| !before.contains(segment)).collect();
    let own: Vec<_> = made.iter().filter(|segment| segment.creator == std::process::id()).collect();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].mode & 0o777, 0o600);
    assert_ne!(own[0].mode & 0o1000, 0, "marked to vanish with its last user");
    std::thread::sleep(Duration::from_millis(2_500));
    display.xrandr(&["--output", "screen", "--mode", "small"]);
    rig.wait_part();
    std::thread::sleep(Duration::from_millis(1_500));
    let parts = rig.finish();
    assert_eq!(parts.len(), 2, "a change of resolution is no frozen picture");
    for part in &parts {
        let video = Video::decode(&part.mp4);
        assert!(video.pictures.len() >= 4);
        assert_clock_agrees(part, &video, 3);
    }
    wait_until("the segment is gone", || rig::shared_segments().iter().all(|one| one.id != own[0].id));
}

#[test]
fn a_display_that_goes_away_ends_the_capture_with_a_reason_and_keeps_what_was_recorded() {
    let display = Display::start(640, 480);
    display.paint([0x40, 0x80, 0xC0]);
    let rig = Rig::start(&display, |_| {});
    rig.wait_part();
    std::thread::sleep(Duration::from_millis(600));
    drop(display);
    let error = rig.wait_end().expect_err("the display is gone");
    assert!(error.to_string().contains("display"), "{error}");
    let recorded = rig.recorded();
    assert_eq!(recorded[0].manifest.ending, Ending::Complete);
    assert!(!Video::decode(&recorded[0].mp4).pictures.is_empty());
}

/// Nothing of a machine that is busy with other things comes into it: the quickest of a few captures.
#[test]
fn the_first_picture_can_be_taken_within_300_ms() {
    let display = Display::start(1920, 1080);
    let mut took_ms = Vec::new();
    while took_ms.iter().all(|took| *took > 300) {
        assert!(took_ms.len() < 10, "{took_ms:?} ms");
        let before = media_clock_us();
        let rig = Rig::start(&display, |_| {});
        let recording = rig.wait_part()[0];
        rig.wait_sealed(recording, 4096 + 40);
        took_ms.push((media_clock_us() - before) / 1000);
        rig.finish_one();
    }
}

#[test]
fn a_pause_at_the_start_takes_no_picture() {
    let display = Display::start(1920, 1080);
    display.paint([0xFF, 0, 0xFF]);
    let rig = Rig::start(&display, |job| job.paused = Some(("rule".to_owned(), "payment page".to_owned())));
    let recording = rig.wait_part()[0];
    rig.wait_sealed(recording, 4096 + 40);
    std::thread::sleep(Duration::from_millis(700));
    let (recorded, _) = rig.finish_one();
    let video = Video::decode(&recorded.mp4);
    assert!(!video.pictures.is_empty());
    assert!(video.pictures.iter().all(|picture| picture.rgb.chunks_exact(3).all(|pixel| pixel[0] < 0x90)));
    assert_eq!((recorded.manifest.pauses[0].from_ms, recorded.manifest.pauses[0].to_ms), (0, None));
}

#[test]
fn a_day_of_captures_leaves_no_handles_behind() {
    let display = Display::start(640, 480);
    display.paint([0x40, 0x80, 0xC0]);
    let handles = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let record = |backend| {
        let rig = Rig::start(&display, |job| job.backend = backend);
        rig.wait_part();
        rig.finish();
    };
    record(Backend::X11);
    record(Backend::Scrap);
    let before = (handles(), threads());
    for backend in [Backend::X11, Backend::Scrap].into_iter().cycle().take(20) {
        record(backend);
    }
    wait_until("handles and threads are given back", || (handles(), threads()) <= before);
}
