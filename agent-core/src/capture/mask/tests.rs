use super::*;
use crate::capture::windows::Identity;

fn rect(x: i32, y: i32, width: u32, height: u32) -> Rect {
    Rect { x, y, width, height }
}

fn window(title: &str, program: &str, area: Rect) -> Window {
    Window {
        identity: Identity { titles: vec![title.to_lowercase()], programs: vec![program.to_lowercase()] },
        owner: Owner::Itself,
        area: vec![area],
        opaque: vec![area],
    }
}

fn popup(area: Rect, owner: Owner) -> Window {
    Window { identity: Identity::default(), owner, area: vec![area], opaque: vec![area] }
}

fn desktop(windows: Vec<Window>) -> Desktop {
    Desktop { windows, traces: Vec::new(), front: None }
}

fn monitor() -> Monitor {
    Monitor { name: "left".to_owned(), area: rect(0, 0, 100, 100), primary: true }
}

fn titled(title: &str) -> WindowMatch {
    WindowMatch { title: Some(title.to_owned()), ..WindowMatch::default() }
}

fn rules(masks: &[WindowMatch], only: &[WindowMatch]) -> Rules {
    Rules { masks: masks.to_vec(), only: only.to_vec() }
}

fn pixels(region: &Region) -> u64 {
    region.rects().iter().map(Rect::area).sum()
}

#[test]
fn only_the_visible_part_of_a_masked_window_is_masked_unless_what_is_above_lets_it_through() {
    let bank = window("My Bank", "firefox", rect(10, 10, 50, 50));
    let notes = window("Notes", "gedit", rect(30, 30, 50, 50));
    let rules = rules(&[titled("bank")], &[]);
    let below = rules.masked(&desktop(vec![notes.clone(), bank.clone()]), &monitor());
    assert_eq!(pixels(&below), 50 * 50 - 30 * 30);
    assert!(!below.covers(&rect(30, 30, 1, 1)) && below.covers(&rect(10, 10, 20, 50)));
    let glass = Window { opaque: Vec::new(), ..notes };
    let through = rules.masked(&desktop(vec![glass, bank]), &monitor());
    assert_eq!(pixels(&through), 50 * 50);
}

#[test]
fn in_default_deny_mode_only_what_is_opaque_of_allowed_windows_shows() {
    let crm = window("CRM", "crm", rect(0, 0, 40, 40));
    let chat = window("Chat", "chat", rect(20, 20, 40, 40));
    let rules = rules(&[], &[titled("crm")]);
    let beside = rules.masked(&desktop(vec![chat.clone(), crm.clone()]), &monitor());
    assert_eq!(pixels(&beside), 100 * 100 - (40 * 40 - 20 * 20));
    let rim = Window { opaque: vec![rect(5, 5, 30, 30)], ..crm };
    let shadow = rules.masked(&desktop(vec![rim, chat]), &monitor());
    assert_eq!(pixels(&shadow), 100 * 100 - 30 * 30);
    assert_eq!(pixels(&rules.masked(&desktop(Vec::new()), &monitor())), 100 * 100);
}

#[test]
fn a_menu_follows_who_opened_it_and_one_of_nobody_is_masked_in_default_deny_mode() {
    let crm = window("CRM", "crm", rect(0, 0, 100, 100));
    let deny = rules(&[], &[titled("crm")]);
    let of = |identities: &[&Window]| {
        let owner = Owner::Among(identities.iter().map(|window| window.identity.clone()).collect());
        popup(rect(10, 10, 10, 10), owner)
    };
    let masked =
        |rules: &Rules, menu: Window| pixels(&rules.masked(&desktop(vec![menu, crm.clone()]), &monitor()));
    assert_eq!(masked(&deny, of(&[&crm])), 0);
    let bank = window("Bank", "crm", rect(0, 0, 1, 1));
    assert_eq!(masked(&deny, of(&[&crm, &bank])), 100, "it may belong to the other window");
    assert_eq!(masked(&deny, popup(rect(10, 10, 10, 10), Owner::Unknown)), 100);
    let mask = rules(&[titled("bank")], &[]);
    assert_eq!(masked(&mask, of(&[&crm, &bank])), 100);
    assert_eq!(masked(&mask, popup(rect(10, 10, 10, 10), Owner::Unknown)), 0);
}

