//! The identity provider, asked: OpenID Connect Core 1.0, authorization code with PKCE (RFC 7636), discovery.
//!
//! Believed is only an ID token with a good signature of the provider's present keys, for us, in time, with our nonce. What
//! the token does not tell is asked of the userinfo endpoint, about the same subject.

use super::{config::SingleSignOnConfig, refusal::Refusal};
use crate::WebError;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use openidconnect::{
    AccessToken, AccessTokenHash, AdditionalClaims, AuthType, AuthorizationCode, ClaimsVerificationError,
    ClientId, ClientSecret, CsrfToken, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RequestTokenError, Scope, SignatureVerificationError, SubjectIdentifier, TokenResponse as _,
    UserInfoClaims,
    core::{
        CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreGenderClaim, CoreIdToken,
        CoreIdTokenVerifier, CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreTokenResponse,
    },
};
use reqwest::{Certificate, redirect::Policy};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// What the provider says of itself is asked again after this time, and when a key is missing.
const KNOWN_FOR: Duration = Duration::from_secs(600);
/// One answer of the provider comes within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer.
const LARGEST: usize = 1 << 20;
/// Longest account name.
const LONGEST_ACCOUNT: usize = 256;

/// A client of the provider, with the endpoints that discovery found.
type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Everything else that the provider tells of a person.
#[derive(Debug, Serialize, Deserialize)]
struct OtherClaims(Map<String, Value>);

impl AdditionalClaims for OtherClaims {}

/// Why a request to the provider failed.
#[derive(Debug, thiserror::Error)]
enum HttpError {
    #[error(transparent)]
    Request(#[from] reqwest::Error),
    #[error("its answer is larger than {LARGEST} bytes")]
    TooLarge,
    #[error(transparent)]
    Http(#[from] axum::http::Error),
}

/// What is kept of a begin, to check the end with.
pub struct Proof {
    nonce: Nonce,
    verifier: PkceCodeVerifier,
}

/// A begun authorization.
pub struct Begun {
    /// For the browser.
    pub url: String,
    /// Comes back with the browser.
    pub state: String,
    /// Stays here.
    pub proof: Proof,
}

/// The site's provider.
pub struct Provider {
    config: SingleSignOnConfig,
    issuer: IssuerUrl,
    redirect: RedirectUrl,
    secret: Option<ClientSecret>,
    http: reqwest::Client,
    known: Mutex<Option<(Instant, Arc<CoreProviderMetadata>)>>,
}

impl Provider {
    /// Of this configuration; the provider is not asked yet.
    pub fn new(config: SingleSignOnConfig) -> Result<Self, WebError> {
        let wrong =
            |what: &str, why: &dyn std::fmt::Display| WebError::SingleSignOn(format!("{what}: {why}"));
        let issuer = IssuerUrl::new(config.issuer.clone()).map_err(|error| wrong("issuer", &error))?;
        let redirect =
            RedirectUrl::new(config.redirect_uri.clone()).map_err(|error| wrong("redirect_uri", &error))?;
        for (name, url) in [("issuer", issuer.url()), ("redirect_uri", redirect.url())] {
            if url.scheme() != "https" {
                return Err(wrong(name, &"it must begin with https://"));
            }
        }
        let secret = config.secret().map_err(|(path, source)| WebError::File { path, source })?;
        let mut http = reqwest::Client::builder()
            .https_only(true)
            .redirect(Policy::none())
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE);
        if let Some(path) = &config.ca_file {
            let unusable = |why: String| WebError::Certificate { path: path.clone(), why };
            let pem = crate::state::read(path)?;
            let certificates = Certificate::from_pem_bundle(pem.as_bytes());
            let certificates = certificates.map_err(|error| unusable(error.to_string()))?;
            if certificates.is_empty() {
                return Err(unusable("it holds no certificate".to_owned()));
            }
            http = http.tls_certs_only(certificates);
        }
        let http = http.build().map_err(|error| wrong("HTTP client", &error))?;
        let secret = secret.map(ClientSecret::new);
        Ok(Self { config, issuer, redirect, secret, http, known: Mutex::default() })
    }

    /// A new authorization, for a browser.
    pub async fn begin(&self) -> Result<Begun, Refusal> {
        let client = self.client(&*self.metadata(false).await?);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let scopes = self.config.scopes.iter().map(|scope| Scope::new(scope.clone()));
        let (url, state, nonce) = client
            .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
            .add_scopes(scopes)
            .set_pkce_challenge(challenge)
            .url();
        if url.scheme() != "https" {
            return Err(Refusal::Unreachable("its authorization endpoint is not https".to_owned()));
        }
        let proof = Proof { nonce, verifier };
        Ok(Begun { url: url.into(), state: state.into_secret(), proof })
    }

    /// The account that the provider's code stands for: the value of the configured claim.
    pub async fn account(&self, code: String, proof: Proof) -> Result<String, Refusal> {
        let Proof { nonce, verifier } = proof;
        let client = self.client(&*self.metadata(false).await?);
        let http = |request| send(self.http.clone(), request);
        let exchange = client.exchange_code(AuthorizationCode::new(code));
        let exchange = exchange.map_err(|error| unreachable(&error))?.set_pkce_verifier(verifier);
        let answer = exchange.request_async(&http).await.map_err(refused)?;
        let token = answer.id_token();
        let token = token.ok_or_else(|| Refusal::Untrusted("it holds no ID token".to_owned()))?;
        let subject = self.verified(token, &answer, &nonce).await?;
        let mut claims = payload(token)?;
        if !claims.contains_key(&self.config.claim) {
            let access = answer.access_token().clone();
            claims.extend(self.user_info(&client, access, subject).await?);
        }
        account(&claims, &self.config.claim)
    }

    /// Checks an ID token, with newer keys if the known ones do not do; who it is about.
    async fn verified(
        &self,
        token: &CoreIdToken,
        answer: &CoreTokenResponse,
        nonce: &Nonce,
    ) -> Result<SubjectIdentifier, Refusal> {
        let mut metadata = self.metadata(false).await?;
        let mut result = check(&self.verifier(&metadata), token, answer, nonce);
        if let Err(ClaimsVerificationError::SignatureVerification(
            SignatureVerificationError::NoMatchingKey | SignatureVerificationError::CryptoError(_),
        )) = result
        {
            metadata = self.metadata(true).await?;
            result = check(&self.verifier(&metadata), token, answer, nonce);
        }
        result.map_err(|error| {
            tracing::warn!(error = with_causes(&error), "an ID token was refused");
            Refusal::Untrusted(with_causes(&error))
        })
    }

    /// Asymmetric signatures only: what was signed with the client secret could be made by whoever knows it.
    fn verifier(&self, metadata: &CoreProviderMetadata) -> CoreIdTokenVerifier<'static> {
        let offered = metadata.id_token_signing_alg_values_supported();
        let allowed: Vec<_> = offered.iter().filter(|algorithm| is_asymmetric(algorithm)).cloned().collect();
        CoreIdTokenVerifier::new_public_client(
            ClientId::new(self.config.client_id.clone()),
            self.issuer.clone(),
            metadata.jwks().clone(),
        )
        .set_allowed_algs(allowed)
    }

