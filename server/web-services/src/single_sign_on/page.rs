//! What the browser shows at the end: that the desktop goes on by itself, or why not.

use super::refusal::Refusal;
use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use hindsight_wire::single_sign_on::LINK;

/// No script, nothing of another place, in no frame.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

const STYLE: &str = ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}\
     body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;box-sizing:border-box;\
     background:light-dark(#f4f6f8,#14181d);color:light-dark(#17202a,#e8edf2)}\
     main{max-width:26rem;padding:1.5rem;border-radius:10px;overflow-wrap:anywhere;\
     background:light-dark(#fff,#1c2229);border:1px solid light-dark(#d5dbe1,#36404b)}\
     h1{font-size:1.25rem;margin:0 0 .75rem}p{margin:0 0 1rem}p:last-child{margin:0}\
     a{display:inline-block;padding:.5rem .9rem;border-radius:6px;font-weight:600;text-decoration:none;\
     background:light-dark(#0b62ba,#6cb2ff);color:light-dark(#fff,#0b1622)}\
     a:focus-visible{outline:2px solid currentColor;outline-offset:2px}";

/// Languages of this page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    En,
    /// German.
    De,
}

impl Language {
    /// What the browser asks for first (RFC 9110 12.5.4), as far as we have it.
    pub fn of(headers: &HeaderMap) -> Self {
        let asked = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let first = asked.and_then(|asked| asked.split(',').next()).unwrap_or_default().trim();
        if first.get(..2).is_some_and(|tag| tag.eq_ignore_ascii_case("de")) {
            Language::De
        } else {
            Language::En
        }
    }

    fn tag(self) -> &'static str {
        match self {
            Language::En => "en",
            Language::De => "de",
        }
    }

    fn choose<T>(self, [en, de]: [T; 2]) -> T {
        match self {
            Language::En => en,
            Language::De => de,
        }
    }
}

/// The browser opens the link by itself, or when it is pressed.
pub fn signed_in(language: Language, code: &str) -> Response {
    let link = escape(&format!("{LINK}{code}"));
    let title = language.choose(["Signed in", "Angemeldet"]);
    let text = language.choose([
        "Hindsight goes on by itself. If your browser asks, let it open Hindsight; then you can close this page.",
        "Hindsight macht von selbst weiter. Fragt der Browser, lassen Sie ihn Hindsight öffnen; dann können Sie \
         diese Seite schließen.",
    ]);
    let open = language.choose(["Open Hindsight", "Hindsight öffnen"]);
    let head = format!("<meta http-equiv=\"refresh\" content=\"0;url={link}\">");
    let body = format!("<p>{text}</p><p><a href=\"{link}\">{open}</a></p>");
    page(StatusCode::OK, language, title, &head, &body)
}

/// Why not.
pub fn refused(language: Language, refusal: &Refusal) -> Response {
    let title = language.choose(["Not signed in", "Nicht angemeldet"]);
    let body = format!("<p role=\"alert\">{}</p>", escape(&language.choose(refusal.words())));
    page(refusal.status(), language, title, "", &body)
}

fn page(status: StatusCode, language: Language, title: &str, head: &str, body: &str) -> Response {
    let lang = language.tag();
    let html = format!(
        "<!doctype html><html lang=\"{lang}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">{head}<title>{title} – Hindsight</title>\
         <style>{STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>\n"
    );
    let headers = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-store")];
    (status, headers, Html(html)).into_response()
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn what_a_provider_says_is_text_and_nothing_else() {
        let refusal = Refusal::UnknownPerson("<script>alert('x')</script>".into());
        let response = refused(Language::En, &refusal);
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        let page = text(response).await;
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;"), "{page}");
    }

    #[tokio::test]
    async fn the_page_speaks_the_browsers_language() {
        let asked = |language: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, language.parse().unwrap());
            Language::of(&headers)
        };
        assert_eq!(asked("de-AT,en;q=0.5"), Language::De);
        assert_eq!(asked("en-US,de;q=0.5"), Language::En);
        assert_eq!(asked("x"), Language::En);
        assert_eq!(Language::of(&HeaderMap::new()), Language::En);
        let page = text(signed_in(Language::De, "abc")).await;
        assert!(page.contains("hindsight://signed-in?code=abc") && page.contains("Angemeldet"), "{page}");
    }
}
