//! Single sign-on with a real OpenID provider: from the desktop to the browser and back, and everything that is refused.

use crate::fixture::Fixture;
use anyhow::{Context, Result, anyhow, bail, ensure};
use hindsight_link::Identity;
use hindsight_local::{Client, socket_path};
use hindsight_tests::{
    desktop::Session,
    display::Display,
    process::{Program, built, eventually, free_port, project_root, run},
    recorder,
    scenario::{AGENT_DN, AGENT_LOGIN, CUSTOMER_DN, talk},
    site::Site,
};
use hindsight_wire::{
    enrolment::DeviceKind,
    local::{Ask, DesktopStatus, LinkState, Secret},
};
use reqwest::{Certificate, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command, time::Duration};

const LIMIT: Duration = Duration::from_secs(20);
/// What the browser's page opens the desktop by.
const LINK: &str = "hindsight://signed-in?code=";

/// `oidc-provider-mock` behind TLS; ends when dropped.
struct Provider {
    url: String,
    http: reqwest::Client,
    program: Program,
}

impl Provider {
    /// Starts it, and tells the site of it.
    async fn start(site: &Site, more: &str) -> Result<Self> {
        let (dir, port) = (&site.dir, free_port()?);
        let (certificate, key) = (dir.join("provider.pem"), dir.join("provider.key"));
        run(Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
            .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate))?;
        let url = format!("https://localhost:{port}");
        configure(site, &url, more)?;
        let cache = std::env::var_os("HINDSIGHT_CACHE").map_or_else(
            || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache/hindsight"),
            Into::into,
        );
        let mut command = Command::new(cache.join("venv/bin/python"));
        command.arg(project_root().join("tests/src/oidc_provider.py")).arg(port.to_string());
        let program =
            Program::spawn("provider", command.arg(&certificate).arg(&key), &dir.join("provider.log"))?;
        let http = reqwest::Client::builder()
            .tls_certs_only([Certificate::from_pem(&fs::read(&certificate)?)?, site.authority()?])
            .no_proxy()
            .redirect(Policy::none())
            .timeout(LIMIT)
            .build()?;
        let provider = Self { url, http, program };
        let discovery = format!("{}/.well-known/openid-configuration", provider.url);
        eventually("the provider", LIMIT, || async {
            Ok(provider.http.get(&discovery).send().await?.error_for_status()?)
        })
        .await?;
        Ok(provider)
    }

    /// What it says of this account.
    async fn account(&self, sub: &str, claims: Value) -> Result<()> {
        let put = self.http.put(format!("{}/users/{sub}", self.url)).json(&claims);
        put.send().await?.error_for_status()?;
        Ok(())
    }

    async fn test(&self, what: &str) -> Result<()> {
        self.http.post(format!("{}/test/{what}", self.url)).send().await?.error_for_status()?;
        Ok(())
    }

    /// A person at the provider's form; where it sends their browser.
    async fn fill_in(&self, url: &str, field: (&str, &str)) -> Result<String> {
        let form = self.http.get(url).send().await?.error_for_status()?.text().await?;
        ensure!(form.contains("name=\"sub\""), "no form: {form}");
        let body = format!("{}={}", field.0, field.1);
        let asked = self.http.post(url).header("content-type", "application/x-www-form-urlencoded");
        let answer = asked.body(body).send().await?;
        ensure!(answer.status() == StatusCode::FOUND, "{}: {}", answer.status(), answer.text().await?);
        Ok(answer.headers().get("location").context("no location")?.to_str()?.to_owned())
    }

    /// The site's page at the end.
    async fn page(&self, url: &str) -> Result<(StatusCode, String)> {
        let answer = self.http.get(url).header("accept-language", "en").send().await?;
        Ok((answer.status(), answer.text().await?))
    }

    /// Signs in as this account, to the page at the end.
    async fn browser(&self, url: &str, sub: &str) -> Result<(StatusCode, String)> {
        let back = self.fill_in(url, ("sub", sub)).await?;
        self.page(&back).await
    }

    /// The same, to the link that the page opens.
    async fn signs_in(&self, url: &str, sub: &str) -> Result<String> {
        let (status, page) = self.browser(url, sub).await?;
        ensure!(status == StatusCode::OK, "{status}: {page}");
        code(&page)
    }

    /// Signs in as this account; the page must say this.
    async fn is_refused(&self, url: &str, sub: &str, status: StatusCode, words: &str) -> Result<()> {
        let (answered, page) = self.browser(url, sub).await?;
        refused(answered, &page, status, words)
    }
}

