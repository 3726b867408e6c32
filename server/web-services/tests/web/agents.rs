//! Agents at their desktops: their stream of events, their state, what they ask for; and desktops of version 1.

use crate::{
    links::{Link, ended, established, event, offered},
    site::{PASSWORD, Site, answer},
};
use hindsight_link::Identity;
use hindsight_model::event::{CallParty, What};
use hindsight_store::{agent_states, desktops};
use hindsight_wire::{
    CaptureId, InteractionId, PersonId, RecordingId, Timestamp,
    agent::{
        AgentAction, AgentEvent, CallAction, InteractionView, Problem, ProblemKind, Progress, RecordingState,
        Resume,
    },
    component::RecordingAction,
    enrolment::DeviceKind,
    link::{Down, PROTOCOL_VERSION, Up},
    manifest::Party,
};
use serde_json::json;

async fn token(site: &Site, device: &Identity) -> (String, PersonId) {
    let body = json!({ "login": "ann", "password": PASSWORD });
    let client = device.http_client().unwrap();
    let (_, signed_in) = answer(client.post(site.url("/api/v2/desktop/sign-in")).json(&body)).await;
    let person = signed_in["person"].as_str().unwrap().parse().unwrap();
    (signed_in["token"].as_str().unwrap().to_owned(), person)
}

async fn linked(site: &Site, device: &Identity, token: &str, resume: Option<Resume>) -> Link {
    let mut link = Link::open(site, device).await;
    let token = Some(token.to_owned());
    let (protocol, version) = (PROTOCOL_VERSION, "2.0".to_owned());
    link.send(&Up::Hello { protocol, version, token, resume }).await;
    let Down::Welcome { policy: Some(_), .. } = link.first().await else { panic!("no welcome") };
    link
}

/// The next step of the agent's stream; what else comes is passed over.
async fn step(link: &mut Link) -> (Resume, AgentEvent) {
    loop {
        if let Down::Agent { at, event } = link.first().await {
            return (at, event);
        }
    }
}

async fn interaction(link: &mut Link, wanted: impl Fn(&InteractionView) -> bool) -> InteractionView {
    loop {
        if let (_, AgentEvent::Interaction { interaction }) = step(link).await
            && wanted(&interaction)
        {
            return interaction;
        }
    }
}

async fn ask(link: &mut Link, request: u64, action: AgentAction) -> Option<String> {
    link.send(&Up::Request { request, action }).await;
    loop {
        if let Down::Answer { request: answered, error } = link.first().await {
            assert_eq!(answered, request);
            return error;
        }
    }
}

#[tokio::test]
async fn a_reconnect_goes_on_where_the_stream_was_left() {
    let site = Site::start().await;
    let (sip, desktop) = (site.device(DeviceKind::SipServer).await, site.device(DeviceKind::Desktop).await);
    let mut sip = Link::component(&site, &sip).await;
    let (token, _) = token(&site, &desktop).await;
    let mut link = linked(&site, &desktop, &token, None).await;
    let (first, AgentEvent::Snapshot { interactions, .. }) = step(&mut link).await else {
        panic!("no snapshot")
    };
    assert!(interactions.is_empty());
    let call = InteractionId::new();
    sip.events(1, &[offered(call)]).await;
    let (seen, AgentEvent::Interaction { interaction: ringing }) = step(&mut link).await else { panic!() };
    assert_eq!((seen.stream, seen.sequence), (first.stream, first.sequence + 1));
    assert_eq!((ringing.progress, ringing.from.as_str()), (Progress::Ringing, "0701234567"));
    // Its network is gone; the server does not know it yet.
    drop(link);
    sip.events(2, &[established(call)]).await;
    sip.events(
        3,
        &[event(call, What::RecordingStarted { capture: CaptureId::new(), by: "full-time".into() })],
    )
    .await;
    let mut link = linked(&site, &desktop, &token, Some(seen)).await;
    let mut sequence = seen.sequence;
    let view = loop {
        let (at, event) = step(&mut link).await;
        sequence += 1;
        assert_eq!((at.stream, at.sequence), (seen.stream, sequence), "none missed, none twice");
        match event {
            AgentEvent::Interaction { interaction } if interaction.voice == RecordingState::Recording => {
                break interaction;
            }
            AgentEvent::Interaction { .. } => {}
            _ => panic!("the stream goes on"),
        }
    };
    assert_eq!(view.calls, [CallAction::Hold, CallAction::HangUp]);
    assert_eq!(view.recording, [RecordingAction::Pause], "policy records it: an agent may not stop it");
    // Of a stream that the server has no more: everything anew.
    let unknown = Resume { stream: CaptureId::new().0, sequence: 3 };
    let mut link = linked(&site, &desktop, &token, Some(unknown)).await;
    let (_, AgentEvent::Snapshot { interactions, .. }) = step(&mut link).await else { panic!("no snapshot") };
    assert_eq!(interactions, [view]);
    sip.events(4, &[ended(call)]).await;
    interaction(&mut link, |view| view.progress == Progress::Ended).await;
    site.stop().await;
}

