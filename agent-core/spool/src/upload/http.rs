//! tus and the manifest and receipt resources over HTTP: one request in, one answer out.

use super::{
    config::UploadConfig,
    paced::{Paced, Progress},
    state::{Answer, Outcome, Request},
    throttle::Throttle,
};
use crate::error::SpoolError;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hindsight_wire::RecordingId;
use reqwest::{
    Client, Method, RequestBuilder, Response, Url,
    header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER},
};
use ring::digest::{SHA256, digest};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Longest body of an answer that is read.
const MAX_BODY: usize = 1 << 20;
/// Longest text of an error that is kept.
const MAX_REASON: usize = 500;

pub(crate) struct Http {
    client: Client,
    base: Url,
    /// Longest time without progress: without a piece of the body taken, or an answer to its end.
    timeout: Duration,
    throttle: Arc<Mutex<Throttle>>,
}

/// What a request carries besides itself.
pub(crate) struct Sending<'a> {
    pub recording: RecordingId,
    /// `voice` or `screen`.
    pub kind: &'static str,
    /// Of the upload, once it is created.
    pub location: Option<&'a str>,
    /// Bytes of a PATCH, JSON of a manifest.
    pub body: Vec<u8>,
}

impl Http {
    pub fn new(
        client: Client,
        config: &UploadConfig,
        throttle: Arc<Mutex<Throttle>>,
    ) -> Result<Self, SpoolError> {
        let wrong = |reason: String| SpoolError::Configuration(format!("{}: {reason}", config.base_url));
        let base = Url::parse(&config.base_url).map_err(|error| wrong(error.to_string()))?;
        if base.cannot_be_a_base() || base.host().is_none() {
            return Err(wrong("no address of a server".to_owned()));
        }
        Ok(Self { client, base, timeout: Duration::from_millis(config.request_timeout_ms), throttle })
    }

    /// Sends one request; the body of an answer with status 200 is handed back beside it.
    pub async fn send(&self, request: &Request, sending: Sending<'_>) -> (Outcome, Vec<u8>) {
        let progress = Progress::new();
        let exchange = async {
            match self.build(request, sending, &progress) {
                Ok(builder) => match builder.send().await {
                    Ok(response) => self.read(response).await,
                    Err(error) => (Outcome::Lost(describe(&error)), Vec::new()),
                },
                Err(reason) => (Outcome::Local(reason), Vec::new()),
            }
        };
        tokio::select! {
            done = exchange => done,
            () = self.stalled(&progress) => (Outcome::Lost("timed out".to_owned()), Vec::new()),
        }
    }

    /// Returns when nothing has moved for too long.
    async fn stalled(&self, progress: &Progress) {
        loop {
            let limit = progress.last() + self.timeout;
            if Instant::now() >= limit {
                return;
            }
            tokio::time::sleep_until(limit.into()).await;
        }
    }

    fn build(
        &self,
        request: &Request,
        sending: Sending<'_>,
        progress: &Progress,
    ) -> Result<RequestBuilder, String> {
        let Sending { recording, kind, location, body } = sending;
        let api = |path: String| self.base.join(&path).map_err(|error| error.to_string());
        let upload = || {
            let location = location.ok_or("no upload to go on with")?;
            self.resolve(location).ok_or("the upload's address is none of this server's")
        };
        Ok(match *request {
            Request::Create { total } => {
                let builder = self.tus(Method::POST, api("/api/v2/uploads".to_owned())?);
                let metadata = format!(
                    "recording {},kind {}",
                    BASE64.encode(recording.to_string()),
                    BASE64.encode(kind)
                );
                let builder = builder.header("Upload-Metadata", metadata);
                match total {
                    Some(total) => builder.header("Upload-Length", total),
                    None => builder.header("Upload-Defer-Length", 1),
                }
            }
            Request::Head => self.tus(Method::HEAD, upload()?),
            Request::Patch { offset, declare, .. } => {
                let checksum = format!("sha256 {}", BASE64.encode(digest(&SHA256, &body)));
                let builder = self
                    .tus(Method::PATCH, upload()?)
                    .header(CONTENT_TYPE, "application/offset+octet-stream")
                    .header("Upload-Offset", offset)
                    .header("Upload-Checksum", checksum);
                let builder = match declare {
                    Some(total) => builder.header("Upload-Length", total),
                    None => builder,
                };
                builder.body(reqwest::Body::wrap(Paced::new(body, self.throttle.clone(), progress.clone())))
            }
            Request::Manifest => self
                .client
                .put(api(format!("/api/v2/recordings/{recording}/manifest"))?)
                .header(CONTENT_TYPE, "application/json")
                .body(body),
            Request::Receipt => self.client.get(api(format!("/api/v2/recordings/{recording}/receipt"))?),
        })
    }

    fn tus(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url).header("Tus-Resumable", "1.0.0")
    }

    /// A server may give an absolute or a relative address, but not another server's.
    fn resolve(&self, location: &str) -> Option<Url> {
        self.base.join(location).ok().filter(|url| url.origin() == self.base.origin())
    }

    async fn read(&self, mut response: Response) -> (Outcome, Vec<u8>) {
        let status = response.status();
        let headers = response.headers();
        let mut answer = Answer {
            status: status.as_u16(),
            offset: number(headers, "Upload-Offset"),
            length: number(headers, "Upload-Length"),
            location: headers
                .get(LOCATION)
                .and_then(|value| self.resolve(value.to_str().ok()?))
                .map(|url| url.to_string()),
            retry_after: number(headers, RETRY_AFTER.as_str()).map(Duration::from_secs),
            ..Answer::default()
        };
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_BODY => body.extend_from_slice(&chunk),
                Ok(Some(_)) => return (Outcome::Lost("answer too long".to_owned()), Vec::new()),
                Ok(None) => break,
                // The status of an error counts without its text.
                Err(_) if !status.is_success() => break,
                Err(error) => return (Outcome::Lost(describe(&error)), Vec::new()),
            }
        }
        if !status.is_success() {
            answer.reason = reason(&body);
        }
        (Outcome::Answered(answer), body)
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// `{"error":{"code","message"}}`, else the text itself.
fn reason(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Envelope {
        error: Inner,
    }
    #[derive(serde::Deserialize)]
    struct Inner {
        code: String,
        #[serde(default)]
        message: String,
    }
    let text = match serde_json::from_slice::<Envelope>(body) {
        Ok(Envelope { error: Inner { code, message } }) => format!("{code}: {message}"),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    text.chars().take(MAX_REASON).collect()
}

/// An error with its causes, without the address (it is in the configuration already).
fn describe(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { "timed out".to_owned() } else { "no answer".to_owned() };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    if text.contains("UnknownIssuer") {
        text.push_str("; whoever answers is not of this site: a proxy that looks inside TLS?");
    }
    text
}
