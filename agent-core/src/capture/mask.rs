//! What must not be in a picture: areas of masked windows and monitors, and in default-deny mode everything else.
//!
//! Windows move while a picture is taken. So the windows are listed before and after, and what is masked by either list,
//! or by any place at which a window was in between, is masked. It stays so for [`LINGER_US`] after the window has left:
//! a compositor shows what was a moment ago, and what lies below is drawn anew only when its program gets to it.
//!
//! What this cannot see: copies that other programs show (thumbnails of a task bar, an overview of all windows). Against
//! those only the default-deny mode helps, as far as they do not cover an allowed window.

use super::{
    Backend, CaptureError, Monitor, Rect, Region,
    windows::{self, Desktop, Owner, Trace, Window, Windows},
};
use hindsight_wire::policy::{CapturePolicy, WindowMatch};
use std::collections::VecDeque;

/// For how long what a window leaves stays masked.
pub const LINGER_US: u64 = 500_000;

/// What policy masks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    masks: Vec<WindowMatch>,
    only: Vec<WindowMatch>,
}

impl Rules {
    /// The rules of a policy; `None`: nothing is masked.
    pub fn of(policy: &CapturePolicy) -> Option<Self> {
        let rules = Self { masks: policy.masks.clone(), only: policy.only.clone() };
        (!rules.masks.is_empty() || !rules.only.is_empty()).then_some(rules)
    }

    /// What to mask of `monitor`, pixels of the desktop.
    pub fn masked(&self, desktop: &Desktop, monitor: &Monitor) -> Region {
        let mut masked = Region::default();
        if !self.only.is_empty() {
            masked.add(&monitor.area);
            masked.remove_all(&self.allowed(desktop, monitor));
        }
        masked.add_all(&self.forbidden(desktop, monitor));
        masked
    }

    /// What to mask of `monitor` while nothing is known of the windows.
    pub fn masked_blindly(&self, monitor: &Monitor) -> Region {
        let whole = [monitor.area].into_iter().collect();
        let denied = !self.only.is_empty() && !on(&self.only, monitor).any(is_of_monitor);
        let by_mask = on(&self.masks, monitor).any(|rule| is_of_monitor(rule) || is_of_window(rule));
        if denied || by_mask { whole } else { Region::default() }
    }

    /// Where an allowed window shows and nothing else does.
    fn allowed(&self, desktop: &Desktop, monitor: &Monitor) -> Region {
        if on(&self.only, monitor).any(is_of_monitor) {
            return [monitor.area].into_iter().collect();
        }
        let mut allowed = Region::default();
        // From the lowest up: each allowed window adds what is opaque of it, any other takes away where it may show.
        for window in desktop.windows.iter().rev() {
            window.area.iter().for_each(|rect| allowed.remove(rect));
            if self.allows(window, monitor) {
                window.opaque.iter().for_each(|rect| allowed.add(rect));
            }
        }
        for trace in &desktop.traces {
            if !traced(desktop, trace).is_some_and(|window| self.allows(window, monitor)) {
                allowed.remove(&trace.area);
            }
        }
        allowed.within(&monitor.area)
    }

    /// Where a masked window may show.
    fn forbidden(&self, desktop: &Desktop, monitor: &Monitor) -> Region {
        if on(&self.masks, monitor).any(is_of_monitor) {
            return [monitor.area].into_iter().collect();
        }
        let mut forbidden = Region::default();
        if self.masks.is_empty() {
            return forbidden;
        }
        for window in desktop.windows.iter().rev() {
            if self.forbids(window, monitor) {
                window.area.iter().for_each(|rect| forbidden.add(rect));
            } else {
                window.opaque.iter().for_each(|rect| forbidden.remove(rect));
            }
        }
        for trace in &desktop.traces {
            // A window that has gone before it could be asked may have been any.
            if traced(desktop, trace).is_none_or(|window| self.forbids(window, monitor)) {
                forbidden.add(&trace.area);
            }
        }
        forbidden.within(&monitor.area)
    }

    fn allows(&self, window: &Window, monitor: &Monitor) -> bool {
        let answers =
            |identity: &windows::Identity| on(&self.only, monitor).any(|rule| identity.answers_to(rule));
        answers(&window.identity)
            || match &window.owner {
                Owner::Itself | Owner::Unknown => false,
                Owner::Among(owners) => !owners.is_empty() && owners.iter().all(answers),
            }
    }