#[tokio::test]
async fn a_state_is_one_of_the_sites_kept_and_told() {
    let site = Site::start().await;
    let file = "[agent]\nreasons = [\"Lunch\", \"Training\"]\n";
    let plan =
        hindsight_management::plan_file(&site.database, hindsight_management::SiteFile::parse(file).unwrap());
    let plan = plan.await.unwrap();
    hindsight_management::apply(&site.database, &plan, "test", "", Timestamp::now()).await.unwrap();
    let desktop = site.device(DeviceKind::Desktop).await;
    let (token, person) = token(&site, &desktop).await;
    let mut link = linked(&site, &desktop, &token, None).await;
    let offered = loop {
        // The reasons may come with the first snapshot or after it.
        if let (_, AgentEvent::Snapshot { reasons, state, name, .. }) = step(&mut link).await {
            assert_eq!((state.ready, name.as_str()), (false, "ann by name"));
            if !reasons.is_empty() {
                break reasons;
            }
        }
    };
    assert_eq!(offered, ["Lunch", "Training"]);
    let not_ready = |reason: &str| AgentAction::State { ready: false, reason: Some(reason.into()) };
    let refused = ask(&mut link, 1, not_ready("Bored")).await;
    assert_eq!(refused.as_deref(), Some("this is not one of the site's reasons"));
    link.send(&Up::Request { request: 2, action: not_ready("Lunch") }).await;
    let (_, AgentEvent::State { state }) = step(&mut link).await else { panic!("no state") };
    assert_eq!((state.ready, state.reason.as_deref()), (false, Some("Lunch")));
    assert_eq!(ask(&mut link, 3, AgentAction::State { ready: true, reason: None }).await, None);
    let mut db = site.database.read().await.unwrap();
    assert!(agent_states::of(&mut db, person).await.unwrap().ready);
    let changes = agent_states::changes(&mut db, person, 10).await.unwrap();
    let changes: Vec<_> = changes.iter().map(|state| (state.ready, state.reason.as_deref())).collect();
    assert_eq!(changes, [(true, None), (false, Some("Lunch")), (false, None)]);
    drop(db);
    // A supervisor sees it, with the seat.
    let supervisor = site.signed_in("sue").await;
    let (status, list) = supervisor.get("/api/v2/desktops").await;
    assert_eq!(status, 200);
    let one = &list["items"][0];
    assert_eq!(
        (&one["state"], &one["dn"], &one["person"]["ready"]),
        (&json!("linked"), &json!("1001"), &json!(true))
    );
    assert!(one["linkedSince"].is_string() && one["version"] == "2.0");
    // Signed out: the session is over and the link with it.
    link.send(&Up::SignOut).await;
    loop {
        if let Down::Refused { retry: false, .. } = link.first().await {
            break;
        }
    }
    let mut link = Link::open(&site, &desktop).await;
    let (protocol, version) = (PROTOCOL_VERSION, "2.0".to_owned());
    link.send(&Up::Hello { protocol, version, token: Some(token), resume: None }).await;
    let Down::Refused { .. } = link.first().await else { panic!("the session is over") };
    let mut db = site.database.read().await.unwrap();
    assert!(!agent_states::of(&mut db, person).await.unwrap().ready);
    drop(db);
    site.stop().await;
}

