//! Both ends against each other over a real socket.

// A test's fixtures may fail the test; clippy knows only the test functions themselves.
#![allow(clippy::unwrap_used)]

use hindsight_local::{Asked, Client, Listener, serve, socket_path, transport};
use hindsight_wire::local::{Ask, DesktopStatus, LONGEST_LINE, LinkState};
use serde_json::json;
use std::{path::PathBuf, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(20);

struct Rig {
    _dir: TempDir,
    path: PathBuf,
    status: watch::Sender<DesktopStatus>,
    asks: mpsc::Receiver<Asked>,
    server: JoinHandle<()>,
}

fn rig() -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let path = socket_path(dir.path());
    let (status, watched) = watch::channel(DesktopStatus { pid: 7, ..DesktopStatus::default() });
    let (sender, asks) = mpsc::channel(64);
    let server = tokio::spawn(serve(Listener::bind(&path).unwrap(), watched, sender));
    Rig { _dir: dir, path, status, asks, server }
}

#[tokio::test]
async fn a_window_sees_every_newest_status_and_gets_its_answers() {
    let mut rig = rig();
    let (client, other) =
        (Client::connect(&rig.path).await.unwrap(), Client::connect(&rig.path).await.unwrap());
    assert_eq!(client.status().borrow().pid, 7);
    rig.status.send_modify(|status| status.link = LinkState::Up);
    for client in [&client, &other] {
        let mut status = client.status();
        timeout(LIMIT, status.wait_for(|status| status.link == LinkState::Up)).await.unwrap().unwrap();
    }
    let asking = tokio::spawn(async move { (client.request(Ask::SignOut).await, client) });
    let asked = timeout(LIMIT, rig.asks.recv()).await.unwrap().unwrap();
    assert_eq!(asked.ask, Ask::SignOut);
    asked.reply.answer(Ok(json!({"a": 1})));
    let (answer, client) = timeout(LIMIT, asking).await.unwrap().unwrap();
    assert_eq!(answer, Ok(json!({"a": 1})));
    let asking = tokio::spawn(async move { (client.request(Ask::Quit { now: false }).await, client) });
    drop(timeout(LIMIT, rig.asks.recv()).await.unwrap().unwrap());
    let (answer, client) = timeout(LIMIT, asking).await.unwrap().unwrap();
    assert_eq!(answer.unwrap_err(), "the recorder gave no answer");
    rig.server.abort();
    let mut status = client.status();
    timeout(LIMIT, async { while status.changed().await.is_ok() {} }).await.expect("the end shows");
    timeout(LIMIT, client.closed()).await.expect("the end shows");
    assert_eq!(client.request(Ask::SignOut).await.unwrap_err(), "the recorder is not running");
}

#[tokio::test]
async fn a_window_that_does_not_read_makes_nobody_wait_and_misses_only_what_is_old() {
    let rig = rig();
    let slow = transport::connect(&rig.path).await.unwrap();
    let client = Client::connect(&rig.path).await.unwrap();
    let rounds = 200_u32;
    for round in 1..=rounds {
        // 20 KB each: more than any socket buffer holds of all of them.
        rig.status.send_modify(|status| {
            status.pid = round;
            status.data_dir = "x".repeat(20_000);
        });
        if round % 20 == 0 {
            let mut status = client.status();
            timeout(LIMIT, status.wait_for(|status| status.pid == round)).await.unwrap().unwrap();
        }
    }
    drop(client);
    // The slow one wakes up: it is shown the newest soon, and was not sent each.
    let (mut seen, mut slow) = (Vec::new(), slow);
    let newest = format!("\"pid\":{rounds},");
    while !String::from_utf8_lossy(&seen).contains(&newest) {
        timeout(LIMIT, slow.read_buf(&mut seen)).await.unwrap().unwrap();
    }
    let lines = seen.iter().filter(|byte| **byte == b'\n').count();
    assert!(lines < rounds as usize / 2, "{lines}");
}

#[tokio::test]
async fn nonsense_is_answered_or_ends_the_connection_and_nothing_else() {
    let mut rig = rig();
    let good = Client::connect(&rig.path).await.unwrap();
    let mut raw = transport::connect(&rig.path).await.unwrap();
    raw.write_all(b"{\"id\":5,\"do\":\"from-the-future\"}\n").await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("\"failed\"") {
        assert_ne!(timeout(LIMIT, raw.read_buf(&mut seen)).await.unwrap().unwrap(), 0);
    }
    assert!(String::from_utf8_lossy(&seen).contains("\"id\":5"));
    for nonsense in
        [b"not json\n".to_vec(), b"{\"do\":\"sign-out\"}\n".to_vec(), vec![b'x'; LONGEST_LINE + 100_000]]
    {
        let mut raw = transport::connect(&rig.path).await.unwrap();
        // It may be let go before all is written.
        let _ = timeout(LIMIT, raw.write_all(&nonsense)).await.unwrap();
        let mut rest = Vec::new();
        let _ = timeout(LIMIT, raw.read_to_end(&mut rest)).await.expect("the connection ends");
    }
    assert!(rig.asks.try_recv().is_err());
    let asking = tokio::spawn(async move { good.request(Ask::SignOut).await });
    timeout(LIMIT, rig.asks.recv()).await.unwrap().unwrap().reply.done();
    assert!(timeout(LIMIT, asking).await.unwrap().unwrap().is_ok());
}
