//! The web API as the console uses it.

use crate::{process::eventually, site::Site};
use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

pub struct Console {
    http: reqwest::Client,
    base: String,
    csrf: String,
    cookie: String,
}

impl Console {
    pub async fn sign_in(site: &Site, login: &str, password: &str) -> Result<Self> {
        let mut console =
            Self { http: site.http()?, base: site.url(), csrf: String::new(), cookie: String::new() };
        let body = json!({"login": login, "password": password});
        let response =
            console.http.post(format!("{}/api/v2/session", console.base)).json(&body).send().await?;
        let response = response.error_for_status().context("signing in")?;
        let cookie = response.headers().get("set-cookie").context("no cookie")?.to_str()?;
        console.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let session: Value = response.json().await?;
        console.csrf = session["csrfToken"].as_str().context("csrfToken")?.to_owned();
        Ok(console)
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, None).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let mut request = self.request(method.clone(), path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{method} {path}: {status} {text}");
        if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        request.header("X-CSRF-Token", &self.csrf).header("Cookie", &self.cookie)
    }

    /// Some bytes of a representation.
    pub async fn range(&self, path: &str, first: u64, last: u64) -> Result<Vec<u8>> {
        let response =
            self.request(Method::GET, path).header("Range", format!("bytes={first}-{last}")).send().await?;
        ensure!(response.status() == StatusCode::PARTIAL_CONTENT, "{path}: {}", response.status());
        Ok(response.bytes().await?.to_vec())
    }

    pub async fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let response = self.request(Method::GET, path).send().await?.error_for_status()?;
        Ok(response.bytes().await?.to_vec())
    }

    pub async fn by_number(&self, number: &str) -> Result<Vec<Value>> {
        let page = self.get(&format!("/api/v2/interactions?number={number}")).await?;
        Ok(page["items"].as_array().cloned().unwrap_or_default())
    }

    pub async fn interaction(&self, id: &str) -> Result<Value> {
        self.get(&format!("/api/v2/interactions/{id}")).await
    }

    /// Waits until the newest call of this number is as `wanted` says; the last state seen is told otherwise.
    pub async fn wait_for(
        &self,
        number: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        eventually(&format!("the call of {number}"), limit, || async {
            let calls = self.by_number(number).await?;
            let id = calls.first().and_then(|call| call["id"].as_str()).context("no such call yet")?;
            let call = self.interaction(id).await?;
            ensure!(wanted(&call), "it is {call:#}");
            Ok(call)
        })
        .await
    }

    /// Waits until voice and screen of the newest call have arrived whole.
    pub async fn wait_until_complete(&self, number: &str, limit: Duration) -> Result<Value> {
        self.wait_for(number, limit, |call| call["voice"] == "complete" && call["screen"] == "complete").await
    }

    pub async fn control(&self, interaction: &str, action: &str, reason: &str) -> Result<Value> {
        let body = json!({"action": action, "reason": reason});
        self.send(Method::POST, &format!("/api/v2/interactions/{interaction}/recording"), Some(body)).await
    }
}

/// The media files of one kind, in order of part and monitor.
pub fn media<'a>(call: &'a Value, kind: &str) -> Vec<&'a Value> {
    call["mediaFiles"].as_array().into_iter().flatten().filter(|file| file["kind"] == kind).collect()
}