#[test]
fn rules_hold_on_their_monitor() {
    let right = Monitor { name: "right".to_owned(), area: rect(100, 0, 100, 100), primary: false };
    let bank = desktop(vec![window("Bank", "firefox", rect(50, 0, 100, 100))]);
    let of = |monitor: &str, title: Option<&str>| WindowMatch {
        monitor: Some(monitor.to_owned()),
        title: title.map(str::to_owned),
        program: None,
    };
    let whole = rules(&[of("right", None)], &[]);
    assert_eq!((pixels(&whole.masked(&bank, &monitor())), pixels(&whole.masked(&bank, &right))), (0, 10_000));
    let part = rules(&[of("right", Some("bank"))], &[]);
    assert_eq!((pixels(&part.masked(&bank, &monitor())), pixels(&part.masked(&bank, &right))), (0, 5_000));
    let shown = rules(&[], &[of("left", None)]);
    assert_eq!((pixels(&shown.masked(&bank, &monitor())), pixels(&shown.masked(&bank, &right))), (0, 10_000));
    assert!(rules(&[WindowMatch::default()], &[]).masked(&bank, &right).is_empty());
    assert_eq!(pixels(&rules(&[], &[WindowMatch::default()]).masked(&bank, &right)), 10_000);
}

#[test]
fn without_a_list_of_windows_all_that_a_mask_could_be_about_is_masked() {
    let by_name = |monitor: &str| WindowMatch { monitor: Some(monitor.to_owned()), ..WindowMatch::default() };
    assert_eq!(pixels(&rules(&[titled("bank")], &[]).masked_blindly(&monitor())), 10_000);
    assert_eq!(pixels(&rules(&[], &[titled("crm")]).masked_blindly(&monitor())), 10_000);
    assert!(rules(&[by_name("right")], &[]).masked_blindly(&monitor()).is_empty());
    assert!(rules(&[], &[by_name("left")]).masked_blindly(&monitor()).is_empty());
}

#[test]
fn every_place_at_which_a_masked_window_was_is_masked_and_a_window_nobody_knows_counts_as_one() {
    let mut seen = desktop(vec![
        window("Bank", "firefox", rect(0, 0, 10, 10)),
        window("CRM", "crm", rect(50, 0, 50, 50)),
    ]);
    seen.traces = vec![
        Trace { window: Some(0), area: rect(60, 10, 10, 10) },
        Trace { window: Some(1), area: rect(0, 50, 10, 10) },
        Trace { window: None, area: rect(80, 10, 10, 10) },
    ];
    let masked = rules(&[titled("bank")], &[]).masked(&seen, &monitor());
    assert_eq!(pixels(&masked), 300);
    assert!(masked.covers(&rect(60, 10, 10, 10)) && masked.covers(&rect(80, 10, 10, 10)));
    let denied = rules(&[], &[titled("crm")]).masked(&seen, &monitor());
    assert_eq!(pixels(&denied), 10_000 - (2_500 - 200));
}

#[test]
fn what_a_window_left_stays_masked_for_half_a_second() {
    let mut view = View::default();
    let at = |x| [rect(x, 0, 10, 10)].into_iter().collect::<Region>();
    view.see(0, &monitor(), at(0));
    view.see(200_000, &monitor(), at(0));
    view.see(400_000, &monitor(), at(50));
    assert_eq!(pixels(&view.masked), 200);
    view.see(700_000, &monitor(), at(50));
    assert_eq!(pixels(&view.masked), 200, "seen at the first place half a second ago");
    view.see(700_001, &monitor(), at(50));
    assert_eq!(view.masked, at(50));
}
