//! The deep link by which the browser comes back: `hindsight://signed-in?code=…`.

use hindsight_wire::local::Secret;
use tauri::Url;

/// Longest code taken.
const LONGEST: usize = 4096;

/// The one-time code in the link; `None` for any other link.
pub fn sign_in_code(link: &str) -> Option<Secret> {
    let url = Url::parse(link).ok()?;
    if url.scheme() != "hindsight" || url.host_str() != Some("signed-in") {
        return None;
    }
    let code = url.query_pairs().find(|(name, _)| name == "code")?.1.into_owned();
    (!code.is_empty() && code.len() <= LONGEST).then_some(Secret(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_link_of_a_sign_in_has_a_code() {
        let code = |link| sign_in_code(link).map(|code| code.0);
        assert_eq!(code("hindsight://signed-in?code=a%2Bb&state=x").as_deref(), Some("a+b"));
        assert_eq!(code("hindsight://signed-in/?state=x&code=c").as_deref(), Some("c"));
        for other in
            ["", "x", "hindsight://signed-in", "hindsight://signed-in?code=", "hindsight://other?code=a"]
        {
            assert_eq!(code(other), None, "{other}");
        }
        assert_eq!(code("https://signed-in?code=a"), None);
        assert_eq!(code(&format!("hindsight://signed-in?code={}", "a".repeat(LONGEST + 1))), None);
    }
}
