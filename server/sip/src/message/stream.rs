//! Finds messages in a byte stream (RFC 3261 18.3, RFC 5626 3.5.1). Holds at most one message.

use super::error::{Fault, Rejection};
use super::parse::{Head, head_end};
use super::{MAX_MESSAGE, Message, StatusCode};

/// What came out of a stream.
#[derive(Debug)]
pub enum Frame {
    /// A message.
    Message(Message),
    /// A message that is refused; the stream goes on behind it.
    Rejected(Rejection),
    /// A double line break: the peer wants to see that the connection lives; answer `\r\n`.
    Ping,
}

/// Incremental framer of one stream. After a fatal rejection it yields nothing more: close the connection.
#[derive(Debug, Default)]
pub struct StreamFramer {
    buffer: Vec<u8>,
    /// Up to here there is no end of head.
    scanned: usize,
    dead: bool,
    frames: u64,
}

impl StreamFramer {
    /// An empty framer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes read from the stream. Drain with [`StreamFramer::next_frame`] before adding more.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.dead {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Is a message half received? (A limit on how long that may last belongs to the connection.)
    pub fn is_mid_message(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// How many frames there were so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The next frame; `Err` when the stream cannot be followed any more: answer, then close.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Rejection> {
        if self.dead {
            return Ok(None);
        }
        if self.skip_line_breaks() {
            self.frames += 1;
            return Ok(Some(Frame::Ping));
        }
        if self.buffer.first().is_none_or(|b| matches!(b, b'\r' | b'\n')) {
            return Ok(None);
        }
        let Some(end) = head_end(&self.buffer, self.scanned) else {
            // The end may straddle the border: step back by the length of `\r\n\r\n` less one.
            self.scanned = self.buffer.len().saturating_sub(3);
            return if self.buffer.len() > MAX_MESSAGE {
                self.die(self.buffer.len(), too_large())
            } else {
                Ok(None)
            };
        };
        self.scanned = end.saturating_sub(3);
        let head = Head::read(&self.buffer[..end]);
        let length = match head.content_length() {
            Ok(Some(length)) => length,
            Ok(None) => return self.die(end, Fault::framing("Missing Content-Length")),
            Err(fault) => return self.die(end, fault),
        };
        if end + length > MAX_MESSAGE {
            return self.die(end, too_large());
        }
        if self.buffer.len() < end + length {
            return Ok(None);
        }
        let frame = match head.finish(&self.buffer[end..end + length]) {
            Ok(message) => Frame::Message(message),
            Err(rejection) => Frame::Rejected(rejection),
        };
        self.buffer.drain(..end + length);
        self.scanned = 0;
        self.frames += 1;
        Ok(Some(frame))
    }

    /// Drops line breaks before a message; true when there were two of them, which is a ping.
    fn skip_line_breaks(&mut self) -> bool {
        let breaks = self.buffer.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        if breaks == 0 {
            return false;
        }
        if self.buffer.starts_with(b"\r\n\r\n") {
            self.consume(4);
            return true;
        }
        // A lone break at the end may be the first half of a ping: it waits for the next byte.
        if breaks < self.buffer.len() || breaks >= 4 {
            self.consume(breaks);
        }
        false
    }

    fn consume(&mut self, count: usize) {
        self.buffer.drain(..count);
        self.scanned = 0;
    }

    fn die(&mut self, end: usize, fault: Fault) -> Result<Option<Frame>, Rejection> {
        self.dead = true;
        let head = Head::read(&self.buffer[..end.min(MAX_MESSAGE)]);
        self.buffer = Vec::new();
        Err(head.reject(fault))
    }
}

fn too_large() -> Fault {
    Fault { framing: true, ..Fault::status(StatusCode::MESSAGE_TOO_LARGE, "Message Too Large") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &str = "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\nFrom: sip:a@h;tag=1\r\n\
        To: sip:b@h\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: 4\r\n\r\nbody";

    #[test]
    fn messages_are_found_however_the_stream_is_cut() {
        let stream = format!("\r\n\r\n{OPTIONS}\r\n{OPTIONS}\r\n\r\n{OPTIONS}");
        for chunk in 1..stream.len() {
            let mut framer = StreamFramer::new();
            let (mut messages, mut pings) = (0, 0);
            for piece in stream.as_bytes().chunks(chunk) {
                framer.push(piece);
                while let Some(frame) = framer.next_frame().unwrap() {
                    match frame {
                        Frame::Message(_) => messages += 1,
                        Frame::Ping => pings += 1,
                        Frame::Rejected(r) => panic!("{r}"),
                    }
                }
            }
            assert_eq!((messages, pings), (3, 2), "chunks of {chunk}");
            assert!(!framer.is_mid_message());
        }
    }

    #[test]
    fn a_bad_message_of_known_length_does_not_end_the_stream() {
        let mut framer = StreamFramer::new();
        framer.push(OPTIONS.replace("CSeq: 1", "CSeq: x").as_bytes());
        framer.push(OPTIONS.as_bytes());
        assert!(matches!(framer.next_frame(), Ok(Some(Frame::Rejected(_)))));
        assert!(matches!(framer.next_frame(), Ok(Some(Frame::Message(_)))));
    }

    #[test]
    fn a_stream_without_ends_is_given_up() {
        for bad in [
            "Content-Length: 4x",
            "Content-Length: 99999999999999999999",
            "Content-Length: 4\r\nl: 4",
            "X: 1",
        ] {
            let mut framer = StreamFramer::new();
            framer.push(OPTIONS.replace("Content-Length: 4", bad).as_bytes());
            assert!(framer.next_frame().unwrap_err().response.is_some(), "{bad}");
            framer.push(OPTIONS.as_bytes());
            assert!(framer.next_frame().unwrap().is_none());
        }
        let mut framer = StreamFramer::new();
        framer.push(&vec![b'a'; MAX_MESSAGE + 1]);
        assert_eq!(framer.next_frame().unwrap_err().fault.status, StatusCode::MESSAGE_TOO_LARGE);
    }
}
