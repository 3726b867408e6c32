//! Which requests are looked at, by their headers alone. Pure.

use axum::http::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_TYPE, HOST, ORIGIN},
};

/// What a change must carry; a form or a simple request of a page cannot.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// The rules.
pub struct Guard {
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// Why a request is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: &'static str,
}

const fn refuse<T>(status: StatusCode, code: &'static str, message: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, code, message })
}

impl Guard {
    /// For a port of loopback, and pages of these origins.
    pub fn new(port: u16, origins: Vec<String>) -> Self {
        let hosts = ["127.0.0.1", "[::1]", "localhost"].map(|host| format!("{host}:{port}")).into();
        let tidy = |origin: String| origin.trim_end_matches('/').to_ascii_lowercase();
        Self { hosts, origins: origins.into_iter().map(tidy).collect() }
    }

    /// The allowed origin that the request comes from, if it comes from a page.
    pub fn check(&self, method: &Method, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
        let text =
            |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?").to_ascii_lowercase());
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok()).map(str::to_ascii_lowercase);
        if hosts.next().is_some() || !host.is_some_and(|host| self.hosts.contains(&host)) {
            return refuse(StatusCode::MISDIRECTED_REQUEST, "host", "this is not a name of this machine");
        }
        let origin = text(ORIGIN.as_str());
        if let Some(origin) = &origin
            && !self.origins.contains(origin)
        {
            return refuse(StatusCode::FORBIDDEN, "origin", "pages of this origin may not use this API");
        }
        // Images, scripts and navigations of a page name no origin; browsers say that they are a page's.
        let site = text("sec-fetch-site");
        if origin.is_none() && site.is_some_and(|site| site != "none" && site != "same-origin") {
            return refuse(
                StatusCode::FORBIDDEN,
                "origin",
                "pages may not use this API without their origin",
            );
        }
        if method != Method::GET && method != Method::OPTIONS {
            self.check_change(headers)?;
        }
        Ok(origin)
    }

    fn check_change(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if headers.get(CSRF_HEADER).is_none_or(|value| value.is_empty()) {
            return refuse(StatusCode::FORBIDDEN, "csrf", "the header X-CSRF-Token is missing");
        }
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return refuse(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content_type",
                "the body must be application/json",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |&(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        list.iter().map(pair).collect()
    }

    fn code(method: &Method, list: &[(&'static str, &'static str)]) -> Result<Option<String>, &'static str> {
        let guard = Guard::new(8083, vec!["https://crm.example/".to_owned()]);
        guard.check(method, &headers(list)).map_err(|refusal| refusal.code)
    }

    #[test]
    fn only_names_of_loopback_are_hosts() {
        for host in ["127.0.0.1:8083", "LOCALHOST:8083", "[::1]:8083"] {
            assert_eq!(code(&Method::GET, &[("host", host)]), Ok(None), "{host}");
        }
        for host in ["evil.example:8083", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:8083", ""] {
            assert_eq!(code(&Method::GET, &[("host", host)]), Err("host"), "{host}");
        }
        assert_eq!(code(&Method::GET, &[]), Err("host"));
        let mut two = headers(&[("host", "127.0.0.1:8083")]);
        two.append("host", HeaderValue::from_static("evil.example"));
        assert!(Guard::new(8083, vec![]).check(&Method::GET, &two).is_err());
    }

    #[test]
    fn pages_of_other_origins_are_refused_however_they_ask() {
        let here = ("host", "127.0.0.1:8083");
        assert_eq!(
            code(&Method::GET, &[here, ("origin", "https://crm.example")]),
            Ok(Some("https://crm.example".to_owned()))
        );
        for origin in
            ["https://evil.example", "null", "http://crm.example", "https://crm.example.evil.example"]
        {
            assert_eq!(code(&Method::GET, &[here, ("origin", origin)]), Err("origin"), "{origin}");
            assert_eq!(code(&Method::OPTIONS, &[here, ("origin", origin)]), Err("origin"), "{origin}");
        }
        assert_eq!(code(&Method::GET, &[here, ("sec-fetch-site", "cross-site")]), Err("origin"), "an image");
        assert_eq!(code(&Method::GET, &[here, ("sec-fetch-site", "none")]), Ok(None), "typed by a person");
    }

    #[test]
    fn a_change_needs_what_a_simple_request_cannot_send() {
        let here = ("host", "127.0.0.1:8083");
        let (csrf, json) = (("x-csrf-token", "1"), ("content-type", "application/json; charset=utf-8"));
        for method in [Method::POST, Method::DELETE, Method::PUT] {
            assert_eq!(code(&method, &[here, csrf, json]), Ok(None));
            assert_eq!(code(&method, &[here, json]), Err("csrf"));
            assert_eq!(code(&method, &[here, ("x-csrf-token", ""), json]), Err("csrf"));
            assert_eq!(code(&method, &[here, csrf]), Err("content_type"));
            for simple in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
                assert_eq!(code(&method, &[here, csrf, ("content-type", simple)]), Err("content_type"));
            }
        }
    }
}
