use super::*;
use proptest::prelude::*;

/// Associations as elements of their own (RFC 7865 8).
const STANDARD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="urn:ietf:params:xml:ns:recording:1">
 <datamode>complete</datamode>
 <session session_id="S1"><sipSessionID>ab30317f1a784dc48ff824d0d3715d86;remote=47755a9de7794ba387653f2099600ef2</sipSessionID>
  <start-time>2026-11-22T10:00:00Z</start-time></session>
 <participant participant_id="P1"><nameID aor="sip:7301@192.0.2.7"/></participant>
 <participantsessionassoc participant_id="P1" session_id="S1"><associate-time>2026-11-22T10:00:00Z</associate-time></participantsessionassoc>
 <stream stream_id="M1" session_id="S1"><label>1</label></stream>
 <participant participant_id="P2"><nameID aor="tel:+49-30-99"><name xml:lang="en">O&apos;Neil &amp; S&#xF6;hne</name></nameID></participant>
 <stream stream_id="M2" session_id="S1"><label>2</label></stream>
 <participantstreamassoc participant_id="P1"><send>M1</send><recv>M2</recv></participantstreamassoc>
 <participantstreamassoc participant_id="P2"><send>M2</send><recv>M1</recv></participantstreamassoc>
</recording>"#;

/// Associations inside the participant, `id` attributes, the namespace of the draft, an extension, blank lines before.
const BEFORE_THE_RFC: &str = r#"

<?xml version='1.0' encoding='UTF-8'?>
<r:recording xmlns:r='urn:ietf:params:xml:ns:recording'>
 <r:session id="S1"/>
 <r:participant id="P1" session="S1"><r:nameID aor="sip:9000@192.0.2.1"><r:name>9000</r:name></r:nameID><r:send>M1</r:send>
   <extensiondata xmlns:x="http://example.com/x"><x:callingParty>true</x:callingParty></extensiondata></r:participant>
 <r:participant id="P2" session="S1"><r:nameID aor="sip:1002@192.0.2.1"/><r:send>M2</r:send></r:participant>
 <r:stream id="M1" session="S1"><r:label>16777227</r:label><r:mode>separate</r:mode></r:stream>
 <r:stream id="M2" session="S1"><r:label>16777228</r:label></r:stream>
</r:recording>
"#;

fn speakers(metadata: &Metadata, label: &str) -> Vec<String> {
    metadata.speakers(label).iter().filter_map(|participant| participant.number()).collect()
}

#[test]
fn a_document_of_the_rfc_tells_who_speaks_on_which_stream() {
    let metadata = parse(STANDARD.as_bytes()).unwrap();
    assert!(metadata.complete);
    assert_eq!(speakers(&metadata, "1"), ["7301"]);
    assert_eq!(speakers(&metadata, "2"), ["+493099"]);
    assert_eq!(metadata.participants[1].name.as_deref(), Some("O'Neil & Söhne"));
    assert!(metadata.session_id.unwrap().starts_with("ab30317f"));
}

#[test]
fn a_document_in_the_shape_before_the_rfc_is_read_too() {
    let metadata = parse(BEFORE_THE_RFC.as_bytes()).unwrap();
    assert_eq!(speakers(&metadata, "16777227"), ["9000"]);
    assert_eq!(speakers(&metadata, "16777228"), ["1002"]);
    assert_eq!(metadata.participants[0].calling, Some(true));
}

#[test]
fn a_partial_document_says_who_left() {
    let text = r#"<recording><datamode>partial</datamode><participantsessionassoc participant_id="P2" session_id="S1">
        <disassociate-time>2026-11-22T10:01:00Z</disassociate-time></participantsessionassoc></recording>"#;
    let mut metadata = parse(STANDARD.as_bytes()).unwrap();
    let update = parse(text.as_bytes()).unwrap();
    assert!(!update.complete);
    metadata.update(update);
    assert!(metadata.participants[1].left && !metadata.participants[0].left);
    assert_eq!(speakers(&metadata, "2"), ["+493099"], "what they said stays theirs");
}

#[test]
fn what_cannot_be_metadata_is_refused_with_its_reason() {
    let cases: &[(&str, &str)] = &[
        ("", "not a recording document"),
        ("hello", "not a recording document"),
        ("<session/>", "not a recording document"),
        ("<recording/>", "no stream and no participant"),
        ("<recording><stream/></recording>", "without an id"),
        ("<recording><stream id='1'>", "not closed"),
        ("<recording></session>", "not readable"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><recording><stream id='1'/></recording>", "document type"),
        ("<recording><stream id='1'><label>&b;</label></stream></recording>", "unknown entity"),
        ("<recording><stream id='1'/></recording><recording/>", "not a recording document"),
    ];
    for (text, reason) in cases {
        let error = parse(text.as_bytes()).expect_err(text).to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
    let many: String = (0..=MAX_ENTRIES).map(|n| format!("<stream id='{n}'/>")).collect();
    assert_eq!(
        parse(format!("<recording>{many}</recording>").as_bytes()),
        Err(MetadataError::TooMany("streams"))
    );
    assert_eq!(parse("<recording>".repeat(99).as_bytes()), Err(MetadataError::TooMany("nested elements")));
    assert_eq!(parse(&vec![b' '; MAX_DOCUMENT + 1]), Err(MetadataError::TooLong));
    assert!(matches!(parse(&[0xff, 0xfe]), Err(MetadataError::NotXml(_))));
}

proptest! {
    #[test]
    fn no_damage_makes_it_panic(at in 0usize..2000, byte: u8, cut in 0usize..2000) {
        for text in [STANDARD, BEFORE_THE_RFC] {
            let mut bytes = text.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(cut.max(1));
            let _ = parse(&bytes);
        }
    }
}

/// Bodies of real clients, where they are at hand (they are not ours to keep).
#[test]
fn what_real_clients_send_names_both_speakers() {
    let folder = std::path::Path::new("../../../shared/siprec");
    for (file, labels, numbers) in [
        ("acme-siprec-offer.txt", ["16777227", "16777228"], ["9000", "1002"]),
        ("cisco-siprec-offer.txt", ["1", "2"], ["7301", "7300"]),
    ] {
        let Ok(text) = std::fs::read_to_string(folder.join(file)) else { continue };
        let start = text.find("<?xml").unwrap();
        let end = text.find("</recording>").unwrap() + "</recording>".len();
        let metadata = parse(&text.as_bytes()[start..end]).unwrap();
        for (label, number) in labels.iter().zip(numbers) {
            assert_eq!(speakers(&metadata, label), [number], "{file}");
        }
    }
}
