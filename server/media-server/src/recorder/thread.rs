//! The recorder's loop: some twenty times a second it takes what the relay has queued, orders, seals and appends it.
//! Without captures it sleeps.

use crate::{
    clock::MonotonicClock,
    error::RecordError,
    recorder::{
        capture::PartySetup,
        recovery,
        run::{Run, Subject},
        site::Site,
    },
    relay::{TapQueue, tap},
};
use hindsight_model::{RecordingId, Timestamp};
use hindsight_spool::Spool;
use std::{
    collections::HashMap,
    sync::{Arc, mpsc},
    time::Duration,
};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Time between two turns: what a killed process loses beside the unsealed segment.
const TICK: Duration = Duration::from_millis(50);
/// Time between two turns without a capture; commands wake the loop at once.
const IDLE: Duration = Duration::from_secs(3600);

/// Most packets that wait for one recording: some ten seconds of both parties.
const MAX_WAITING: usize = 1_000;

/// Answers a command.
pub type Reply<T> = oneshot::Sender<Result<T, RecordError>>;

/// What the control side asks of the loop.
pub enum Command {
    /// A recording will be opened: its packets are kept until then.
    Expect(u32),
    /// Open a recording; its time 0 is this one, absent: now.
    Start(u32, Box<Subject>, Option<i64>, Reply<(RecordingId, Timestamp)>),
    /// Silence from this time on: by whom, why.
    Pause(u32, Option<i64>, String, String, Reply<()>),
    /// Go on.
    Resume(u32, Reply<()>),
    /// A new negotiation with a party.
    Renegotiate(u32, usize, PartySetup),
    /// Close the recording.
    Stop(u32, Reply<()>),
}

/// A packet whose recording is not open yet.
pub(super) struct Waiting {
    side: usize,
    at_us: i64,
    is_control: bool,
    bytes: Zeroizing<Vec<u8>>,
}

/// Everything the loop owns.
pub(super) struct Loop {
    pub spool: Spool,
    pub site: Arc<dyn Site>,
    pub clock: MonotonicClock,
    pub queue: Arc<TapQueue>,
    pub commands: mpsc::Receiver<Command>,
    pub runs: HashMap<u32, Run>,
    /// Packets of recordings that are about to be opened.
    pub expected: HashMap<u32, Vec<Waiting>>,
    pub buffer: Vec<u8>,
}

impl Loop {
    /// Runs until every sender of commands is gone; then closes what is open.
    pub fn run(mut self) {
        let mut next_us = 0;
        loop {
            let wait = if self.runs.is_empty() {
                IDLE
            } else {
                Duration::from_micros((next_us - self.clock.now_us()).max(0) as u64)
            };
            match self.commands.recv_timeout(wait) {
                Ok(command) => {
                    // What was queued before the command belongs before it, but to one who is expected.
                    if !matches!(command, Command::Expect(_)) {
                        self.drain();
                    }
                    self.apply(command);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            let now_us = self.clock.now_us();
            if now_us >= next_us {
                next_us = now_us + TICK.as_micros() as i64;
                self.drain();
                self.poll(now_us);
            }
        }
        self.drain();
        for token in self.runs.keys().copied().collect::<Vec<_>>() {
            if let Err(error) = self.stop(token) {
                tracing::error!(%error, "a recording could not be closed at shut-down");
            }
        }
    }

    fn drain(&mut self) {
        self.queue.take(&mut self.buffer);
        let (spool, site) = (&self.spool, &*self.site);
        let before = self.runs.len();
        for packet in tap::packets(&self.buffer) {
            let side = usize::from(packet.party);
            let Some(run) = self.runs.get_mut(&packet.capture) else {
                if let Some(waiting) = self.expected.get_mut(&packet.capture)
                    && waiting.len() < MAX_WAITING
                {
                    let bytes = Zeroizing::new(packet.bytes.to_vec());
                    let (at_us, is_control) = (packet.at_us, packet.is_control);
                    waiting.push(Waiting { side, at_us, is_control, bytes });
                }
                continue;
            };
            if packet.is_control {
                run.control(side, packet.at_us, packet.bytes);
                continue;
            }
            if let Err(error) = run.packet(spool, site, side, packet.at_us, packet.bytes) {
                run.failed(packet.capture, site, &error);
                self.runs.remove(&packet.capture);
            }
        }
        // Memory that held voice is not left to the allocator as it is.
        self.buffer.fill(0);
        self.recover(before);
    }

    /// A recording that broke is closed as after a crash.
    fn recover(&self, runs_before: usize) {
        if self.runs.len() < runs_before {
            recovery::close_interrupted(&self.spool, &*self.site);
        }
    }

    fn poll(&mut self, now_us: i64) {
        let before = self.runs.len();
        let site = &*self.site;
        self.runs.retain(|token, run| match run.poll(now_us) {
            Ok(()) => true,
            Err(error) => {
                run.failed(*token, site, &error);
                false
            }
        });
        self.recover(before);
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Expect(token) => drop(self.expected.insert(token, Vec::new())),
            Command::Start(token, subject, since_us, reply) => {
                let waiting = self.expected.remove(&token).unwrap_or_default();
                let _ = reply.send(self.start(token, *subject, since_us, &waiting));
            }
            Command::Pause(token, at_us, by, reason, reply) => {
                let at_us = at_us.unwrap_or_else(|| self.clock.now_us());
                let _ = reply.send(self.with(token, |run| run.pause(at_us, by, reason)));
            }
            Command::Resume(token, reply) => {
                let now_us = self.clock.now_us();
                let _ = reply.send(self.with(token, |run| run.resume(now_us)));
            }
            Command::Renegotiate(token, side, setup) => {
                if let Some(run) = self.runs.get_mut(&token) {
                    run.renegotiate(side, setup);
                }
            }
            Command::Stop(token, reply) => {
                let _ = reply.send(self.stop(token));
            }
        }
    }

    fn start(
        &mut self,
        token: u32,
        subject: Subject,
        since_us: Option<i64>,
        waiting: &[Waiting],
    ) -> Result<(RecordingId, Timestamp), RecordError> {
        let now_us = self.clock.now_us();
        let origin_us = since_us.unwrap_or(now_us);
        let at = Timestamp(Timestamp::now().0 - (now_us - origin_us));
        let mut run = Run::start(&self.spool, &*self.site, subject, origin_us, at)?;
        for Waiting { side, at_us, is_control, bytes } in waiting {
            if *is_control {
                run.control(*side, *at_us, bytes);
            } else {
                run.packet(&self.spool, &*self.site, *side, *at_us, bytes)?;
            }
        }
        let started = (run.recording(), run.started_at());
        self.runs.insert(token, run);
        Ok(started)
    }

    fn stop(&mut self, token: u32) -> Result<(), RecordError> {
        let run = self.runs.remove(&token).ok_or(RecordError::Unknown)?;
        let ended = run.finish(&*self.site, self.clock.now_us());
        if ended.is_err() {
            recovery::close_interrupted(&self.spool, &*self.site);
        }
        ended
    }

    fn with(&mut self, token: u32, change: impl FnOnce(&mut Run)) -> Result<(), RecordError> {
        self.runs.get_mut(&token).ok_or(RecordError::Unknown).map(change)
    }
}
