//! The controller against a desktop that only notes what it is told.

use super::*;
use crate::fixtures::{call, idle, on_a_call, paused_by_rule, problem, signed_out};
use hindsight_wire::{
    agent::{ProblemKind, Progress, RecordingState},
    local::{Secret, TrayState},
};

#[derive(Default)]
struct Noted {
    trays: Vec<Tray>,
    views: Vec<View>,
    notices: Vec<Notice>,
    asks: Vec<Ask>,
    opened: u32,
    quit: u32,
}

impl Effects for Noted {
    fn tray(&mut self, tray: &Tray) {
        self.trays.push(tray.clone());
    }
    fn view(&mut self, view: &View) {
        self.views.push(view.clone());
    }
    fn open(&mut self) {
        self.opened += 1;
    }
    fn notify(&mut self, notice: &Notice) {
        self.notices.push(notice.clone());
    }
    fn ask(&mut self, ask: Ask) {
        self.asks.push(ask);
    }
    fn quit(&mut self) {
        self.quit += 1;
    }
}

struct Rig {
    controller: Controller,
    noted: Noted,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let mut noted = Noted::default();
        Self { controller: Controller::new(Language::En, &mut noted), noted, now: Instant::now() }
    }

    fn on(&mut self, event: Event) -> &mut Self {
        self.controller.handle(event, self.now, &mut self.noted);
        self
    }

    fn status(&mut self, status: DesktopStatus) -> &mut Self {
        self.on(Event::Status(Box::new(status)))
    }

    fn later(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    fn tray(&self) -> &Tray {
        self.noted.trays.last().unwrap()
    }

    /// Every item that can be chosen now, by its name.
    fn offered(&self) -> Vec<String> {
        fn of(entries: &[Entry], offered: &mut Vec<String>) {
            for entry in entries {
                match entry {
                    Entry::Item { item, enabled: true, .. } => offered.push(item.id()),
                    Entry::Submenu { enabled: true, entries, .. } => of(entries, offered),
                    Entry::Item { .. } | Entry::Submenu { .. } | Entry::Line(_) | Entry::Separator => {}
                }
            }
        }
        let mut offered = Vec::new();
        of(&self.tray().menu, &mut offered);
        offered
    }

    fn titles(&self) -> Vec<&str> {
        self.noted.notices.iter().map(|notice| notice.title.as_str()).collect()
    }
}

#[test]
fn the_menu_offers_what_can_be_done_now() {
    let mut rig = Rig::new();
    assert_eq!((rig.offered().join(" "), rig.tray().line.as_str()), ("open quit".into(), "Starting…"));
    rig.status(signed_out());
    assert_eq!(rig.offered(), ["sign-in", "open", "quit"]);
    rig.status(DesktopStatus { may_quit: false, reasons: vec!["Break".to_owned()], ..idle() });
    assert_eq!(rig.offered(), ["ready", "not-ready", "not-ready:Break", "sign-out", "open"]);
    rig.status(DesktopStatus { reasons: Vec::new(), ..on_a_call(RecordingState::Recording) });
    assert_eq!(rig.offered(), ["ready", "not-ready", "pause", "sign-out", "open", "quit"]);
    rig.status(DesktopStatus { link: hindsight_wire::local::LinkState::Down, ..idle() });
    assert_eq!(rig.offered(), ["sign-out", "open", "quit"], "only the server can make ready");
}

#[test]
fn every_item_has_a_name_of_its_own() {
    let reason = || Some("a:b".to_owned());
    let items = [
        Item::Open,
        Item::SignIn,
        Item::SignOut,
        Item::Ready,
        Item::NotReady(None),
        Item::NotReady(reason()),
        Item::Recording(RecordingAction::Start),
        Item::Recording(RecordingAction::Pause),
        Item::Recording(RecordingAction::Resume),
        Item::Recording(RecordingAction::Stop),
        Item::Quit,
    ];
    for item in items {
        assert_eq!(Item::named(&item.id()), Some(item));
    }
    assert_eq!(Item::named("something else"), None);
}