#[tokio::test]
async fn call_control_goes_to_the_sip_server_for_own_calls_only_and_is_answered_when_confirmed() {
    let site = Site::start().await;
    let (sip, desktop) = (site.device(DeviceKind::SipServer).await, site.device(DeviceKind::Desktop).await);
    let mut sip = Link::component(&site, &sip).await;
    let (token, _) = token(&site, &desktop).await;
    let mut link = linked(&site, &desktop, &token, None).await;
    step(&mut link).await;
    let call = InteractionId::new();
    sip.events(1, &[offered(call), established(call)]).await;
    interaction(&mut link, |view| view.progress == Progress::Established).await;
    let hold = |interaction| AgentAction::Call { interaction, action: CallAction::Hold };
    let strange = ask(&mut link, 1, hold(InteractionId::new())).await;
    assert_eq!(strange.as_deref(), Some("this is not one of your interactions"));
    let retrieve = AgentAction::Call { interaction: call, action: CallAction::Retrieve };
    assert_eq!(ask(&mut link, 2, retrieve).await.as_deref(), Some("this is not possible now"));
    for (request, outcome) in [(3, None), (4, Some("the other phone refused: 488".to_owned()))] {
        link.send(&Up::Request { request, action: hold(call) }).await;
        let Down::CallControl { request: asked, control } = sip.next().await else { panic!("not asked") };
        assert_eq!((control.interaction, control.dn.as_str(), control.by.as_str()), (call, "1001", "ann"));
        assert_eq!(control.action, CallAction::Hold);
        sip.send(&Up::ControlResult { request: asked, error: outcome.clone() }).await;
        let answered = loop {
            if let Down::Answer { request: answered, error } = link.first().await {
                assert_eq!(answered, request);
                break error;
            }
        };
        assert_eq!(answered, outcome);
    }
    // Nobody answers: the agent is told so, in time.
    assert_eq!(ask(&mut link, 5, hold(call)).await.as_deref(), Some("no answer in time"));
    site.stop().await;
}

#[tokio::test]
async fn a_transfer_goes_to_the_sip_server_with_its_number_and_ends_the_call_at_the_desktop() {
    let site = Site::start().await;
    let (sip, desktop) = (site.device(DeviceKind::SipServer).await, site.device(DeviceKind::Desktop).await);
    let mut sip = Link::component(&site, &sip).await;
    let (token, _) = token(&site, &desktop).await;
    let mut link = linked(&site, &desktop, &token, None).await;
    step(&mut link).await;
    let call = InteractionId::new();
    let transfer = |to: &str| AgentAction::Transfer { interaction: call, to: to.into() };
    let strange = ask(&mut link, 1, transfer("1002")).await;
    assert_eq!(strange.as_deref(), Some("this is not one of your interactions"));
    sip.events(1, &[offered(call)]).await;
    interaction(&mut link, |view| view.progress == Progress::Ringing).await;
    let early = ask(&mut link, 2, transfer("1002")).await;
    assert_eq!(early.as_deref(), Some("only a call that was answered can be transferred"));
    sip.events(2, &[established(call)]).await;
    interaction(&mut link, |view| view.progress == Progress::Established).await;
    for number in ["", &"1".repeat(65)] {
        assert_eq!(ask(&mut link, 3, transfer(number)).await.as_deref(), Some("this is no number"));
    }
    link.send(&Up::Request { request: 4, action: transfer("1002") }).await;
    let Down::CallControl { request: asked, control } = sip.next().await else { panic!("not asked") };
    assert_eq!((control.interaction, control.dn.as_str(), control.by.as_str()), (call, "1001", "ann"));
    assert_eq!((control.action, control.to.as_deref()), (CallAction::Transfer, Some("1002")));
    let transferred = What::CallTransferred {
        by: "1001".into(),
        to: "1002".into(),
        attended: false,
        record_voice: vec![],
        record_screen: vec![],
        consultation: None,
    };
    let parties = vec![CallParty { number: "1002".into(), role: Party::Agent, is_dn: true }];
    let joined = event(call, What::CallEstablished { parties });
    sip.events(3, &[event(call, transferred), joined]).await;
    sip.send(&Up::ControlResult { request: asked, error: None }).await;
    interaction(&mut link, |view| view.progress == Progress::Ended).await;
    loop {
        if let Down::Answer { request: 4, error } = link.first().await {
            break assert_eq!(error, None);
        }
    }
    let after = ask(&mut link, 5, transfer("1003")).await;
    assert_eq!(after.as_deref(), Some("this is not one of your interactions"));
    site.stop().await;
}

