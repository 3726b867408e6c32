//! The client of the crypto server, for web services and recording processors. When to try again is theirs to decide.

use crate::api::{
    CERTIFICATES_PATH, Certificates, REPAIR_PATH, RecipientCertificate, Refusal, RepairRequest, Repaired,
    UNWRAP_PATH, UnwrapRequest, Unwrapped,
};
use hindsight_seal::DataKey;
use reqwest::{RequestBuilder, StatusCode, header::RETRY_AFTER};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A request takes milliseconds; past this the server is as good as down.
const LIMIT: Duration = Duration::from_secs(10);

/// Why there was no answer, or a refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Down, out of reach, stopping, or unable to write its audit log: the same request may succeed later.
    #[error("the crypto server is not available: {0}")]
    Unavailable(String),
    /// Too many keys for this actor; the same request may succeed after this.
    #[error("too many keys were asked for; try again in {} s", .0.as_secs())]
    Limited(Duration),
    /// The same request will be refused again.
    #[error("the crypto server refuses: {message} ({code})")]
    Refused {
        /// For programs.
        code: String,
        /// For people.
        message: String,
    },
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct CryptoClient {
    base: String,
    http: reqwest::Client,
}

impl CryptoClient {
    /// For the server at `base` (`https://127.0.0.1:8444`), with an HTTP client that shows a component's certificate and
    /// trusts the site's authority (`hindsight_link::Identity::http_client`).
    pub fn new(base: &str, http: reqwest::Client) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), http }
    }

    /// The data key of a recording.
    pub async fn unwrap(&self, request: &UnwrapRequest) -> Result<DataKey, ClientError> {
        let unwrapped: Unwrapped = self.send(self.post(UNWRAP_PATH).json(request)).await?;
        DataKey::from_json(&unwrapped.keyset).map_err(|error| ClientError::Unavailable(error.to_string()))
    }

    /// The last segment of a cut payload, sealed again as the final one.
    pub async fn repair(&self, request: &RepairRequest) -> Result<Vec<u8>, ClientError> {
        let repaired: Repaired = self.send(self.post(REPAIR_PATH).json(request)).await?;
        Ok(repaired.last_segment)
    }

    /// The certificates that new recordings are to be sealed for.
    pub async fn certificates(&self) -> Result<Vec<RecipientCertificate>, ClientError> {
        let request = self.http.get(format!("{}{CERTIFICATES_PATH}", self.base));
        let certificates: Certificates = self.send(request).await?;
        Ok(certificates.recipients)
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base))
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let unavailable = |error: reqwest::Error| ClientError::Unavailable(chain(&error));
        let response = request.timeout(LIMIT).send().await.map_err(unavailable)?;
        let status = response.status();
        if status.is_success() {
            return response.json().await.map_err(unavailable);
        }
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let refusal = response.json::<Refusal>().await.ok();
        let (code, message) = match refusal {
            Some(refusal) => (refusal.error.code, refusal.error.message),
            None => ("http".to_owned(), status.to_string()),
        };
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS => {
                ClientError::Limited(Duration::from_secs(retry_after.unwrap_or(1)))
            }
            status if status.is_server_error() => ClientError::Unavailable(message),
            _ => ClientError::Refused { code, message },
        })
    }
}

/// An error with its causes: `reqwest` alone says only that sending failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
