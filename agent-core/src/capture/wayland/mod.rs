//! Wayland: the desktop portal asks the agent, PipeWire brings the pictures.
//!
//! - The agent's consent is kept as a token that is good once; each start replaces it.
//! - What came back is compared with the compositor's own list of monitors and with what was shared last time. A
//!   monitor that is missing, new or elsewhere is told; what is shared is recorded.
//! - A refusal is told as one, and nobody is asked again for ten minutes. Ending the sharing is a refusal.
//! - Changes of the monitors are heard from the compositor; a stream that changes its size or ends opens a new part.
//! - No list of windows is to be had, so nothing can be masked by window: see [`crate::capture::windows`].

mod consent;
mod feed;
mod outputs;
mod portal;
mod upright;

use super::{CaptureError, Frame, Layout, Monitor, Rect, Screens};
use consent::{Consent, ConsentFile, Place};
use feed::Feed;
use outputs::{Output, Outputs};
use portal::{SharedMonitor, Sharing, note_refusal};
use std::time::{Duration, Instant};

/// Shared monitors of a Wayland session.
struct WaylandScreens {
    monitors: Vec<Monitor>,
    feed: Feed,
    outputs: Outputs,
    sharing: Sharing,
    /// The next grab of the monitor takes all of its picture.
    all: Vec<bool>,
    remarks: Vec<String>,
    ended_since: Option<Instant>,
}

/// A compositor ends the sharing of a monitor that goes away, too, and tells of it by another way: if it has not by
/// then, it was a person.
const ENDED_BY_PERSON: Duration = Duration::from_secs(1);

/// Asks to share the monitors of the environment's session, and waits for their first pictures.
pub fn open() -> Result<Box<dyn Screens>, CaptureError> {
    let outputs = Outputs::open()?;
    let file = ConsentFile::of_this_person();
    let last = file.load();
    let asked = Sharing::ask(last.as_ref().map(|consent| consent.token.clone()));
    let granted = asked.as_ref().ok().map(|(grant, _)| grant);
    let shared: Vec<Place> =
        granted.into_iter().flat_map(|grant| &grant.streams).filter_map(|stream| stream.place).collect();
    let next = granted
        .and_then(|grant| grant.token.clone())
        .map(|token| Consent { token, monitors: shared.clone() });
    // A token that was used, or refused, is good no more; one that no portal has seen is.
    let seen = matches!(asked, Ok(_) | Err(CaptureError::NotAllowed(_)));
    if seen && let Err(error) = file.replace(next.as_ref()) {
        tracing::warn!(%error, "the agent's consent cannot be kept: the next capture asks again");
    }
    let (mut grant, sharing) = asked?;
    if grant.streams.is_empty() {
        return Err(CaptureError::NotAllowed("no monitor was shared".to_owned()));
    }
    let mut remarks = compare(outputs.list(), &shared, last.as_ref().map(|consent| &consent.monitors[..]));
    if !grant.cursor {
        remarks.push("the desktop does not draw the cursor into shared pictures".to_owned());
    }
    grant.streams.sort_by_key(|stream| stream.place);
    let nodes: Vec<u32> = grant.streams.iter().map(|stream| stream.node).collect();
    let feed = Feed::start(grant.remote, &nodes)?;
    let monitors: Vec<Monitor> = grant
        .streams
        .iter()
        .enumerate()
        .map(|(number, stream)| monitor(number, stream, &feed, outputs.list()))
        .collect();
    for (_, monitor) in monitors.iter().enumerate().filter(|(number, _)| !feed.shows(*number)) {
        remarks.push(format!("{} {NOTHING_YET}", monitor.name));
    }
    for remark in &remarks {
        tracing::warn!(remark, "what is shared");
    }
    let all = vec![true; nodes.len()];
    Ok(Box::new(WaylandScreens { monitors, feed, outputs, sharing, all, remarks, ended_since: None }))
}

impl Screens for WaylandScreens {
    fn monitors(&self) -> &[Monitor] {
        &self.monitors
    }

    fn poll(&mut self) -> Result<Layout, CaptureError> {
        if self.outputs.poll()? == Layout::Changed {
            return Ok(Layout::Changed);
        }
        if self.sharing.has_ended() {
            let since = *self.ended_since.get_or_insert_with(Instant::now);
            if since.elapsed() < ENDED_BY_PERSON {
                return Ok(Layout::Same);
            }
            note_refusal();
            return Err(CaptureError::NotAllowed("the sharing was ended at this desktop".to_owned()));
        }
        if let Some(why) = self.feed.ended() {
            tracing::info!(why, "a shared monitor ended");
            return Ok(Layout::Changed);
        }
        Ok(Layout::Same)
    }