fn refused(answered: StatusCode, page: &str, status: StatusCode, words: &str) -> Result<()> {
    ensure!(answered == status && page.contains(words), "not {status} {words:?}: {answered} {page}");
    ensure!(!page.contains("hindsight://"), "a refusal with a link: {page}");
    Ok(())
}

/// The code of the page's link.
fn code(page: &str) -> Result<String> {
    let (_, rest) = page.split_once(&format!("href=\"{LINK}")).with_context(|| format!("no link: {page}"))?;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}

/// `[web-services.single_sign_on]`, instead of what was there.
fn configure(site: &Site, issuer: &str, more: &str) -> Result<()> {
    let path = site.data().join("hindsight.toml");
    let text = fs::read_to_string(&path)?;
    let before = text.split("[web-services.single_sign_on]").next().unwrap_or_default();
    fs::write(site.data().join("provider.secret"), "secret-of-the-test\n")?;
    let section = format!(
        "{before}\n[web-services.single_sign_on]\nissuer = \"{issuer}\"\nclient_id = \"hindsight\"\n\
         client_secret_file = \"provider.secret\"\nca_file = \"../provider.pem\"\n\
         redirect_uri = \"{}/api/v2/desktop/sso/return\"\n{more}\n",
        site.url()
    );
    Ok(fs::write(path, section)?)
}

/// A recorder at which nobody is signed in.
async fn start_recorder(f: &Fixture, display: &str) -> Result<(Program, Client)> {
    let dir = f.dir().join("desktop");
    let agent = f.scenario.agent(display, "x11");
    let mut command = recorder::command(&f.scenario.site, &dir, &agent, &[])?;
    command.env_remove("HINDSIGHT_RECORDER_LOGIN").env_remove("HINDSIGHT_RECORDER_PASSWORD");
    let program = Program::spawn("hindsight-recorder", &mut command, &dir.join("recorder.log"))?;
    let socket = socket_path(&dir.join("data"));
    let client = eventually("the recorder", LIMIT, || async { Ok(Client::connect(&socket).await?) }).await?;
    shows(&client, "single sign-on", |status| status.sso).await?;
    Ok((program, client))
}

async fn shows(
    client: &Client,
    what: &str,
    wanted: impl Fn(&DesktopStatus) -> bool,
) -> Result<DesktopStatus> {
    let mut status = client.status();
    let found = tokio::time::timeout(LIMIT, status.wait_for(|status| wanted(status))).await;
    match found {
        Ok(status) => Ok(status?.clone()),
        Err(_) => bail!("{what} is not shown: {:?}", client.status().borrow()),
    }
}

/// The address that the desktop would open in the browser.
async fn begin(client: &Client) -> Result<String> {
    let answer = client.request(Ask::BeginSso { dn: None }).await.map_err(|why| anyhow!(why))?;
    Ok(answer["url"].as_str().context("no address")?.to_owned())
}

async fn end(client: &Client, code: &str) -> Result<(), String> {
    client.request(Ask::EndSso { code: Secret(code.to_owned()) }).await.map(drop)
}

/// What the audit log has of sign-ins at desktops: action, actor, details.
fn audited(site: &Site) -> Result<Vec<(String, String, Value)>> {
    let query = "SELECT action, actor, json(details) FROM audit WHERE action LIKE 'desktop.sign-in%' ORDER BY position";
    let database = site.data().join("store/hindsight.db");
    let rows = run(Command::new("sqlite3").args(["-readonly", "-separator", "\t"]).arg(database).arg(query))?;
    let row = |line: &str| -> Result<_> {
        let mut fields = line.splitn(3, '\t').map(str::to_owned);
        let mut next = || fields.next().with_context(|| line.to_owned());
        Ok((next()?, next()?, serde_json::from_str(&next()?)?))
    };
    String::from_utf8(rows)?.lines().map(row).collect()
}

