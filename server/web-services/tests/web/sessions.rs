//! Persons at the console.

use crate::{
    links::Link,
    site::{Browser, PASSWORD, Site},
};
use hindsight_store::persons;
use hindsight_wire::{Timestamp, enrolment::DeviceKind, link::Down};
use serde_json::json;

#[tokio::test]
async fn a_one_time_password_must_be_changed_before_anything_else() {
    let site = Site::start().await;
    let mut browser = site.browser();
    assert_eq!(browser.get("/api/v2/session").await.0, 401);
    let (status, body) = browser.sign_in("NEW", PASSWORD).await;
    assert_eq!((status, &body["mustChangePassword"]), (200, &json!(true)));
    let (status, body) = browser.get("/api/v2/interactions").await;
    assert_eq!((status, &body["error"]["code"]), (403, &json!("password_change_required")));
    let change = |new: &str| json!({ "current": PASSWORD, "new": new });
    let (status, body) = browser.post("/api/v2/session/password", &change("short")).await;
    assert_eq!((status, &body["error"]["code"]), (422, &json!("weak_password")));
    assert_eq!(browser.post("/api/v2/session/password", &change("a much better one")).await.0, 200);
    assert_eq!(browser.get("/api/v2/interactions").await.0, 200);
    assert_eq!(site.browser().sign_in("new", PASSWORD).await.0, 401);
    assert_eq!(browser.request("DELETE", "/api/v2/session").send().await.unwrap().status(), 204);
    assert_eq!(browser.get("/api/v2/session").await.0, 401);
    site.stop().await;
}

