//! The local API of the real recorder: another desktop signs the agent in, controls the recording, and goes silent.

use crate::{
    fixture::Fixture,
    pause::Window,
    screen::{HEIGHT, WIDTH},
};
use anyhow::{Context, Result};
use hindsight_tests::{
    console::media,
    display::Display,
    process::{Program, eventually, free_port},
    recorder,
    scenario::{AGENT_LOGIN, CUSTOMER_DN, talk},
};
use hindsight_wire::local::{CaptureState, LinkState};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::{
    path::Path,
    time::{Duration, Instant},
};

struct Api {
    http: Client,
    base: String,
}

impl Api {
    fn request(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = request.header("X-CSRF-Token", "1").header("Content-Type", "application/json");
        if token.is_empty() { request } else { request.bearer_auth(token) }
    }

    async fn status(&self, request: RequestBuilder) -> Result<StatusCode> {
        Ok(request.send().await?.status())
    }
}

/// The recorder as another desktop finds it: enrolled by the string, nobody signed in, the API on.
async fn start(f: &Fixture, dir: &Path, display: &str) -> Result<(Program, Api)> {
    let http = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
    let api = Api { http, base: format!("http://127.0.0.1:{}", free_port()?) };
    let mut program = spawn(f, dir, display, &api)?;
    program.wait_for_log("nobody is signed in", Duration::from_secs(20)).await?;
    Ok((program, api))
}

/// The same recorder after a kill.
async fn start_again(f: &Fixture, dir: &Path, display: &str, api: &Api) -> Result<Program> {
    let mut program = spawn(f, dir, display, api)?;
    program.wait_for_log("the session of the last run goes on", Duration::from_secs(20)).await?;
    Ok(program)
}

fn spawn(f: &Fixture, dir: &Path, display: &str, api: &Api) -> Result<Program> {
    let port = api.base.rsplit(':').next().context("a port")?;
    let mut command = recorder::command(&f.scenario.site, dir, &f.scenario.agent(display, "x11"), &[])?;
    command
        .env_remove("HINDSIGHT_RECORDER_LOGIN")
        .env_remove("HINDSIGHT_RECORDER_PASSWORD")
        .env("HINDSIGHT_RECORDER_LOCAL_API__ENABLED", "true")
        .env("HINDSIGHT_RECORDER_LOCAL_API__PORT", port)
        .env("HINDSIGHT_RECORDER_LOCAL_API__ORIGINS", "[\"https://crm.example\"]");
    Program::spawn("hindsight-recorder", &mut command, &dir.join("recorder.log"))
}

/// Row 8, and that a sign-in survives a kill of the recorder.
#[tokio::test]
async fn another_desktop_signs_in_controls_the_recording_and_is_signed_out_when_it_goes_silent() -> Result<()>
{
    let mut f = Fixture::new("frame_rate = 5");
    f.scenario.site.start().await?;
    let dir = f.dir().join("desktop");
    std::fs::create_dir_all(&dir)?;
    let mut display = Display::start(&dir, WIDTH as u32, HEIGHT as u32).await?;
    display.show("clock", &dir)?;
    let (mut program, api) = start(&f, &dir, &display.name).await?;

    // No token, no action; a foreign page gets nothing, whatever it has.
    assert_eq!(api.status(api.request(Method::GET, "/ping", "")).await?, StatusCode::UNAUTHORIZED);
    assert_eq!(api.status(api.request(Method::GET, "/api/v2/me", "x")).await?, StatusCode::UNAUTHORIZED);
    let wrong = json!({"login": AGENT_LOGIN, "password": "wrong"});
    let sign_in = |body: &Value| api.request(Method::POST, "/api/v2/me", "").json(body);
    assert_eq!(api.status(sign_in(&wrong)).await?, StatusCode::UNAUTHORIZED);
    let right = json!({"login": AGENT_LOGIN, "password": f.scenario.secrets.agent});
    let foreign = sign_in(&right).header("Origin", "https://evil.example");
    assert_eq!(api.status(foreign).await?, StatusCode::FORBIDDEN);
    let rebound = sign_in(&right).header("Host", "evil.example");
    assert_eq!(api.status(rebound).await?, StatusCode::MISDIRECTED_REQUEST);
    let simple = api.http.post(format!("{}/api/v2/me", api.base)).header("Content-Type", "text/plain");
    assert_eq!(api.status(simple.body(right.to_string())).await?, StatusCode::FORBIDDEN);

    let answer = sign_in(&right).header("Origin", "https://crm.example").send().await?;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://crm.example");
    let signed_in: Value = answer.json().await?;
    let token = signed_in["token"].as_str().context("token")?.to_owned();
    let signed_in_at = Instant::now();
    let window = Window::open(&f.scenario).await?;
    window.until("the link", |status| status.link == LinkState::Up).await?;

    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    window.until("the call", |s| s.capture == CaptureState::Recording && !s.interactions.is_empty()).await?;
    let me: Value = api.request(Method::GET, "/api/v2/me", &token).send().await?.json().await?;
    let interaction = me["interactions"][0]["id"].as_str().context("the call")?.to_owned();
    let path = format!("/api/v2/interactions/{interaction}/recording");
    let control = |token: &str, action: &str| {
        api.request(Method::POST, &path, token).json(&json!({"action": action, "reason": "card"}))
    };
    assert_eq!(api.status(control("", "pause")).await?, StatusCode::UNAUTHORIZED);
    assert_eq!(api.status(control(&token, "pause")).await?, StatusCode::NO_CONTENT);
    window.until("paused", |s| s.capture == CaptureState::Paused).await?;
    assert_eq!(api.status(control(&token, "resume")).await?, StatusCode::NO_CONTENT);
    window.until("recorded", |s| s.capture == CaptureState::Recording).await?;

    // kill -9: the next recorder needs no person, the other desktop's token is good, the capture goes on.
    program.kill();
    let again = start_again(&f, &dir, &display.name, &api).await?;
    drop(std::mem::replace(&mut program, again));
    let window = Window::open(&f.scenario).await?;
    window
        .until("captured again", |s| s.capture == CaptureState::Recording && !s.interactions.is_empty())
        .await?;
    assert_eq!(api.status(api.request(Method::GET, "/ping", &token)).await?, StatusCode::NO_CONTENT);
    talk(Duration::from_secs(2)).await;
    customer.hang_up().await?;
    window.until("the end of the call", |s| s.capture == CaptureState::Idle).await?;
    let both_parts = |call: &Value| media(call, "screen").len() == 2 && call["voice"] == "complete";
    f.console().await?.wait_for(CUSTOMER_DN, Duration::from_secs(60), both_parts).await?;

    // A ping, then silence: the rule counts from the last ping.
    assert_eq!(api.status(api.request(Method::GET, "/ping", &token)).await?, StatusCode::NO_CONTENT);
    let pinged = Instant::now();
    let gone = eventually("the sign-out of the silent", Duration::from_secs(75), || async {
        let status = window.client.status().borrow().clone();
        anyhow::ensure!(status.person.is_none(), "still signed in");
        Ok(Instant::now())
    })
    .await?;
    let silent = gone.duration_since(pinged);
    println!(
        "signed out {:.1} s after the last ping, {:.1} s after the sign-in",
        silent.as_secs_f64(),
        gone.duration_since(signed_in_at).as_secs_f64()
    );
    assert!((59.0..65.0).contains(&silent.as_secs_f64()));
    assert_eq!(api.status(api.request(Method::GET, "/ping", &token)).await?, StatusCode::UNAUTHORIZED);
    program.terminate(Duration::from_secs(20)).await?;
    f.scenario.site.stop().await
}