#[tokio::test]
async fn an_agent_signs_in_in_the_browser_and_their_call_is_recorded() -> Result<()> {
    let mut f = Fixture::new("frame_rate = 5");
    let provider = Provider::start(&f.scenario.site, "").await?;
    provider.account("u-17", json!({ "preferred_username": AGENT_LOGIN.to_uppercase() })).await?;
    f.scenario.site.start().await?;
    let desktop = f.dir().join("desktop");
    fs::create_dir_all(&desktop)?;
    let mut display = Display::start(&desktop, 640, 480).await?;
    display.show("clock", &desktop)?;
    let (mut program, client) = start_recorder(&f, &display.name).await?;

    let url = begin(&client).await?;
    ensure!(url.starts_with(&provider.url) && url.contains("code_challenge_method=S256"), "{url}");
    let code = provider.signs_in(&url, "u-17").await?;
    end(&client, &code).await.map_err(|why| anyhow!(why))?;
    let status =
        shows(&client, "an open link", |status| status.link == LinkState::Up && status.person.is_some())
            .await?;
    let person = status.person.context("nobody")?;
    assert_eq!((person.login.as_str(), person.dn.as_str()), (AGENT_LOGIN, AGENT_DN));

    let (mut agent, mut customer) = f.scenario.phones("pcmu").await?;
    f.scenario.call(&mut customer, &mut agent).await?;
    talk(Duration::from_secs(4)).await;
    customer.hang_up().await?;
    let call = f.console().await?.wait_until_complete(CUSTOMER_DN, Duration::from_secs(60)).await?;
    let users = serde_json::to_string(&call)?;
    ensure!(users.contains(AGENT_LOGIN) || users.contains("Ann Weber"), "not the agent's: {call:#}");

    let signed_in = audited(&f.scenario.site)?;
    let (action, actor, details) = signed_in.last().context("nothing audited")?;
    assert_eq!((action.as_str(), actor.as_str()), ("desktop.sign-in", AGENT_LOGIN));
    assert_eq!((&details["by"], &details["dn"]), (&json!("single-sign-on"), &json!(AGENT_DN)));
    for log in ["server.log", "desktop/recorder.log"] {
        let log = fs::read_to_string(f.dir().join(log))?;
        ensure!(!log.contains(&code) && !log.contains("secret-of-the-test"), "a secret in a log");
    }
    program.terminate(LIMIT).await?;
    f.scenario.site.stop().await
}

#[tokio::test]
async fn what_is_wrong_with_a_sign_in_is_refused_and_said() -> Result<()> {
    let mut f = Fixture::new("");
    let mut provider = Provider::start(&f.scenario.site, "").await?;
    f.scenario.site.start().await?;
    let desktop = f.dir().join("desktop");
    fs::create_dir_all(&desktop)?;
    let display = Display::start(&desktop, 640, 480).await?;
    let (mut program, client) = start_recorder(&f, &display.name).await?;

    assert_eq!(
        end(&client, "abc").await.unwrap_err(),
        "nobody here waits for the browser; begin the sign-in in Hindsight"
    );
    browsers_are_refused(&f, &provider, &client).await?;
    codes_are_refused(&f, &provider, &client).await?;
    a_locked_agent_is_refused(&f, &provider, &client).await?;

    // The provider goes away while the browser is there, and before it is opened.
    let url = begin(&client).await?;
    let back = provider.fill_in(&url, ("sub", "u-17")).await?;
    provider.program.kill();
    let (status, page) = provider.page(&back).await?;
    refused(status, &page, StatusCode::BAD_GATEWAY, "sign-in service cannot be used now")?;
    let down = client.request(Ask::BeginSso { dn: None }).await;
    // What it said of itself is still known, so that the browser is sent there; a server that starts now cannot know.
    ensure!(down.is_ok(), "{down:?}");
    f.scenario.site.stop().await?;
    configure(&f.scenario.site, &provider.url, "code_seconds = 1")?;
    f.scenario.site.start().await?;
    let down = client.request(Ask::BeginSso { dn: None }).await.unwrap_err();
    ensure!(down.contains("sign-in service cannot be used now") && down.contains("onnect"), "{down}");

    let reasons: Vec<Value> = audited(&f.scenario.site)?
        .into_iter()
        .filter(|(action, ..)| action == "desktop.sign-in.refused")
        .map(|(_, actor, details)| if actor == "unknown" { details["why"].clone() } else { Value::Null })
        .collect();
    for reason in [
        "declined",
        "unknown_person",
        "no_claim",
        "provider_untrusted",
        "unknown_code",
        "used_code",
        "foreign_code",
        "wrong_verifier",
        "provider_unreachable",
    ] {
        ensure!(reasons.contains(&json!(reason)), "{reason} is not audited: {reasons:?}");
    }
    program.terminate(LIMIT).await?;
    f.scenario.site.stop().await
}

