//! The console's pages, embedded when they were built before this crate was (`ui/console/dist`).

use crate::error::ApiError;
use axum::{
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};

/// `build.rs` points at `ui/console/dist`, or at a page that says that it was not built.
#[derive(RustEmbed)]
#[folder = "$HINDSIGHT_CONSOLE"]
struct Pages;

/// Files under this prefix carry their hash in their name.
const HASHED: &str = "assets/";

/// Every address that is no other route's: a file of the console, or its first page (it routes in the browser).
pub async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path.starts_with("api/") {
        return ApiError::not_found().into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method", "pages are read only")
            .into_response();
    }
    match Pages::get(path) {
        Some(file) => page(path, file, &headers),
        // A file that is missing is not the first page: a browser would take that for a script.
        None if path.rsplit('/').next().is_some_and(|name| name.contains('.')) => {
            ApiError::not_found().into_response()
        }
        None => match Pages::get("index.html") {
            Some(file) => page("index.html", file, &headers),
            None => (StatusCode::NOT_FOUND, Html("interface not built")).into_response(),
        },
    }
}

fn page(path: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", hex::encode(file.metadata.sha256_hash()));
    let caching = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let common = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, caching.to_owned())];
    if known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag)) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let mut response = (common, file.data).into_response();
    let kind = HeaderValue::from_str(file.metadata.mimetype());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    response
}
