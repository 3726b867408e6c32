//! Figures of a recording's tracks, as people and programs see them.

use hindsight_wire::manifest::{Reception, ReceptionFigures, TrackQuality};
use serde::Serialize;
use utoipa::ToSchema;

/// Packets of a track.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QualityView {
    track: u64,
    received: u64,
    expected: u64,
    lost: u64,
    late: u64,
    max_jitter: u32,
    state: String,
    /// How this party's phone heard the other side, where it reports that.
    #[serde(skip_serializing_if = "Option::is_none")]
    reception: Option<ReceptionView>,
}

/// How a party's phone heard the other side, by its own reports (RTCP).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceptionView {
    reports: u64,
    /// Packets of the other side that it missed.
    lost: i64,
    /// As it reported last.
    last: ReceptionFiguresView,
    /// The largest of each.
    worst: ReceptionFiguresView,
}

/// Figures of a report of a phone.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceptionFiguresView {
    loss_percent: f64,
    jitter_ms: u32,
    /// From the media server to the phone and back, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_ms: Option<u32>,
}

impl QualityView {
    /// Of what the recorder signed.
    pub(super) fn of(quality: &TrackQuality) -> Self {
        let TrackQuality { track, received, expected, lost, late, max_jitter, state, reception, .. } =
            quality.clone();
        let reception = reception.map(ReceptionView::of);
        Self { track, received, expected, lost, late, max_jitter, state, reception }
    }
}

impl ReceptionView {
    fn of(reception: Reception) -> Self {
        let Reception { reports, lost, last, worst } = reception;
        Self { reports, lost, last: ReceptionFiguresView::of(last), worst: ReceptionFiguresView::of(worst) }
    }
}

impl ReceptionFiguresView {
    fn of(figures: ReceptionFigures) -> Self {
        let ReceptionFigures { loss_percent, jitter_ms, round_trip_ms } = figures;
        Self { loss_percent, jitter_ms, round_trip_ms }
    }
}