/// Nothing of this leads to a link.
async fn browsers_are_refused(f: &Fixture, provider: &Provider, client: &Client) -> Result<()> {
    let back = format!("{}/api/v2/desktop/sso/return?state=guessed&code=x", f.scenario.site.url());
    let (status, page) = provider.page(&back).await?;
    refused(status, &page, StatusCode::BAD_REQUEST, "No desktop of this site waits for this sign-in")?;

    let back = provider.fill_in(&begin(client).await?, ("action", "deny")).await?;
    let (status, page) = provider.page(&back).await?;
    refused(status, &page, StatusCode::FORBIDDEN, "was declined")?;

    provider.account("u-99", json!({ "preferred_username": "bob<b>" })).await?;
    let bob = "bob&lt;b&gt;\u{201d} is not known at this site";
    provider.is_refused(&begin(client).await?, "u-99", StatusCode::FORBIDDEN, bob).await?;
    provider.account("u-98", json!({})).await?;
    let none = "does not tell \u{201c}preferred_username\u{201d}";
    provider.is_refused(&begin(client).await?, "u-98", StatusCode::FORBIDDEN, none).await?;

    let untrusted = StatusCode::BAD_GATEWAY;
    for (claim, value, words) in [
        ("aud", json!("another-client"), "Invalid audiences"),
        ("iss", json!("https://elsewhere.example"), "Invalid issuer"),
        ("nonce", json!("of another sign-in"), "Invalid nonce"),
        ("exp", json!(1_700_000_000), "Expired"),
        ("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA"), "another access token"),
    ] {
        provider.account("u-17", json!({ "preferred_username": AGENT_LOGIN, claim: value })).await?;
        let begun = begin(client).await?;
        let page = provider.is_refused(&begun, "u-17", untrusted, words);
        page.await.with_context(|| claim.to_owned())?;
    }
    provider.account("u-17", json!({ "preferred_username": AGENT_LOGIN })).await?;
    provider.test("forge").await?;
    let forged = "Signature verification failed";
    provider.is_refused(&begin(client).await?, "u-17", untrusted, forged).await?;
    ensure!(client.status().borrow().person.is_none(), "somebody is signed in");

    // A key that the provider has changed meanwhile is asked for, and the same address of the browser is good once.
    provider.test("rotate").await?;
    let back = provider.fill_in(&begin(client).await?, ("sub", "u-17")).await?;
    let (status, page) = provider.page(&back).await?;
    ensure!(status == StatusCode::OK, "{status} {page}");
    let (status, page) = provider.page(&back).await?;
    refused(status, &page, StatusCode::BAD_REQUEST, "was ended already")
}