#[test]
fn the_icon_follows_the_recorder_and_is_a_problem_without_one() {
    let mut rig = Rig::new();
    for state in [TrayState::Idle, TrayState::Recording, TrayState::Paused, TrayState::Uploading] {
        rig.status(DesktopStatus { tray: state, ..idle() });
        assert_eq!(rig.tray().icon, state);
    }
    rig.on(Event::Gone);
    assert_eq!(rig.tray().icon, TrayState::Idle);
    rig.on(Event::Down { reason: "no such file".into() }).on(Event::Down { reason: "still".into() });
    assert_eq!(rig.tray().icon, TrayState::Problem);
    assert_eq!(rig.titles(), ["The recorder cannot be started"], "told once");
    assert_eq!(rig.noted.views.last().unwrap(), &View::Down { reason: "still".into() });
}

#[test]
fn what_does_not_change_the_tray_does_not_show_it_again() {
    let mut rig = Rig::new();
    rig.status(idle());
    let shown = rig.noted.trays.len();
    rig.status(DesktopStatus { clock_offset_ms: Some(1.0), ..idle() });
    assert_eq!((rig.noted.trays.len(), rig.noted.views.len()), (shown, 2));
    rig.on(Event::Chosen(Item::Ready));
    assert_eq!(rig.noted.trays.len(), shown + 1, "the toolkit took the tick away");
}

#[test]
fn a_choice_in_the_menu_is_one_request_for_each_interaction_that_offers_it() {
    let mut rig = Rig::new();
    let mut status = on_a_call(RecordingState::Recording);
    status.interactions.push(call(2, Progress::Held, RecordingState::Recording));
    status.interactions.push(call(3, Progress::Ringing, RecordingState::Off));
    rig.status(status).on(Event::Chosen(Item::Recording(RecordingAction::Pause)));
    let paused: Vec<_> = rig.noted.asks.iter().map(|ask| serde_json::to_value(ask).unwrap()).collect();
    assert_eq!(paused.len(), 2, "{paused:?}");
    assert_eq!(paused[0]["action"], "pause");
    rig.on(Event::Chosen(Item::NotReady(Some("Break".into()))));
    let expected = AgentAction::State { ready: false, reason: Some("Break".into()) };
    assert_eq!(rig.noted.asks.last(), Some(&Ask::Agent(expected)));
}

#[test]
fn a_pause_by_a_rule_is_told_of_and_one_of_their_own_is_not() {
    let mut rig = Rig::new();
    rig.status(on_a_call(RecordingState::Recording))
        .on(Event::Chosen(Item::Recording(RecordingAction::Pause)));
    rig.status(on_a_call(RecordingState::Paused));
    assert!(rig.titles().is_empty());
    rig.later(60).status(on_a_call(RecordingState::Recording)).status(on_a_call(RecordingState::Paused));
    assert_eq!(rig.titles(), ["Recording paused"]);
    let own = rig.noted.asks.last().unwrap().clone();
    rig.later(60).status(on_a_call(RecordingState::Recording)).on(Event::WindowAsked(own));
    rig.status(on_a_call(RecordingState::Paused));
    assert_eq!(rig.titles().len(), 1, "the window's own");
    rig.later(60).status(on_a_call(RecordingState::Recording)).status(paused_by_rule(None));
    assert!(rig.noted.notices[1].body.ends_with("(the window \u{201c}Payment\u{201d})"));
    rig.status(paused_by_rule(Some("no call"))).status(paused_by_rule(Some("no call")));
    assert_eq!(rig.titles()[2..], ["The voice is still being recorded"]);
}

#[test]
fn a_problem_is_told_of_when_it_begins_and_not_each_time_it_flickers() {
    let mut rig = Rig::new();
    let down = || problem(ProblemKind::Link, "refused");
    rig.status(idle()).status(down()).status(down());
    rig.later(10).status(idle()).later(10).status(down());
    assert_eq!(rig.titles(), ["No connection to the server"]);
    rig.status(idle()).later(3_600).status(down());
    assert_eq!(rig.titles().len(), 2);
    let mut nobody = Rig::new();
    nobody.status(DesktopStatus { person: None, ..down() });
    assert!(nobody.titles().is_empty());
}

