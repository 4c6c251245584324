//! Builds the visit state from one read transaction.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use coupon_shared::click::StreamId;
use coupon_shared::snapshot::Lineage;
use coupon_shared::visit_state::{
    CapState, MAX_CONVERTED, MAX_STREAMS, PublishedState, WindowBounds,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::click_counts::ClickCounts;
use crate::caps::{ReachedLimit, WHOLE, used_by_clicks, used_by_conversions};
use crate::catalog::{CapMetric, CapPeriod, Settings};
use crate::store::caps::{self, AlertLevel, Cap};
use crate::store::conversions::{self, visitors};
use crate::store::{ReadTx, StoreError, blocks, meta, settings};

/// Clocks of admin and daemon may differ by this: near its ends, a window's neighbour is sent too.
const CLOCK_MARGIN_MS: u64 = 60_000;
/// A conversion is remembered for 90 days.
const CONVERTED_MS: u64 = 90 * 86_400_000;

/// The versions of all that a state depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StateVersions {
    catalog: u64,
    conversions: u64,
    streams: BTreeMap<StreamId, u64>,
    /// Quarter hour, because windows begin at quarter hours.
    quarter: u64,
}

impl StateVersions {
    pub(super) fn read(connection: &ReadTx<'_>) -> Result<StateVersions, StoreError> {
        Ok(StateVersions {
            catalog: meta::read(connection)?.catalog_seq,
            conversions: conversions::last_change(connection)?,
            streams: blocks::newest_streams(connection, MAX_STREAMS)?.into_iter().collect(),
            quarter: now_ms() / 900_000,
        })
    }

    pub(super) fn is_current(&self, present: &StateVersions) -> bool {
        self == present
    }
}

fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}

/// A state with the limits to alert of.
pub(super) struct BuiltState {
    published: Arc<PublishedState>,
    alerts: Vec<(ReachedLimit, Range<u64>)>,
}

impl BuiltState {
    pub(super) fn published(&self) -> &PublishedState {
        &self.published
    }

    pub(super) fn share(&self) -> Arc<PublishedState> {
        Arc::clone(&self.published)
    }

    /// Limits that are reached, or nearly, in the present windows, in Unix milliseconds.
    pub(super) fn alerts(&self) -> &[(ReachedLimit, Range<u64>)] {
        &self.alerts
    }

    pub(super) fn has_caps(&self) -> bool {
        !self.published.caps.is_empty()
    }

    pub(super) fn has_same_counts(&self, other: &BuiltState) -> bool {
        let (one, other) = (&self.published, &other.published);
        one.caps == other.caps && one.converted == other.converted
    }

    pub(super) fn has_same_cursor(&self, other: &BuiltState) -> bool {
        self.published.counted == other.published.counted
    }
}

/// What is kept between two states.
#[derive(Default)]
pub(super) struct StateBuilder {
    clicks: ClickCounts,
    converted: Option<ConvertedVisitors>,
}

struct ConvertedVisitors {
    /// Catalog and conversions.
    versions: (u64, u64),
    hashes: Arc<Vec<u64>>,
}

/// A window that counts.
pub(super) struct PresentWindow {
    pub(super) period: CapPeriod,
    pub(super) bounds: WindowBounds,
    /// The same in Unix milliseconds.
    pub(super) window: Range<u64>,
    /// Whether the moment of the state lies inside.
    is_now: bool,
}

/// The windows around a moment, and their neighbours if these are near.
fn windows_around(zone: &TimeZone, now_ms: u64) -> Vec<PresentWindow> {
    let moments = [now_ms.saturating_sub(CLOCK_MARGIN_MS), now_ms, now_ms + CLOCK_MARGIN_MS];
    let mut windows: Vec<PresentWindow> = Vec::new();
    for period in CapPeriod::ALL {
        for moment in moments {
            let (bounds, window) = (period.bounds(zone, moment), period.window(zone, moment));
            let is_known =
                windows.iter().any(|known| (known.period, known.bounds) == (period, bounds));
            if !is_known {
                let is_now = window.contains(&now_ms);
                windows.push(PresentWindow { period, bounds, window, is_now });
            }
        }
    }
    windows
}

impl StateBuilder {
    pub(super) fn build(
        &mut self,
        connection: &ReadTx<'_>,
        network_id: u32,
    ) -> Result<Option<BuiltState>, StoreError> {
        self.build_at(connection, network_id, now_ms())
    }