/// A code is good once, for the desktop and the program that began.
async fn codes_are_refused(f: &Fixture, provider: &Provider, client: &Client) -> Result<()> {
    let other = other_desktop(f).await?;
    let http = other.http_client()?;
    let site = f.scenario.site.url();
    let path = format!("{site}/api/v2/desktop/sso");
    let redeem = async |code: &str, verifier: &str| -> Result<String> {
        let body = json!({ "code": code, "verifier": verifier });
        let answer = http.post(format!("{path}/token")).json(&body).send().await?;
        ensure!(answer.status() == StatusCode::UNAUTHORIZED, "{}", answer.text().await?);
        let answer: Value = answer.json().await?;
        Ok(answer["error"]["code"].as_str().context("no code")?.to_owned())
    };
    // RFC 7636, appendix B.
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let begin_there = async || -> Result<String> {
        let answer = http.post(&path).json(&json!({ "challenge": challenge })).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        Ok(answer["url"].as_str().context("no address")?.to_owned())
    };

    // A link of nobody's harms nothing; another desktop gets nothing, and spoils the code.
    let url = begin(client).await?;
    let junk = end(client, "0123").await.expect_err("refused");
    ensure!(junk.contains("belongs to no sign-in"), "{junk}");
    let code = provider.signs_in(&url, "u-17").await?;
    assert_eq!(redeem(&code, verifier).await?, "foreign_code");
    let spoilt = end(client, &code).await.expect_err("refused");
    ensure!(spoilt.contains("was used already"), "{spoilt}");

    // Another program on the same desktop sees the link: without the verifier it gets nothing.
    let code = provider.signs_in(&begin_there().await?, "u-17").await?;
    assert_eq!(redeem(&code, "guessed").await?, "wrong_verifier");
    assert_eq!(redeem(&code, verifier).await?, "used_code");
    let code = provider.signs_in(&begin_there().await?, "u-17").await?;
    let body = json!({ "code": code, "verifier": verifier });
    let answer = http.post(format!("{path}/token")).json(&body).send().await?.error_for_status()?;
    assert_eq!(answer.json::<Value>().await?["login"], AGENT_LOGIN);
    assert_eq!(redeem(&code, verifier).await?, "used_code");
    // Somebody without a device certificate gets nowhere at all.
    let nobody = provider.http.post(format!("{path}/token")).json(&body).send().await?;
    ensure!(nobody.status() == StatusCode::UNAUTHORIZED, "{}", nobody.status());

    // The recorder that was interrupted so often signs in all the same, once.
    let code = provider.signs_in(&begin(client).await?, "u-17").await?;
    end(client, &code).await.map_err(|why| anyhow!(why))?;
    let again = end(client, &code).await.expect_err("refused");
    assert_eq!(again, "somebody is signed in already; sign out first");
    client.request(Ask::SignOut).await.map_err(|why| anyhow!(why))?;
    let asked = end(client, &code).await.expect_err("refused");
    ensure!(asked.contains("nobody here waits"), "{asked}");
    Ok(())
}

/// Wrong passwords lock out of both ways in.
async fn a_locked_agent_is_refused(f: &Fixture, provider: &Provider, client: &Client) -> Result<()> {
    let url = format!("{}/api/v2/session", f.scenario.site.url());
    // Five at an address lock the name there only; fifty lock it everywhere.
    for host in 11..21 {
        let http = f.scenario.site.http_from(Some([127, 0, 0, host].into()))?;
        for _ in 0..5 {
            let body = json!({ "login": AGENT_LOGIN, "password": "wrong" });
            let answer = http.post(&url).json(&body).send().await?;
            ensure!(answer.status() == StatusCode::UNAUTHORIZED, "{}", answer.status());
        }
    }
    let (begun, many) = (begin(client).await?, StatusCode::TOO_MANY_REQUESTS);
    provider.is_refused(&begun, "u-17", many, "too many failed sign-ins").await
}

#[tokio::test]
async fn a_link_that_comes_too_late_is_refused() -> Result<()> {
    let mut f = Fixture::new("");
    let provider = Provider::start(&f.scenario.site, "code_seconds = 1\nclaim = \"email\"").await?;
    provider.account("u-17", json!({ "email": AGENT_LOGIN, "email_verified": false })).await?;
    f.scenario.site.start().await?;
    let desktop = f.dir().join("desktop");
    fs::create_dir_all(&desktop)?;
    let display = Display::start(&desktop, 640, 480).await?;
    let (mut program, client) = start_recorder(&f, &display.name).await?;
    let unverified = "has not verified the e-mail address";
    provider.is_refused(&begin(&client).await?, "u-17", StatusCode::FORBIDDEN, unverified).await?;
    provider.account("u-17", json!({ "email": AGENT_LOGIN, "email_verified": true })).await?;
    let code = provider.signs_in(&begin(&client).await?, "u-17").await?;
    // The second that the code lives has to go by.
    talk(Duration::from_millis(1_100)).await;
    let late = end(&client, &code).await.unwrap_err();
    ensure!(late.contains("came too late"), "{late}");
    program.terminate(LIMIT).await?;
    f.scenario.site.stop().await
}

