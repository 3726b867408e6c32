//! Why a screen that policy asked for is not there: told from who was where and when the web services ran. Pure.

use crate::spans::Span;
use hindsight_store::presence::{DesktopLink, Run};
use hindsight_wire::Timestamp;
use time::{OffsetDateTime, macros::format_description};

/// The web services note that they live every five seconds: an end this near is none.
const SEEN_SLACK_MS: i64 = 8_000;
/// A desktop that was linked so shortly before is one that was lost; earlier, its person had gone.
const GONE_AFTER_MS: i64 = 12 * 3600 * 1000;

/// Why nothing was captured at a DN from the start of `hole` on.
pub fn screen(hole: Span, links: &[DesktopLink], runs: &[Run]) -> String {
    if let Some(down) = down_at(hole.from, runs) {
        return match down.to {
            Some(to) => format!("web services were down from {} to {}", clock(down.from), clock(to)),
            None => format!("web services were down from {}", clock(down.from)),
        };
    }
    let linked = |link: &&DesktopLink| link.from <= hole.from && link.to.is_none_or(|to| hole.from < to);
    if links.iter().any(|link| linked(&link)) {
        return "the desktop was signed in and delivered nothing".to_owned();
    }
    let before = links.iter().filter_map(|link| link.to).filter(|to| *to <= hole.from).max();
    match before {
        Some(lost) if hole.from.ms_since(lost) < GONE_AFTER_MS => {
            let back = links.iter().map(|link| link.from).filter(|from| *from > hole.from).min();
            match back {
                Some(back) => format!("desktop was offline from {} to {}", clock(lost), clock(back)),
                None => format!("desktop was offline from {}", clock(lost)),
            }
        }
        _ => match links.iter().map(|link| link.from).filter(|from| hole.holds(*from)).min() {
            Some(from) => format!("no desktop signed in at this DN before {}", clock(from)),
            None => "no desktop signed in at this DN".to_owned(),
        },
    }
}

struct Down {
    from: Timestamp,
    to: Option<Timestamp>,
}

/// The span without web services that an instant lies in.
fn down_at(at: Timestamp, runs: &[Run]) -> Option<Down> {
    let up = runs.iter().any(|run| run.from <= at && at <= run.seen.plus_ms(SEEN_SLACK_MS));
    let before = runs.iter().filter(|run| run.from <= at).map(|run| run.seen).max();
    match (up, before) {
        (true, _) | (false, None) => None,
        (false, Some(from)) => {
            let to = runs.iter().map(|run| run.from).filter(|from| *from > at).min();
            Some(Down { from, to })
        }
    }
}

/// Time of day, UTC, as it stands in the reasons.
fn clock(at: Timestamp) -> String {
    let parts = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    let at = OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1_000_000)).ok();
    at.and_then(|at| at.format(parts).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::tests::{at, span};
    use hindsight_wire::{DeviceId, PersonId};

    fn link(from: i64, to: Option<i64>) -> DesktopLink {
        let (device, person) = (DeviceId::new(), PersonId::new());
        DesktopLink { device, person, dn: "1001".into(), from: at(from), to: to.map(at) }
    }

    fn up(from: i64, seen: i64) -> Run {
        Run { from: at(from), seen: at(seen) }
    }

    #[test]
    fn each_cause_has_its_words() {
        let always = [up(-9000, 9000)];
        let hole = span(100, 160);
        for (links, runs, expected) in [
            (vec![], &always[..], "no desktop signed in at this DN"),
            (vec![link(-50_000, Some(-49_000))], &always[..], "no desktop signed in at this DN"),
            (vec![link(0, Some(50))], &always[..], "desktop was offline from 2026-11-18 11:07:30 UTC"),
            (
                vec![link(0, Some(50)), link(130, None)],
                &always[..],
                "desktop was offline from 2026-11-18 11:07:30 UTC to 2026-11-18 11:08:50 UTC",
            ),
            (
                vec![link(120, None)],
                &always[..],
                "no desktop signed in at this DN before 2026-11-18 11:08:40 UTC",
            ),
            (vec![link(0, None)], &always[..], "the desktop was signed in and delivered nothing"),
            (
                vec![link(0, Some(50)), link(155, None)],
                &[up(-9000, 50), up(150, 300)][..],
                "web services were down from 2026-11-18 11:07:30 UTC to 2026-11-18 11:09:10 UTC",
            ),
            (vec![], &[up(-9000, 50)][..], "web services were down from 2026-11-18 11:07:30 UTC"),
        ] {
            assert_eq!(screen(hole, &links, runs), expected);
        }
    }

    #[test]
    fn a_sign_of_life_a_few_seconds_old_is_no_outage() {
        assert_eq!(screen(span(100, 160), &[], &[up(0, 95)]), "no desktop signed in at this DN");
        assert_eq!(screen(span(100, 160), &[], &[]), "no desktop signed in at this DN");
    }
}
