//! The site's trunks: who they are, whether they are there, and by which one a call goes out. Pure, but for what it sends
//! by [`Wires`].

mod health;
mod line;
mod registration;

use crate::{state::Output, wires::Wires};
use hindsight_sip::{
    ClientTransactionId, Command, Destination, Event, NameAddr, Request, Response, SipUri, Source,
    StatusCode, Uri,
    digest::{Credentials, DigestClient},
};
use hindsight_wire::{
    component::VoiceConfig,
    policy::VoicePolicy,
    trunk::{Outside, Trunk},
};
use rand::Rng;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

pub(crate) use health::State;
use line::Line;

/// How often the name of a trunk is looked up, and while it has no address.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A way of a call to a trunk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Way {
    /// Its name.
    pub(crate) trunk: String,
    /// Its own address, for what names no other.
    pub(crate) to: Destination,
}

/// What an INVITE to a trunk says.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) way: Way,
    pub(crate) target: Uri,
    pub(crate) from: NameAddr,
}

enum Asked {
    Options,
    Register(Box<Request>),
}

/// The trunks of the site.
#[derive(Default)]
pub(crate) struct Trunks {
    plan: Outside,
    calls_out: bool,
    lines: Vec<Line>,
    asked: HashMap<ClientTransactionId, (String, Asked)>,
}

impl Trunks {
    /// A new configuration; what is known of trunks that stay as they are is kept.
    pub(crate) fn configure(&mut self, config: &VoiceConfig, wires: &mut Wires, now: Instant) {
        (self.plan, self.calls_out) = (config.outside.clone().unwrap_or_default(), config.outside.is_some());
        let mut before = std::mem::take(&mut self.lines);
        for trunk in &config.trunks {
            let known = before.iter().position(|line| line.trunk == *trunk);
            let line = known.map(|at| before.swap_remove(at));
            self.lines.extend(line.or_else(|| Line::new(trunk.clone(), &mut wires.ids, now)));
        }
        self.asked.retain(|_, (trunk, _)| config.trunks.iter().any(|known| known.name == *trunk));
    }

    /// How numbers outside are written.
    pub(crate) fn plan(&self) -> &Outside {
        &self.plan
    }

    /// A trunk by its name.
    pub(crate) fn get(&self, name: &str) -> Option<&Trunk> {
        self.lines.iter().map(|line| &line.trunk).find(|trunk| trunk.name == name)
    }

    /// What is known of a trunk.
    #[cfg(test)]
    fn state(&self, name: &str) -> Option<State> {
        self.lines.iter().find(|line| line.trunk.name == name).map(|line| line.health.state())
    }

    /// Whether its calls are recorded whatever the DN's policy says.
    pub(crate) fn records(&self, name: &str) -> bool {
        self.get(name).is_some_and(|trunk| trunk.record_voice == VoicePolicy::FullTime)
    }

    /// The way back to a trunk that a call came from.
    pub(crate) fn way(&self, name: &str, source: Source) -> Way {
        let line = self.lines.iter().find(|line| line.trunk.name == name);
        Way { trunk: name.to_owned(), to: line.and_then(Line::destination).unwrap_or_else(|| source.into()) }
    }

    /// What it may ask us for.
    pub(crate) fn credentials(&self, name: &str) -> Option<Credentials> {
        let trunk = self.get(name)?;
        Some(Credentials { user: trunk.user.clone()?, password: trunk.password.clone()? })
    }

    /// The trunk that a request comes from.
    pub(crate) fn whose(&self, source: Source) -> Option<&Trunk> {
        let ours = |line: &&Line| line.is_from(source.remote.ip());
        let exact = self.lines.iter().filter(ours).find(|line| line.at == Some(source.remote));
        exact.or_else(|| self.lines.iter().find(ours)).map(|line| &line.trunk)
    }

    /// The trunk with an account at this address.
    pub(crate) fn at(&self, address: IpAddr) -> Option<String> {
        let there = |line: &&Line| line.is_from(address) && line.trunk.user.is_some();
        self.lines.iter().find(there).map(|line| line.trunk.name.clone())
    }

    /// The one form of a number outside that a phone dialled; `None`: it is none, or nobody calls out.
    pub(crate) fn dialled(&self, number: &str) -> Option<String> {
        if self.calls_out { self.plan.dialled(number) } else { None }
    }

