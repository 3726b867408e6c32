//! An HTTP proxy on the way to the site: its settings, and `CONNECT` (RFC 9110 9.3.6) without I/O.
//!
//! The proxy only passes TLS on: the device still proves itself to the site, and the site to the device, end to end. A
//! box that ends TLS itself to look inside has no certificate of the site's authority and is refused, whatever
//! authorities the system trusts: it would have to hold the device's key. Such a box has to let the site's address
//! through as it is. A proxy that is itself spoken to in TLS (`https://`) is not supported.

use crate::{LinkError, error::with_causes};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use reqwest::Url;
use std::net::IpAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use zeroize::Zeroizing;

/// Longest answer to a `CONNECT`.
const MAX_ANSWER: usize = 16 << 10;

/// A proxy and what it wants to see. Without `Debug`: it may hold a password.
#[derive(Clone)]
pub struct Proxy {
    host: String,
    port: u16,
    credentials: Option<Credentials>,
    /// Hosts that are reached without it; those below a domain that begins with a dot; `*`: all.
    except: Vec<String>,
}

#[derive(Clone)]
struct Credentials {
    user: String,
    password: Zeroizing<String>,
}

impl Proxy {
    /// A proxy by its URL, `http://[user:password@]host[:port]`.
    pub fn new(url: &str) -> Result<Self, LinkError> {
        // The URL itself is never told: it may hold a password.
        let wrong = |reason: &str| LinkError::Proxy(format!("the setting: {reason}"));
        let text = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let url = Url::parse(&text).map_err(|error| wrong(&error.to_string()))?;
        if url.scheme() != "http" {
            return Err(wrong("only http:// proxies are supported (they pass the site's own TLS on)"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("no host"))?;
        let credentials = (!url.username().is_empty()).then(|| Credentials {
            user: decoded(url.username()),
            password: Zeroizing::new(decoded(url.password().unwrap_or_default())),
        });
        let port = url.port_or_known_default().unwrap_or(80);
        Ok(Self { host: host.to_owned(), port, credentials, except: Vec::new() })
    }

    /// The proxy that the environment names, as other programs read it: `HTTPS_PROXY`, else `ALL_PROXY`, in upper or
    /// lower case, but for the hosts in `NO_PROXY`.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, LinkError> {
        let either = |name: &str| {
            let found = variable(name).or_else(|| variable(&name.to_ascii_lowercase()));
            found.filter(|value| !value.trim().is_empty())
        };
        let Some(url) = either("HTTPS_PROXY").or_else(|| either("ALL_PROXY")) else { return Ok(None) };
        Ok(Some(Self::new(url.trim())?.except(&either("NO_PROXY").unwrap_or_default())))
    }

    /// The same, but not for these hosts: comma-separated as in `NO_PROXY`.
    pub fn except(mut self, hosts: &str) -> Self {
        self.except = hosts.split(',').map(|host| host.trim().to_ascii_lowercase()).collect();
        self.except.retain(|host| !host.is_empty());
        self
    }

    /// Whether it is used for this host. Never for this machine's own.
    pub fn is_for(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let own = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let excepted = self.except.iter().any(|rule| {
            let domain = rule.trim_start_matches('.');
            rule == "*" || host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
        });
        !own && !excepted
    }

    /// The same for an HTTP client.
    pub(crate) fn for_client(&self) -> Result<reqwest::Proxy, LinkError> {
        let address = Url::parse(&format!("http://{}:{}", self.host, self.port));
        let address = address.map_err(|error| LinkError::Proxy(with_causes(&error)))?;
        let rules = Self { credentials: None, ..self.clone() };
        let proxy = reqwest::Proxy::custom(move |url| {
            url.host_str().is_some_and(|host| rules.is_for(host)).then(|| address.clone())
        });
        Ok(match &self.credentials {
            Some(Credentials { user, password }) => proxy.basic_auth(user, password),
            None => proxy,
        })
    }

    /// A connection to `target` (`host:port`) through it.
    pub async fn connect(&self, target: &str) -> Result<TcpStream, LinkError> {
        let failed =
            |error: std::io::Error| LinkError::Proxy(format!("{}:{}: {error}", self.host, self.port));
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(failed)?;
        stream.write_all(&self.request(target)).await.map_err(failed)?;
        let mut answer = Vec::new();
        loop {
            let mut piece = [0; 1024];
            let read = stream.read(&mut piece).await.map_err(failed)?;
            if read == 0 {
                return Err(LinkError::Proxy("it closed the connection".to_owned()));
            }
            answer.extend_from_slice(&piece[..read]);
            if established(&answer)? {
                return Ok(stream);
            }
        }
    }

    fn request(&self, target: &str) -> Zeroizing<Vec<u8>> {
        let mut request = Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
        if let Some(Credentials { user, password }) = &self.credentials {
            let pair = Zeroizing::new(format!("{user}:{}", password.as_str()));
            let encoded = Zeroizing::new(BASE64.encode(pair.as_bytes()));
            request.push_str("Proxy-Authorization: Basic ");
            request.push_str(&encoded);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        Zeroizing::new(request.as_bytes().to_vec())
    }
}

/// Whether what came so far opens the tunnel; false: more is needed.
fn established(answer: &[u8]) -> Result<bool, LinkError> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        if answer.len() > MAX_ANSWER {
            return Err(LinkError::Proxy("its answer is too long".to_owned()));
        }
        return Ok(false);
    };
    let head = String::from_utf8_lossy(&answer[..end]);
    let line = head.lines().next().unwrap_or_default();
    let mut words = line.splitn(3, ' ');
    let (version, status) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !version.starts_with("HTTP/1.") {
        return Err(LinkError::Proxy("it does not speak HTTP".to_owned()));
    }
    match status.parse::<u16>() {
        Ok(200..=299) if end + 4 < answer.len() => {
            Err(LinkError::Proxy("it sent something before the server could".to_owned()))
        }
        Ok(200..=299) => Ok(true),
        Ok(407) => {
            Err(LinkError::Proxy("it wants a user and password, or others than these (407)".to_owned()))
        }
        _ => Err(LinkError::Proxy(format!(
            "it refused the site's address: {}",
            line.chars().take(200).collect::<String>()
        ))),
    }
}

