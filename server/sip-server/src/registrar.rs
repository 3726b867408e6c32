//! Registrations (RFC 3261 10): which contacts a DN is reachable at, and until when. Whoever calls has authenticated the
//! request.

use crate::{
    call::Now,
    kept::{KeptBinding, kept_source, restored_source},
};
use hindsight_sip::{Fault, NameAddr, Request, SipMessage, Source, StatusCode, Uri};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Proxies between a phone and us.
const MOST_PROXIES: usize = 8;

/// Where a phone is reachable.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// Its Contact.
    pub contact: NameAddr,
    /// Where its REGISTER came from, if it came straight from the phone: the way back through a NAT or a connection.
    pub source: Option<Source>,
    /// The proxies on the way to it, as its REGISTER named them (RFC 3327).
    pub path: Vec<NameAddr>,
    call_id: String,
    cseq: u32,
    expires_at: Instant,
    /// Preference, thousandths.
    q: u16,
}

/// What is granted.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Shortest registration.
    pub min_expires: u32,
    /// Longest, and what is granted when nothing is asked.
    pub max_expires: u32,
    /// Contacts of one DN.
    pub max_contacts: usize,
}

/// Why a REGISTER is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Asked for less than the shortest time: 423 with Min-Expires.
    #[error("registration too short; at least {0} s")]
    TooBrief(u32),
    /// Anything else.
    #[error("{}", .0.reason)]
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Refusal::Fault(fault)
    }
}

/// All registrations.
pub struct Registrar {
    terms: Terms,
    bindings: HashMap<String, Vec<Binding>>,
}

impl Registrar {
    /// Nobody registered.
    pub fn new(terms: Terms) -> Self {
        Self { terms, bindings: HashMap::new() }
    }

    /// Takes an authenticated REGISTER for a DN. Returns the Contact values of the 200: all that is bound now. All of the
    /// request takes effect or none of it (10.3 step 7).
    pub fn register(
        &mut self,
        number: &str,
        request: &Request,
        source: Source,
        now: Instant,
    ) -> Result<Vec<NameAddr>, Refusal> {
        let mut bindings = self.bindings.remove(number).unwrap_or_default();
        bindings.retain(|binding| binding.expires_at > now);
        let outcome = apply(self.terms, bindings.clone(), request, source, now);
        let bindings = outcome.as_ref().unwrap_or(&bindings);
        if !bindings.is_empty() {
            self.bindings.insert(number.to_owned(), bindings.clone());
        }
        Ok(outcome?.iter().map(|binding| granted(binding, now)).collect())
    }

    /// Where a DN is reachable, most preferred first.
    pub fn lookup(&self, number: &str, now: Instant) -> Vec<Binding> {
        let bound = self.bindings.get(number).into_iter().flatten();
        let mut live: Vec<Binding> = bound.filter(|binding| binding.expires_at > now).cloned().collect();
        live.sort_by_key(|binding| std::cmp::Reverse(binding.q));
        live
    }

    /// What outlives this process of a DN's registrations.
    pub fn kept(&self, number: &str, now: Now) -> Vec<KeptBinding> {
        let kept = |binding: &Binding| KeptBinding {
            contact: binding.contact.to_string(),
            source: binding.source.and_then(kept_source),
            path: binding.path.iter().map(ToString::to_string).collect(),
            call_id: binding.call_id.clone(),
            cseq: binding.cseq,
            until: now.wall.plus_ms(milliseconds(binding.expires_at.saturating_duration_since(now.instant))),
            q: binding.q,
        };
        let live = |binding: &&Binding| binding.expires_at > now.instant;
        self.bindings.get(number).into_iter().flatten().filter(live).map(kept).collect()
    }

    /// Takes up what was kept, except what has run out since. How many could not be read.
    pub fn restore(&mut self, number: &str, kept: &[KeptBinding], now: Now) -> usize {
        let longest = i64::from(self.terms.max_expires) * 1000;
        let mut damaged = 0;
        let mut bindings = Vec::new();
        for binding in kept {
            // A clock that was set back must not make a registration longer than it can be.
            let left = u64::try_from(binding.until.ms_since(now.wall).min(longest)).unwrap_or(0);
            let contact = NameAddr::parse(&binding.contact).ok();
            match contact.filter(|contact| contact.uri.as_sip().is_some()) {
                Some(contact) if left > 0 => bindings.push(Binding {
                    contact,
                    source: binding.source.map(restored_source),
                    path: binding.path.iter().filter_map(|text| NameAddr::parse(text).ok()).collect(),
                    call_id: binding.call_id.clone(),
                    cseq: binding.cseq,
                    expires_at: now.instant + Duration::from_millis(left),
                    q: binding.q.min(1000),
                }),
                Some(_) => {}
                None => damaged += 1,
            }
        }
        bindings.truncate(self.terms.max_contacts);
        if !bindings.is_empty() {
            self.bindings.insert(number.to_owned(), bindings);
        }
        damaged
    }

