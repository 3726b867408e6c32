//! JSON lines of bounded length.

use hindsight_wire::local::LONGEST_LINE;
use serde::Serialize;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Reads at least so much at once.
const CHUNK: usize = 8 << 10;

/// The lines of a stream.
pub struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// No line ends before here.
    searched: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), searched: 0 }
    }

    /// The next line without its end; `None` at the end of the stream. Nothing is lost when the wait is given up.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let end = self.searched + at;
                let rest = self.buffer.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.truncate(end);
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > LONGEST_LINE {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
            }
            self.buffer.reserve(CHUNK);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Writes one line.
pub async fn write(writer: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    if line.len() > LONGEST_LINE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
    }
    line.push(b'\n');
    writer.write_all(&line).await?;
    writer.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_out_however_they_were_cut() {
        for cut in 1..12 {
            let (mut theirs, ours) = tokio::io::duplex(cut);
            let writer = tokio::spawn(async move { theirs.write_all(b"ab\n\nlonger line\ntail").await });
            let mut lines = Lines::new(ours);
            let mut seen = Vec::new();
            while let Some(line) = lines.next().await.unwrap() {
                seen.push(String::from_utf8(line).unwrap());
            }
            assert_eq!(seen, ["ab", "", "longer line"], "a tail without an end is none");
            writer.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused() {
        let (mut theirs, ours) = tokio::io::duplex(1 << 16);
        let writer = tokio::spawn(async move {
            let chunk = vec![b'x'; 1 << 16];
            while theirs.write_all(&chunk).await.is_ok() {}
        });
        let mut lines = Lines::new(ours);
        assert_eq!(lines.next().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(lines.buffer.len() < LONGEST_LINE + 3 * CHUNK + (1 << 16));
        drop(lines);
        writer.await.unwrap();
    }
}
