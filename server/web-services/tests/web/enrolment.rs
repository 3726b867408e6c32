//! Devices get their certificates, and lose them.

use crate::site::{Site, answer};
use hindsight_link::Identity;
use hindsight_wire::enrolment::DeviceKind;
use serde_json::json;

#[tokio::test]
async fn a_code_enrols_one_device_of_its_kind_once() {
    let site = Site::start().await;
    let string = site.enrolment_string(&[DeviceKind::MediaServer]).await;
    let directory = |name: &str| site.directory.path().join(name);
    let enrol = |name: &str, kind| {
        let (directory, string) = (directory(name), string.clone());
        async move { Identity::load_or_enrol(&directory, kind, "host", Some(&string)).await }
    };
    assert!(enrol("a", DeviceKind::Desktop).await.is_err(), "the code is for media servers");
    let identity = enrol("b", DeviceKind::MediaServer).await.unwrap();
    assert_eq!(identity.kind(), "media-server");
    assert!(enrol("c", DeviceKind::MediaServer).await.is_err(), "the code was used");
    site.stop().await;
}

#[tokio::test]
async fn guessing_codes_is_slowed_down_and_a_bad_request_uses_no_code_up() {
    let site = Site::start().await;
    let string = site.enrolment_string(&[DeviceKind::Desktop]).await;
    let browser = site.browser();
    let body = |code: &str, csr: &str| json!({ "code": code, "kind": "desktop", "name": "x", "csr": csr });
    assert_eq!(browser.post("/api/v2/devices", &body(&string.code, "no request")).await.0, 422);
    let mut statuses = Vec::new();
    for n in 0..14 {
        statuses.push(browser.post("/api/v2/devices", &body(&format!("guess{n}"), "")).await.0);
    }
    assert_eq!((statuses[0], statuses[13]), (403, 429), "{statuses:?}");
    site.stop().await;
}

#[tokio::test]
async fn a_revoked_device_and_a_browser_are_no_devices() {
    let site = Site::start().await;
    let device = site.device(DeviceKind::Desktop).await;
    let client = device.http_client().unwrap();
    let path = "/api/v2/desktop/sign-in";
    let body = json!({ "login": "ann", "password": crate::site::PASSWORD });
    let (status, signed_in) = answer(client.post(site.url(path)).json(&body)).await;
    assert_eq!((status, &signed_in["dn"]), (200, &json!("1001")));
    let wrong_dn = json!({ "login": "ann", "password": crate::site::PASSWORD, "dn": "9999" });
    assert_eq!(answer(client.post(site.url(path)).json(&wrong_dn)).await.0, 422);
    let (status, refused) = answer(site.browser().client.post(site.url(path)).json(&body)).await;
    assert_eq!((status, &refused["error"]["code"]), (401, &json!("no_device_certificate")));
    let admin = site.signed_in("adam").await;
    let revoke = admin.request("DELETE", &format!("/api/v2/devices/{}", device.device()));
    assert_eq!(revoke.send().await.unwrap().status(), 204);
    assert_eq!(answer(client.post(site.url(path)).json(&body)).await.0, 401);
    assert_eq!(site.signed_in("sue").await.get("/api/v2/devices").await.0, 403);
    site.stop().await;
}
