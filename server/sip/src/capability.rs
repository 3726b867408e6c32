//! What a user agent server checks before it looks at what a request wants (RFC 3261 8.2.1 to 8.2.3).

use crate::message::{Method, Request, Response, SipMessage, StatusCode};

/// What one server of requests understands. The lists go into the answers that name them.
#[derive(Debug, Clone)]
pub struct Capabilities {
    /// Methods (CANCEL and ACK need not be named).
    pub methods: Vec<Method>,
    /// URI schemes of the Request-URI.
    pub schemes: Vec<&'static str>,
    /// Option tags.
    pub extensions: Vec<&'static str>,
    /// Media types of bodies; `multipart/*` bodies are accepted when `multipart/mixed` is among them.
    pub content_types: Vec<&'static str>,
}

impl Capabilities {
    /// The answer to a request that asks for what is not there; `None` when it may go on.
    pub fn refuse(&self, request: &Request) -> Option<Response> {
        if matches!(request.method, Method::Ack | Method::Cancel) {
            return None;
        }
        self.refuse_method(request)
            .or_else(|| self.refuse_scheme(request))
            .or_else(|| self.refuse_extension(request))
            .or_else(|| self.refuse_body(request))
            .or_else(|| self.refuse_accept(request))
    }

    /// Adds Allow, Accept and Supported: for the answer to OPTIONS and 2xx to INVITE.
    pub fn describe(&self, response: Response) -> Response {
        let response =
            response.with_header("Allow", self.allow()).with_header("Accept", self.content_types.join(", "));
        match self.extensions.is_empty() {
            true => response,
            false => response.with_header("Supported", self.extensions.join(", ")),
        }
    }

    fn allow(&self) -> String {
        let names = self.methods.iter().map(Method::as_str);
        names.chain(["ACK", "CANCEL"]).collect::<Vec<_>>().join(", ")
    }

    fn refuse_method(&self, request: &Request) -> Option<Response> {
        if self.methods.contains(&request.method) {
            return None;
        }
        // 501 for what nobody here has heard of, 405 for what is known but not for this address.
        let status = match request.method {
            Method::Other(_) => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        Some(Response::to(request, status).with_header("Allow", self.allow()))
    }

    fn refuse_scheme(&self, request: &Request) -> Option<Response> {
        let known = self.schemes.contains(&request.uri.scheme());
        (!known).then(|| Response::to(request, StatusCode::UNSUPPORTED_URI_SCHEME))
    }

    fn refuse_extension(&self, request: &Request) -> Option<Response> {
        let known = |tag: &str| self.extensions.iter().any(|e| e.eq_ignore_ascii_case(tag));
        let unknown: Vec<_> = request.headers.tokens("Require").into_iter().filter(|t| !known(t)).collect();
        if unknown.is_empty() {
            return None;
        }
        Some(Response::to(request, StatusCode::BAD_EXTENSION).with_header("Unsupported", unknown.join(", ")))
    }

    fn refuse_body(&self, request: &Request) -> Option<Response> {
        if request.body.is_empty() {
            return None;
        }
        let encoded =
            request.headers.tokens("Content-Encoding").iter().any(|e| !e.eq_ignore_ascii_case("identity"));
        // A body that may be ignored does no harm (20.11).
        let optional = request.headers.get("Content-Disposition").is_some_and(|d| {
            d.split(';').skip(1).any(|p| p.replace([' ', '\t'], "").eq_ignore_ascii_case("handling=optional"))
        });
        let kind = request.content_type().unwrap_or_default();
        let multipart = kind.starts_with("multipart/") && self.content_types.contains(&"multipart/mixed");
        if optional || (!encoded && (multipart || self.content_types.contains(&kind.as_str()))) {
            return None;
        }
        let response = Response::to(request, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let response = response.with_header("Accept", self.content_types.join(", "));
        Some(if encoded { response.with_header("Accept-Encoding", "identity") } else { response })
    }

    /// An INVITE whose sender does not accept SDP cannot be answered with one (20.1).
    fn refuse_accept(&self, request: &Request) -> Option<Response> {
        let accepted = request.headers.tokens("Accept");
        if request.method != Method::Invite || accepted.is_empty() {
            return None;
        }
        let fits = accepted.iter().any(|range| {
            let range = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            matches!(range.as_str(), "*/*" | "application/*" | "application/sdp")
        });
        (!fits).then(|| Response::to(request, StatusCode::NOT_ACCEPTABLE))
    }
}
