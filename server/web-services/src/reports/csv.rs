//! Tables for spreadsheets: RFC 4180, UTF-8, and no cell that a spreadsheet would take for a formula.

use crate::error::ApiError;
use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};

/// One line. Cells that begin like a formula get an apostrophe before them; a plain telephone number (`+4670123`) is a number
/// to a spreadsheet and stays.
pub fn line<T: AsRef<str>>(cells: impl IntoIterator<Item = T>) -> String {
    let cells: Vec<String> = cells.into_iter().map(|text| cell(text.as_ref())).collect();
    cells.join(",") + "\r\n"
}

fn cell(text: &str) -> String {
    let digits = text
        .strip_prefix('+')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
    // Also behind what a spreadsheet passes over.
    let first = text.trim_start_matches(|c: char| c.is_whitespace() || c.is_control()).chars().next();
    let control = text.starts_with(|c: char| c.is_control());
    let formula = control || first.is_some_and(|c| "=+-@|%＝＋－＠".contains(c));
    let text = if formula && !digits { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\r', '\n', ';', '\t']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// An answer that is written while it is read. One that fails in the middle ends without its last chunk: nobody takes it for
/// whole.
pub fn response(
    name: &str,
    head: String,
    lines: impl Stream<Item = Result<String, ApiError>> + Send + 'static,
) -> Response {
    let head = futures_util::stream::once(async { Ok(head) });
    let failed = |error: ApiError| std::io::Error::other(error.message().to_owned());
    let body = futures_util::StreamExt::chain(head, lines).map_ok(Bytes::from).map_err(failed);
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\"")),
    ];
    (headers, Body::from_stream(body)).into_response()
}

/// The same of lines that are there.
pub fn whole(name: &str, lines: String) -> Response {
    response(name, lines, futures_util::stream::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_every_cell_is_one_cell() {
        for (text, cell) in [
            ("1001", "1001"),
            ("+4670123", "+4670123"),
            ("+46 70", "'+46 70"),
            ("=HYPERLINK(\"http://x\")", "\"'=HYPERLINK(\"\"http://x\"\")\""),
            ("-1+1", "'-1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("  =1", "'  =1"),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("＝1", "'＝1"),
            ("+", "'+"),
            ("a,b", "\"a,b\""),
            ("a;b", "\"a;b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("", ""),
        ] {
            assert_eq!(super::cell(text), cell, "{text:?}");
        }
        assert_eq!(line(["a", "b,c"]), "a,\"b,c\"\r\n");
    }
}
