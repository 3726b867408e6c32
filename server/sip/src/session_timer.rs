//! Session timers (RFC 4028): a session whose refreshes stay away is dead, and is ended.
//!
//! Pure: `now` is an argument. One [`SessionTimer`] per dialog.

use std::time::{Duration, Instant};

use crate::message::typed::seconds;
use crate::message::{Fault, Request, Response, SipMessage, StatusCode};

/// The shortest interval that RFC 4028 allows.
pub const MIN_SE: u32 = 90;
/// The interval that RFC 4028 recommends.
pub const SESSION_EXPIRES: u32 = 1800;

/// Who sends the refreshes, seen from a transaction: the sender of the request, or the answerer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresher {
    /// `uac`
    Uac,
    /// `uas`
    Uas,
}

/// A Session-Expires header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionExpires {
    /// Seconds.
    pub interval: u32,
    /// Who refreshes, when that was said.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads it from a message; a malformed one counts as absent.
    pub fn of(message: &impl SipMessage) -> Option<Self> {
        let value = message.headers().get("Session-Expires")?;
        let refresher = value.split(';').skip(1).find_map(|param| {
            let (name, who) = param.split_once('=')?;
            match (name.trim().eq_ignore_ascii_case("refresher"), who.trim().to_ascii_lowercase().as_str()) {
                (true, "uac") => Some(Refresher::Uac),
                (true, "uas") => Some(Refresher::Uas),
                _ => None,
            }
        });
        Some(Self { interval: seconds(value)?, refresher })
    }

    fn value(self) -> String {
        match self.refresher {
            Some(Refresher::Uac) => format!("{};refresher=uac", self.interval),
            Some(Refresher::Uas) => format!("{};refresher=uas", self.interval),
            None => self.interval.to_string(),
        }
    }
}

/// Asks for a session timer in an INVITE or UPDATE of ours.
pub fn offer(request: &mut Request, interval: u32, refresher: Option<Refresher>) {
    request.headers.set("Session-Expires", SessionExpires { interval, refresher }.value());
    request.headers.set("Min-SE", MIN_SE);
    if !supports_timer(request) {
        request.headers.push("Supported", "timer");
    }
}

/// Refuses a too short interval: 422 with our minimum (8.1 of RFC 4028).
pub fn refuse(request: &Request) -> Option<Response> {
    let too_short =
        SessionExpires::of(request).is_some_and(|s| s.interval < MIN_SE) && supports_timer(request);
    too_short
        .then(|| Response::to(request, StatusCode::SESSION_INTERVAL_TOO_SMALL).with_header("Min-SE", MIN_SE))
}

fn supports_timer(message: &impl SipMessage) -> bool {
    message.headers().tokens("Supported").iter().any(|t| t.eq_ignore_ascii_case("timer"))
}

/// The timer of one dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTimer {
    interval: Duration,
    we_refresh: bool,
    refreshed: Instant,
    asked: bool,
}

/// What a session timer wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimerAction {
    /// Nothing.
    Nothing,
    /// Send a re-INVITE or UPDATE.
    Refresh,
    /// The peer is gone: send BYE.
    End,
}

impl SessionTimer {
    /// The called side (9): agrees with what the INVITE or UPDATE asks for and writes it into the 2xx. `None`: no timer.
    pub fn answer(request: &Request, response: &mut Response, now: Instant) -> Option<Self> {
        let asked = SessionExpires::of(request)?;
        let peer_can = supports_timer(request);
        let refresher = match asked.refresher {
            // A peer without the extension cannot refresh; it may have been a proxy that asked.
            Some(Refresher::Uac) | None if peer_can => Refresher::Uac,
            _ => Refresher::Uas,
        };
        let agreed = SessionExpires { interval: asked.interval.max(MIN_SE), refresher: Some(refresher) };
        response.headers.set("Session-Expires", agreed.value());
        if peer_can && refresher == Refresher::Uac {
            response.headers.push("Require", "timer");
        }
        Some(Self::new(agreed.interval, refresher == Refresher::Uas, now))
    }

    /// The calling side (7.2): what the 2xx to our INVITE or UPDATE says. `None`: no timer.
    pub fn agreed(response: &Response, now: Instant) -> Result<Option<Self>, Fault> {
        let Some(agreed) = SessionExpires::of(response) else { return Ok(None) };
        if agreed.interval < MIN_SE {
            return Err(Fault::syntax("Session Interval Too Small"));
        }
        Ok(Some(Self::new(agreed.interval, agreed.refresher != Some(Refresher::Uas), now)))
    }

