//! The supervisor against real processes and the real socket.

use super::*;
use hindsight_local::{Asked, Listener, serve, socket_path};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};

const LIMIT: Duration = Duration::from_secs(20);

/// A recorder that is a shell script.
fn script(dir: &Path, text: &str) -> Start {
    let program = dir.join("recorder");
    fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Start { program, config: None, data_dir: dir.join("data") }
}

struct Rig {
    dir: TempDir,
    events: mpsc::Receiver<Event>,
    recorder: Recorder,
    running: JoinHandle<()>,
}

fn supervise(text: &str) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let start = script(dir.path(), text);
    let (sender, events) = mpsc::channel(64);
    let (supervisor, recorder) = Supervisor::new(start, socket_path(&dir.path().join("data")), sender);
    Rig { dir, events, recorder, running: tokio::spawn(supervisor.run()) }
}

impl Rig {
    /// A recorder's end of the socket, as the script would open it.
    fn listen(&self, pid: u32) -> (JoinHandle<()>, mpsc::Receiver<Asked>) {
        let (asks, asked) = mpsc::channel(8);
        let status = DesktopStatus { pid, ..DesktopStatus::default() };
        let (_keep, watched) = watch::channel(status);
        let listener = Listener::bind(&socket_path(&self.dir.path().join("data"))).unwrap();
        let serving = tokio::spawn(async move {
            let _keep = _keep;
            serve(listener, watched, asks).await;
        });
        (serving, asked)
    }

    async fn next(&mut self) -> Event {
        timeout(LIMIT, self.events.recv()).await.expect("an event").expect("a supervisor")
    }

    async fn starts(&self, times: usize) {
        let file = self.dir.path().join("starts");
        let started = || fs::read_to_string(&file).unwrap_or_default().lines().count() >= times;
        let wait = async {
            while !started() {
                tokio::time::sleep(LOOK).await;
            }
        };
        timeout(LIMIT, wait).await.expect("the recorder is started");
    }
}

const LIVES: &str = r#"echo $$ >> "$HINDSIGHT_RECORDER_DATA_DIR/../starts"; exec sleep 600"#;
const DIES: &str = r#"echo $$ >> "$HINDSIGHT_RECORDER_DATA_DIR/../starts"; exit 3"#;

fn end(pid: &str) {
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

#[tokio::test]
async fn a_recorder_that_is_killed_is_started_again_and_its_end_is_told() {
    let mut rig = supervise(LIVES);
    rig.starts(1).await;
    let (serving, _asked) = rig.listen(1);
    assert!(matches!(rig.next().await, Event::Status(status) if status.pid == 1));
    let starts = rig.dir.path().join("starts");
    let first = fs::read_to_string(&starts).unwrap();
    end(first.trim());
    serving.abort();
    assert_eq!(rig.next().await, Event::Gone);
    assert_eq!(rig.recorder.ask(Ask::SignOut).await, Err(NOT_THERE.to_owned()));
    rig.starts(2).await;
    let (_serving, mut asked) = rig.listen(2);
    assert!(matches!(rig.next().await, Event::Status(status) if status.pid == 2));
    assert_eq!(rig.next().await, Event::Restarted { cause: "signal 9 ended it".to_owned() });
    let recorder = rig.recorder.clone();
    let asking = tokio::spawn(async move { recorder.ask(Ask::SignOut).await });
    timeout(LIMIT, asked.recv()).await.unwrap().unwrap().reply.done();
    assert!(asking.await.unwrap().is_ok());
    // The shell ends: the recorder lives on, in a session of its own.
    rig.running.abort();
    let _ = rig.running.await;
    let text = fs::read_to_string(&starts).unwrap();
    let second = text.lines().last().unwrap();
    let pid = rustix::process::Pid::from_raw(second.parse().unwrap()).unwrap();
    assert!(rustix::process::test_kill_process(pid).is_ok(), "it lives on");
    assert_eq!(rustix::process::getsid(Some(pid)).unwrap(), pid, "a session of its own");
    end(second);
}

#[tokio::test]
async fn a_running_recorder_is_attached_to_and_none_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let start = script(dir.path(), DIES);
    let socket = socket_path(&start.data_dir);
    let (asks, _asked) = mpsc::channel(8);
    let (_status, watched) = watch::channel(DesktopStatus { pid: 9, ..DesktopStatus::default() });
    let _serving = tokio::spawn(serve(Listener::bind(&socket).unwrap(), watched, asks));
    let (sender, mut events) = mpsc::channel(8);
    let (supervisor, _recorder) = Supervisor::new(start, socket, sender);
    let _running = tokio::spawn(supervisor.run());
    let event = timeout(LIMIT, events.recv()).await.unwrap().unwrap();
    assert!(matches!(event, Event::Status(status) if status.pid == 9));
    assert!(!dir.path().join("starts").exists());
}

#[tokio::test]
async fn a_recorder_that_ends_again_and_again_is_told_of_and_not_started_in_a_loop() {
    let mut rig = supervise(DIES);
    let begun = Instant::now();
    assert_eq!(rig.next().await, Event::Down { reason: "it ended with status 3".to_owned() });
    assert!(begun.elapsed() >= Duration::from_millis(1_500), "0.5 s and 1 s between three starts");
    let starts = fs::read_to_string(rig.dir.path().join("starts")).unwrap();
    assert_eq!(starts.lines().count(), 3);
}

#[tokio::test]
async fn a_recorder_that_is_not_there_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("nowhere");
    let start = Start { program: program.clone(), config: None, data_dir: dir.path().join("data") };
    let (sender, mut events) = mpsc::channel(8);
    let (supervisor, _recorder) = Supervisor::new(start, socket_path(dir.path()), sender);
    let _running = tokio::spawn(supervisor.run());
    let event = timeout(LIMIT, events.recv()).await.unwrap().unwrap();
    assert!(matches!(event, Event::Down { reason } if reason.contains(program.to_str().unwrap())));
}