#[tokio::test]
async fn what_a_desktop_says_of_itself_is_kept_for_the_list() {
    let site = Site::start().await;
    let desktop = site.device(DeviceKind::Desktop).await;
    let (token, _) = token(&site, &desktop).await;
    let mut link = linked(&site, &desktop, &token, None).await;
    let now = Timestamp::now();
    let problem = Problem { kind: ProblemKind::DiskLow, detail: "2 GB left".into(), since: now };
    link.send(&Up::Spool { waiting: 2, waiting_bytes: 4096, refused: 1, free_bytes: 1 << 30 }).await;
    link.send(&Up::Problems { problems: vec![problem] }).await;
    link.send(&Up::WasOffline { from: now.plus_ms(-5000), to: now, captures: vec![CaptureId::new()] }).await;
    let (interactions, error) = (vec![], Some("no display".to_owned()));
    link.send(&Up::CaptureEnded { interactions, capture: None, error, at: now }).await;
    // Answered after what came before it.
    ask(&mut link, 1, AgentAction::State { ready: true, reason: None }).await;
    let supervisor = site.signed_in("sue").await;
    let (_, list) = supervisor.get("/api/v2/desktops").await;
    let one = &list["items"][0];
    assert_eq!((&one["spool"]["waiting"], &one["spool"]["refused"]), (&json!(2), &json!(1)));
    assert_eq!(one["problems"][0]["kind"], "disk-low");
    assert_eq!(one["lastFailure"]["reason"], "no display");
    assert_eq!(one["lastOffline"]["captures"], 1);
    drop(link);
    // What it said outlives its link.
    let mut db = site.database.read().await.unwrap();
    assert_eq!(desktops::all(&mut db).await.unwrap()[0].problems.len(), 1);
    drop(db);
    let agent = site.signed_in("ann").await;
    assert_eq!(agent.get("/api/v2/desktops").await.0, 403);
    site.stop().await;
}

