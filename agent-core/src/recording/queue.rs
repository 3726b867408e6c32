//! Between the capture thread and the thread of one monitor: few pictures, in order with what must not be lost.

use super::Timeline;
use crate::encode::Picture;
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Pictures of one monitor in memory at most, the one being encoded included.
const PICTURES_MAX: usize = 3;

/// What the thread of a monitor is to do.
pub enum Message {
    /// Encode.
    Picture {
        picture: Picture,
        /// Microseconds of the part's media.
        at_us: u64,
        /// Whether decoding must be able to start here.
        key: bool,
        /// Whether what was shown before is to leave now.
        release: bool,
    },
    /// Keep for the manifest, also for the one after a crash.
    Timeline(Timeline),
    /// Close the file.
    Finish { end_us: u64, timeline: Timeline, dropped: u64 },
}

/// The queue. Pictures are bounded by the buffers there are; the other messages are as few as their commands.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Message>,
    idle: Vec<Picture>,
    made: usize,
}

impl Queue {
    /// Queues a copy of `picture`; false when all buffers are in use.
    pub fn offer(&self, picture: &Picture, at_us: u64, key: bool, release: bool) -> bool {
        let mut state = self.lock();
        let mut copy = match state.idle.pop() {
            Some(buffer) => buffer,
            None if state.made < PICTURES_MAX => {
                state.made += 1;
                picture.clone()
            }
            None => return false,
        };
        // The lock is not held while copying: only this thread takes buffers out.
        drop(state);
        copy.copy_from(picture);
        self.lock().messages.push_back(Message::Picture { picture: copy, at_us, key, release });
        self.filled.notify_one();
        true
    }

    /// Queues what must not be lost.
    pub fn tell(&self, message: Message) {
        self.lock().messages.push_back(message);
        self.filled.notify_one();
    }

    /// The next message; `None` after `wait` without one (`wait` = `None`: waits as long as it takes).
    pub fn next(&self, wait: Option<Duration>) -> Option<Message> {
        let until = wait.map(|wait| Instant::now() + wait);
        let mut state = self.lock();
        loop {
            if let Some(message) = state.messages.pop_front() {
                return Some(message);
            }
            state = match until {
                None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.checked_duration_since(Instant::now())?;
                    self.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Gives a buffer back.
    pub fn recycle(&self, picture: Picture) {
        self.lock().idle.push(picture);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements: a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_pictures_and_keeps_everything_else() {
        let queue = Queue::default();
        let picture = Picture::neutral(16, 16);
        assert!((0..PICTURES_MAX as u64).all(|at_us| queue.offer(&picture, at_us, false, false)));
        assert!(!queue.offer(&picture, 9, false, false));
        queue.tell(Message::Timeline(Timeline::default()));
        let Some(Message::Picture { picture: first, at_us: 0, .. }) = queue.next(None) else {
            panic!("order")
        };
        assert!(!queue.offer(&picture, 10, false, false), "the picture in work counts");
        queue.recycle(first);
        assert!(queue.offer(&picture, 11, false, false));
        let rest = std::iter::from_fn(|| queue.next(Some(Duration::ZERO))).count();
        assert_eq!(rest, PICTURES_MAX + 1);
    }
}