#[tokio::test]
async fn the_cookie_is_closed_to_scripts_and_other_sites_and_pages_say_what_browsers_must_not_do() {
    let site = Site::start().await;
    let body = json!({ "login": "sue", "password": PASSWORD });
    let answer = site.browser().client.post(site.url("/api/v2/session")).json(&body).send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    for part in ["__Host-", "HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let page = site.browser().client.get(site.url("/")).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    assert!(page.text().await.unwrap().contains("<html"));
    site.stop().await;
}

#[tokio::test]
async fn what_changes_something_needs_the_csrf_token_and_what_is_malformed_is_refused_in_the_apis_form() {
    let site = Site::start().await;
    let mut browser = site.signed_in("adam").await;
    let codes = json!({ "kinds": ["desktop"] });
    assert_eq!(browser.post("/api/v2/enrolment-codes", &codes).await.0, 201);
    let token = browser.csrf.replace("0".repeat(48));
    let (status, body) = browser.post("/api/v2/enrolment-codes", &codes).await;
    assert_eq!((status, &body["error"]["code"]), (403, &json!("csrf")));
    browser.csrf = None;
    assert_eq!(browser.post("/api/v2/enrolment-codes", &codes).await.0, 403);
    browser.csrf = token;
    for (path, body) in [
        ("/api/v2/enrolment-codes", json!({ "kinds": ["nonsense"] })),
        ("/api/v2/enrolment-codes", json!({ "kinds": ["desktop"], "more": 1 })),
        ("/api/v2/session", json!([])),
    ] {
        let (status, body) = browser.post(path, &body).await;
        assert!(status == 422 || status == 400, "{status}");
        assert!(body["error"]["code"].is_string(), "{body}");
    }
    let large = json!({ "login": "x".repeat(100_000), "password": "" });
    assert_eq!(browser.post("/api/v2/session", &large).await.0, 413);
    assert_eq!(browser.get("/api/v2/interactions?cursor=nonsense").await.0, 400);
    assert_eq!(browser.get("/api/v2/interactions/nonsense").await.0, 404);
    assert_eq!(browser.get("/api/v2/nothing").await.0, 404);
    site.stop().await;
}

#[tokio::test]
async fn who_guesses_is_locked_out_even_with_the_right_password_in_the_end() {
    let site = Site::start().await;
    let mut browser = site.browser();
    for _ in 0..5 {
        assert_eq!(browser.sign_in("sue", "wrong").await.0, 401);
    }
    let (status, body) = browser.sign_in("sue", PASSWORD).await;
    assert_eq!((status, &body["error"]["code"]), (429, &json!("too_many_attempts")));
    assert_eq!(browser.sign_in("adam", PASSWORD).await.0, 200);
    // Many logins from one address lock the address.
    let mut last = 0;
    for n in 0..40 {
        last = site.browser().sign_in(&format!("nobody{n}"), "x").await.0;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
    assert_eq!(site.browser().sign_in("adam", PASSWORD).await.0, 429);
    site.stop().await;
}

/// A browser on another host.
fn elsewhere(site: &Site) -> Browser {
    let ca = reqwest::Certificate::from_pem(site.authority.certificate_pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([ca]).no_proxy();
    let mut browser = site.browser();
    browser.client = client.local_address(std::net::IpAddr::from([127, 0, 0, 2])).build().unwrap();
    browser
}

#[tokio::test]
async fn who_guesses_locks_out_themselves_and_not_the_person_elsewhere() {
    let site = Site::start().await;
    for _ in 0..5 {
        assert_eq!(site.browser().sign_in("sue", "wrong").await.0, 401);
    }
    assert_eq!(site.browser().sign_in("sue", PASSWORD).await.0, 429, "here nothing is heard");
    assert_eq!(elsewhere(&site).sign_in("sue", PASSWORD).await.0, 200, "there the person gets in");
    assert_eq!(site.browser().sign_in("sue", PASSWORD).await.0, 429, "which forgives nothing here");
    site.stop().await;
}

#[tokio::test]
async fn guesses_from_many_addresses_lock_the_person_for_a_while() {
    let site = Site::start().await;
    let mut write = site.database.write().await.unwrap();
    let sue = persons::by_login(&mut write, "sue").await.unwrap().unwrap();
    // As many addresses have left it.
    persons::set_attempts(&mut write, sue.id, 49, None).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(site.browser().sign_in("sue", "wrong").await.0, 401);
    assert_eq!(elsewhere(&site).sign_in("sue", PASSWORD).await.0, 429);
    site.stop().await;
}

#[tokio::test]
async fn who_has_no_role_any_more_is_signed_out_and_does_not_get_in() {
    let site = Site::start().await;
    let browser = site.signed_in("ann").await;
    let device = site.device(DeviceKind::Desktop).await;
    let (mut desktop, _) = Link::desktop(&site, &device).await;
    assert_eq!(browser.get("/api/v2/session").await.0, 200);
    let file = "[[person]]\nlogin = \"ann\"\nname = \"ann by name\"\nroles = []\n";
    let file = hindsight_management::SiteFile::parse(file).unwrap();
    let plan = hindsight_management::plan_file(&site.database, file).await.unwrap();
    hindsight_management::apply(&site.database, &plan, "test", "", Timestamp::now()).await.unwrap();
    assert_eq!(browser.get("/api/v2/session").await.0, 401);
    assert!(matches!(desktop.next().await, Down::Refused { retry: false, .. }), "nor at the desktop");
    let (status, body) = site.browser().sign_in("ann", PASSWORD).await;
    assert_eq!((status, &body["error"]["code"]), (403, &json!("no_role")));
    assert_eq!(site.browser().sign_in("ann", "wrong").await.0, 401, "told only to who knows the password");
    site.stop().await;
}

#[tokio::test]
async fn an_idle_console_is_signed_out() {
    let site = Site::start_with(|config| config.idle_minutes = 0).await;
    let browser = site.signed_in("sue").await;
    assert_eq!(browser.get("/api/v2/session").await.0, 401);
    site.stop().await;
}

#[tokio::test]
async fn the_service_tells_how_it_is() {
    let site = Site::start().await;
    let browser = site.browser();
    assert_eq!(browser.request("GET", "/livez").send().await.unwrap().status(), 200);
    let (status, ready) = browser.get("/readyz").await;
    assert_eq!((status, &ready["ready"]), (200, &json!(true)));
    assert_eq!(ready["links"], json!({ "sipServer": false, "resourceManager": false, "mediaServer": false }));
    let device = site.device(DeviceKind::MediaServer).await;
    let link = Link::component(&site, &device).await;
    let (_, linked) = browser.get("/readyz").await;
    assert_eq!(linked["links"], json!({ "sipServer": false, "resourceManager": false, "mediaServer": true }));
    drop(link);
    // Uploads cannot be written: their folder is gone.
    std::fs::remove_dir(site.directory.path().join("objects/uploads")).unwrap();
    let (status, ready) = browser.get("/readyz").await;
    assert_eq!((status, &ready["uploads"], &ready["database"]), (503, &json!(false), &json!(true)));
    let metrics = browser.request("GET", "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("hindsight_http_requests_total"), "{metrics}");
    let (_, api) = browser.get("/openapi.json").await;
    assert!(api["paths"]["/api/v2/interactions"].is_object());
    site.stop().await;
}