    async fn user_info(
        &self,
        client: &Client,
        access: AccessToken,
        subject: SubjectIdentifier,
    ) -> Result<Map<String, Value>, Refusal> {
        let http = |request| send(self.http.clone(), request);
        let Ok(request) = client.user_info(access, Some(subject)) else { return Ok(Map::new()) };
        let claims: UserInfoClaims<OtherClaims, CoreGenderClaim> =
            request.request_async(&http).await.map_err(|error| unreachable(&error))?;
        match serde_json::to_value(claims) {
            Ok(Value::Object(claims)) => Ok(claims),
            Ok(_) | Err(_) => Err(Refusal::Untrusted("its user information is no object".to_owned())),
        }
    }

    fn client(&self, metadata: &CoreProviderMetadata) -> Client {
        let methods = metadata.token_endpoint_auth_methods_supported();
        let only_in_body = methods.is_some_and(|methods| {
            methods.contains(&CoreClientAuthMethod::ClientSecretPost)
                && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
        });
        let id = ClientId::new(self.config.client_id.clone());
        let client = CoreClient::from_provider_metadata(metadata.clone(), id, self.secret.clone())
            .set_redirect_uri(self.redirect.clone());
        if only_in_body { client.set_auth_type(AuthType::RequestBody) } else { client }
    }

    /// What the provider says of itself, with its keys.
    async fn metadata(&self, anew: bool) -> Result<Arc<CoreProviderMetadata>, Refusal> {
        let mut known = self.known.lock().await;
        let now = Instant::now();
        if let Some((at, metadata)) = &*known
            && !anew
            && now.duration_since(*at) < KNOWN_FOR
        {
            return Ok(metadata.clone());
        }
        let http = |request| send(self.http.clone(), request);
        let found = CoreProviderMetadata::discover_async(self.issuer.clone(), &http).await;
        let metadata = Arc::new(found.map_err(|error| unreachable(&error))?);
        *known = Some((now, metadata.clone()));
        Ok(metadata)
    }
}

/// Every check of OpenID Connect Core 3.1.3.7, and that the access token is the one that was meant.
fn check(
    verifier: &CoreIdTokenVerifier<'_>,
    token: &CoreIdToken,
    answer: &CoreTokenResponse,
    nonce: &Nonce,
) -> Result<SubjectIdentifier, ClaimsVerificationError> {
    let claims = token.claims(verifier, nonce)?;
    if let Some(expected) = claims.access_token_hash() {
        let algorithm = token.signing_alg().map_err(ClaimsVerificationError::SignatureVerification)?;
        let key = token.signing_key(verifier).map_err(ClaimsVerificationError::SignatureVerification)?;
        let other = |why: String| ClaimsVerificationError::Other(why);
        let actual = AccessTokenHash::from_token(answer.access_token(), algorithm, key);
        if actual.map_err(|error| other(error.to_string()))? != *expected {
            return Err(other("it came with another access token than it is for".to_owned()));
        }
    }
    Ok(claims.subject().clone())
}