    /// Forgets what has run out; at which DNs.
    pub fn expire(&mut self, now: Instant) -> Vec<String> {
        let mut changed = Vec::new();
        self.bindings.retain(|number, bindings| {
            let before = bindings.len();
            bindings.retain(|binding| binding.expires_at > now);
            if bindings.len() != before {
                changed.push(number.clone());
            }
            !bindings.is_empty()
        });
        changed
    }

    /// Forgets DNs that are no longer configured; which.
    pub fn keep_only(&mut self, known: impl Fn(&str) -> bool) -> Vec<String> {
        let gone: Vec<String> = self.bindings.keys().filter(|number| !known(number)).cloned().collect();
        for number in &gone {
            self.bindings.remove(number);
        }
        gone
    }

    /// Whether anything is registered at a DN.
    pub fn knows(&self, number: &str) -> bool {
        self.bindings.contains_key(number)
    }

    /// DNs with at least one contact.
    pub fn len(&self) -> usize {
        self.bindings.len()
    }

    /// Whether nobody is registered.
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn granted(binding: &Binding, now: Instant) -> NameAddr {
    let left = binding.expires_at.saturating_duration_since(now).as_secs_f64().ceil();
    NameAddr::new(binding.contact.uri.clone()).with_param("expires", Some(&format!("{left:.0}")))
}

fn apply(
    terms: Terms,
    mut bindings: Vec<Binding>,
    request: &Request,
    source: Source,
    now: Instant,
) -> Result<Vec<Binding>, Refusal> {
    let call_id = request.call_id()?.to_owned();
    let cseq = request.cseq()?.number;
    let straight = request.vias()?.len() == 1;
    let path = path_of(request)?;
    if request.contact_is_star() {
        if request.expires() != Some(0) || !request.contacts()?.is_empty() {
            return Err(Fault::syntax("Contact Star Without Expires 0").into());
        }
        if bindings.iter().any(|binding| binding.call_id == call_id && binding.cseq >= cseq) {
            return Err(out_of_order());
        }
        return Ok(Vec::new());
    }
    for contact in request.contacts()? {
        let asked = expires_of(&contact, request);
        if asked != 0 && asked < terms.min_expires {
            return Err(Refusal::TooBrief(terms.min_expires));
        }
        let Uri::Sip(uri) = &contact.uri else {
            return Err(
                Fault::status(StatusCode::UNSUPPORTED_URI_SCHEME, "Contact Scheme Not Supported").into()
            );
        };
        let known =
            bindings.iter().position(|b| b.contact.uri.as_sip().is_some_and(|known| known.equivalent(uri)));
        if let Some(known) = known {
            let binding = bindings.remove(known);
            if binding.call_id == call_id && binding.cseq >= cseq {
                return Err(out_of_order());
            }
        }
        if asked == 0 {
            continue;
        }
        bindings.push(Binding {
            q: preference(&contact),
            source: straight.then_some(source),
            path: path.clone(),
            call_id: call_id.clone(),
            cseq,
            expires_at: now + Duration::from_secs(asked.min(terms.max_expires).into()),
            contact,
        });
    }
    if bindings.len() > terms.max_contacts {
        return Err(Fault::status(StatusCode::FORBIDDEN, "Too Many Contacts").into());
    }
    Ok(bindings)
}

/// The way back to a phone behind proxies (RFC 3327 5.3).
fn path_of(request: &Request) -> Result<Vec<NameAddr>, Fault> {
    let path = request.headers.values("Path")?;
    if path.len() > MOST_PROXIES {
        return Err(Fault::status(StatusCode::FORBIDDEN, "Too Many Proxies"));
    }
    path.into_iter().map(NameAddr::parse).collect()
}

fn out_of_order() -> Refusal {
    Fault::status(StatusCode::SERVER_INTERNAL_ERROR, "CSeq Out Of Order").into()
}

/// The parameter before the header; what is malformed counts as 3600 (RFC 3261 10.2.1.1), as does nothing.
fn expires_of(contact: &NameAddr, request: &Request) -> u32 {
    const DEFAULT: u32 = 3600;
    match contact.params.get("expires") {
        Some(text) => hindsight_sip::message::typed::seconds(text).unwrap_or(DEFAULT),
        None => request.expires().unwrap_or(DEFAULT),
    }
}

fn preference(contact: &NameAddr) -> u16 {
    let q: f32 = contact.params.get("q").and_then(|q| q.parse().ok()).unwrap_or(1.0);
    (q.clamp(0.0, 1.0) * 1000.0) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use hindsight_sip::{Message, Protocol, parse_datagram};

    const TERMS: Terms = Terms { min_expires: 30, max_expires: 3600, max_contacts: 2 };

    fn request(cseq: u32, lines: &str) -> Request {
        let text = format!(
            "REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1{cseq}\r\nFrom: <sip:1001@h>;tag=1\r\n\
             To: <sip:1001@h>\r\nCall-ID: c\r\nCSeq: {cseq} REGISTER\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        match parse_datagram(text.as_bytes()) {
            Ok(Some(Message::Request(request))) => request,
            other => panic!("{other:?}"),
        }
    }

    fn source() -> Source {
        let address = "192.0.2.1:5060".parse().unwrap();
        Source { protocol: Protocol::Udp, local: address, remote: address }
    }

    fn register(
        registrar: &mut Registrar,
        cseq: u32,
        lines: &str,
        now: Instant,
    ) -> Result<Vec<String>, Refusal> {
        let contacts = registrar.register("1001", &request(cseq, lines), source(), now)?;
        Ok(contacts.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_contact_is_found_until_it_expires() {
        let (mut registrar, now) = (Registrar::new(TERMS), Instant::now());
        let granted =
            register(&mut registrar, 1, "Contact: <sip:a@192.0.2.1>\r\nExpires: 60\r\n", now).unwrap();
        assert_eq!(granted, ["<sip:a@192.0.2.1>;expires=60"]);
        assert_eq!(registrar.lookup("1001", now + Duration::from_secs(59)).len(), 1);
        assert!(registrar.lookup("1001", now + Duration::from_secs(60)).is_empty());
        assert!(registrar.lookup("1002", now).is_empty());
        assert_eq!(registrar.expire(now + Duration::from_secs(60)), ["1001"]);
        assert!(registrar.is_empty());
    }

    #[test]
    fn a_registration_is_refreshed_removed_and_listed() {
        let (mut registrar, now) = (Registrar::new(TERMS), Instant::now());
        register(
            &mut registrar,
            1,
            "Contact: <sip:a@192.0.2.1>;expires=99999;q=0.1, <sip:b@192.0.2.1>\r\n",
            now,
        )
        .unwrap();
        let order: Vec<_> = registrar.lookup("1001", now).iter().map(|b| b.contact.uri.to_string()).collect();
        assert_eq!(order, ["sip:b@192.0.2.1", "sip:a@192.0.2.1"]);
        let listed = register(&mut registrar, 2, "", now).unwrap();
        assert_eq!(listed, ["<sip:a@192.0.2.1>;expires=3600", "<sip:b@192.0.2.1>;expires=3600"]);
        let left =
            register(&mut registrar, 3, "Contact: <sip:A@192.0.2.1>, <sip:a@192.0.2.1>;expires=0\r\n", now);
        assert_eq!(left.unwrap().len(), 2, "users compare with case: A is new, a is gone");
        assert_eq!(register(&mut registrar, 4, "Contact: *\r\nExpires: 0\r\n", now).unwrap(), [""; 0]);
        assert!(registrar.is_empty());
    }

    #[test]
    fn the_proxies_on_the_way_to_a_phone_are_kept_in_their_order_and_outlive_the_process() {
        let (mut registrar, now) = (Registrar::new(TERMS), Instant::now());
        let lines = "Path: <sip:p2@192.0.2.3;lr>, <sip:192.0.2.2;lr>\r\nContact: <sip:a@192.0.2.1>\r\n";
        register(&mut registrar, 1, lines, now).unwrap();
        let path = |registrar: &Registrar| {
            registrar.lookup("1001", now)[0].path.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(path(&registrar), ["<sip:p2@192.0.2.3;lr>", "<sip:192.0.2.2;lr>"]);
        let wall = Now { instant: now, wall: hindsight_wire::Timestamp(0) };
        let kept = registrar.kept("1001", wall);
        let mut next = Registrar::new(TERMS);
        assert_eq!((next.restore("1001", &kept, wall), path(&next)), (0, path(&registrar)));
        let endless = "<sip:192.0.2.2;lr>, ".repeat(8) + "<sip:192.0.2.2;lr>";
        let lines = format!("Path: {endless}\r\nContact: <sip:a@192.0.2.1>\r\n");
        assert!(register(&mut registrar, 2, &lines, now).is_err());
    }

    #[test]
    fn a_refused_register_changes_nothing() {
        let (mut registrar, now) = (Registrar::new(TERMS), Instant::now());
        register(&mut registrar, 5, "Contact: <sip:a@192.0.2.1>\r\n", now).unwrap();
        for (cseq, lines, expected) in [
            (6, "Contact: <sip:b@192.0.2.1>, <sip:c@192.0.2.1>;expires=10\r\n", "at least 30 s"),
            (5, "Contact: <sip:a@192.0.2.1>\r\n", "CSeq Out Of Order"),
            (6, "Contact: <sip:b@h>, <sip:c@h>, <sip:d@h>\r\n", "Too Many Contacts"),
            (6, "Contact: *\r\n", "Contact Star"),
            (5, "Contact: *\r\nExpires: 0\r\n", "CSeq Out Of Order"),
            (6, "Contact: <mailto:a@h>\r\n", "Scheme"),
        ] {
            let error = register(&mut registrar, cseq, lines, now).unwrap_err().to_string();
            assert!(error.contains(expected), "{lines}: {error}");
            assert_eq!(registrar.lookup("1001", now)[0].contact.uri.to_string(), "sip:a@192.0.2.1");
            assert_eq!(registrar.lookup("1001", now).len(), 1);
        }
    }
}
