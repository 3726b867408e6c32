//! Interactions that other systems announce: who may, what becomes of them, and their recording.

use crate::{
    links::Link,
    site::{Browser, Site, answer},
};
use hindsight_link::Identity;
use hindsight_store::api_tokens::{self, Right};
use hindsight_wire::{
    CaptureId, InteractionId, RecordingId, Timestamp,
    enrolment::DeviceKind,
    link::{Down, Up},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Another system, with its token.
struct System<'a> {
    site: &'a Site,
    browser: Browser,
    token: String,
}

impl<'a> System<'a> {
    async fn new(site: &'a Site, name: &str, rights: &[Right]) -> Self {
        let rights: BTreeSet<Right> = rights.iter().copied().collect();
        let mut write = site.database.write().await.unwrap();
        let token = api_tokens::make(&mut write, name, &rights, Timestamp::now()).await.unwrap();
        write.commit().await.unwrap();
        Self { site, browser: site.browser(), token }
    }

    fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.browser.client.post(self.site.url(path)).bearer_auth(&self.token)
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.request(path).json(body)).await
    }

    async fn chat(&self, agent: &str) -> InteractionId {
        let body = json!({ "medium": "chat", "agent": agent, "from": "visitor 7", "to": "sales",
            "attached": { "Ticket": "4711" } });
        let (status, body) = self.post("/api/v2/interactions", &body).await;
        assert_eq!((status, &body["recorded"]), (201, &json!(true)), "{body}");
        body["id"].as_str().unwrap().parse().unwrap()
    }
}

async fn desktop(site: &Site) -> (Identity, Link) {
    let device = site.device(DeviceKind::Desktop).await;
    let (link, _) = Link::desktop(site, &device).await;
    (device, link)
}

#[tokio::test]
async fn a_chat_is_captured_found_and_ended_as_a_call_is() {
    let mut site = Site::start().await;
    site.start_processor();
    let (_device, mut link) = desktop(&site).await;
    let chat = System::new(&site, "chat-router", &[Right::Announce]).await;
    let id = chat.chat("ann").await;
    let Down::StartCapture { interaction, .. } = link.next().await else { panic!("no start") };
    assert_eq!(interaction, id);
    let (interactions, at) = (vec![id], Timestamp::now());
    let started = Up::CaptureStarted {
        interactions,
        capture: CaptureId::new(),
        recordings: vec![RecordingId::new()],
        at,
    };
    link.send(&started).await;
    let browser = site.signed_in("ann").await;
    let shown = site.until(&browser, &id.to_string(), |body| body["mediaFiles"][0]["kind"] == "screen").await;
    assert_eq!((&shown["medium"], &shown["state"]), (&json!("chat"), &json!("active")));
    assert_eq!((&shown["attached"]["Ticket"], &shown["voice"]), (&json!("4711"), &json!("none")));
    assert_eq!(shown["agents"][0]["login"], "ann");
    let (_, found) = browser.get("/api/v2/interactions?number=visitor%207").await;
    assert_eq!(found["items"][0]["id"], id.to_string());
    let (status, over) = chat.post(&format!("/api/v2/interactions/{id}/end"), &Value::Null).await;
    assert_eq!(status, 200, "{over}");
    let Down::StopCapture { interaction } = link.next().await else { panic!("no stop") };
    assert_eq!(interaction, id);
    let again = chat.post(&format!("/api/v2/interactions/{id}/end"), &Value::Null).await;
    assert_eq!(again, (200, over.clone()), "ending it twice changes nothing");
    let shown = site.until(&browser, &id.to_string(), |body| body["state"] == "ended").await;
    assert_eq!(shown["stopTime"], over["endedAt"]);
    site.stop().await;
}

