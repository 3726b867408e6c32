//! Request methods: case-sensitive tokens (RFC 3261 7.1).

use std::fmt;

use super::lex;

macro_rules! methods {
    ($($variant:ident = $text:literal),+ $(,)?) => {
        /// A request method; anything outside the registered ones is kept as it was written.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum Method {
            $(#[doc = $text] $variant,)+
            /// An extension method, a token.
            Other(String),
        }

        impl Method {
            /// Reads a method; `None` when it is not a token.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)+
                    other if lex::is_token(other) => Some(Self::Other(other.to_owned())),
                    _ => None,
                }
            }

            /// The method as written on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(other) => other,
                }
            }
        }
    };
}

methods! {
    Invite = "INVITE",
    Ack = "ACK",
    Bye = "BYE",
    Cancel = "CANCEL",
    Options = "OPTIONS",
    Register = "REGISTER",
    Info = "INFO",
    Update = "UPDATE",
    Prack = "PRACK",
    Message = "MESSAGE",
    Notify = "NOTIFY",
    Subscribe = "SUBSCRIBE",
    Refer = "REFER",
    Publish = "PUBLISH",
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
