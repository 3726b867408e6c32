//! UUIDv7 newtypes: an id of one kind is never taken for another.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id (UUIDv7), ordered by the time of its making.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id!(
    /// What a customer did: a call, a chat. Made by the SIP server at the INVITE; travels as `Session-ID` (RFC 7989).
    InteractionId
);
id!(
    /// One sealed media object: the voice of one call part, or one monitor of a screen capture.
    RecordingId
);
id!(
    /// One run of recording: all parts and all monitors of it share this id.
    CaptureId
);
id!(
    /// An enrolled device: a desktop or a server component. The common name of its certificate.
    DeviceId
);
id!(
    /// A person who can sign in.
    PersonId
);

impl InteractionId {
    /// The form of RFC 7989: 32 lower-case hexadecimal digits.
    pub fn to_session_id(self) -> String {
        self.0.simple().to_string()
    }
}

impl RecordingId {
    /// `urn:uuid:<id>`: the associated data of the sealed stream.
    pub fn to_urn(self) -> String {
        self.0.urn().to_string()
    }
}