async fn other_desktop(f: &Fixture) -> Result<Identity> {
    let site = &f.scenario.site;
    let string = run(site.server()?.args(["enrol", "new", "--kind", "desktop"]))?;
    let string = String::from_utf8(string)?.trim().parse()?;
    let dir = f.dir().join("other");
    Ok(Identity::load_or_enrol(&dir, DeviceKind::Desktop, "another", Some(&string)).await?)
}

/// The whole program: button, browser, link while it runs, link that starts it.
#[tokio::test]
async fn the_window_opens_the_browser_and_the_link_comes_back_to_it() -> Result<()> {
    let mut f = Fixture::new("");
    let provider = Provider::start(&f.scenario.site, "").await?;
    provider.account("u-17", json!({ "preferred_username": AGENT_LOGIN })).await?;
    f.scenario.site.start().await?;
    let display = Display::start(f.dir(), 1280, 800).await?;
    let session = Session::start(f.dir(), display).await?;
    let worked = by_window(&f, &session, &provider).await;
    if worked.is_err() {
        println!("the shell said:\n{}", fs::read_to_string(f.dir().join("shell.log")).unwrap_or_default());
        let log = fs::read_to_string(session.data().join("recorder.log")).unwrap_or_default();
        println!("the recorder said:\n{}", hindsight_tests::process::tail(&log));
        let _ = session.screenshot("single-sign-on-failed");
    }
    let ended = session.end_programs().await;
    worked.and(ended)?;
    drop(session);
    f.scenario.site.stop().await
}

async fn by_window(f: &Fixture, session: &Session, provider: &Provider) -> Result<()> {
    // The session's browser: notes what it is to open.
    let (tools, opened) = (f.dir().join("tools"), f.dir().join("opened"));
    fs::create_dir_all(&tools)?;
    let browser = tools.join("xdg-open");
    fs::write(&browser, format!("#!/bin/sh\nprintf '%s\\n' \"$1\" >> '{}'\n", opened.display()))?;
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755))?;
    let path = format!("{}:{}", tools.display(), std::env::var("PATH")?);
    let shell = |arguments: &[&str]| -> Result<Command> {
        let mut command = session.command(built("hindsight-desktop")?);
        command.env("PATH", &path).args(arguments);
        Ok(command)
    };
    let asked = async || {
        eventually("the browser", LIMIT, || async { Ok(fs::read_to_string(&opened)?.trim().to_owned()) })
            .await
    };
    let log = f.dir().join("shell.log");
    let mut first = Program::spawn("hindsight-desktop", &mut shell(&[])?, &log)?;
    let window = session.driver().await?;
    window.write("textarea", &f.scenario.site.noted.desktop_enrolment).await?;
    window.click("form button").await?;
    window.wait_for_text("Sign in with your company account").await?;
    session.screenshot("desktop-single-sign-on")?;
    window.click("button[type=button].primary").await?;
    window.wait_for_text("Go on in your browser").await?;
    let code = provider.signs_in(&asked().await?, "u-17").await?;
    run(&mut shell(&[&format!("{LINK}{code}")])?)?;
    window.wait_for_text("Ann Weber").await?;
    session.screenshot("desktop-single-sign-on-done")?;

    // Signed out and begun again; the shell ends, and the link starts it.
    let client = Client::connect(&socket_path(&session.data())).await?;
    client.request(Ask::SignOut).await.map_err(|why| anyhow!(why))?;
    shows(&client, "nobody", |status| status.person.is_none()).await?;
    fs::remove_file(&opened)?;
    window.click("button[type=button].primary").await?;
    let code = provider.signs_in(&asked().await?, "u-17").await?;
    drop(window);
    first.kill();
    let mut second = Program::spawn("hindsight-desktop", &mut shell(&[&format!("{LINK}{code}")])?, &log)?;
    let status = shows(&client, "the agent", |status| status.person.is_some()).await?;
    assert_eq!(status.person.context("nobody")?.login, AGENT_LOGIN);
    ensure!(second.is_running(), "it ended");
    Ok(())
}
