//! Media Server Markup Language (RFC 5707): the part that controls recording, and its results.
//!
//! # The dialect
//! Requests travel in SIP INFO (`application/msml+xml`) on the dialog of any leg of the conference; the result is the body
//! of the 200 that answers the INFO. `createconference` and `join` are implied by the conference URI of the INVITE, as
//! with GIR. One recording per conference; its dialog is `conf:<id>/dialog:<name>`.
//!
//! ```xml
//! <msml version="1.1">
//!   <dialogstart target="conf:<id>" name="rec" type="application/moml+xml">
//!     <record beep="false"/>
//!     <hs:params xmlns:hs="urn:hindsight:msml:1">
//!       <hs:param name="capture" value="<UUIDv7: the run; the media server makes one when absent>"/>
//!       <hs:param name="by" value="full-time | login"/>
//!       <hs:param name="reason" value="text"/>
//!       <hs:param name="part" value="2"/>            of a run that another media server began
//!       <hs:param name="paused" value="true"/>       it begins in a pause, as the run was
//!       <hs:param name="whole" value="true"/>        of the whole call: with what was said just before the order
//!       <hs:param name="agent" value="1003"/>        who is at the agent's side now: after a transfer not who its leg was opened for
//!       <hs:param name="customer" value="2001"/>     who is at the customer's
//!       <hs:param name="swapped" value="true"/>      the leg that was opened as the agent's is the customer's now
//!     </hs:params>
//!   </dialogstart>
//! </msml>
//! <msml version="1.1"><send event="pause" target="conf:<id>/dialog:rec">…the same params…</send></msml>
//! <msml version="1.1"><send event="resume" …/></msml>    <msml version="1.1"><send event="terminate" …/></msml>
//! <msml version="1.1"><dialogend id="conf:<id>/dialog:rec"/></msml>                 same as terminate
//! <msml version="1.1"><result response="200"><dialogid>conf:<id>/dialog:rec</dialogid></result></msml>
//! ```
//!
//! A recording that breaks is told by the media server in an INFO of its own:
//!
//! ```xml
//! <msml version="1.1"><event name="msml.dialog.exit" id="conf:<id>/dialog:rec"><name>record.reason</name><value>text</value></event></msml>
//! ```
//!
//! The prefix is free; GVP's `gvp:params`/`gvp:param` are read the same way. Parameters that are not known are ignored,
//! elements that are not known are refused (RFC 5707: 401). A request holds exactly one command.
//!
//! Deliberately absent: mixing, playing and collecting (`conf:` streams, `play`, `collect`), `audit`, external documents.

pub mod parse;
pub mod request;
pub mod result;
pub mod write;

pub use parse::{ParseError, parse_exit, parse_request, parse_result};
pub use request::{Command, DialogExit, DialogId, Params, Request};
pub use result::{Outcome, ResultCode};
pub use write::{write_exit, write_request, write_result};

/// Content type of requests and results.
pub const CONTENT_TYPE: &str = "application/msml+xml";