    fn forbids(&self, window: &Window, monitor: &Monitor) -> bool {
        let answers =
            |identity: &windows::Identity| on(&self.masks, monitor).any(|rule| identity.answers_to(rule));
        answers(&window.identity)
            || match &window.owner {
                Owner::Itself | Owner::Unknown => false,
                Owner::Among(owners) => owners.iter().any(answers),
            }
    }
}

fn traced<'a>(desktop: &'a Desktop, trace: &Trace) -> Option<&'a Window> {
    desktop.windows.get(trace.window?)
}

/// The rules that hold on `monitor`.
fn on<'a>(rules: &'a [WindowMatch], monitor: &'a Monitor) -> impl Iterator<Item = &'a WindowMatch> {
    rules.iter().filter(|rule| rule.monitor.as_deref().is_none_or(|name| name == monitor.name))
}

/// Whether a rule is about a whole monitor.
fn is_of_monitor(rule: &WindowMatch) -> bool {
    rule.monitor.is_some() && rule.title.is_none() && rule.program.is_none()
}

fn is_of_window(rule: &WindowMatch) -> bool {
    rule.title.is_some() || rule.program.is_some()
}

/// The masks of a capture: rules, the list of windows, and what lingers.
pub struct Mask {
    rules: Rules,
    backend: Backend,
    display: Option<String>,
    windows: Option<Box<dyn Windows>>,
    views: Vec<View>,
    failing: bool,
    failure: Option<String>,
}

/// The masks of one monitor.
#[derive(Default)]
struct View {
    /// When each was last seen, and what it masked: the newest last.
    seen: VecDeque<(u64, Region)>,
    /// All of it, pixels of the monitor's frame.
    masked: Region,
}

impl Mask {
    /// The masks of `policy`; `None`: it has none. A system that lists no windows is masked as a whole.
    pub fn open(policy: &CapturePolicy, backend: Backend, display: Option<&str>) -> Option<Self> {
        let rules = Rules::of(policy)?;
        let display = display.map(str::to_owned);
        Some(Self {
            rules,
            backend,
            display,
            windows: None,
            views: Vec::new(),
            failing: false,
            failure: None,
        })
    }

    /// Notes where the windows are. Call it before pictures of `monitors` are taken, and again afterwards.
    pub fn look(&mut self, monitors: &[Monitor], now_us: u64) {
        self.views.resize_with(monitors.len(), View::default);
        let looked = match &mut self.windows {
            Some(windows) => windows.look(),
            closed => windows::open(self.backend, self.display.as_deref())
                .and_then(|opened| closed.insert(opened).look()),
        };
        self.failing &= looked.is_err();
        let failed = match looked {
            Ok(desktop) => {
                for (view, monitor) in self.views.iter_mut().zip(monitors) {
                    view.see(now_us, monitor, self.rules.masked(desktop, monitor));
                }
                None
            }
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            self.fail(&error);
            for (view, monitor) in self.views.iter_mut().zip(monitors) {
                view.see(now_us, monitor, self.rules.masked_blindly(monitor));
            }
        }
    }

    /// What to mask of monitor number `monitor`, pixels of its frame.
    pub fn region(&self, monitor: usize) -> &Region {
        &self.views[monitor].masked
    }

    /// Why windows could not be listed, once for each time that it began to fail.
    pub fn failure(&mut self) -> Option<String> {
        self.failure.take()
    }

    fn fail(&mut self, error: &CaptureError) {
        self.windows = None;
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(%error, "windows cannot be listed: everything that a mask could be about is masked");
            self.failure = Some(error.to_string());
        }
    }
}

impl View {
    fn see(&mut self, now_us: u64, monitor: &Monitor, region: Region) {
        match self.seen.back_mut() {
            Some((last_us, last)) if *last == region => *last_us = now_us,
            _ => self.seen.push_back((now_us, region)),
        }
        while self.seen.len() > 1 && self.seen[0].0 + LINGER_US < now_us {
            self.seen.pop_front();
        }
        let mut masked = Region::default();
        for (_, region) in self.seen.iter().rev() {
            masked.add_all(region);
        }
        self.masked = masked.relative_to(monitor.area.x, monitor.area.y).within(&Rect::of_size(
            monitor.area.width.next_multiple_of(2),
            monitor.area.height.next_multiple_of(2),
        ));
    }
}

#[cfg(test)]
mod tests;
