//! The session's cookie (RFC 6265). The `__Host-` prefix keeps other hosts of the domain from setting it.

/// Name of the cookie.
pub const NAME: &str = "__Host-hindsight";

/// `Set-Cookie` for a session's token. No lifetime: it ends with the browser, or when the server says so.
pub fn set(token: &str) -> String {
    format!("{NAME}={token}; Path=/; HttpOnly; Secure; SameSite=Strict")
}

/// `Set-Cookie` that takes the cookie away.
pub fn clear() -> String {
    format!("{NAME}=; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age=0")
}

/// The token in the `Cookie` headers of a request.
pub fn read<'a>(headers: impl Iterator<Item = &'a str>) -> Option<String> {
    let pairs = headers.flat_map(|header| header.split(';'));
    let mut named = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(name, _)| *name == NAME);
    let (_, token) = named.next()?;
    (!token.is_empty() && token.len() <= 128).then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_among_other_cookies() {
        let header = format!("a=1; {NAME}=secret; b=2");
        assert_eq!(read([header.as_str()].into_iter()).as_deref(), Some("secret"));
        assert_eq!(read(["a=1", &header].into_iter()).as_deref(), Some("secret"));
    }

    #[test]
    fn no_cookie_and_an_empty_one_are_the_same() {
        for header in ["", "a=1", "__Host-hindsight", "__Host-hindsight=", "x__Host-hindsight=1"] {
            assert_eq!(read([header].into_iter()), None);
        }
    }
}
