//! The HTTPS service.

use crate::{
    Config, CryptoError, KeyStore,
    api::{
        CERTIFICATES_PATH, Certificates, Proof, REPAIR_PATH, Refusal, RefusalDetail, RepairRequest, Repaired,
        UNWRAP_PATH, UnwrapRequest, Unwrapped,
    },
    audit::{AuditLog, Record},
    limit::Limiter,
    tls::{Peer, TlsListener, server_config},
};
use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, State, rejection::JsonRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hindsight_seal::{DataKey, HEADER_LEN, Opener, SealError, reseal_last};
use hindsight_wire::{RecordingId, Timestamp, enrolment::DeviceKind};
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Largest request: an envelope and a segment in base64 are far below it.
const LARGEST_REQUEST: usize = 64 * 1024;
/// Longest name of an actor.
const LONGEST_ACTOR: usize = 256;
/// Processors open every recording once, a burst of them after an outage.
const PROCESSOR_BURST: u32 = 1000;

struct Keeper {
    keys: KeyStore,
    audit: AuditLog,
    persons: Mutex<Limiter>,
    processors: Mutex<Limiter>,
    started: Instant,
}

/// Serves until `shutdown`: keys and audit log in `directory`, the listener's certificate in `identity` (a component's
/// directory).
pub async fn run(
    config: Config,
    identity: &Path,
    directory: &Path,
    shutdown: CancellationToken,
) -> Result<(), CryptoError> {
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| CryptoError::Tls(format!("{}: {error}", config.listen)))?;
    serve(listener, config, identity, directory, shutdown).await
}

/// As [`run`], on a socket that is bound already.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    identity: &Path,
    directory: &Path,
    shutdown: CancellationToken,
) -> Result<(), CryptoError> {
    let keys = KeyStore::open(directory)?;
    let audit = AuditLog::new(directory);
    audit.set_torn_tail_aside()?;
    let head = audit.verify()?;
    tracing::info!(keys = keys.certificates().len(), audit_records = head.sequence, "crypto server ready");
    let keeper = Arc::new(Keeper {
        keys,
        audit,
        persons: Mutex::new(Limiter::new(config.keys_at_once, config.keys_per_person_and_hour)),
        processors: Mutex::new(Limiter::new(PROCESSOR_BURST, config.keys_per_processor_and_hour)),
        started: Instant::now(),
    });
    let router = Router::new()
        .route(UNWRAP_PATH, post(unwrap))
        .route(REPAIR_PATH, post(repair))
        .route(CERTIFICATES_PATH, get(certificates))
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
        .with_state(keeper);
    let socket = |error: std::io::Error| CryptoError::Tls(error.to_string());
    let listener = TlsListener::new(listener, server_config(identity)?).map_err(socket)?;
    axum::serve(listener, router.into_make_service_with_connect_info::<Peer>())
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
        .map_err(socket)
}

/// Who may ask, and what for limits count as.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Caller {
    WebServices(String),
    Processor(String),
}

impl Caller {
    fn device(&self) -> &str {
        let (Caller::WebServices(device) | Caller::Processor(device)) = self;
        device
    }
}

fn caller(peer: &Peer) -> Result<Caller, Denied> {
    let Some(certificate) = &peer.0 else { return Err(Denied::Caller) };
    let device = certificate.common_name.clone();
    match certificate.organizational_unit.as_str() {
        unit if unit == DeviceKind::WebServices.as_str() => Ok(Caller::WebServices(device)),
        unit if unit == DeviceKind::RecordingProcessor.as_str() => Ok(Caller::Processor(device)),
        unit => {
            tracing::warn!(%device, unit, "refused: neither web services nor recording processor");
            Err(Denied::Caller)
        }
    }
}

/// Why a request is refused.
#[derive(Debug)]
enum Denied {
    Caller,
    Malformed(String),
    Limit(Duration),
    Seal(SealError),
    /// The record could not be written: no key.
    Audit,
    Stopped,
}

impl Denied {
    fn code(&self) -> &'static str {
        match self {
            Denied::Caller => "caller-refused",
            Denied::Malformed(_) => "malformed",
            Denied::Limit(_) => "too-many-keys",
            Denied::Seal(SealError::WrongKey) => "no-key",
            Denied::Seal(_) => "seal",
            Denied::Audit => "audit-unavailable",
            Denied::Stopped => "stopped",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Denied::Caller => StatusCode::FORBIDDEN,
            Denied::Malformed(_) => StatusCode::BAD_REQUEST,
            Denied::Limit(_) => StatusCode::TOO_MANY_REQUESTS,
            Denied::Seal(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Denied::Audit | Denied::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn message(&self) -> String {
        match self {
            Denied::Caller => "only web services and recording processors are heard".to_owned(),
            Denied::Malformed(why) => why.clone(),
            Denied::Limit(wait) => format!("too many keys asked for; the next in {} s", wait.as_secs() + 1),
            Denied::Seal(error) => error.to_string(),
            Denied::Audit => "the audit log cannot be written, so no key is given".to_owned(),
            Denied::Stopped => "the server is stopping".to_owned(),
        }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let error = RefusalDetail { code: self.code().to_owned(), message: self.message() };
        let mut response = (self.status(), Json(Refusal { error })).into_response();
        if let Denied::Limit(wait) = self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        response
    }
}

type Body<T> = Result<Json<T>, JsonRejection>;

async fn unwrap(
    State(keeper): State<Arc<Keeper>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Body<UnwrapRequest>,
) -> Result<Response, Denied> {
    let caller = caller(&peer)?;
    let Json(request) = body.map_err(|error| Denied::Malformed(error.body_text()))?;
    let key = on_blocking_thread(move || keeper.unwrap(&caller, &request, Timestamp::now())).await?;
    let answer = Unwrapped { keyset: key.to_json().as_str().to_owned() };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(&answer)).into_response())
}

