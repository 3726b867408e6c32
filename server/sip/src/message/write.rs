//! Serialiser. A line break in a value would forge a header: it is written as a space.

use std::fmt;
use std::io::Write;

use super::Headers;

pub(super) fn message(start: fmt::Arguments<'_>, headers: &Headers, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + body.len());
    line(&mut out, |out| write!(out, "{start}"));
    for header in headers.iter().filter(|h| !h.name.eq_ignore_ascii_case("Content-Length")) {
        line(&mut out, |out| write!(out, "{}: {}", header.name, header.value));
    }
    line(&mut out, |out| write!(out, "Content-Length: {}", body.len()));
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

fn line(out: &mut Vec<u8>, text: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) {
    let from = out.len();
    text(out).expect("writing to memory does not fail");
    for byte in out[from..].iter_mut().filter(|b| matches!(**b, b'\r' | b'\n')) {
        *byte = b' ';
    }
    out.extend_from_slice(b"\r\n");
}