    /// The ways to a number outside, the one to be tried first in the first place; `except`: not back by this trunk.
    pub(crate) fn routes(
        &self,
        number: &str,
        shown: &str,
        except: Option<&str>,
        wires: &Wires,
        rng: &mut impl Rng,
    ) -> Vec<Route> {
        let mut usable: Vec<&Line> = self
            .lines
            .iter()
            .filter(|line| line.health.state() != State::Down && line.at.is_some())
            .filter(|line| except != Some(line.trunk.name.as_str()))
            .collect();
        let mut routes = Vec::new();
        while let Some(next) = chosen(&usable, rng) {
            let line = usable.swap_remove(next);
            routes.extend(line.route(number, shown, &self.plan, wires));
        }
        routes
    }

    /// When [`Trunks::on_time`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lines.iter().filter_map(Line::deadline).min()
    }

    /// Timers.
    pub(crate) fn on_time(&mut self, wires: &mut Wires, now: Instant) {
        for line in &mut self.lines {
            if let Some((host, port)) = line.due_to_look(now) {
                let trunk = line.trunk.name.clone();
                wires.push(Output::Look { trunk, host, port });
            }
            if line.is_due_to_ask(now)
                && let Some(request) = line.options(wires)
            {
                send(&mut self.asked, line, Asked::Options, request, wires);
            }
            if let Some(request) = line.due_to_register(wires, now) {
                let asked = Asked::Register(Box::new(request.clone()));
                send(&mut self.asked, line, asked, request, wires);
            }
        }
    }

    /// The addresses of a trunk's name, or why there are none.
    pub(crate) fn looked(&mut self, trunk: &str, found: Result<Vec<SocketAddr>, String>, now: Instant) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.trunk.name == trunk) {
            line.looked(found, now);
        }
    }

    /// A call got no answer from it.
    pub(crate) fn suspected(&mut self, trunk: &str, now: Instant) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.trunk.name == trunk) {
            line.health.suspected(now);
        }
    }

    /// What came back to a question or a registration of ours; false: it is none of these.
    pub(crate) fn outcome(
        &mut self,
        id: ClientTransactionId,
        event: &Event,
        wires: &mut Wires,
        now: Instant,
    ) -> bool {
        let (response, status) = match event {
            Event::Response { response, .. } => (Some(response), response.status),
            Event::TransportFailed { .. } => (None, StatusCode::SERVICE_UNAVAILABLE),
            _ => (None, StatusCode::REQUEST_TIMEOUT),
        };
        if status.is_provisional() {
            return self.asked.contains_key(&id);
        }
        let Some((trunk, asked)) = self.asked.remove(&id) else { return false };
        let Some(line) = self.lines.iter_mut().find(|line| line.trunk.name == trunk) else { return true };
        match asked {
            Asked::Options => line.answered(status.as_u16(), now),
            Asked::Register(request) => {
                if let Some(next) = line.registered(&request, response, wires, now) {
                    let asked = Asked::Register(Box::new(next.clone()));
                    send(&mut self.asked, line, asked, next, wires);
                }
            }
        }
        true
    }
}

fn send(
    table: &mut HashMap<ClientTransactionId, (String, Asked)>,
    line: &Line,
    asked: Asked,
    request: Request,
    wires: &mut Wires,
) {
    let Some(to) = line.destination() else { return };
    let id = wires.next_client();
    table.insert(id, (line.trunk.name.clone(), asked));
    wires.push(Output::Sip(Command::Request(id, request, to)));
}

/// Which is tried next: the best priority first, by weight among equals (as RFC 2782 has it).
fn chosen(lines: &[&Line], rng: &mut impl Rng) -> Option<usize> {
    let best = lines.iter().map(|line| line.trunk.priority).min()?;
    let equals = || lines.iter().enumerate().filter(|(_, line)| line.trunk.priority == best);
    let sum: u64 = equals().map(|(_, line)| u64::from(line.trunk.weight)).sum();
    if sum == 0 {
        return equals().next().map(|(at, _)| at);
    }
    let mut drawn = rng.random_range(0..sum);
    for (at, line) in equals() {
        let weight = u64::from(line.trunk.weight);
        if drawn < weight {
            return Some(at);
        }
        drawn -= weight;
    }
    None
}

/// A refused request with the credentials that were asked for, once for each who asks.
pub(crate) fn answer_challenge(
    refused: &Request,
    response: &Response,
    credentials: Credentials,
    wires: &mut Wires,
) -> Option<Request> {
    let answer = match response.status {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => "Proxy-Authorization",
        StatusCode::UNAUTHORIZED => "Authorization",
        _ => return None,
    };
    if refused.headers.has(answer) {
        return None;
    }
    DigestClient::new(credentials).retry(refused, response, &mut wires.ids).ok()
}

/// The address of a number at a host.
fn address_at(number: &str, host: &SipUri) -> SipUri {
    SipUri { user: SipUri::with_user(number, host.host.clone()).user, ..host.clone() }
}

#[cfg(test)]
mod tests;