fn is_asymmetric(algorithm: &CoreJwsSigningAlgorithm) -> bool {
    !matches!(
        algorithm,
        CoreJwsSigningAlgorithm::HmacSha256
            | CoreJwsSigningAlgorithm::HmacSha384
            | CoreJwsSigningAlgorithm::HmacSha512
            | CoreJwsSigningAlgorithm::None
    )
}

/// All claims of a token that was verified before.
fn payload(token: &CoreIdToken) -> Result<Map<String, Value>, Refusal> {
    let text = token.to_string();
    let part = text.split('.').nth(1).unwrap_or_default();
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).ok();
    let claims = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    claims.ok_or_else(|| Refusal::Untrusted("the ID token is no object".to_owned()))
}

fn account(claims: &Map<String, Value>, claim: &str) -> Result<String, Refusal> {
    if claim == "email" && claims.get("email_verified") == Some(&Value::Bool(false)) {
        return Err(Refusal::Unverified);
    }
    let told = claims.get(claim).and_then(Value::as_str).map(str::trim);
    let told = told.filter(|account| !account.is_empty() && account.len() <= LONGEST_ACCOUNT);
    told.map(str::to_owned).ok_or_else(|| Refusal::NoClaim(claim.to_owned()))
}

async fn send(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let mut answer = http.execute(request.try_into()?).await?;
    let mut response = axum::http::Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        if body.len() + piece.len() > LARGEST {
            return Err(HttpError::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    Ok(response.body(body)?)
}

/// Why a code was not exchanged.
fn refused<T>(error: RequestTokenError<HttpError, T>) -> Refusal
where
    T: openidconnect::ErrorResponse + 'static,
{
    match error {
        RequestTokenError::ServerResponse(said) => {
            tracing::warn!(?said, "the identity provider does not exchange a code");
            Refusal::Provider("it does not accept the code that it gave".to_owned())
        }
        other @ (RequestTokenError::Request(_)
        | RequestTokenError::Parse(..)
        | RequestTokenError::Other(_)) => unreachable(&other),
    }
}

fn unreachable(error: &(dyn Error + 'static)) -> Refusal {
    let why = with_causes(error);
    tracing::warn!(error = why, "the identity provider cannot be used");
    Refusal::Unreachable(why)
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(claims: Value, claim: &str) -> Result<String, Refusal> {
        account(claims.as_object().unwrap(), claim)
    }

    #[test]
    fn an_account_is_the_text_of_the_claim_and_nothing_else() {
        assert_eq!(of(json!({"upn": " ann "}), "upn"), Ok("ann".to_owned()));
        for odd in [json!({}), json!({"upn": 5}), json!({"upn": ""}), json!({"upn": "x".repeat(300)})] {
            assert_eq!(of(odd, "upn"), Err(Refusal::NoClaim("upn".into())));
        }
    }

    #[test]
    fn an_address_that_the_provider_has_not_verified_is_nobodys() {
        let claims = |verified: bool| json!({"email": "ann@example.org", "email_verified": verified});
        assert_eq!(of(claims(false), "email"), Err(Refusal::Unverified));
        assert_eq!(of(claims(true), "email"), Ok("ann@example.org".to_owned()));
    }

    #[test]
    fn signatures_that_need_no_secret_of_the_provider_are_not_believed() {
        assert!(is_asymmetric(&CoreJwsSigningAlgorithm::EcdsaP256Sha256));
        for algorithm in [CoreJwsSigningAlgorithm::HmacSha256, CoreJwsSigningAlgorithm::None] {
            assert!(!is_asymmetric(&algorithm));
        }
    }

    #[test]
    fn a_configuration_without_tls_or_its_files_is_refused_by_name() {
        let config = |issuer: &str, more: Value| {
            let mut config = json!({"issuer": issuer, "client_id": "x", "redirect_uri": "https://here/"});
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Provider::new(serde_json::from_value(config).unwrap()).err().map(|error| error.to_string())
        };
        assert_eq!(config("https://id.example", json!({})), None);
        let refused = |issuer, more, word: &str| {
            let error = config(issuer, more).unwrap_or_default();
            assert!(error.contains(word), "{error}");
        };
        refused("http://id.example", json!({}), "issuer");
        refused("https://id.example", json!({"redirect_uri": "http://here/"}), "redirect_uri");
        refused(
            "https://id.example",
            json!({"client_secret_file": "/nonexistent/secret"}),
            "/nonexistent/secret",
        );
        refused("https://id.example", json!({"ca_file": "/nonexistent/ca.pem"}), "/nonexistent/ca.pem");
    }
}