#[tokio::test]
async fn who_may_announce_is_asked_and_a_request_sent_twice_is_one_interaction() {
    let site = Site::start().await;
    let chat = System::new(&site, "chat", &[Right::Announce]).await;
    let other = System::new(&site, "mail", &[Right::Announce]).await;
    let pauser = System::new(&site, "payments", &[Right::Pause]).await;
    let good = json!({ "medium": "email", "agent": "1001", "from": "a@b.example" });
    assert_eq!(pauser.post("/api/v2/interactions", &good).await.0, 403);
    let stranger = System { token: "0".repeat(48), site: &site, browser: site.browser() };
    assert_eq!(stranger.post("/api/v2/interactions", &good).await.0, 401);
    assert_eq!(site.browser().post("/api/v2/interactions", &good).await.0, 401);
    assert_eq!(site.signed_in("ann").await.post("/api/v2/interactions", &good).await.0, 403);
    assert_eq!(site.signed_in("adam").await.post("/api/v2/interactions", &good).await.0, 201);
    for (body, code) in [
        (json!({ "medium": "voice", "agent": "ann", "from": "x" }), "bad_announcement"),
        (json!({ "medium": "chat", "agent": "nobody", "from": "x" }), "no_such_agent"),
        (json!({ "medium": "chat", "agent": "bob", "from": "x" }), "agent_nowhere"),
        (json!({ "medium": "chat", "agent": "ann", "from": "x".repeat(201) }), "bad_announcement"),
        (json!({ "medium": "fax", "agent": "ann", "from": "x" }), "bad_request"),
    ] {
        let (status, answer) = chat.post("/api/v2/interactions", &body).await;
        assert_eq!((status, &answer["error"]["code"]), (422, &json!(code)), "{answer}");
    }
    let keyed = |system: &System<'_>, body: &Value| {
        answer(system.request("/api/v2/interactions").header("Idempotency-Key", "7").json(body))
    };
    let (first, once) = keyed(&chat, &good).await;
    let (second, twice) = keyed(&chat, &good).await;
    assert_eq!((first, second, &once), (201, 200, &twice));
    let changed = json!({ "medium": "email", "agent": "1001", "from": "c@d.example" });
    assert_eq!(keyed(&chat, &changed).await.1["error"]["code"], "key_used");
    let (status, elsewhere) = keyed(&other, &good).await;
    assert_eq!(status, 201, "the key of another system is another key");
    assert_ne!(elsewhere["id"], once["id"]);
    let path = format!("/api/v2/interactions/{}/end", once["id"].as_str().unwrap());
    assert_eq!(other.post(&path, &Value::Null).await.0, 404, "not theirs to end");
    let mut write = site.database.write().await.unwrap();
    assert!(api_tokens::revoke(&mut write, "chat", Timestamp::now()).await.unwrap());
    write.commit().await.unwrap();
    assert_eq!(chat.post(&path, &Value::Null).await.0, 401);
    site.stop().await;
}

#[tokio::test]
async fn the_recording_of_a_chat_is_paused_and_resumed_by_the_same_verb_as_that_of_a_call() {
    let mut site = Site::start().await;
    site.start_processor();
    let (_device, mut link) = desktop(&site).await;
    let crm = System::new(&site, "crm", &[Right::Announce, Right::Pause]).await;
    let id = crm.chat("1001").await;
    let Down::StartCapture { .. } = link.next().await else { panic!("no start") };
    let path = format!("/api/v2/interactions/{id}/recording");
    let act = |action: &str| json!({ "action": action, "reason": "card" });
    assert_eq!(crm.post(&path, &act("resume")).await.1["error"]["message"], "the recording is not paused");
    assert_eq!(crm.post(&path, &act("pause")).await.0, 200);
    let Down::PauseCapture { interaction, by, reason } = link.next().await else { panic!("no pause") };
    assert_eq!((interaction, by.as_str(), reason.as_str()), (id, "system:crm", "card"));
    assert_eq!(crm.post(&path, &act("pause")).await.0, 409);
    assert_eq!(crm.post(&path, &act("stop")).await.0, 403, "systems pause and resume, no more");
    let sue = site.signed_in("sue").await;
    site.until(&sue, &id.to_string(), |body| body["paused"] == true).await;
    assert_eq!(sue.post(&path, &act("resume")).await.0, 200);
    let Down::ResumeCapture { .. } = link.next().await else { panic!("no resume") };
    let ann = site.signed_in("ann").await;
    assert_eq!(ann.post(&path, &act("stop")).await.1["error"]["code"], "recorded_by_policy");
    assert_eq!(sue.post(&path, &act("stop")).await.0, 200);
    let Down::StopCapture { .. } = link.next().await else { panic!("no stop") };
    assert_eq!(ann.post(&path, &act("start")).await.0, 200);
    let Down::StartCapture { .. } = link.next().await else { panic!("no start") };
    crm.post(&format!("/api/v2/interactions/{id}/end"), &Value::Null).await;
    assert_eq!(ann.post(&path, &act("pause")).await.1["error"]["message"], "the interaction is over");
    let shown = site.until(&sue, &id.to_string(), |body| body["state"] == "ended").await;
    let kinds: Vec<&str> =
        shown["eventHistory"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    for kind in ["interaction-announced", "recording-paused", "recording-resumed", "interaction-ended"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    site.stop().await;
}

#[tokio::test]
async fn media_that_the_site_does_not_capture_are_announced_and_not_captured() {
    let site = Site::start().await;
    let file = "[capture]\nmedia = [\"voice\", \"chat\"]\n";
    let plan =
        hindsight_management::plan_file(&site.database, hindsight_management::SiteFile::parse(file).unwrap());
    let plan = plan.await.unwrap();
    hindsight_management::apply(&site.database, &plan, "test", "", Timestamp::now()).await.unwrap();
    let (_device, mut link) = desktop(&site).await;
    let system = System::new(&site, "mail", &[Right::Announce]).await;
    let mail = json!({ "medium": "email", "agent": "ann", "from": "a@b.example" });
    let (status, body) = system.post("/api/v2/interactions", &mail).await;
    assert_eq!((status, &body["recorded"]), (201, &json!(false)));
    let chat = system.chat("ann").await;
    let Down::StartCapture { interaction, .. } = link.next().await else { panic!("no start") };
    assert_eq!(interaction, chat, "the e-mail started nothing");
    site.stop().await;
}