    fn grab(
        &mut self,
        monitor: usize,
        frame: &mut Frame,
        changed: &mut Vec<Rect>,
    ) -> Result<(), CaptureError> {
        changed.extend(self.feed.grab(monitor, frame, &mut self.all[monitor])?);
        Ok(())
    }

    fn invalidate(&mut self) {
        self.all.fill(true);
    }

    fn remarks(&self) -> &[String] {
        &self.remarks
    }
}

/// Some desktops hand over a picture only when something changes.
const NOTHING_YET: &str = "is black until something on it changes: the desktop gave no first picture";

fn monitor(number: usize, stream: &SharedMonitor, feed: &Feed, outputs: &[Output]) -> Monitor {
    let place = stream.place.unwrap_or_default();
    let output = stream.place.and_then(|place| Output::meant(outputs, &place));
    let (width, height) = feed.size(number);
    // How a picture lies is known with the first one. Before it, the compositor knows whether the monitor stands.
    let stands = output.and_then(|output| output.place).is_some_and(|place| place.width < place.height);
    let (width, height) =
        if stands && !feed.shows(number) && width > height { (height, width) } else { (width, height) };
    Monitor {
        name: output.map_or_else(|| format!("monitor {}", number + 1), |output| output.name.clone()),
        area: Rect { x: place.x, y: place.y, width, height },
        // Wayland calls none of them the first.
        primary: number == 0,
    }
}

/// What is not as it was asked for: all monitors, and those of the last time.
fn compare(outputs: &[Output], shared: &[Place], last: Option<&[Place]>) -> Vec<String> {
    let mut remarks = Vec::new();
    let meant: Vec<&Output> = shared.iter().filter_map(|place| Output::meant(outputs, place)).collect();
    for output in outputs.iter().filter(|output| !meant.contains(output)) {
        remarks.push(format!("monitor {} is not shared, so it is not recorded", output.name));
    }
    for place in shared {
        let told = |what: &str| {
            let Place { x, y, width, height } = place;
            format!("the desktop shares {width}×{height} at {x},{y}, {what}")
        };
        if Output::meant(outputs, place).is_none() {
            remarks.push(told("where the compositor has no monitor"));
        } else if last.is_some_and(|last| !last.contains(place)) {
            remarks.push(told("which was not shared when the agent consented"));
        }
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(x: i32) -> Place {
        Place { x, y: 0, width: 1280, height: 720 }
    }

    fn output(name: &str, x: i32) -> Output {
        Output { name: name.to_owned(), place: Some(place(x)), mode: (1280, 720) }
    }

    #[test]
    fn what_was_asked_for_needs_no_remark() {
        let outputs = [output("DP-1", 0), output("DP-2", 1280)];
        assert!(compare(&outputs, &[place(0), place(1280)], None).is_empty());
        assert!(compare(&outputs, &[place(0), place(1280)], Some(&[place(1280), place(0)])).is_empty());
    }

    #[test]
    fn a_missing_a_strange_and_another_monitor_are_told() {
        let outputs = [output("DP-1", 0), output("DP-2", 1280)];
        let remarks = compare(&outputs, &[place(1280), place(5000)], Some(&[place(0)]));
        assert_eq!(
            remarks,
            [
                "monitor DP-1 is not shared, so it is not recorded",
                "the desktop shares 1280×720 at 1280,0, which was not shared when the agent consented",
                "the desktop shares 1280×720 at 5000,0, where the compositor has no monitor",
            ]
        );
    }

    #[test]
    fn a_turned_or_scaled_monitor_is_known_by_its_pixels_too() {
        let turned =
            Output { place: Some(Place { width: 720, height: 1280, ..place(0) }), ..output("DP-1", 0) };
        let scaled =
            Output { place: Some(Place { width: 640, height: 360, ..place(720) }), ..output("DP-2", 0) };
        assert!(compare(&[turned, scaled], &[place(0), place(720)], None).is_empty());
        // A portal that knows no places.
        assert!(compare(&[output("DP-1", 1920)], &[place(0)], None).is_empty());
    }
}
