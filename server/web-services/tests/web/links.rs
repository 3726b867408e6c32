//! The link, with scripted devices.

use crate::{
    recorder,
    site::{LIMIT, PASSWORD, Site, answer},
};
use futures_util::{SinkExt, StreamExt};
use hindsight_link::Identity;
use hindsight_model::event::{CallParty, EndCause, Event, What};
use hindsight_wire::{
    CaptureId, InteractionId, PersonId, RecordingId, Timestamp,
    component::{NO_SUCH_CALL, RecordingAction},
    enrolment::DeviceKind,
    link::{Down, JournalEntry, LINK_PATH, PROTOCOL_VERSION, Up},
    manifest::Party,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config, tungstenite::Message,
};

/// One end of a link.
pub struct Link(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Link {
    pub async fn open(site: &Site, device: &Identity) -> Self {
        let stream = TcpStream::connect(site.address).await.unwrap();
        let url = site.url(LINK_PATH).replace("https", "wss");
        let connector = Connector::Rustls(device.tls());
        let (socket, _) = client_async_tls_with_config(url, stream, None, Some(connector)).await.unwrap();
        Self(socket)
    }

    pub async fn hello(site: &Site, device: &Identity, token: Option<String>) -> Self {
        let mut link = Self::open(site, device).await;
        link.send(&Up::Hello { protocol: PROTOCOL_VERSION, version: "test".into(), token, resume: None })
            .await;
        link
    }

    /// A voice component, with its configuration received.
    pub async fn component(site: &Site, device: &Identity) -> Self {
        let mut link = Self::hello(site, device, None).await;
        let Down::Welcome { policy: None, .. } = link.first().await else { panic!("no welcome") };
        let Down::Config(config) = link.first().await else { panic!("no configuration") };
        assert_eq!((config.dns[0].number.as_str(), config.recipients.len()), ("1001", 1));
        link
    }

    /// A desktop with Ann at DN 1001.
    pub async fn desktop(site: &Site, device: &Identity) -> (Self, PersonId) {
        let body = json!({ "login": "ann", "password": PASSWORD });
        let client = device.http_client().unwrap();
        let (_, signed_in) = answer(client.post(site.url("/api/v2/desktop/sign-in")).json(&body)).await;
        let token = signed_in["token"].as_str().map(str::to_owned);
        let mut link = Self::hello(site, device, token).await;
        let Down::Welcome { policy: Some(_), recipients, .. } = link.first().await else {
            panic!("no welcome")
        };
        assert_eq!(recipients.len(), 1);
        (link, signed_in["person"].as_str().unwrap().parse().unwrap())
    }

    pub async fn send(&mut self, up: &Up) {
        self.0.send(Message::text(serde_json::to_string(up).unwrap())).await.unwrap();
    }

    /// A message as it is on the wire.
    pub async fn send_text(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next one, as it is on the wire.
    pub async fn text(&mut self) -> String {
        let wait = async {
            loop {
                match self.0.next().await.unwrap().unwrap() {
                    Message::Text(text) => return text.to_string(),
                    Message::Close(_) => panic!("closed"),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(LIMIT, wait).await.expect("a message in time")
    }

    pub async fn first(&mut self) -> Down {
        self.maybe_next().await.expect("the link is open")
    }

    /// The next message that is neither the configuration once more nor of the agent's stream.
    pub async fn next(&mut self) -> Down {
        loop {
            match self.first().await {
                Down::Config(_) | Down::Welcome { .. } | Down::Agent { .. } => {}
                other => return other,
            }
        }
    }

    /// `None`: the server closed it.
    pub async fn maybe_next(&mut self) -> Option<Down> {
        let wait = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {}
                }
            }
        };
        tokio::time::timeout(LIMIT, wait).await.expect("a message in time")
    }

    /// Sends events and waits until they are durable.
    pub async fn events(&mut self, first: u64, events: &[Event]) {
        let entry = |(n, event): (usize, &Event)| JournalEntry {
            sequence: first + n as u64,
            event: serde_json::to_value(event).unwrap(),
        };
        self.send(&Up::Events { entries: events.iter().enumerate().map(entry).collect() }).await;
        let Down::Accepted { sequence } = self.next().await else { panic!("not accepted") };
        assert_eq!(sequence, first + events.len() as u64 - 1);
    }
}

pub fn event(interaction: InteractionId, what: What) -> Event {
    Event { interaction, at: Timestamp::now(), what }
}

pub fn offered(interaction: InteractionId) -> Event {
    let dn = || vec!["1001".to_owned()];
    let (caller, dialled) = ("0701234567".to_owned(), "1001".to_owned());
    event(interaction, What::CallOffered { caller, dialled, record_voice: dn(), record_screen: dn() })
}

pub fn established(interaction: InteractionId) -> Event {
    let party = |number: &str, role, is_dn| CallParty { number: number.to_owned(), role, is_dn };
    let parties = vec![party("0701234567", Party::Customer, false), party("1001", Party::Agent, true)];
    event(interaction, What::CallEstablished { parties })
}

pub fn ended(interaction: InteractionId) -> Event {
    event(interaction, What::CallEnded { cause: EndCause::HungUp, by: Some("1001".into()) })
}

#[tokio::test]
async fn a_call_starts_pauses_and_stops_the_capture_of_the_desktop_at_its_dn() {
    let mut site = Site::start().await;
    site.start_processor();
    let (sip, desktop) = (site.device(DeviceKind::SipServer).await, site.device(DeviceKind::Desktop).await);
    let mut sip = Link::component(&site, &sip).await;
    let (mut link, person) = Link::desktop(&site, &desktop).await;
    let call = InteractionId::new();
    sip.events(1, &[offered(call), established(call)]).await;
    let Down::StartCapture { interaction, recipients, .. } = link.next().await else { panic!("no start") };
    assert_eq!((interaction, recipients.len()), (call, 1));
    let (capture, recordings, at) = (CaptureId::new(), vec![RecordingId::new()], Timestamp::now());
    link.send(&Up::CaptureStarted { interactions: vec![call], capture, recordings, at }).await;
    // The console sees the call and its recording, and pauses it.
    let ann = site.signed_in("ann").await;
    let id = call.to_string();
    let active = |body: &Value| body["state"] == "active" && body["mediaFiles"][0]["state"] == "recording";
    let seen = site.until(&ann, &id, active).await;
    assert_eq!((&seen["voice"], &seen["screen"]), (&json!("pending"), &json!("pending")));
    assert_eq!(seen["agents"][0]["login"], "ann");
    let asked = tokio::spawn({
        let (path, body) =
            (format!("/api/v2/interactions/{id}/recording"), json!({ "action": "pause", "reason": "card" }));
        async move { (ann.post(&path, &body).await, ann) }
    });
    let Down::Control { request, control } = sip.next().await else { panic!("no control") };
    assert_eq!(
        (control.interaction, control.action, control.by.as_str()),
        (call, RecordingAction::Pause, "ann")
    );
    let paused = What::RecordingPaused { by: "ann".into(), reason: "card".into() };
    sip.events(3, &[event(call, paused)]).await;
    sip.send(&Up::ControlResult { request, error: None }).await;
    let ((status, body), ann) = asked.await.unwrap();
    assert_eq!((status, body), (200, json!({ "action": "pause" })));
    // Policy records this call: its agent may not stop it.
    let stop = json!({ "action": "stop", "reason": "" });
    let (status, body) = ann.post(&format!("/api/v2/interactions/{id}/recording"), &stop).await;
    assert_eq!((status, &body["error"]["code"]), (403, &json!("recorded_by_policy")));
    let Down::PauseCapture { reason, .. } = link.next().await else { panic!("no pause") };
    assert_eq!(reason, "card");
    sip.events(4, &[event(call, What::RecordingResumed { by: "ann".into() }), ended(call)]).await;
    let Down::StopCapture { interaction } = link.next().await else { panic!("no stop") };
    assert_eq!(interaction, call);
    let over = site.until(&ann, &id, |body| body["state"] == "ended").await;
    assert_eq!(over["paused"], true);
    let kinds: Vec<&str> =
        over["eventHistory"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"screen-started") && kinds.contains(&"recording-paused"), "{kinds:?}");
    assert_eq!(over["agents"][0]["login"], "ann");
    // Another agent sees nothing of it, a supervisor does; both searches are on record.
    let path = format!("/api/v2/interactions/{id}");
    let bob = site.signed_in("bob").await;
    assert_eq!(bob.get(&path).await.0, 404);
    assert_eq!(bob.get("/api/v2/interactions").await.1["items"], json!([]));
    let sue = site.signed_in("sue").await;
    for query in ["number=070-123%2045%2067", "agent=ANN", "agent=1001"] {
        let (_, found) = sue.get(&format!("/api/v2/interactions?{query}")).await;
        assert_eq!(found["items"][0]["id"], json!(id), "{query}");
    }
    assert_eq!(sue.get("/api/v2/interactions?agent=bob").await.1["items"], json!([]));
    let audit =
        hindsight_store::audit::before(&mut site.database.read().await.unwrap(), None, 100).await.unwrap();
    let actions: Vec<&str> = audit.iter().map(|entry| entry.action.as_str()).collect();
    for action in
        ["interaction.search", "interaction.view", "recording.control", "desktop.sign-in", "session.sign-in"]
    {
        assert!(actions.contains(&action), "{actions:?}");
    }
    let _ = person;
    site.stop().await;
}

#[tokio::test]
async fn a_desktop_that_comes_back_is_told_of_the_call_that_goes_on_and_of_the_one_that_ended() {
    let site = Site::start().await;
    let (sip, desktop) = (site.device(DeviceKind::SipServer).await, site.device(DeviceKind::Desktop).await);
    let mut sip = Link::component(&site, &sip).await;
    let (mut link, _) = Link::desktop(&site, &desktop).await;
    let (first, second) = (InteractionId::new(), InteractionId::new());
    sip.events(1, &[offered(first), established(first)]).await;
    assert!(matches!(link.next().await, Down::StartCapture { .. }));
    drop(link);
    sip.events(3, &[ended(first), offered(second), established(second)]).await;
    // Sent again after a lost answer: nothing happens twice.
    sip.events(3, &[ended(first), offered(second), established(second)]).await;
    let (mut link, _) = Link::desktop(&site, &desktop).await;
    let Down::StopCapture { interaction } = link.next().await else { panic!("no stop") };
    assert_eq!(interaction, first);
    let Down::StartCapture { interaction, .. } = link.next().await else { panic!("no start") };
    assert_eq!(interaction, second);
    // The clock is answered in between.
    link.send(&Up::Clock { sent_us: 42 }).await;
    let Down::Clock { sent_us: 42, server_received_us, server_sent_us } = link.next().await else {
        panic!("no clock")
    };
    assert!(server_received_us <= server_sent_us);
    site.stop().await;
}

#[tokio::test]
async fn a_link_without_a_seat_or_a_right_to_speak_is_refused() {
    let site = Site::start().await;
    let (desktop, other) = (site.device(DeviceKind::Desktop).await, site.device(DeviceKind::Desktop).await);
    let mut link = Link::hello(&site, &desktop, None).await;
    assert!(matches!(link.next().await, Down::Refused { retry: false, .. }));
    assert!(link.maybe_next().await.is_none());
    // A token is good with its own device's certificate only.
    let body = json!({ "login": "ann", "password": PASSWORD });
    let client = desktop.http_client().unwrap();
    let (_, signed_in) = answer(client.post(site.url("/api/v2/desktop/sign-in")).json(&body)).await;
    let mut link = Link::hello(&site, &other, signed_in["token"].as_str().map(str::to_owned)).await;
    assert!(matches!(link.next().await, Down::Refused { .. }));
    // Desktops have no events to tell, and no version but the known ones is spoken.
    let (mut link, _) = Link::desktop(&site, &desktop).await;
    link.send(&Up::Events { entries: Vec::new() }).await;
    assert!(matches!(link.next().await, Down::Refused { .. }));
    let mut link = Link::open(&site, &desktop).await;
    link.send(&Up::Hello { protocol: 99, version: String::new(), token: None, resume: None }).await;
    assert!(matches!(link.next().await, Down::Refused { .. }));
    let mut link = Link::open(&site, &desktop).await;
    link.0.send(Message::text("{}")).await.unwrap();
    assert!(link.maybe_next().await.is_none());
    site.stop().await;
}

#[tokio::test]
async fn a_control_request_says_no_when_the_sip_server_does_and_when_there_is_none() {
    let mut site = Site::start().await;
    site.start_processor();
    let device = site.device(DeviceKind::SipServer).await;
    let mut sip = Link::component(&site, &device).await;
    let call = InteractionId::new();
    sip.events(1, &[offered(call), established(call)]).await;
    let sue = site.signed_in("sue").await;
    site.until(&sue, &call.to_string(), |_| true).await;
    let path = format!("/api/v2/interactions/{call}/recording");
    let body = json!({ "action": "resume", "reason": "" });
    let asked = tokio::spawn({
        let (path, body) = (path.clone(), body.clone());
        async move { (sue.post(&path, &body).await, sue) }
    });
    let Down::Control { request, .. } = sip.next().await else { panic!("no control") };
    sip.send(&Up::ControlResult { request, error: Some("it is not paused".into()) }).await;
    let ((status, answered), sue) = asked.await.unwrap();
    assert_eq!((status, &answered["error"]["message"]), (409, &json!("it is not paused")));
    // It hears and does not answer.
    assert_eq!(sue.post(&path, &body).await.0, 504);
    drop(sip);
    assert_eq!(sue.post(&path, &body).await.0, 504);
    assert_eq!(
        sue.post(&format!("/api/v2/interactions/{}/recording", InteractionId::new()), &body).await.0,
        404
    );
    site.stop().await;
}

#[tokio::test]
async fn a_call_that_its_sip_server_knows_no_more_is_closed_and_its_screen_with_it() {
    let mut site = Site::start().await;
    site.start_processor();
    let (device, desktop) =
        (site.device(DeviceKind::SipServer).await, site.device(DeviceKind::Desktop).await);
    let mut sip = Link::component(&site, &device).await;
    let (mut link, _) = Link::desktop(&site, &desktop).await;
    let mut sue = site.signed_in("sue").await;
    for (round, action) in [(0, "stop"), (1, "pause")] {
        let call = InteractionId::new();
        let begun = [offered(call), established(call)];
        sip.events(1 + round * 2, &begun).await;
        assert!(matches!(link.next().await, Down::StartCapture { .. }));
        site.until(&sue, &call.to_string(), |call| call["state"] == "active").await;
        let path = format!("/api/v2/interactions/{call}/recording");
        let body = json!({ "action": action, "reason": "" });
        let asked = tokio::spawn({
            let (path, body) = (path.clone(), body.clone());
            async move { (sue.post(&path, &body).await, sue) }
        });
        let Down::Control { request, .. } = sip.next().await else { panic!("no control") };
        sip.send(&Up::ControlResult { request, error: Some(NO_SUCH_CALL.into()) }).await;
        let Down::StopCapture { interaction } = link.next().await else { panic!("no stop") };
        assert_eq!(interaction, call);
        let ((status, answered), back) = asked.await.unwrap();
        sue = back;
        if action == "stop" {
            assert_eq!((status, answered), (200, json!({ "action": "stop" })));
        } else {
            assert_eq!(status, 409);
            assert!(answered["error"]["message"].as_str().unwrap().contains("lost with its SIP server"));
        }
        let over = site.until(&sue, &call.to_string(), |call| call["state"] == "ended").await;
        let history = over["eventHistory"].as_array().unwrap();
        let end = history.iter().find(|event| event["type"] == "call-ended").unwrap();
        assert_eq!(end["text"], "the call ended: sip server lost");
        assert_eq!(end["at"], json!(begun[1].at.to_string()), "not later than what is known");
        // From here on it has ended for everybody; the SIP server is not asked again.
        let (status, answered) = sue.post(&path, &body).await;
        assert_eq!((status, &answered["error"]["message"]), (409, &json!("the call has ended")));
    }
    site.stop().await;
}

#[tokio::test]
async fn the_end_that_is_on_its_way_is_waited_for_and_nobody_elses_word_closes_a_call() {
    let mut site = Site::start().await;
    site.start_processor();
    let (device, other) =
        (site.device(DeviceKind::SipServer).await, site.device(DeviceKind::SipServer).await);
    let mut sip = Link::component(&site, &device).await;
    let (call, open) = (InteractionId::new(), InteractionId::new());
    sip.events(1, &[offered(call), established(call), offered(open), established(open)]).await;
    let mut sue = site.signed_in("sue").await;
    let ask = |sue: crate::site::Browser, call: InteractionId| {
        let path = format!("/api/v2/interactions/{call}/recording");
        tokio::spawn(async move { (sue.post(&path, &json!({ "action": "stop", "reason": "" })).await, sue) })
    };
    site.until(&sue, &call.to_string(), |_| true).await;
    let asked = ask(sue, call);
    let Down::Control { request, .. } = sip.next().await else { panic!("no control") };
    sip.send(&Up::ControlResult { request, error: Some(NO_SUCH_CALL.into()) }).await;
    sip.events(5, &[ended(call)]).await;
    let ((status, answered), back) = asked.await.unwrap();
    sue = back;
    assert_eq!((status, &answered["error"]["message"]), (409, &json!("the call has ended")));
    let ends = |body: &Value| {
        let history = body["eventHistory"].as_array().unwrap();
        history.iter().filter(|event| event["type"] == "call-ended").count()
    };
    let over = site.until(&sue, &call.to_string(), |call| call["state"] == "ended").await;
    assert_eq!(ends(&over), 1);
    // Its own SIP server is away; another one does not know it.
    drop(sip);
    let mut sip = Link::component(&site, &other).await;
    let asked = ask(sue, open);
    let Down::Control { request, .. } = sip.next().await else { panic!("no control") };
    sip.send(&Up::ControlResult { request, error: Some(NO_SUCH_CALL.into()) }).await;
    let ((status, answered), sue) = asked.await.unwrap();
    assert_eq!((status, &answered["error"]["message"]), (409, &json!(NO_SUCH_CALL)));
    assert_eq!(ends(&site.until(&sue, &open.to_string(), |_| true).await), 0);
    site.stop().await;
}

#[tokio::test]
async fn a_capture_without_a_command_is_joined_by_place_and_time_whichever_comes_first() {
    let mut site = Site::start().await;
    site.start_processor();
    let (sip, desktop) = (site.device(DeviceKind::SipServer).await, site.device(DeviceKind::Desktop).await);
    let media = site.device(DeviceKind::MediaServer).await;
    let (_link, person) = Link::desktop(&site, &desktop).await;
    let sue = site.signed_in("sue").await;
    let mut sip = Link::component(&site, &sip).await;
    let mut sequence = 1;
    for screen_first in [true, false] {
        // The two calls are an hour apart.
        let begun = Timestamp::now().plus_ms(if screen_first { -3_600_000 } else { 0 });
        let call = InteractionId::new();
        let at = |ms: i64, mut event: Event| {
            event.at = begun.plus_ms(ms);
            event
        };
        // The desktop's clock is three seconds slow, and it knows.
        let mut screen = recorder::screen(&site, &desktop, person, &[], begun.plus_ms(-8000), 60);
        screen.manifest.clock.offset_us = 3_000_000;
        let voice = recorder::voice(&site, &media, call, begun.plus_ms(1000), 20);
        let story = [at(0, offered(call)), at(1000, established(call)), at(21_000, ended(call))];
        if screen_first {
            screen.deliver(&site, &desktop).await;
            voice.deliver(&site, &media).await;
        }
        sip.events(sequence, &story).await;
        sequence += 3;
        if !screen_first {
            site.until(&sue, &call.to_string(), |body| body["state"] == "ended").await;
            screen.deliver(&site, &desktop).await;
            voice.deliver(&site, &media).await;
        }
        let whole = |body: &Value| body["voice"] == "complete" && body["screen"] == "complete";
        let seen = site.until(&sue, &call.to_string(), whole).await;
        let file = |kind: &str| {
            let files = seen["mediaFiles"].as_array().unwrap();
            files.iter().find(|file| file["kind"] == kind).cloned().unwrap()
        };
        assert_eq!(file("voice")["offsetMs"], 1000);
        let screen_file = file("screen");
        assert_eq!(
            (&screen_file["offsetMs"], &screen_file["fromMs"]),
            (&json!(-5000), &json!(6000)),
            "{seen:#}"
        );
        assert_eq!(screen_file["id"], json!(screen.id.to_string()));
        assert_eq!(seen["gaps"], json!([]));
    }
    site.stop().await;
}