#[test]
fn a_restart_is_told_to_the_person_and_the_server() {
    let mut rig = Rig::new();
    let cause = "signal 9 ended it".to_owned();
    rig.status(idle()).on(Event::Gone).status(problem(ProblemKind::Restarted, &cause));
    rig.on(Event::Restarted { cause: cause.clone() });
    assert_eq!(rig.titles(), ["The recorder was restarted"]);
    assert_eq!(rig.noted.asks, [Ask::Restarted { cause: cause.clone() }]);
    rig.on(Event::Answered { ask: Ask::Restarted { cause }, result: Err("no link".into()) });
    assert_eq!(rig.titles().len(), 1);
}

#[test]
fn what_fails_is_told_of() {
    let mut rig = Rig::new();
    rig.status(idle()).on(Event::Answered { ask: Ask::SignOut, result: Err("no link".into()) });
    let notice = rig.noted.notices.last().unwrap();
    assert_eq!((notice.title.as_str(), notice.body.as_str()), ("That did not work", "no link"));
}

#[test]
fn the_browser_coming_back_ends_the_sign_in_and_other_links_do_not() {
    let mut rig = Rig::new();
    rig.status(signed_out()).on(Event::Link("hindsight://signed-in?code=abc".into()));
    assert_eq!(rig.noted.asks, [Ask::EndSso { code: Secret("abc".into()) }]);
    rig.on(Event::Link("hindsight://elsewhere?code=abc".into()));
    assert_eq!((rig.noted.asks.len(), rig.noted.opened), (1, 2));
}

#[test]
fn a_link_that_starts_the_program_waits_for_the_recorder_and_is_told_once() {
    let mut rig = Rig::new();
    rig.on(Event::Link("hindsight://signed-in?code=abc".into()));
    assert_eq!((rig.noted.asks.len(), rig.noted.opened), (0, 1), "nobody to tell yet");
    rig.status(signed_out()).status(idle());
    assert_eq!(rig.noted.asks, [Ask::EndSso { code: Secret("abc".into()) }]);
}

#[test]
fn the_program_ends_only_where_policy_lets_it_and_after_the_recorder_agreed() {
    let mut rig = Rig::new();
    rig.status(DesktopStatus { may_quit: false, ..idle() }).on(Event::Chosen(Item::Quit));
    assert_eq!((rig.noted.asks.len(), rig.noted.quit), (0, 0));
    rig.status(idle()).on(Event::Chosen(Item::Quit)).on(Event::Chosen(Item::Quit));
    let ask = Ask::Quit { now: false };
    assert_eq!((rig.noted.asks.as_slice(), rig.noted.quit), (&[ask.clone()][..], 0));
    rig.on(Event::Answered { ask: ask.clone(), result: Err("a recording is under way".into()) });
    assert_eq!(rig.noted.quit, 0);
    rig.on(Event::Chosen(Item::Quit)).on(Event::Answered { ask, result: Ok(()) });
    assert_eq!(rig.noted.quit, 1);
    let mut alone = Rig::new();
    alone.on(Event::Chosen(Item::Quit));
    assert_eq!(alone.noted.quit, 1, "without a recorder there is nothing to wait for");
}

#[test]
fn another_language_is_another_menu() {
    let mut rig = Rig::new();
    rig.status(idle()).on(Event::Language(Language::De));
    assert_eq!(rig.tray().line, "Bereit");
    let session = |set: &'static [(&str, &str)]| {
        Language::of_session(|name| {
            set.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        })
    };
    assert_eq!(session(&[("LANG", "de_AT.UTF-8")]), Language::De);
    assert_eq!(session(&[("LC_ALL", "en_US.UTF-8"), ("LANG", "de_DE.UTF-8")]), Language::En);
    assert_eq!(session(&[("LC_ALL", ""), ("LANG", "de_DE.UTF-8")]), Language::De);
    assert_eq!(session(&[]), Language::En);
}
