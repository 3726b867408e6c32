//! Writing requests and results.

use crate::{
    request::{Command, DialogExit, Params, Request},
    result::Outcome,
};
use quick_xml::escape::escape;
use std::fmt::Write as _;

/// Name of the event that tells the end of a dialog (RFC 5707).
pub(crate) const DIALOG_EXIT: &str = "msml.dialog.exit";
/// Name of the value that says why.
pub(crate) const EXIT_REASON: &str = "record.reason";
const NAMESPACE: &str = "urn:hindsight:msml:1";

/// The body of an INFO.
pub fn write_request(request: &Request) -> String {
    let mut xml = open();
    let params = params(&request.params);
    let dialog = request.dialog.to_string();
    let dialog = escape(dialog.as_str());
    match request.command {
        Command::Start => {
            let (conference, name) = (escape(&*request.dialog.conference), escape(&*request.dialog.name));
            let _ = write!(
                xml,
                r#"<dialogstart target="conf:{conference}" name="{name}" type="application/moml+xml"><record beep="false"/>{params}</dialogstart>"#
            );
        }
        Command::Pause => send(&mut xml, "pause", &dialog, &params),
        Command::Resume => send(&mut xml, "resume", &dialog, &params),
        Command::Stop => send(&mut xml, "terminate", &dialog, &params),
    }
    xml.push_str("</msml>");
    xml
}

/// The body of the answer to an INFO.
pub fn write_result(outcome: &Outcome) -> String {
    let mut xml = open();
    let _ = write!(xml, r#"<result response="{}">"#, outcome.response);
    if let Some(description) = &outcome.description {
        let _ = write!(xml, "<description>{}</description>", escape(description.as_str()));
    }
    if let Some(dialog) = &outcome.dialog {
        let _ = write!(xml, "<dialogid>{}</dialogid>", escape(dialog.as_str()));
    }
    xml.push_str("</result></msml>");
    xml
}

/// The body of an INFO from the media server: a recording has ended without a command.
pub fn write_exit(exit: &DialogExit) -> String {
    let (dialog, reason) = (exit.dialog.to_string(), escape(exit.reason.as_str()));
    let mut xml = open();
    let _ = write!(
        xml,
        r#"<event name="{DIALOG_EXIT}" id="{}"><name>{EXIT_REASON}</name><value>{reason}</value></event></msml>"#,
        escape(dialog.as_str())
    );
    xml
}

fn open() -> String {
    String::from(r#"<?xml version="1.0" encoding="UTF-8"?><msml version="1.1">"#)
}

fn send(xml: &mut String, event: &str, dialog: &str, params: &str) {
    let _ = write!(xml, r#"<send event="{event}" target="{dialog}">{params}</send>"#);
}

fn params(params: &Params) -> String {
    let part = params.part.map(|part| part.to_string());
    let paused = params.paused.then(|| "true".to_owned());
    let whole = params.whole.then(|| "true".to_owned());
    let swapped = params.swapped.then(|| "true".to_owned());
    let fields = [
        ("capture", &params.capture),
        ("by", &params.by),
        ("reason", &params.reason),
        ("part", &part),
        ("paused", &paused),
        ("whole", &whole),
        ("agent", &params.agent),
        ("customer", &params.customer),
        ("swapped", &swapped),
    ];
    let mut xml = String::new();
    for (name, value) in fields {
        if let Some(value) = value {
            let _ = write!(xml, r#"<hs:param name="{name}" value="{}"/>"#, escape(value.as_str()));
        }
    }
    if xml.is_empty() { xml } else { format!(r#"<hs:params xmlns:hs="{NAMESPACE}">{xml}</hs:params>"#) }
}
