//! RTCP of the parties: what a phone hears goes into the figures of its track, what a sender says of its clocks to its
//! stream. Nothing depends on it: a call without RTCP is recorded as well.

use super::{AGENT, Capture};
use hindsight_rtp::{
    Reception,
    reception::{Figures, Sent},
    rtcp::{self, Report},
};
use hindsight_wire::manifest;

/// More reports of one datagram are not looked at: a phone in a call makes two.
const MAX_REPORTS: usize = 32;

/// Reports of one party's phone.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// Of what it sends, for the answers of the other side.
    sent: Sent,
    /// Of what it hears.
    reception: Reception,
}

impl Reports {
    /// What it heard up to now, if it said so; begins anew.
    pub(super) fn take_reception(&mut self) -> Option<manifest::Reception> {
        let Reception { reports, lost, last, worst, .. } = std::mem::take(&mut self.reception);
        let (last, worst) = (figures(&last), figures(&worst));
        (reports > 0).then_some(manifest::Reception { reports, lost, last, worst })
    }
}

impl Capture {
    /// Takes RTCP of one side. What does not open or cannot be read is passed over: it is no voice.
    pub fn control(&mut self, side: usize, at_us: i64, bytes: &[u8]) {
        if at_us < 0 || self.pauses.last().is_some_and(|pause| pause.covers(at_us)) {
            return;
        }
        let Some(state) = self.sides.get_mut(side) else { return };
        let opened = match &mut state.receiver {
            None => bytes,
            Some(receiver) => match receiver.open_control(bytes) {
                Ok(opened) => opened,
                Err(error) => return tracing::trace!(side, %error, "RTCP that did not open"),
            },
        };
        let mut reports = Vec::new();
        let read = rtcp::read(opened, &mut |report| {
            if reports.len() < MAX_REPORTS {
                reports.push(report);
            }
        });
        if let Err(error) = read {
            tracing::trace!(side, %error, "RTCP that cannot be read");
        }
        for report in reports {
            self.report(side, at_us, &report);
        }
    }

    fn report(&mut self, side: usize, at_us: i64, report: &Report) {
        let [agent, customer] = &mut self.sides;
        let (this, other) = if side == AGENT { (agent, customer) } else { (customer, agent) };
        match report {
            Report::Sender(sent) => {
                this.stream.report(sent, at_us);
                this.reports.sent.pass(sent, at_us);
            }
            // Of what else it may hear nothing is known here.
            Report::Reception(heard) if other.stream.ssrc() == Some(heard.ssrc) => {
                let round_trip_us = other.reports.sent.round_trip_us(heard, at_us);
                this.reports.reception.take(heard, other.stream.clock_rate(), round_trip_us);
            }
            Report::Reception(_) => {}
        }
    }
}

fn figures(figures: &Figures) -> manifest::ReceptionFigures {
    let ms = |us: i64| u32::try_from((us + 500) / 1000).unwrap_or(u32::MAX);
    manifest::ReceptionFigures {
        // To a tenth, which is finer than the 256th that was reported.
        loss_percent: (f64::from(figures.fraction_lost) * 1000.0 / 256.0).round() / 10.0,
        jitter_ms: ms(figures.jitter_us),
        round_trip_ms: figures.round_trip_us.map(ms),
    }
}
