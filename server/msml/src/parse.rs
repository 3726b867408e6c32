//! Reading requests and results: XML to a small bounded tree, then the tree to what it means.

use crate::{
    request::{Command, DialogExit, DialogId, Params, Request},
    result::{Outcome, ResultCode},
    write::{DIALOG_EXIT, EXIT_REASON},
};
use quick_xml::{Reader, XmlVersion, events::Event, events::attributes::Attribute};

/// A body longer than this is refused, bytes.
pub const MAX_BODY: usize = 16 * 1024;
/// More elements than this are refused.
const MAX_ELEMENTS: usize = 64;
/// Deeper elements than this are refused.
const MAX_DEPTH: usize = 8;
/// A parameter or attribute longer than this is refused, bytes.
const MAX_VALUE: usize = 512;

/// Why a body was refused, with the code that answers it. Always the sender's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ParseError {
    /// For the result.
    pub code: ResultCode,
    /// For people.
    pub reason: String,
}

impl ParseError {
    fn new(code: ResultCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    fn bad(reason: impl Into<String>) -> Self {
        Self::new(ResultCode::BadRequest, reason)
    }
}

/// Reads the body of an INFO.
pub fn parse_request(body: &[u8]) -> Result<Request, ParseError> {
    let root = tree(body)?;
    let [element] = root.children.as_slice() else {
        return Err(ParseError::bad("a request holds exactly one command"));
    };
    let params = element.params()?;
    match element.name.as_str() {
        "dialogstart" => {
            let target = element.required("target")?;
            let conference = target.trim().strip_prefix("conf:").filter(|id| !id.is_empty());
            let conference = conference.ok_or_else(|| invalid("target"))?.to_owned();
            let name = element.attribute("name").filter(|name| !name.is_empty()).unwrap_or("rec").to_owned();
            if !element.children.iter().any(|child| child.name == "record") {
                return Err(ParseError::new(ResultCode::MissingContent, "dialogstart without record"));
            }
            Ok(Request { command: Command::Start, dialog: DialogId { conference, name }, params })
        }
        "dialogend" => {
            let dialog = DialogId::parse(element.required("id")?).ok_or_else(|| invalid("id"))?;
            Ok(Request { command: Command::Stop, dialog, params })
        }
        "send" => {
            let command = match element.required("event")? {
                "pause" => Command::Pause,
                "resume" => Command::Resume,
                "terminate" => Command::Stop,
                _ => return Err(invalid("event")),
            };
            let dialog = DialogId::parse(element.required("target")?).ok_or_else(|| invalid("target"))?;
            Ok(Request { command, dialog, params })
        }
        _ => {
            Err(ParseError::new(ResultCode::UnknownElement, "only dialogstart, dialogend and send are known"))
        }
    }
}

/// Reads the body of an INFO from the media server; `None`: an event of another name.
pub fn parse_exit(body: &[u8]) -> Result<Option<DialogExit>, ParseError> {
    let root = tree(body)?;
    let event = root.child("event").ok_or_else(|| ParseError::bad("no event"))?;
    if event.required("name")? != DIALOG_EXIT {
        return Ok(None);
    }
    let dialog = DialogId::parse(event.required("id")?).ok_or_else(|| invalid("id"))?;
    let text = |name| event.child(name).map(|element| element.text.trim());
    let reason = text("value").filter(|_| text("name") == Some(EXIT_REASON)).unwrap_or_default();
    Ok(Some(DialogExit { dialog, reason: reason.to_owned() }))
}

/// Reads the body of the answer to an INFO.
pub fn parse_result(body: &[u8]) -> Result<Outcome, ParseError> {
    let root = tree(body)?;
    let result = root.child("result").ok_or_else(|| ParseError::bad("no result"))?;
    let response = result.required("response")?.trim().parse().map_err(|_| invalid("response"))?;
    let text = |name| result.child(name).map(|element| element.text.trim().to_owned());
    Ok(Outcome { response, description: text("description"), dialog: text("dialogid") })
}

fn invalid(attribute: &str) -> ParseError {
    ParseError::new(ResultCode::InvalidAttribute, format!("no such {attribute}"))
}

#[derive(Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    text: String,
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn required(&self, name: &str) -> Result<&str, ParseError> {
        let missing =
            || ParseError::new(ResultCode::MissingAttribute, format!("{} without {name}", self.name));
        self.attribute(name).ok_or_else(missing)
    }

    fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Parameters here, or one level down (GVP puts them inside `record`).
    fn params(&self) -> Result<Params, ParseError> {
        let below = || self.children.iter().find_map(|child| child.child("params"));
        let Some(list) = self.child("params").or_else(below) else { return Ok(Params::default()) };
        let mut params = Params::default();
        for param in list.children.iter().filter(|param| param.name == "param") {
            let value = || param.required("value").map(|value| Some(value.to_owned()));
            match param.required("name")? {
                "capture" => params.capture = value()?,
                "by" => params.by = value()?,
                "reason" => params.reason = value()?,
                "part" => {
                    let part = param.required("value")?.parse().ok().filter(|part| *part > 0);
                    params.part = Some(part.ok_or_else(|| invalid("part"))?);
                }
                "paused" => {
                    let paused = param.required("value")?.parse();
                    params.paused = paused.map_err(|_| invalid("paused"))?;
                }
                "whole" => {
                    let whole = param.required("value")?.parse();
                    params.whole = whole.map_err(|_| invalid("whole"))?;
                }
                "agent" => params.agent = value()?,
                "customer" => params.customer = value()?,
                "swapped" => {
                    let swapped = param.required("value")?.parse();
                    params.swapped = swapped.map_err(|_| invalid("swapped"))?;
                }
                _ => {}
            }
        }
        Ok(params)
    }
}