/// `%41` is `A` (RFC 3986 2.1); anything else is itself.
fn decoded(text: &str) -> String {
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        let hex = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex.filter(|_| bytes[at] == b'%') {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn a_url_names_host_port_and_credentials_and_never_shows_them() {
        let proxy = Proxy::new("http://ann:p%40ss%3A@proxy.example:3128").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example", 3128));
        let request = proxy.request("site.example:8443");
        let encoded = BASE64.encode("ann:p@ss:");
        let expected = format!(
            "CONNECT site.example:8443 HTTP/1.1\r\nHost: site.example:8443\r\nProxy-Authorization: Basic {encoded}\r\n\r\n"
        );
        assert_eq!(String::from_utf8(request.to_vec()).unwrap(), expected);
        assert_eq!(Proxy::new("proxy.example:8080").unwrap().port, 8080);
        for wrong in [
            "https://u:secret@proxy",
            "socks5://u:secret@proxy",
            "http://u:secret@:1",
            "http://u:secret@h:99999",
        ] {
            let error = Proxy::new(wrong).err().unwrap().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_environment_is_read_as_others_read_it() {
        let with = |pairs: &'static [(&str, &str)]| {
            let find = |name: &str| {
                pairs.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned())
            };
            Proxy::of_environment(find).unwrap()
        };
        assert!(with(&[("HTTP_PROXY", "http://plain:1")]).is_none(), "not for TLS");
        assert!(with(&[("HTTPS_PROXY", " ")]).is_none());
        let proxy =
            with(&[("https_proxy", "http://p:1"), ("NO_PROXY", "corp.example, .lan,10.1.2.3")]).unwrap();
        for (host, used) in [
            ("site.example", true),
            ("corp.example", false),
            ("a.corp.example", false),
            ("xcorp.example", true),
            ("b.lan", false),
            ("10.1.2.3", false),
            ("10.1.2.4", true),
            ("localhost", false),
            ("127.0.0.1", false),
            ("[::1]", false),
        ] {
            assert_eq!(proxy.is_for(host), used, "{host}");
        }
        assert!(!with(&[("ALL_PROXY", "p:1"), ("no_proxy", "*")]).unwrap().is_for("site.example"));
    }

    #[test]
    fn an_answer_opens_the_tunnel_or_says_why_not() {
        assert!(!established(b"HTTP/1.1 200 Conn").unwrap());
        assert!(established(b"HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n").unwrap());
        let refused = |answer: &[u8]| established(answer).unwrap_err().to_string();
        assert!(refused(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").contains("407"));
        assert!(refused(b"HTTP/1.1 403 Not that port\r\n\r\n").contains("403 Not that port"));
        assert!(refused(b"SSH-2.0-x\r\n\r\n").contains("HTTP"));
        assert!(refused(b"HTTP/1.1 200 OK\r\n\r\nx").contains("before the server"));
        assert!(refused(&vec![b'a'; MAX_ANSWER + 1]).contains("too long"));
        assert!(refused(b"HTTP/1.1 banana\r\n\r\n").contains("refused"));
    }

    #[tokio::test]
    async fn a_tunnel_carries_what_is_said_after_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::new(&format!("http://u:p@{}", listener.local_addr().unwrap())).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.unwrap());
            }
            for byte in b"HTTP/1.1 200 OK\r\n\r\n" {
                stream.write_all(&[*byte]).await.unwrap();
            }
            assert_eq!(stream.read_u8().await.unwrap(), 7);
            String::from_utf8(asked).unwrap()
        });
        let mut stream = proxy.connect("site:1").await.unwrap();
        stream.write_all(&[7]).await.unwrap();
        assert!(server.await.unwrap().starts_with("CONNECT site:1 HTTP/1.1\r\n"));
    }
}
