//! Being asked to call somebody: Refer-To (RFC 3515), `Refer-Sub` (RFC 4488), Replaces (RFC 3891), and what becomes of it
//! as a `message/sipfrag` (RFC 3420).

use crate::{
    dialog::DialogId,
    message::{Fault, Headers, Method, NameAddr, StatusCode, Uri, lex},
};

/// Media type of the body of a NOTIFY.
pub const SIPFRAG: &str = "message/sipfrag;version=2.0";

/// Whom to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferTo {
    /// The address, without headers.
    pub uri: Uri,
    /// The dialog that the call is to replace.
    pub replaces: Option<Replaces>,
}

impl ReferTo {
    /// Reads the one Refer-To of a REFER.
    pub fn of(headers: &Headers) -> Result<Self, Fault> {
        let field = headers.single("Refer-To")?.ok_or(Fault::syntax("Missing Refer-To"))?;
        let mut uri = NameAddr::parse(field)?.uri;
        if uri.param("method").is_some_and(|method| method != Method::Invite.as_str()) {
            return Err(Fault::syntax("Only INVITE Can Be Referred To"));
        }
        let asked = uri.as_sip_mut().and_then(|sip| sip.headers.take()).unwrap_or_default();
        let replaces = asked.split('&').filter_map(|header| header.split_once('='));
        let mut replaces = replaces.filter(|(name, _)| name.eq_ignore_ascii_case("Replaces"));
        let replaces = replaces.next().map(|(_, value)| Replaces::parse(&lex::percent_decode(value)));
        Ok(Self { uri, replaces: replaces.transpose()? })
    }
}

/// The dialog that a new one is to take the place of, as its other end names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaces {
    /// From the point of view of whoever is asked.
    pub dialog: DialogId,
    /// Only while nobody has answered.
    pub early_only: bool,
}

impl Replaces {
    /// Reads the value of the header.
    pub fn parse(value: &str) -> Result<Self, Fault> {
        let mut fields = value.split(';').map(str::trim);
        let call_id = fields.next().filter(|id| !id.is_empty()).ok_or(Fault::syntax("Malformed Replaces"))?;
        let (mut local_tag, mut remote_tag, mut early_only) = (None, None, false);
        for field in fields {
            match field.split_once('=').map(|(name, tag)| (name.trim(), tag.trim())) {
                Some((name, tag)) if name.eq_ignore_ascii_case("to-tag") => local_tag = Some(tag),
                Some((name, tag)) if name.eq_ignore_ascii_case("from-tag") => remote_tag = Some(tag),
                None if field.eq_ignore_ascii_case("early-only") => early_only = true,
                Some(_) | None => {}
            }
        }
        let tags =
            local_tag.zip(remote_tag).filter(|(local, remote)| !local.is_empty() && !remote.is_empty());
        let (local_tag, remote_tag) = tags.ok_or(Fault::syntax("Replaces Without Tags"))?;
        // Peers of RFC 2543 had no tags: `0` stands for that (RFC 3891 6.1).
        let remote_tag = if remote_tag == "0" { String::new() } else { remote_tag.to_owned() };
        let dialog = DialogId { call_id: call_id.to_owned(), local_tag: local_tag.to_owned(), remote_tag };
        Ok(Self { dialog, early_only })
    }
}

/// Whether a REFER wants to be told what becomes of it.
pub fn wants_notifications(headers: &Headers) -> bool {
    !headers
        .get("Refer-Sub")
        .is_some_and(|value| value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("false"))
}

/// The body that tells a status.
pub fn sipfrag(status: StatusCode) -> String {
    format!("SIP/2.0 {status} {}\r\n", status.reason())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: &str) -> Result<ReferTo, Fault> {
        let mut headers = Headers::new();
        headers.push("Refer-To", field);
        ReferTo::of(&headers)
    }

    #[test]
    fn the_examples_of_the_rfcs_are_read() {
        let blind = read("<sip:transfertarget@chicago.example.com>").unwrap();
        assert_eq!(blind.uri.user().as_deref(), Some("transfertarget"));
        assert_eq!(blind.replaces, None);
        // RFC 5589 7.3
        let attended = read(
            "<sips:482n4z24kdg@chicago.example.com;gr=8594958?Replaces=090459243588173445%3Bto-tag%3D9m2n3wq%3Bfrom-tag%3D763231&Require=replaces>",
        );
        let attended = attended.unwrap();
        assert_eq!(attended.uri.as_sip().unwrap().headers, None);
        let replaces = attended.replaces.unwrap();
        let dialog = replaces.dialog;
        assert_eq!(
            (dialog.call_id.as_str(), dialog.local_tag.as_str(), dialog.remote_tag.as_str()),
            ("090459243588173445", "9m2n3wq", "763231")
        );
        // RFC 3891 6.1
        let early = Replaces::parse("12adf2f34456gs5;to-tag=12345;from-tag=0;early-only").unwrap();
        assert_eq!((early.dialog.remote_tag.as_str(), early.early_only), ("", true));
    }

    #[test]
    fn what_names_nobody_is_refused() {
        for field in [
            "",
            "<sip:a@b",
            "<sip:a@b;method=BYE>",
            "<sip:a@b?Replaces=1>",
            "<sip:a@b?Replaces=1%3Bto-tag%3D2>",
            "<sip:a@b?Replaces=%3Bto-tag%3D2%3Bfrom-tag%3D3>",
        ] {
            assert!(read(field).is_err(), "{field}");
        }
        let mut twice = Headers::new();
        twice.push("Refer-To", "<sip:a@b>");
        twice.push("Refer-To", "<sip:c@b>");
        assert!(ReferTo::of(&twice).is_err() && ReferTo::of(&Headers::new()).is_err());
    }

    #[test]
    fn the_subscription_is_there_unless_it_is_not_wanted() {
        let mut headers = Headers::new();
        assert!(wants_notifications(&headers));
        headers.push("Refer-Sub", "True");
        assert!(wants_notifications(&headers));
        headers.set("Refer-Sub", " false ;x");
        assert!(!wants_notifications(&headers));
        assert_eq!(sipfrag(StatusCode::BUSY_HERE), "SIP/2.0 486 Busy Here\r\n");
    }
}