/// The `msml` element.
fn tree(body: &[u8]) -> Result<Element, ParseError> {
    if body.len() > MAX_BODY {
        return Err(ParseError::bad("body too long"));
    }
    let text = std::str::from_utf8(body).map_err(|_| ParseError::bad("not UTF-8"))?;
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = vec![Element::default()];
    let mut elements = 0;
    loop {
        let event = reader.read_event().map_err(|_| ParseError::bad("not well-formed XML"))?;
        let empty = matches!(event, Event::Empty(_));
        match event {
            Event::Start(start) | Event::Empty(start) => {
                elements += 1;
                if elements > MAX_ELEMENTS || open.len() > MAX_DEPTH {
                    return Err(ParseError::bad("too many elements"));
                }
                let name = start.local_name().into_inner().to_owned();
                let attributes = start.attributes().map(attribute).collect::<Result<_, _>>()?;
                open.push(Element { name, attributes, ..Element::default() });
                if empty {
                    close(&mut open)?;
                }
            }
            Event::End(_) => close(&mut open)?,
            Event::Text(text) => append(&mut open, &text.xml10_content())?,
            Event::CData(text) => append(&mut open, &text.xml10_content())?,
            Event::GeneralRef(reference) => append(&mut open, &resolve(&reference)?)?,
            // An external entity or a document type has no place in a request.
            Event::DocType(_) => return Err(ParseError::bad("document type declared")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    let mut document =
        open.pop().filter(|_| open.is_empty()).ok_or_else(|| ParseError::bad("element not closed"))?;
    match (document.children.pop(), document.children.is_empty()) {
        (Some(root), true) if root.name == "msml" => Ok(root),
        _ => Err(ParseError::bad("not an msml document")),
    }
}

fn close(open: &mut Vec<Element>) -> Result<(), ParseError> {
    let unbalanced = || ParseError::bad("element closed twice");
    let element = open.pop().ok_or_else(unbalanced)?;
    open.last_mut().ok_or_else(unbalanced)?.children.push(element);
    Ok(())
}

fn append(open: &mut [Element], text: &str) -> Result<(), ParseError> {
    let element = open.last_mut().ok_or_else(|| ParseError::bad("element closed twice"))?;
    element.text.push_str(text);
    Ok(())
}

fn attribute(
    attribute: Result<Attribute<'_>, quick_xml::events::attributes::AttrError>,
) -> Result<(String, String), ParseError> {
    let attribute = attribute.map_err(|_| ParseError::bad("attribute not well formed"))?;
    let value = attribute
        .normalized_value(XmlVersion::Implicit1_0)
        .map_err(|_| ParseError::bad("attribute not well formed"))?;
    if value.len() > MAX_VALUE {
        return Err(ParseError::new(ResultCode::InvalidAttribute, "attribute too long"));
    }
    Ok((attribute.key.local_name().into_inner().to_owned(), value.into_owned()))
}

fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Result<String, ParseError> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Ok(character.to_string());
    }
    let entity = quick_xml::escape::resolve_predefined_entity(reference);
    entity.map(str::to_owned).ok_or_else(|| ParseError::bad("unknown entity"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::{write_exit, write_request, write_result};

    fn request(command: Command) -> Request {
        Request {
            command,
            dialog: DialogId { conference: "0193aa".into(), name: "rec".into() },
            params: Params {
                capture: Some("c".into()),
                by: Some("O'Neil & <Söhne>".into()),
                reason: Some("card\"number".into()),
                part: Some(2),
                paused: true,
                whole: true,
                agent: Some("1003".into()),
                customer: Some("2001".into()),
                swapped: true,
            },
        }
    }

    #[test]
    fn every_request_that_is_written_is_read_back() {
        for command in [Command::Start, Command::Pause, Command::Resume, Command::Stop] {
            let request = request(command);
            assert_eq!(parse_request(write_request(&request).as_bytes()), Ok(request));
            let plain = Request { params: Params::default(), ..self::request(command) };
            assert_eq!(parse_request(write_request(&plain).as_bytes()), Ok(plain));
        }
    }

    #[test]
    fn every_result_that_is_written_is_read_back() {
        for outcome in [
            Outcome::ok(Some("conf:1/dialog:rec".into())),
            Outcome::ok(None),
            Outcome::failed(ResultCode::Unavailable, "no recipients & <none>"),
        ] {
            assert_eq!(parse_result(write_result(&outcome).as_bytes()), Ok(outcome));
        }
    }

    #[test]
    fn the_end_of_a_dialog_is_told_and_other_events_are_let_pass() {
        let dialog = DialogId { conference: "ab".into(), name: "rec".into() };
        let exit = DialogExit { dialog, reason: "no space left on <disk> & more".into() };
        assert_eq!(parse_exit(write_exit(&exit).as_bytes()), Ok(Some(exit)));
        let other = b"<msml version='1.1'><event name='app.x' id='conf:ab/dialog:rec'/></msml>";
        assert_eq!(parse_exit(other), Ok(None));
        let bare = b"<msml version='1.1'><event name='msml.dialog.exit' id='conf:ab/dialog:rec'/></msml>";
        assert_eq!(parse_exit(bare).unwrap().unwrap().reason, "");
        assert!(parse_exit(b"<msml version='1.1'><event name='msml.dialog.exit' id='x'/></msml>").is_err());
    }

    #[test]
    fn a_request_in_the_shape_of_gvp_is_read() {
        let body = br#"<?xml version="1.0"?><msml version="1.1"><dialogstart target="conf:ab" name="rec" type="application/moml+xml">
            <record xmlns:gvp="http://www.genesyslab.com/gvp"><gvp:params><gvp:param name="by" value="x"/><gvp:param name="z" value="y"/></gvp:params>
            <recordexit/></record></dialogstart></msml>"#;
        let read = parse_request(body).unwrap();
        assert_eq!((read.command, read.params.by.as_deref()), (Command::Start, Some("x")));
        let end = br#"<msml version="1.1"><dialogend id="conf:ab/dialog:rec"/></msml>"#;
        assert_eq!(parse_request(end).unwrap().command, Command::Stop);
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_code() {
        let cases: &[(&str, ResultCode)] = &[
            ("", ResultCode::BadRequest),
            ("hello", ResultCode::BadRequest),
            ("<msml>", ResultCode::BadRequest),
            ("<msml></msml></msml>", ResultCode::BadRequest),
            ("<msml/>", ResultCode::BadRequest),
            ("<other><send/></other>", ResultCode::BadRequest),
            ("<!DOCTYPE x [<!ENTITY a 'b'>]><msml><send/></msml>", ResultCode::BadRequest),
            (
                "<msml><send event='pause' event='resume' target='conf:1/dialog:r'/></msml>",
                ResultCode::BadRequest,
            ),
            ("<msml><audit/></msml>", ResultCode::UnknownElement),
            ("<msml><dialogstart target='conf:1'/></msml>", ResultCode::MissingContent),
            ("<msml><dialogstart><record/></dialogstart></msml>", ResultCode::MissingAttribute),
            (
                "<msml><dialogstart target='conn:1'><record/></dialogstart></msml>",
                ResultCode::InvalidAttribute,
            ),
            ("<msml><send event='pause'/></msml>", ResultCode::MissingAttribute),
            ("<msml><send event='jump' target='conf:1/dialog:r'/></msml>", ResultCode::InvalidAttribute),
            ("<msml><send event='pause' target='conf:1'/></msml>", ResultCode::InvalidAttribute),
            ("<msml><send event='pause' target='conf:&x;/dialog:r'/></msml>", ResultCode::BadRequest),
        ];
        for (body, code) in cases {
            assert_eq!(parse_request(body.as_bytes()).map_err(|e| e.code), Err(*code), "{body}");
        }
        assert!(parse_request(&[0xff, 0xfe]).is_err());
        assert!(parse_request("<a>".repeat(100).as_bytes()).is_err());
        assert!(parse_request(" ".repeat(MAX_BODY + 1).as_bytes()).is_err());
    }

    #[test]
    fn every_cut_and_every_flipped_byte_of_a_request_is_survived() {
        let body = write_request(&request(Command::Start)).into_bytes();
        for at in 0..body.len() {
            let _ = parse_request(&body[..at]);
            let mut flipped = body.clone();
            flipped[at] ^= 0x15;
            let _ = parse_request(&flipped);
        }
    }
}