/// Messages as a desktop of version 1 sent them: recorded, not made by today's types.
#[tokio::test]
async fn a_desktop_of_version_1_works_as_before_and_is_sent_nothing_it_does_not_know() {
    let site = Site::start().await;
    let (sip, desktop) = (site.device(DeviceKind::SipServer).await, site.device(DeviceKind::Desktop).await);
    let mut sip = Link::component(&site, &sip).await;
    let (token, _) = token(&site, &desktop).await;
    let mut link = Link::open(&site, &desktop).await;
    link.send_text(&format!(r#"{{"type":"hello","protocol":1,"version":"0.1.0","token":"{token}"}}"#)).await;
    let known = |text: &str| {
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        let kinds = ["welcome", "clock", "start-capture", "stop-capture", "pause-capture", "resume-capture"];
        assert!(kinds.contains(&json["type"].as_str().unwrap()), "{text}");
        if let Some(policy) = json["policy"].as_object() {
            let names: Vec<&str> = policy.keys().map(String::as_str).collect();
            assert_eq!(names, ["frameRate", "maxMinutes", "offline", "quantiser"]);
        }
        json
    };
    assert_eq!(known(&link.text().await)["type"], "welcome");
    let call = InteractionId::new();
    sip.events(1, &[offered(call), established(call)]).await;
    let mut json = known(&link.text().await);
    while json["type"] == "welcome" {
        json = known(&link.text().await);
    }
    assert_eq!((&json["type"], &json["interaction"]), (&json!("start-capture"), &json!(call.to_string())));
    let (capture, recording) = (CaptureId::new(), CaptureId::new());
    link.send_text(&format!(
        r#"{{"type":"capture-started","interactions":["{call}"],"capture":"{capture}","recordings":["{recording}"],"at":"2026-11-18T11:06:40.000000Z"}}"#
    ))
    .await;
    link.send_text(r#"{"type":"spool","waiting":1,"waitingBytes":10,"refused":0,"freeBytes":100}"#).await;
    link.send_text(r#"{"type":"clock","sentUs":1795000000000000}"#).await;
    let clock = known(&link.text().await);
    assert_eq!((&clock["type"], &clock["sentUs"]), (&json!("clock"), &json!(1_795_000_000_000_000_i64)));
    sip.events(3, &[ended(call)]).await;
    assert_eq!(known(&link.text().await)["type"], "stop-capture");
    site.stop().await;
}

#[tokio::test]
async fn an_agent_lists_their_own_interactions_at_their_desktop_when_the_site_allows_it() {
    let mut site = Site::start().await;
    site.start_processor();
    let (sip, desktop) = (site.device(DeviceKind::SipServer).await, site.device(DeviceKind::Desktop).await);
    let mut sip = Link::component(&site, &sip).await;
    let (token, _) = token(&site, &desktop).await;
    let call = InteractionId::new();
    sip.events(1, &[offered(call), established(call)]).await;
    let browser = site.signed_in("sue").await;
    site.until(&browser, &call.to_string(), |body| body["state"] == "active").await;
    let path = "/api/v2/desktop/recordings";
    let client = desktop.http_client().unwrap();
    let own = || answer(client.get(site.url(path)).bearer_auth(&token));
    assert_eq!(own().await.0, 403, "not unless the site says so");
    let replay = format!("{path}/{call}");
    let media = format!("/api/v2/desktop/media/{}", RecordingId::new());
    for of in [&replay, &media] {
        let answer = answer(client.get(site.url(of)).bearer_auth(&token)).await;
        assert_eq!(answer.0, 403, "{of}: not unless the site says so");
    }
    let file = hindsight_management::SiteFile::parse("[agent]\nown_recordings = true\n").unwrap();
    let plan = hindsight_management::plan_file(&site.database, file).await.unwrap();
    hindsight_management::apply(&site.database, &plan, "test", "", Timestamp::now()).await.unwrap();
    let (status, page) = own().await;
    assert_eq!((status, &page["items"][0]["id"]), (200, &json!(call.to_string())));
    let (status, detail) = answer(client.get(site.url(&replay)).bearer_auth(&token)).await;
    assert_eq!((status, &detail["id"]), (200, &json!(call.to_string())));
    let nobodys = format!("{path}/{}", InteractionId::new());
    for of in [&nobodys, &media] {
        assert_eq!(answer(client.get(site.url(of)).bearer_auth(&token)).await.0, 404, "{of}: there is none");
    }
    for of in [path, &replay, &media] {
        assert_eq!(answer(client.get(site.url(of))).await.0, 401, "{of}: a certificate alone is nobody");
    }
    let other = site.device(DeviceKind::Desktop).await.http_client().unwrap();
    assert_eq!(
        answer(other.get(site.url(path)).bearer_auth(&token)).await.0,
        401,
        "a token of another desktop"
    );
    assert_eq!(answer(site.browser().client.get(site.url(path)).bearer_auth(&token)).await.0, 401);
    site.stop().await;
}
