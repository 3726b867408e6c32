//! A SIP message as text without anything secret: no password, nothing that answers a challenge, no key of the media, no
//! digit that somebody keyed. Pure.
//!
//! What may be shown is listed, not what must be hidden: of credentials some parameters, of bodies some types, of an INFO
//! only what the media server says. Numbers and names of the parties stay: they are in the interaction anyway.

mod credentials;
mod description;
#[cfg(test)]
mod tests;

use crate::guard;
use hindsight_sip::{Message, Method, SipMessage};
use hindsight_wire::trace::LONGEST_TEXT;
use std::borrow::Cow;

/// In place of what is not shown.
pub const HIDDEN: &str = "***";
/// Parts of names of headers and attributes whose values nobody sees.
const SECRET: [&str; 15] = [
    "auth",
    "token",
    "secret",
    "pass",
    "pwd",
    "credential",
    "cookie",
    "key",
    "crypto",
    "user-to-user",
    "uui",
    "dtmf",
    "digit",
    "card",
    "pin",
];
/// What a NOTIFY says of a transfer (RFC 3420).
const SIPFRAG: &str = "message/sipfrag";
/// Longest name of a type of body that is told.
const LONGEST_TYPE: usize = 60;

/// A message without what is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked {
    /// Start line, headers, an empty line, body; at most [`LONGEST_TEXT`] bytes. Lines end with `\n`.
    pub text: String,
    /// Whether that is only the beginning.
    pub cut: bool,
}

/// Masks a message; `media`: it went to or came from the media server.
pub fn mask(message: &Message, media: bool) -> Masked {
    let (start, headers) = match message {
        Message::Request(request) => {
            (format!("{} {} SIP/2.0", request.method, uris(&request.uri.to_string())), &request.headers)
        }
        Message::Response(response) => {
            (format!("SIP/2.0 {} {}", response.status, uris(&response.reason)), &response.headers)
        }
    };
    let mut text = one_line(&start);
    for header in headers.iter() {
        text.push('\n');
        text.push_str(&one_line(&format!("{}: {}", header.name, value(&header.name, &header.value))));
    }
    text.push('\n');
    if let Some(body) = body(message, media) {
        text.push('\n');
        text.push_str(&body);
    }
    let text: String =
        text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect();
    let cut = text.len() > LONGEST_TEXT;
    let kept = text.floor_char_boundary(LONGEST_TEXT);
    Masked { text: text[..kept].to_owned(), cut }
}

/// Whether what has this name (lower case) is not to be shown.
fn is_secret(name: &str) -> bool {
    SECRET.iter().any(|part| name.contains(part))
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

fn value<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "authorization" | "proxy-authorization" | "www-authenticate" | "proxy-authenticate" => {
            credentials::masked(value).into()
        }
        "authentication-info" | "proxy-authentication-info" => credentials::parameters(value).into(),
        name if is_secret(name) => HIDDEN.into(),
        _ => uris(value).into(),
    }
}

/// Text in which URIs carry no password, no headers but `Replaces`, and no digits to be dialled after the answer.
pub(super) fn uris(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let between = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"');
        let word = rest.find(between).unwrap_or(rest.len());
        out.push_str(&uri(&rest[..word]));
        rest = &rest[word..];
        let gap = rest.find(|c| !between(c)).unwrap_or(rest.len());
        out.push_str(&rest[..gap]);
        rest = &rest[gap..];
    }
    out
}

/// A word that may hold a URI. Rather too much of it is hidden than too little: several in one word are taken for one.
fn uri(word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    let schemes = ["sip:", "sips:", "tel:", "://"];
    let begins = schemes.iter().filter_map(|scheme| lower.find(scheme).map(|at| at + scheme.len())).min();
    let Some(begins) = begins else { return word.to_owned() };
    let at = word.rfind('@').filter(|at| *at >= begins);
    let (user, rest) = word.split_at(at.unwrap_or(begins));
    // RFC 3261 25.1: what follows a colon before the `@` is a password.
    let password = at.and_then(|_| user[begins..].find(':')).map(|colon| begins + colon + 1);
    let user = password.map_or_else(|| user.to_owned(), |from| format!("{}{HIDDEN}", &user[..from]));
    let (user, rest) = (without_post_dial(&user), without_post_dial(rest));
    // A `?` may stand in a user part too (RFC 3261 25.1, user-unreserved).
    match rest.split_once('?') {
        Some((address, headers)) => format!("{user}{address}?{}", embedded(headers)),
        None => format!("{user}{rest}"),
    }
}

/// RFC 2806 `;postd=`: digits that are keyed once the call is answered.
fn without_post_dial(text: &str) -> String {
    let shown = |part: &str| match part.to_ascii_lowercase().starts_with("postd") {
        true => format!("postd={HIDDEN}"),
        false => part.to_owned(),
    };
    text.split(';').map(shown).collect::<Vec<_>>().join(";")
}

/// Headers of a URI: which call is to be replaced interests, everything else is a header that nobody has masked.
fn embedded(headers: &str) -> String {
    let shown = |header: &str| match header.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("Replaces") => format!("{name}={value}"),
        _ => HIDDEN.to_owned(),
    };
    headers.split('&').map(shown).collect::<Vec<_>>().join("&")
}

fn body(message: &Message, media: bool) -> Option<String> {
    let (headers, bytes, info) = match message {
        Message::Request(request) => (&request.headers, request.body(), request.method == Method::Info),
        Message::Response(response) => {
            let info = response.cseq().is_ok_and(|cseq| cseq.method == Method::Info);
            (&response.headers, response.body(), info)
        }
    };
    if bytes.is_empty() {
        return None;
    }
    let kind = match message {
        Message::Request(request) => request.content_type(),
        Message::Response(response) => response.content_type(),
    }
    .unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    let encoded = headers.has("Content-Encoding");
    let shown = match kind.as_str() {
        guard::SDP if !info && !encoded => Some(description::masked(&text)),
        hindsight_msml::CONTENT_TYPE if media && !encoded => recording_command(&text),
        // Of the answer that it quotes only the status.
        SIPFRAG if !info && !encoded => text.lines().next().map(uris),
        _ => None,
    };
    Some(shown.unwrap_or_else(|| not_shown(&kind, bytes.len())))
}

/// MSML as far as it is about recordings.
fn recording_command(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    (!lower.contains("dtmf") && !lower.contains("digit")).then(|| text.to_owned())
}

fn not_shown(kind: &str, length: usize) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/+.-".contains(c);
    let named = !kind.is_empty() && kind.len() <= LONGEST_TYPE && kind.chars().all(plain);
    let kind = if named { kind } else { "another type" };
    format!("[{length} bytes of {kind}: not kept]")
}
