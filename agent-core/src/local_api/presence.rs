//! Who may use the API, and whether whoever signed in by it is still there. Pure.

use std::time::Duration;

/// Signed in by this API and silent for so long: signed out.
pub const SILENCE: Duration = Duration::from_secs(60);

/// The tokens and the last sign of life.
pub struct Presence {
    /// In the file of the data directory.
    file_token: String,
    by_api: Option<ByApi>,
}

struct ByApi {
    token: String,
    heard: Duration,
}

impl Presence {
    /// Nobody has signed in by the API.
    pub fn new(file_token: String) -> Self {
        Self { file_token, by_api: None }
    }

    /// Somebody signed in by the API and was given this token.
    pub fn signed_in(&mut self, token: String, now: Duration) {
        self.by_api = Some(ByApi { token, heard: now });
    }

    /// Whoever signed in by the API signed out.
    pub fn signed_out(&mut self) {
        self.by_api = None;
    }

    /// Whether this token is good.
    pub fn knows(&self, token: &str) -> bool {
        let by_api = self.by_api.as_ref().is_some_and(|by_api| same(&by_api.token, token));
        same(&self.file_token, token) || by_api
    }

    /// A sign of life, with a token that is good.
    pub fn ping(&mut self, now: Duration) {
        if let Some(by_api) = &mut self.by_api {
            by_api.heard = now;
        }
    }

    /// Time has passed; true: sign out whoever signed in by the API. `signed_in`: somebody is, by whatever way.
    pub fn poll(&mut self, now: Duration, signed_in: bool) -> bool {
        if !signed_in {
            // Signed out elsewhere.
            self.by_api = None;
        }
        let silent = self.by_api.as_ref().is_some_and(|by_api| now.saturating_sub(by_api.heard) >= SILENCE);
        if silent {
            self.by_api = None;
        }
        silent
    }
}

/// Takes the same time wherever they differ.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn sixty_seconds_without_a_ping_sign_out_and_not_one_less() {
        let mut presence = Presence::new("file".to_owned());
        assert!(!presence.poll(seconds(1_000), true), "whoever signed in at the window need not ping");
        presence.signed_in("token".to_owned(), seconds(1_000));
        assert!(presence.knows("token") && presence.knows("file") && !presence.knows("other"));
        assert!(!presence.poll(seconds(1_059), true));
        presence.ping(seconds(1_059));
        for second in 1_060..1_119 {
            assert!(!presence.poll(seconds(second), true), "{second}");
        }
        assert!(presence.poll(seconds(1_119), true));
        assert!(!presence.poll(seconds(1_120), true), "once");
        assert!(!presence.knows("token"), "the token went with the sign-in");
    }

    #[test]
    fn who_signed_out_at_the_window_is_not_signed_out_again() {
        let mut presence = Presence::new("file".to_owned());
        presence.signed_in("token".to_owned(), seconds(0));
        assert!(!presence.poll(seconds(10), false));
        assert!(!presence.poll(seconds(100), true), "somebody else, at the window");
        assert!(!presence.knows("token"));
    }
}
