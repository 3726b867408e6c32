use super::*;
use axum::{Router, extract::Path as Named, http::HeaderMap, routing::get};
use hindsight_update::manifest::fingerprint;

/// A server of one file that breaks off after `at_most` bytes of each answer.
async fn server(content: &'static [u8], at_most: usize) -> Source {
    let serve = move |Named(_): Named<String>, headers: HeaderMap| async move {
        let from = headers.get("range").map_or(0, |range| {
            range
                .to_str()
                .unwrap()
                .trim_start_matches("bytes=")
                .trim_end_matches('-')
                .parse::<usize>()
                .unwrap()
        });
        let status = if from > 0 { 206 } else { 200 };
        let end = content.len().min(from + at_most);
        (reqwest::StatusCode::from_u16(status).unwrap(), content[from..end].to_vec())
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/{file}", get(serve))).await });
    let directory = tempfile::tempdir().unwrap().keep().join("update");
    Source { client: reqwest::Client::new(), base, directory, request: Arc::default() }
}

fn package(content: &[u8]) -> Package {
    let (size, sha256) = fingerprint(content).unwrap();
    Package { format: "deb".into(), architecture: "x86_64".into(), file: "a.deb".into(), size, sha256 }
}

#[tokio::test]
async fn a_transfer_that_broke_off_goes_on_where_it_stopped() {
    let source = server(b"a package in pieces", 8).await;
    let package = package(b"a package in pieces");
    assert!(source.fetch(&package).await.is_err());
    assert!(source.fetch(&package).await.is_err());
    assert_eq!(fs::read(source.directory.join("a.deb")).unwrap(), b"a package in pie");
    source.fetch(&package).await.unwrap();
    source.fetch(&package).await.unwrap();
}

#[tokio::test]
async fn what_is_not_what_was_signed_is_refused() {
    let source = server(b"another package", 100).await;
    let error = source.fetch(&package(b"the real package")).await.unwrap_err();
    assert!(error.contains("not what was signed"), "{error}");
    let source = server(b"the real package, and more", 100).await;
    let error = source.fetch(&package(b"the real package")).await.unwrap_err();
    assert!(error.contains("longer"), "{error}");
}

#[test]
fn a_capture_or_an_interaction_keeps_updates_waiting() {
    assert!(!is_busy(&DesktopStatus::default()));
    for capture in [CaptureState::Recording, CaptureState::Paused, CaptureState::Failed] {
        assert!(is_busy(&DesktopStatus { capture, ..DesktopStatus::default() }));
    }
}
