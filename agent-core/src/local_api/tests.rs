//! The API over real sockets, with a recorder that says yes.

use super::*;
use hindsight_wire::{InteractionId, agent::AgentAction, component::RecordingAction, local::SignedInPerson};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;

struct Rig {
    dir: TempDir,
    base: String,
    http: Client,
    asked: Arc<Mutex<Vec<Ask>>>,
    _api: LocalApi,
}

impl Rig {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config =
            LocalApiConfig { enabled: true, port: 0, origins: vec!["https://crm.example".to_owned()] };
        let (asks, mut asked_rx) = mpsc::channel::<Asked>(8);
        let (status, watched) = watch::channel(DesktopStatus::default());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        tokio::spawn(async move {
            while let Some(Asked { ask, reply }) = asked_rx.recv().await {
                noted.lock().unwrap().push(ask.clone());
                match ask {
                    Ask::SignIn { password, .. } if password.0 != "right" => {
                        reply.failed("login or password is wrong");
                        continue;
                    }
                    Ask::SignIn { login, .. } => status.send_modify(|status| {
                        let person = SignedInPerson { login, dn: "1001".to_owned(), ..Default::default() };
                        status.person = Some(person);
                    }),
                    Ask::SignOut => status.send_modify(|status| status.person = None),
                    _ => {}
                }
                reply.done();
            }
        });
        let api = start(&config, dir.path(), asks, watched).await.unwrap();
        let base = format!("http://{}", api.addresses[0]);
        let http = Client::builder().no_proxy().build().unwrap();
        Self { dir, base, http, asked, _api: api }
    }

    fn request(&self, method: Method, path: &str, token: Option<&str>) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base)).header("x-csrf-token", "1");
        let request = request.header("content-type", "application/json");
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn status(&self, request: RequestBuilder) -> StatusCode {
        request.send().await.unwrap().status()
    }

    async fn sign_in(&self) -> String {
        let body = json!({"login": "ann", "password": "right"});
        let answer = self.request(Method::POST, "/api/v2/me", None).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["person"]["login"], "ann");
        answer["token"].as_str().unwrap().to_owned()
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[tokio::test]
async fn no_token_no_action() {
    let rig = Rig::new().await;
    let interaction = InteractionId::new();
    let path = format!("/api/v2/interactions/{interaction}/recording");
    let body = json!({"action": "pause", "reason": "card"});
    for token in [None, Some("wrong"), Some("")] {
        for (method, path) in
            [(Method::GET, "/api/v2/me"), (Method::DELETE, "/api/v2/me"), (Method::GET, "/ping")]
        {
            let answered = rig.status(rig.request(method.clone(), path, token)).await;
            assert_eq!(answered, StatusCode::UNAUTHORIZED, "{method} {path}");
        }
        let answered = rig.status(rig.request(Method::POST, &path, token).json(&body)).await;
        assert_eq!(answered, StatusCode::UNAUTHORIZED);
    }
    let wrong = json!({"login": "ann", "password": "wrong"});
    assert_eq!(rig.status(rig.request(Method::POST, "/api/v2/me", None).json(&wrong)).await, 401);
    assert_eq!(rig.asked(), 1, "only the sign-in came through");
    let token = rig.sign_in().await;
    assert_eq!(rig.status(rig.request(Method::GET, "/ping", Some(&token))).await, 204);
    assert_eq!(rig.status(rig.request(Method::POST, &path, Some(&token)).json(&body)).await, 204);
    let Some(Ask::Agent(AgentAction::Recording { interaction: told, action, reason })) =
        rig.asked.lock().unwrap().last().cloned()
    else {
        panic!("the pause came through")
    };
    assert_eq!((told, action, reason.as_str()), (interaction, RecordingAction::Pause, "card"));
    let again = json!({"login": "ann", "password": "right"});
    assert_eq!(rig.status(rig.request(Method::POST, "/api/v2/me", None).json(&again)).await, 409);
    assert_eq!(rig.status(rig.request(Method::DELETE, "/api/v2/me", Some(&token))).await, 204);
    assert_eq!(
        rig.status(rig.request(Method::GET, "/ping", Some(&token))).await,
        401,
        "it went with the sign-in"
    );
    let file = rig.dir.path().join("local-api.token");
    let token = std::fs::read_to_string(&file).unwrap();
    assert_eq!(rig.status(rig.request(Method::GET, "/api/v2/me", Some(&token))).await, 200);
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_page_of_another_origin_gets_nothing_and_does_nothing() {
    let rig = Rig::new().await;
    let token = rig.sign_in().await;
    let before = rig.asked();
    for origin in ["https://evil.example", "null"] {
        for method in [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS] {
            let request = rig.request(method.clone(), "/api/v2/me", Some(&token)).header("origin", origin);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{method}");
            assert!(answer.headers().get("access-control-allow-origin").is_none());
        }
    }
    // As a form of a page would send it: no preflight comes before it.
    let form = rig.http.post(format!("{}/api/v2/me", rig.base)).header("content-type", "text/plain");
    assert_eq!(rig.status(form.body(r#"{"login":"ann","password":"right"}"#)).await, 403);
    // A name of the page's own that leads here.
    let rebound = rig.request(Method::GET, "/api/v2/me", Some(&token)).header("host", "evil.example");
    assert_eq!(rig.status(rebound).await, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(rig.asked(), before);

    let allowed = rig.request(Method::OPTIONS, "/api/v2/me", None).header("origin", "https://crm.example");
    let answer = allowed.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://crm.example");
    assert!(answer.headers()["access-control-allow-headers"].to_str().unwrap().contains("x-csrf-token"));
    let allowed =
        rig.request(Method::GET, "/api/v2/me", Some(&token)).header("origin", "https://crm.example");
    assert_eq!(rig.status(allowed).await, 200);
}

#[tokio::test]
async fn bodies_that_are_too_long_or_not_understood_are_refused() {
    let rig = Rig::new().await;
    let long = json!({"login": "x".repeat(40_000), "password": "right"});
    assert_eq!(rig.status(rig.request(Method::POST, "/api/v2/me", None).json(&long)).await, 413);
    let odd = json!({"login": "ann", "password": "right", "admin": true});
    assert_eq!(rig.status(rig.request(Method::POST, "/api/v2/me", None).json(&odd)).await, 422);
    assert_eq!(rig.status(rig.request(Method::POST, "/api/v2/me", None).body("{")).await, 400);
    assert_eq!(rig.status(rig.request(Method::GET, "/elsewhere", None)).await, 404);
    assert_eq!(rig.asked(), 0);
}