    fn new(interval: u32, we_refresh: bool, now: Instant) -> Self {
        // A day bounds what a hostile header can ask for; it is also as good as no timer.
        let interval = Duration::from_secs(u64::from(interval.min(86_400)));
        Self { interval, we_refresh, refreshed: now, asked: false }
    }

    /// A re-INVITE or UPDATE of either side was accepted.
    pub fn on_refreshed(&mut self, now: Instant) {
        self.refreshed = now;
        self.asked = false;
    }

    /// When `on_timer` is wanted: we refresh at half the interval; the other side must have by the end less a third
    /// of it, at most 32 s (10 of RFC 4028).
    pub fn deadline(&self) -> Instant {
        if self.we_refresh && !self.asked {
            return self.refreshed + self.interval / 2;
        }
        self.refreshed + self.interval - (self.interval / 3).min(Duration::from_secs(32))
    }

    /// Time has come to `deadline`.
    pub fn on_timer(&mut self, now: Instant) -> TimerAction {
        if now < self.deadline() {
            return TimerAction::Nothing;
        }
        if self.we_refresh && !self.asked {
            self.asked = true;
            return TimerAction::Refresh;
        }
        TimerAction::End
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Method, Uri};

    fn invite(expires: &str, supported: &str) -> Request {
        let invite = Request::new(Method::Invite, Uri::parse("sip:h").unwrap());
        invite.with_header("Session-Expires", expires).with_header("Supported", supported)
    }

    fn answer(expires: &str, supported: &str) -> (SessionTimer, Response) {
        let request = invite(expires, supported);
        let mut response = Response::to(&request, StatusCode::OK);
        let timer = SessionTimer::answer(&request, &mut response, Instant::now()).unwrap();
        (timer, response)
    }

    #[test]
    fn the_caller_refreshes_when_it_can() {
        let (timer, response) = answer("600", "100rel, timer");
        assert_eq!(response.headers.get("x"), Some("600;refresher=uac"));
        assert_eq!(response.headers.get("Require"), Some("timer"));
        assert!(!timer.we_refresh);
        let (timer, response) = answer("600;refresher=uas", "timer");
        assert!(timer.we_refresh && !response.headers.has("Require"));
        let (timer, _) = answer("600", "");
        assert!(timer.we_refresh, "a peer without the extension does not");
    }

    #[test]
    fn refreshes_keep_a_session_and_their_absence_ends_it() {
        let (mut timer, _) = answer("600;refresher=uas", "timer");
        let start = timer.refreshed;
        assert_eq!(timer.deadline() - start, Duration::from_secs(300));
        assert_eq!(timer.on_timer(start + Duration::from_secs(299)), TimerAction::Nothing);
        assert_eq!(timer.on_timer(start + Duration::from_secs(300)), TimerAction::Refresh);
        timer.on_refreshed(start + Duration::from_secs(301));
        assert_eq!(timer.on_timer(start + Duration::from_secs(601)), TimerAction::Refresh);
        assert_eq!(timer.on_timer(start + Duration::from_secs(868)), TimerAction::Nothing);
        assert_eq!(timer.on_timer(start + Duration::from_secs(869)), TimerAction::End);
    }

    #[test]
    fn too_short_is_refused_and_nonsense_is_no_timer() {
        let refused = refuse(&invite("60", "timer")).unwrap();
        assert_eq!((refused.status.as_u16(), refused.headers.get("Min-SE")), (422, Some("90")));
        assert!(refuse(&invite("90", "timer")).is_none());
        assert_eq!(SessionExpires::of(&invite("soon", "timer")), None);
        let mut ours = Request::new(Method::Invite, Uri::parse("sip:h").unwrap());
        offer(&mut ours, SESSION_EXPIRES, Some(Refresher::Uac));
        let ok = Response::new(StatusCode::OK).with_header("Session-Expires", "4294967296;refresher=uas");
        let timer = SessionTimer::agreed(&ok, Instant::now()).unwrap().unwrap();
        assert!(!timer.we_refresh && timer.interval == Duration::from_secs(86_400));
        assert_eq!(ours.headers.tokens("Supported"), ["timer"]);
    }
}
