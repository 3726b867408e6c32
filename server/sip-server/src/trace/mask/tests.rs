use super::*;
use hindsight_sip::parse_datagram;
use proptest::prelude::*;

fn masked(text: &str, media: bool) -> Masked {
    let message = parse_datagram(text.as_bytes()).unwrap().unwrap();
    mask(&message, media)
}

fn request(method: &str, extra: &str, kind: &str, body: &str) -> String {
    let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    format!(
        "{method} sip:1001@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa\r\nFrom: <sip:2001@a.test>;tag=f\r\n\
         To: <sip:1001@a.test>\r\nCall-ID: c@192.0.2.7\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\n{extra}{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The header as it is shown.
fn header(line: &str) -> String {
    let text = masked(&request("INVITE", &format!("{line}\r\n"), "", ""), false).text;
    text.lines().nth(7).unwrap().to_owned()
}

#[test]
fn of_credentials_only_what_everybody_may_know_is_shown() {
    for (line, shown) in [
        (
            r#"Authorization: Digest username="2001", realm="a.test", nonce="n0nce", uri="sip:a.test", response="5ecret", cnonce="c", qop=auth, nc=00000001, opaque="o", algorithm=MD5"#,
            r#"Authorization: Digest username="2001", realm="a.test", nonce=***, uri="sip:a.test", response=***, cnonce=***, qop=auth, nc=00000001, opaque=***, algorithm=MD5"#,
        ),
        (
            r#"proxy-authorization: DIGEST Response = "5ecret",realm="a, b""#,
            r#"Proxy-Authorization: Digest response=***, realm="a, b""#,
        ),
        ("Authorization: Basic YWxpY2U6c2VjcmV0", "Authorization: Basic ***"),
        ("Authorization: YWxpY2U6c2VjcmV0", "Authorization: ***"),
        ("Authorization: Own YWxpY2U6c2VjcmV0", "Authorization: ***"),
        (
            r#"WWW-Authenticate: Digest realm="a.test", nonce="n0nce", qop="auth""#,
            r#"WWW-Authenticate: Digest realm="a.test", nonce=***, qop="auth""#,
        ),
        (
            r#"Authentication-Info: nextnonce="n", rspauth="5ecret", nc=1"#,
            "Authentication-Info: nextnonce=***, rspauth=***, nc=1",
        ),
        (
            r#"Authorization: Digest realm="a", response="5ecret"#,
            r#"Authorization: Digest realm="a", response=***"#,
        ),
        (
            r#"Authorization: Digest realm="a\"x", 5ecret, own="5ecret""#,
            "Authorization: Digest realm=***, ***, ***",
        ),
        ("X-API-Key: 5ecret", "X-API-Key: ***"),
        ("User-to-User: 34313131", "User-to-User: ***"),
    ] {
        assert_eq!(header(line), shown, "{line}");
    }
}

#[test]
fn uris_carry_no_password_no_headers_and_no_digits_to_dial_later() {
    for (line, shown) in [
        (
            "Contact: <sip:2001@192.0.2.7:5062;transport=tcp>;q=0.5",
            "Contact: <sip:2001@192.0.2.7:5062;transport=tcp>;q=0.5",
        ),
        ("Contact: <sip:2001:5ecret@192.0.2.7>", "Contact: <sip:2001:***@192.0.2.7>"),
        ("X-Where: SIPS:2001:5e,cr:et@192.0.2.7", "X-Where: SIPS:2001:***@192.0.2.7"),
        ("Call-Info: <https://u:5ecret@a.test/x>", "Call-Info: <https://u:***@a.test/x>"),
        (
            "Refer-To: <sip:1002@a.test?Replaces=c%3Bto-tag%3Dt&Authorization=Digest%205ecret>",
            "Refer-To: <sip:1002@a.test?Replaces=c%3Bto-tag%3Dt&***>",
        ),
        ("Refer-To: <tel:+4930;postd=4111>", "Refer-To: <tel:+4930;postd=***>"),
        ("Record-Route: <sip:[2001:db8::1]:5060;lr>", "Record-Route: <sip:[2001:db8::1]:5060;lr>"),
        ("Subject: what? me@home", "Subject: what? me@home"),
    ] {
        assert_eq!(header(line), shown, "{line}");
    }
}

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nk=clear:5ecret\r\nm=audio 4000 RTP/SAVP 0\r\n\
    a=rtpmap:0 PCMU/8000\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^20|1:4;inline:c2VjcmV1\r\na=ice-ufrag:F7gI\r\n\
    a=ice-pwd:x9cml/YzichV2+XlhiMu8g\r\na=key-mgmt:mikey c2VjcmV0\r\na=x-token:c2VjcmV0\r\na=ice-pwdc2VjcmV0\r\n a=crypto:2 c2VjcmV0\r\na=sendrecv\r\n";

#[test]
fn a_description_is_shown_without_its_keys() {
    let text = masked(&request("INVITE", "", "application/sdp", OFFER), false).text;
    let (_, body) = text.split_once("\n\n").unwrap();
    assert_eq!(
        body.lines().collect::<Vec<_>>(),
        [
            "v=0",
            "o=- 1 1 IN IP4 192.0.2.7",
            "s=-",
            "c=IN IP4 192.0.2.7",
            "t=0 0",
            "k=***",
            "m=audio 4000 RTP/SAVP 0",
            "a=rtpmap:0 PCMU/8000",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***",
            "a=ice-ufrag:F7gI",
            "a=ice-pwd:***",
            "a=key-mgmt:***",
            "a=***",
            "a=***",
            "***",
            "a=sendrecv",
        ]
    );
}

#[test]
fn digits_are_shown_in_no_body_whatever_it_is_called() {
    for (method, kind, body) in [
        ("INFO", "application/dtmf-relay", "Signal=7\r\nDuration=160\r\n"),
        ("INFO", "application/dtmf", "7"),
        ("INFO", "application/sdp", "s=7777777\r\n"),
        ("INFO", "", "7777777"),
        ("NOTIFY", "application/kpml-response+xml", "<kpml-response digits=\"7777777\"/>"),
        (
            "INVITE",
            "multipart/mixed;boundary=b",
            "--b\r\nContent-Type: application/dtmf\r\n\r\n7777777\r\n--b--",
        ),
        ("INFO", "application/msml+xml", "<msml><dtmf>7777777</dtmf></msml>"),
    ] {
        for media in [false, true] {
            let text = masked(&request(method, "", kind, body), media).text;
            assert!(!text.contains("Signal") && !text.contains("7777777"), "{text}");
            assert!(text.ends_with(": not kept]"), "{text}");
        }
    }
    let answer = request("INFO", "", "application/dtmf", "7777777").replacen(
        "INFO sip:1001@192.0.2.1 SIP/2.0",
        "SIP/2.0 200 OK",
        1,
    );
    assert!(!masked(&answer, false).text.contains("7777777"));
}

#[test]
fn what_is_told_to_the_media_server_is_shown_only_between_us_and_it() {
    let body = "<msml version=\"1.1\"><dialogend id=\"conf:x/dialog:recording\"/></msml>";
    let text = request("INFO", "", "application/msml+xml", body);
    assert!(masked(&text, true).text.ends_with(body));
    assert!(!masked(&text, false).text.contains("dialogend"));
}

#[test]
fn of_a_quoted_answer_only_its_status_is_shown() {
    let text =
        request("NOTIFY", "", "message/sipfrag;version=2.0", "SIP/2.0 200 OK\r\nAuthorization: 5ecret\r\n");
    assert!(masked(&text, false).text.ends_with("\nSIP/2.0 200 OK"));
}

#[test]
fn a_long_message_is_cut_and_says_so() {
    let long = masked(&request("INVITE", &format!("Subject: {}\r\n", "ü".repeat(9000)), "", ""), false);
    assert!(long.cut && long.text.len() <= LONGEST_TEXT && long.text.len() > LONGEST_TEXT - 4);
    assert!(!masked(&request("INVITE", "", "", ""), false).cut);
}

/// Long enough that it is nowhere by chance.
fn secret() -> impl Strategy<Value = String> {
    "[A-Za-z0-9+/]{16,40}"
}

/// A header or a line of a description with a secret where the standards have one.
fn place() -> impl Strategy<Value = fn(&str, &str) -> (String, String)> {
    prop_oneof![
        Just(
            (|s, _| (format!(r#"Authorization: Digest username="u", response="{s}""#), String::new()))
                as fn(&str, &str) -> _
        ),
        Just(
            (|s, gap| (format!("AUTHORIZATION:{gap}digest{gap} nonce = \"{s}\" ,realm=\"r\""), String::new()))
                as fn(&str, &str) -> _
        ),
        Just(
            (|s, gap| (
                format!("Proxy-Authorization:{gap}Digest cnonce=\"{s}\",opaque=\"{s}\""),
                String::new()
            )) as fn(&str, &str) -> _
        ),
        Just((|s, _| (format!("Authorization: Bearer {s}"), String::new())) as fn(&str, &str) -> _),
        Just((|s, _| (format!("Authorization: Basic {s}=="), String::new())) as fn(&str, &str) -> _),
        Just(
            (|s, _| (format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{s}\""), String::new()))
                as fn(&str, &str) -> _
        ),
        Just(
            (|s, _| (format!("Authentication-Info: nextnonce=\"{s}\", rspauth=\"{s}\""), String::new()))
                as fn(&str, &str) -> _
        ),
        Just((|s, gap| (format!("m:{gap}<sip:user:{s}@192.0.2.7>"), String::new())) as fn(&str, &str) -> _),
        Just(
            (|s, _| (format!("Refer-To: \"A B\" <SIP:user:{s}@h?Authorization={s}&body={s}>"), String::new()))
                as fn(&str, &str) -> _
        ),
        Just((|s, _| (format!("P-Own: <sip:h>,sip:u:{s}@h"), String::new())) as fn(&str, &str) -> _),
        Just((|s, _| (format!("X-Auth-Token: {s}"), String::new())) as fn(&str, &str) -> _),
        Just(
            (|s, _| (String::new(), format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{s}|2^20|1:32\r\n")))
                as fn(&str, &str) -> _
        ),
        Just(
            (|s, gap| (String::new(), format!("a=crypto:{gap}12{gap}AEAD_AES_256_GCM{gap}inline:{s}\r\n")))
                as fn(&str, &str) -> _
        ),
        Just((|s, _| (String::new(), format!("A=ICE-PWD:{s}\n"))) as fn(&str, &str) -> _),
        Just((|s, _| (String::new(), format!("s=-\ra=ice-pwd:{s}\r\n"))) as fn(&str, &str) -> _),
        Just((|s, _| (String::new(), format!("k=base64:{s}\r\n"))) as fn(&str, &str) -> _),
        Just((|s, _| (String::new(), format!("a=key-mgmt:mikey {s}\r\n"))) as fn(&str, &str) -> _),
    ]
}

proptest! {
    #[test]
    fn no_secret_survives(
        secret in secret(),
        places in prop::collection::vec(place(), 1..6),
        gap in "( |\t|\r\n ){1,3}",
        noise in "[ -~]{0,60}",
        media in any::<bool>(),
    ) {
        let made: Vec<(String, String)> = places.iter().map(|place| place(&secret, &gap)).collect();
        let headers: String = made.iter().filter(|(header, _)| !header.is_empty()).map(|(header, _)| format!("{header}\r\n")).collect();
        let lines: String = made.iter().map(|(_, line)| line.as_str()).collect();
        let body = format!("v=0\r\ns={noise}\r\n{lines}m=audio 4000 RTP/AVP 0\r\n");
        let text = request("INVITE", &format!("Subject: {noise}\r\n{headers}"), "application/sdp", &body);
        // What the parser refuses is in no trace.
        if let Ok(Some(message)) = parse_datagram(text.as_bytes()) {
            let shown = mask(&message, media).text;
            prop_assert!(!shown.contains(&secret), "{}\n---\n{}", text, shown);
        }
    }

    #[test]
    fn no_digit_survives(digits in "[0-9]{12,19}", kind in "(application/[a-z-]{1,20}|text/plain|)", media in any::<bool>()) {
        let shown = masked(&request("INFO", "", &kind, &format!("Signal={digits}\r\nDuration=100\r\n")), media).text;
        prop_assert!(!shown.contains(&digits) && !shown.contains("Signal"), "{}", shown);
    }

    #[test]
    fn hostile_headers_and_bodies_are_survived(
        name in "[!-9;-~]{1,20}",
        value in "\\PC{0,300}",
        body in prop::collection::vec(any::<u8>(), 0..600),
        kind in "(application/sdp|application/msml\\+xml|message/sipfrag|)",
    ) {
        let mut bytes = request("INVITE", &format!("{name}: {value}\r\nAuthorization: {value}\r\nContact: {value}\r\n"), &kind, "").into_bytes();
        let marker = b"Content-Length: 0\r\n\r\n";
        bytes.truncate(bytes.len() - marker.len());
        bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes());
        bytes.extend(&body);
        if let Ok(Some(message)) = parse_datagram(&bytes) {
            let shown = mask(&message, true);
            prop_assert!(shown.text.len() <= LONGEST_TEXT);
            prop_assert!(shown.text.chars().all(|c| c == '\n' || !c.is_control()));
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000), media in any::<bool>()) {
        if let Ok(Some(message)) = parse_datagram(&bytes) {
            mask(&message, media);
        }
        credentials::masked(&String::from_utf8_lossy(&bytes));
        description::masked(&String::from_utf8_lossy(&bytes));
        uris(&String::from_utf8_lossy(&bytes));
    }
}
