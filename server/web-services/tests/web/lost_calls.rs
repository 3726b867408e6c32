//! Calls that their SIP server has lost end; all others go on.

use crate::{
    links::{Link, ended, established, event, offered},
    site::Site,
};
use hindsight_model::event::{Event, What};
use hindsight_wire::{
    InteractionId,
    enrolment::DeviceKind,
    link::{Down, JournalEntry, Up},
};
use serde_json::{Value, json};

fn begun(call: InteractionId) -> [Event; 2] {
    [offered(call), established(call)]
}

fn ends(call: &Value) -> Vec<&Value> {
    let history = call["eventHistory"].as_array().unwrap();
    history.iter().filter(|event| event["type"] == "call-ended").collect()
}

#[tokio::test]
async fn a_call_that_its_sip_server_does_not_name_any_more_ends_and_no_other_does() {
    let mut site = Site::start().await;
    site.start_processor();
    let (device, other) =
        (site.device(DeviceKind::SipServer).await, site.device(DeviceKind::SipServer).await);
    let desktop = site.device(DeviceKind::Desktop).await;
    let mut sip = Link::component(&site, &device).await;
    let mut second = Link::component(&site, &other).await;
    let (mut screen, _) = Link::desktop(&site, &desktop).await;
    let (kept, lost, elsewhere) = (InteractionId::new(), InteractionId::new(), InteractionId::new());
    sip.events(1, &[begun(kept), begun(lost)].concat()).await;
    second.events(1, &begun(elsewhere)).await;
    for _ in 0..3 {
        assert!(matches!(screen.next().await, Down::StartCapture { .. }));
    }
    // The link drops and comes back: with all its calls nothing ends.
    drop(sip);
    let mut sip = Link::component(&site, &device).await;
    sip.send(&Up::Calls { as_of: 4, calls: vec![kept, lost] }).await;
    sip.send(&Up::Clock { sent_us: 1 }).await;
    assert!(matches!(sip.next().await, Down::Clock { .. }), "it has been judged");
    drop(sip);
    let mut sip = Link::component(&site, &device).await;
    sip.send(&Up::Calls { as_of: 4, calls: vec![kept] }).await;
    let Down::StopCapture { interaction } = screen.next().await else { panic!("no stop") };
    assert_eq!(interaction, lost);
    let sue = site.signed_in("sue").await;
    let over = site.until(&sue, &lost.to_string(), |call| call["state"] == "ended").await;
    assert_eq!(ends(&over).len(), 1);
    assert_eq!(ends(&over)[0]["text"], "the call ended: sip server lost");
    for call in [kept, elsewhere] {
        let call = site.until(&sue, &call.to_string(), |call| call["state"] == "active").await;
        assert!(ends(&call).is_empty(), "{call:#}");
    }
    // Said once more, nothing happens twice.
    sip.send(&Up::Calls { as_of: 4, calls: vec![kept] }).await;
    sip.events(5, &[ended(kept)]).await;
    let over = site.until(&sue, &kept.to_string(), |call| call["state"] == "ended").await;
    assert_eq!(ends(&over)[0]["text"], "1001 ended the call");
    assert_eq!(ends(&site.until(&sue, &lost.to_string(), |_| true).await).len(), 1);
    site.stop().await;
}

#[tokio::test]
async fn what_the_journal_still_has_to_say_goes_before_what_is_not_named() {
    let mut site = Site::start().await;
    site.start_processor();
    let device = site.device(DeviceKind::SipServer).await;
    let mut sip = Link::component(&site, &device).await;
    let (hung_up, lost, newer) = (InteractionId::new(), InteractionId::new(), InteractionId::new());
    sip.events(1, &[begun(hung_up), begun(lost)].concat()).await;
    // It names none of them: of the first the end is on its way, the last begins a moment later.
    sip.send(&Up::Calls { as_of: 5, calls: Vec::new() }).await;
    sip.events(5, &[ended(hung_up), offered(newer), established(newer)]).await;
    let sue = site.signed_in("sue").await;
    let text = |call: &Value| ends(call).first().map(|end| end["text"].clone());
    let over = site.until(&sue, &lost.to_string(), |call| call["state"] == "ended").await;
    assert_eq!(text(&over), Some(json!("the call ended: sip server lost")));
    let over = site.until(&sue, &hung_up.to_string(), |call| call["state"] == "ended").await;
    assert_eq!((ends(&over).len(), text(&over)), (1, Some(json!("1001 ended the call"))));
    let active = site.until(&sue, &newer.to_string(), |_| true).await;
    assert_eq!((&active["state"], text(&active)), (&json!("active"), None));
    site.stop().await;
}

#[tokio::test]
async fn a_component_learns_how_far_its_journal_has_come_and_only_sip_servers_speak_of_calls() {
    let site = Site::start().await;
    let (device, media) =
        (site.device(DeviceKind::SipServer).await, site.device(DeviceKind::MediaServer).await);
    for (known, events) in [(0, 2), (2, 3)] {
        let mut sip = Link::hello(&site, &device, None).await;
        let Down::Welcome { journalled, .. } = sip.first().await else { panic!("no welcome") };
        assert_eq!(journalled, Some(known));
        let call = InteractionId::new();
        let held = event(call, What::CallHeld { by: "1001".into(), at_phone: false });
        let entry = |sequence| JournalEntry { sequence, event: serde_json::to_value(&held).unwrap() };
        sip.send(&Up::Events { entries: (1..=events).map(entry).collect() }).await;
        let Down::Accepted { sequence } = sip.next().await else { panic!("not accepted") };
        assert_eq!(sequence, events);
    }
    let mut media = Link::component(&site, &media).await;
    media.send(&Up::Calls { as_of: 0, calls: Vec::new() }).await;
    assert!(matches!(media.next().await, Down::Refused { retry: false, .. }));
    site.stop().await;
}
