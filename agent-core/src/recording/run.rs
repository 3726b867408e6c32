//! The capture thread: one run of capture, in parts.
//!
//! What it attends to, in this order: commands (a pause acts at once, also between two pictures), the layout of the
//! monitors, pictures. It ends a part and begins the next when told so and when the monitors change.

use super::{
    Command, RecordingError, RunEvent, RunJob, media_clock_us,
    part::{Part, Standing},
};
use crate::capture::{self, CaptureError, Layout, Monitor, Screens, mask::Mask, session::Session};
use hindsight_wire::RecordingId;
use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

/// How long a display may take to settle after its monitors changed.
const LAYOUT_SETTLES_US: u64 = 30_000_000;
/// Between two tries to open it in that time.
const LAYOUT_RETRY: Duration = Duration::from_millis(250);

/// Why a part ended.
enum PartEnd {
    Finish,
    NextPart,
    LayoutChanged,
}

/// Runs a capture to its end. Blocks; meant for a thread of its own.
pub(super) fn run(
    job: RunJob,
    commands: &Receiver<Command>,
    tell: &dyn Fn(RunEvent),
) -> Result<(), RecordingError> {
    let mut standing = Standing::from(&job);
    let mut sight = Sight {
        screens: capture::open(job.backend, job.display.as_deref())?,
        mask: Mask::open(&job.policy, job.backend, job.display.as_deref()),
        session: Session::open(job.backend, job.display.as_deref()),
    };
    let mut number = job.origin.part;
    let mut previous = job.origin.previous.clone();
    let mut why = None;
    loop {
        sight.screens.invalidate();
        let mut part = Part::open(&job, &standing, sight.screens.as_mut(), number, &previous)?;
        if let Some(why) = why.take() {
            part.note(why, 0);
        }
        let begun =
            RunEvent::PartStarted { part: number, recordings: part.recordings(), at: part.started_at() };
        let ended = record(&mut part, &mut sight, &mut standing, commands, || tell(begun));
        if let Ok(PartEnd::LayoutChanged) = ended {
            part.note_now("the monitors changed; the next part goes on with those that are there");
        }
        previous = part.recordings().into_iter().map(Some).collect::<Vec<Option<RecordingId>>>();
        // What was captured is kept whatever ended it.
        let closed = part.close();
        match ended? {
            PartEnd::Finish => return closed,
            PartEnd::NextPart => closed?,
            PartEnd::LayoutChanged => {
                closed?;
                let before = describe(sight.screens.monitors());
                match reopen(&job, &mut standing, commands)? {
                    Some(opened) => sight.screens = opened,
                    None => return Ok(()),
                }
                why = Some(format!(
                    "the monitors changed from {before} to {}",
                    describe(sight.screens.monitors())
                ));
            }
        }
        number += 1;
    }
}

/// What a capture looks with.
struct Sight {
    screens: Box<dyn Screens>,
    mask: Option<Mask>,
    session: Session,
}

/// Monitors in words.
fn describe(monitors: &[Monitor]) -> String {
    let one = |monitor: &Monitor| {
        let area = monitor.area;
        format!("{} {}×{} at {},{}", monitor.name, area.width, area.height, area.x, area.y)
    };
    monitors.iter().map(one).collect::<Vec<_>>().join(" and ")
}

/// Takes pictures until something ends the part; `begun` is called after the first.
fn record(
    part: &mut Part,
    sight: &mut Sight,
    standing: &mut Standing,
    commands: &Receiver<Command>,
    begun: impl FnOnce(),
) -> Result<PartEnd, RecordingError> {
    let mut begun = Some(begun);
    loop {
        part.check_workers()?;
        for happened in sight.session.poll(media_clock_us()) {
            part.note_now(happened);
        }
        if standing.is_paused() {
            part.neutral(media_clock_us());
        } else {
            match sight.screens.poll() {
                Ok(Layout::Same) => {}
                Ok(Layout::Changed) | Err(CaptureError::LayoutChanged) => return Ok(PartEnd::LayoutChanged),
                Err(error) => return Err(error.into()),
            }
            match part.pictures(sight.screens.as_mut(), sight.mask.as_mut(), media_clock_us()) {
                Err(RecordingError::Capture(CaptureError::LayoutChanged)) => {
                    return Ok(PartEnd::LayoutChanged);
                }
                other => other?,
            }
        }
        if let Some(begun) = begun.take() {
            begun();
        }
        let wait = part.until_next_tick(media_clock_us());
        match commands.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(PartEnd::Finish),
            Ok(Command::Finish) => return Ok(PartEnd::Finish),
            Ok(Command::NextPart) => return Ok(PartEnd::NextPart),
            Ok(Command::Recipients(recipients)) => {
                standing.recipients = recipients;
                return Ok(PartEnd::NextPart);
            }
            Ok(Command::Mark(mark)) => {
                let now_us = media_clock_us();
                let was_paused = standing.is_paused();
                standing.apply(&mark);
                part.mark(&mark, now_us);
                if standing.is_paused() != was_paused {
                    part.pause_changed();
                    sight.screens.invalidate();
                }
            }
        }
    }
}

/// Opens the display again; `None`: the capture was ended meanwhile.
fn reopen(
    job: &RunJob,
    standing: &mut Standing,
    commands: &Receiver<Command>,
) -> Result<Option<Box<dyn Screens>>, RecordingError> {
    let since_us = media_clock_us();
    loop {
        match capture::open(job.backend, job.display.as_deref()) {
            Ok(screens) => return Ok(Some(screens)),
            Err(error) if media_clock_us() - since_us > LAYOUT_SETTLES_US => return Err(error.into()),
            Err(error) => tracing::debug!(%error, "the display is not ready after its monitors changed"),
        }
        match commands.recv_timeout(LAYOUT_RETRY) {
            Err(RecvTimeoutError::Timeout) | Ok(Command::NextPart) => {}
            Err(RecvTimeoutError::Disconnected) | Ok(Command::Finish) => return Ok(None),
            Ok(Command::Recipients(recipients)) => standing.recipients = recipients,
            Ok(Command::Mark(mark)) => standing.apply(&mark),
        }
    }
}