async fn repair(
    State(keeper): State<Arc<Keeper>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Body<RepairRequest>,
) -> Result<Json<Repaired>, Denied> {
    let caller = caller(&peer)?;
    let Json(request) = body.map_err(|error| Denied::Malformed(error.body_text()))?;
    on_blocking_thread(move || keeper.repair(&caller, &request, Timestamp::now())).await.map(Json)
}

async fn certificates(
    State(keeper): State<Arc<Keeper>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Json<Certificates>, Denied> {
    caller(&peer)?;
    Ok(Json(Certificates { recipients: keeper.keys.recipients(Timestamp::now()) }))
}

async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Denied> + Send + 'static,
) -> Result<T, Denied> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Denied::Stopped))
}

impl Keeper {
    fn unwrap(&self, caller: &Caller, request: &UnwrapRequest, now: Timestamp) -> Result<DataKey, Denied> {
        let purpose = serde_json::to_value(request.purpose).ok().and_then(|p| p.as_str().map(str::to_owned));
        let key = self.checked(caller, &request.actor, &request.envelope).and_then(|key| {
            prove(request.recording, &key, &request.proof)?;
            Ok(key)
        });
        self.recorded(
            caller,
            "unwrap",
            &request.actor,
            request.recording,
            &purpose.unwrap_or_default(),
            now,
            key,
        )
    }

    fn repair(&self, caller: &Caller, request: &RepairRequest, now: Timestamp) -> Result<Repaired, Denied> {
        let payload = &request.payload;
        let repaired = self.checked(caller, &request.actor, &request.envelope).and_then(|key| {
            let id = request.recording.0;
            let last = reseal_last(id, &key, header(payload)?, payload.payload_size, &payload.last_segment);
            Ok(Repaired { last_segment: last.map_err(Denied::Seal)? })
        });
        self.recorded(caller, "repair", &request.actor, request.recording, "recover", now, repaired)
    }

    /// The envelope's key, within the limits of who asks.
    fn checked(&self, caller: &Caller, actor: &str, envelope: &[u8]) -> Result<DataKey, Denied> {
        if actor.is_empty() || actor.len() > LONGEST_ACTOR {
            return Err(Denied::Malformed("an actor is needed, of at most 256 bytes".to_owned()));
        }
        let (limiter, name) = match caller {
            Caller::WebServices(_) => (&self.persons, actor),
            Caller::Processor(device) => (&self.processors, device.as_str()),
        };
        let mut limiter = limiter.lock().unwrap_or_else(PoisonError::into_inner);
        limiter.take(name, self.started.elapsed()).map_err(Denied::Limit)?;
        drop(limiter);
        self.keys.unwrap(envelope).map_err(Denied::Seal)
    }

    /// Writes the record of what was asked and how it went; only then is the outcome handed on.
    #[allow(clippy::too_many_arguments)] // A record has that many fields.
    fn recorded<T>(
        &self,
        caller: &Caller,
        action: &str,
        actor: &str,
        recording: RecordingId,
        purpose: &str,
        now: Timestamp,
        outcome: Result<T, Denied>,
    ) -> Result<T, Denied> {
        let record = Record {
            at: now,
            actor: actor.chars().take(LONGEST_ACTOR).collect(),
            caller: caller.device().to_owned(),
            action: action.to_owned(),
            object: recording.to_string(),
            purpose: purpose.to_owned(),
            outcome: match &outcome {
                Ok(_) => "granted".to_owned(),
                Err(denied) => format!("refused: {}", denied.message()),
            },
        };
        match self.audit.append(record) {
            Ok(_) => outcome,
            Err(error) => {
                tracing::error!(%error, "no audit record, no key");
                Err(Denied::Audit)
            }
        }
    }
}

/// Opens the last segment with this key and this id: see [`Proof`].
fn prove(recording: RecordingId, key: &DataKey, proof: &Proof) -> Result<(), Denied> {
    let opener = Opener::new(recording.0, key, header(proof)?, proof.payload_size).map_err(Denied::Seal)?;
    opener.prove_length(&proof.last_segment).map_err(Denied::Seal)
}

fn header(proof: &Proof) -> Result<&[u8; HEADER_LEN], Denied> {
    let header = proof.header.as_slice().try_into();
    header.map_err(|_| Denied::Malformed(format!("a payload's header has {HEADER_LEN} bytes")))
}