    /// Builds the state of a moment; `None` for a network without caps and blocks.
    pub(super) fn build_at(
        &mut self,
        connection: &ReadTx<'_>,
        network_id: u32,
        now_ms: u64,
    ) -> Result<Option<BuiltState>, StoreError> {
        let caps = caps::all(connection)?;
        let blocks_converted = visitors::are_blocked(connection)?;
        if caps.is_empty() && !blocks_converted {
            return Ok(None);
        }
        let meta = meta::read(connection)?;
        let mut published = PublishedState::empty(network_id, Lineage(meta.lineage), now_ms);
        published.counted = blocks::newest_streams(connection, MAX_STREAMS)?.into_iter().collect();
        if blocks_converted {
            published.converted = self.converted(connection, meta.catalog_seq, now_ms)?.to_vec();
        }
        let settings = settings::read(connection)?.settings;
        let percentage = alert_percentage(&settings);
        let zone = TimeZone::get(&settings.time_zone);
        let windows = windows_around(&zone.unwrap_or(TimeZone::UTC), now_ms);
        let clicks = self.clicks.count(connection, &caps, &windows, now_ms)?;
        let mut alerts = Vec::new();
        for (cap, clicks) in caps.iter().zip(&clicks) {
            for (window, clicks) in windows.iter().zip(clicks) {
                let used = used_limits(connection, cap, window, *clicks, percentage)?;
                published.caps.extend(cap_state(cap, window, *clicks, &used));
                if window.is_now {
                    alerts.extend(used.into_iter().map(|limit| (limit, window.window.clone())));
                }
            }
        }
        published.caps.sort_unstable_by_key(|cap| (cap.cap_id, cap.window, cap.bounds.starts));
        Ok(Some(BuiltState { published: Arc::new(published), alerts }))
    }

    fn converted(
        &mut self,
        connection: &ReadTx<'_>,
        catalog: u64,
        now_ms: u64,
    ) -> Result<Arc<Vec<u64>>, StoreError> {
        let versions = (catalog, conversions::last_change(connection)?);
        let known = self.converted.take().filter(|known| known.versions == versions);
        let hashes = match known {
            Some(known) => known.hashes,
            None => {
                let since_ms = now_ms.saturating_sub(CONVERTED_MS);
                Arc::new(visitors::converted(connection, since_ms, MAX_CONVERTED)?)
            }
        };
        self.converted = Some(ConvertedVisitors { versions, hashes: Arc::clone(&hashes) });
        Ok(hashes)
    }
}

/// The part of a limit that alerts begin with, in percent.
fn alert_percentage(settings: &Settings) -> u32 {
    match settings.cap_alert_percentage {
        0 => WHOLE,
        percentage => percentage,
    }
}

/// The limits of a cap that are used to so many percent in a window.
fn used_limits(
    connection: &ReadTx<'_>,
    cap: &Cap,
    window: &PresentWindow,
    clicks: u64,
    percentage: u32,
) -> Result<Vec<ReachedLimit>, StoreError> {
    let PresentWindow { period, window, .. } = window;
    let mut limits: Vec<ReachedLimit> = Vec::new();
    if cap.limits.has_conversion_limit_of(*period) {
        let sums = caps::read_conversions_in(connection, cap, window)?;
        limits.extend(used_by_conversions(cap, *period, &sums, percentage));
    }
    limits.extend(used_by_clicks(cap, *period, clicks, percentage));
    Ok(limits)
}

/// The state of a cap in a window; `None` for a period without a limit.
fn cap_state(
    cap: &Cap,
    window: &PresentWindow,
    clicks: u64,
    used: &[ReachedLimit],
) -> Option<CapState> {
    let PresentWindow { period, bounds, .. } = window;
    if !cap.limits.has_conversion_limit_of(*period) && cap.limits.click(*period) == 0 {
        return None;
    }
    // The daemon counts clicks by itself.
    let is_reached = used
        .iter()
        .any(|limit| limit.metric != CapMetric::Click && limit.level() == AlertLevel::Reached);
    let (cap_id, window) = (cap.id, period.cap_window());
    Some(CapState { cap_id, window, bounds: *bounds, clicks, is_reached })
}
