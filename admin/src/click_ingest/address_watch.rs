//! Finds partners and coupon codes most of whose visits of a day come from one address: one
//! script, or a proxy that hides all visitors.
//!
//! Counts stay in memory, so a restart begins the day anew. The address itself is not kept.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use coupon_shared::click::{Click, VisitKind};
use serde_json::json;

use crate::catalog::{EventType, Settings};
use crate::classification::VisitClass;
use crate::client_network::network_hash;
use crate::store::address_alerts::{self, AddressAlert, AlertedTraffic};
use crate::store::rollups::Dimension;
use crate::store::{StoreError, WriteTx, events, labels};

/// Most partners and codes with counts: 20 MiB. Later ones of a day are not watched.
const MOST_WATCHED: usize = 50_000;
/// Addresses that are counted for a partner or a code.
const COUNTERS: usize = 16;

/// The visits of a day by address.
#[derive(Default)]
pub(super) struct AddressWatch {
    /// Of the network's day, in Unix milliseconds.
    window: Range<u64>,
    /// In percent; 0: no alerts.
    percentage: u64,
    minimum: u64,
    counts: HashMap<AlertedTraffic, AddressCounts>,
    /// Traffic with visits since the last commit.
    touched: HashSet<AlertedTraffic>,
    alerted: HashSet<AlertedTraffic>,
}

impl AddressWatch {
    /// Takes the thresholds, and begins a new day where the present one is over.
    pub(super) fn begin(&mut self, settings: &Settings, window: Range<u64>) {
        if self.window != window {
            *self = AddressWatch { window, ..AddressWatch::default() };
        }
        self.percentage = settings.address_alert_percentage.into();
        self.minimum = settings.address_alert_minimum.into();
    }

    /// Counts a visit with the visitor's own address.
    pub(super) fn add(&mut self, click: &Click<'_>, class: VisitClass) {
        let is_watched = self.percentage > 0
            && self.window.contains(&click.head.unix_ms)
            && matches!(click.head.kind, VisitKind::Click | VisitKind::Sdk)
            && class != VisitClass::Bot;
        let Some(address) = click.address().filter(|_| is_watched) else { return };
        let hash = network_hash(address);
        let traffic = [
            (click.head.partner_id != 0).then_some(AlertedTraffic::Partner(click.head.partner_id)),
            (click.head.code_id != 0).then_some(AlertedTraffic::Code(click.head.code_id)),
        ];
        for traffic in traffic.into_iter().flatten() {
            let has_room = self.counts.len() < MOST_WATCHED;
            match self.counts.get_mut(&traffic) {
                Some(counts) => counts.add(hash),
                None if has_room => self.counts.entry(traffic).or_default().add(hash),
                None => continue,
            }
            self.touched.insert(traffic);
        }
    }

    /// The alerts that the visits since the last call give.
    pub(super) fn take_alerts(&mut self) -> Vec<AddressAlert> {
        let touched = std::mem::take(&mut self.touched);
        let new = touched.into_iter().filter(|traffic| !self.alerted.contains(traffic));
        let mut alerts: Vec<AddressAlert> = new.filter_map(|traffic| self.alert(traffic)).collect();
        alerts.sort_unstable_by_key(|alert| alert.traffic);
        self.alerted.extend(alerts.iter().map(|alert| alert.traffic));
        alerts
    }

    fn alert(&self, traffic: AlertedTraffic) -> Option<AddressAlert> {
        let counts = self.counts.get(&traffic)?;
        let most = counts.most_frequent();
        let is_alert =
            counts.visits >= self.minimum && most * 100 > counts.visits * self.percentage;
        let window = self.window.clone();
        is_alert.then_some(AddressAlert { traffic, window, visits: counts.visits, most })
    }
}

/// Records alerts, and an event for each that the day does not have yet.
pub(super) fn record(tx: &WriteTx<'_>, alerts: &[AddressAlert]) -> Result<(), StoreError> {
    for alert in alerts {
        if !address_alerts::record(tx, alert)? {
            continue;
        }
        let (dimension, [field, name], id) = match alert.traffic {
            AlertedTraffic::Partner(id) => {
                (Dimension::Affiliate, ["network_affiliate_id", "affiliate_name"], id)
            }
            AlertedTraffic::Code(id) => {
                (Dimension::Code, ["network_coupon_code_id", "coupon_code"], id)
            }
        };
        let names = labels::names(tx, dimension, &[id])?;
        let data = json!({
            field: id, name: names.get(&id).map_or("", String::as_str), "visits": alert.visits, "from_one_address": alert.most,
            "percentage": alert.most * 100 / alert.visits,
            "from": alert.window.start / 1_000, "to": alert.window.end / 1_000,
        });
        events::record(tx, EventType::TrafficFromOneAddress, &data)?;
        tracing::warn!(
            traffic = field,
            id,
            visits = alert.visits,
            from_one_address = alert.most,
            "most visits of the day come from one address"
        );
    }
    Ok(())
}

/// Visits by address, after Misra and Gries: no count is too high, and none is too low by more than
/// one visit in `COUNTERS + 1`.
#[derive(Default)]
struct AddressCounts {
    visits: u64,
    counters: Vec<(u64, u64)>,
}

impl AddressCounts {
    fn add(&mut self, hash: u64) {
        self.visits += 1;
        if let Some((_, visits)) = self.counters.iter_mut().find(|(known, _)| *known == hash) {
            *visits += 1;
        } else if self.counters.len() < COUNTERS {
            self.counters.push((hash, 1));
        } else {
            self.counters.iter_mut().for_each(|(_, visits)| *visits -= 1);
            self.counters.retain(|(_, visits)| *visits > 0);
        }
    }

    fn most_frequent(&self) -> u64 {
        self.counters.iter().map(|(_, visits)| *visits).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTNER: AlertedTraffic = AlertedTraffic::Partner(1);

    fn watch(percentage: u64, minimum: u64) -> AddressWatch {
        AddressWatch { percentage, minimum, ..AddressWatch::default() }
    }

    fn visit(watch: &mut AddressWatch, hash: u64) {
        watch.counts.entry(PARTNER).or_default().add(hash);
        watch.touched.insert(PARTNER);
    }

    #[test]
    fn more_than_the_share_of_enough_visits_alerts_once() {
        let mut watch = watch(50, 10);
        (0..4).for_each(|hash| visit(&mut watch, 100 + hash));
        (0..5).for_each(|_| visit(&mut watch, 1));
        assert_eq!(watch.take_alerts().len(), 0, "nine visits are too few");
        visit(&mut watch, 200);
        assert_eq!(watch.take_alerts().len(), 0, "a half is not more than a half");
        visit(&mut watch, 1);
        let alerts = watch.take_alerts();
        assert_eq!((alerts[0].visits, alerts[0].most), (11, 6));
        visit(&mut watch, 1);
        assert_eq!(watch.take_alerts().len(), 0, "told before");
    }

    #[test]
    fn many_addresses_never_blame_one() {
        let mut watch = watch(10, 10);
        (0..5_000).for_each(|hash| visit(&mut watch, hash));
        assert_eq!(watch.take_alerts().len(), 0);
    }
}
