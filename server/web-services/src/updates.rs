//! `/api/v2/updates/{file}`: updates of the desktops, as the site's administrators put them into one directory: the signed
//! manifest `update.json`, its signature, the packages. We hold no key that could make one; a desktop believes the signature.

use crate::{
    error::{ApiError, ErrorBody},
    peer::Caller,
    state::App,
};
use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hindsight_wire::enrolment::DeviceKind;
use std::io::{ErrorKind, SeekFrom};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

/// Route of updates; takes as long as the bytes do.
pub fn routes() -> Router<App> {
    Router::new().route("/api/v2/updates/{file}", get(serve))
}

/// A file of the updates, for desktops; a transfer that broke off goes on by `Range: bytes=N-`.
#[utoipa::path(get, path = "/api/v2/updates/{file}", operation_id = "update_file", tag = "devices",
    params(("file" = String, Path, description = "`update.json`, `update.json.minisig` or a package named there")),
    responses(
        (status = 200, description = "The file", body = Vec<u8>),
        (status = 206, description = "Its end", body = Vec<u8>),
        (status = 404, description = "No such file: no update is offered", body = ErrorBody),
    ))]
pub(crate) async fn serve(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.require(&[DeviceKind::Desktop])?;
    if !is_file_name(&name) {
        return Err(ApiError::not_found());
    }
    let mut file = match tokio::fs::File::open(app.config.updates.join(&name)).await {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(ApiError::not_found()),
        Err(error) => return Err(ApiError::internal(&error)),
    };
    let metadata = file.metadata().await.map_err(|error| ApiError::internal(&error))?;
    if !metadata.is_file() {
        return Err(ApiError::not_found());
    }
    let (length, from) = (metadata.len(), first_byte(&headers));
    let from = match from {
        Some(from) if from >= length => {
            let range = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, range).into_response());
        }
        Some(from) => from,
        None => 0,
    };
    file.seek(SeekFrom::Start(from)).await.map_err(|error| ApiError::internal(&error))?;
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(length - from), 64 * 1024));
    let common = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, (length - from).to_string()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    if headers.contains_key(header::RANGE) && from > 0 {
        let range = [(header::CONTENT_RANGE, format!("bytes {from}-{}/{length}", length - 1))];
        return Ok((StatusCode::PARTIAL_CONTENT, common, range, body).into_response());
    }
    Ok((common, body).into_response())
}

/// Of `bytes=N-`; any other range is answered with the whole (RFC 9110 14.2).
fn first_byte(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::RANGE)?.to_str().ok()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

/// A plain name: nothing above or below the directory, nothing hidden.
fn is_file_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+' | b'~');
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_looked_for() {
        assert!(is_file_name("hindsight-desktop_1.0.0~rc.1_amd64.deb"));
        for name in ["", ".", "..", ".part", "a/b", "..\\a", "a\0"] {
            assert!(!is_file_name(name), "{name:?}");
        }
    }

    #[test]
    fn a_transfer_goes_on_where_it_broke_off() {
        let headers = |range: &str| HeaderMap::from_iter([(header::RANGE, range.parse().unwrap())]);
        assert_eq!(first_byte(&headers("bytes=7-")), Some(7));
        for other in ["bytes=7-9", "bytes=-7", "bytes=0-1,5-", "lines=7-"] {
            assert_eq!(first_byte(&headers(other)), None, "{other}");
        }
    }
}
