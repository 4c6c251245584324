//! `relationship=remaining_caps` and `relationship=used_caps` of objects with caps.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::answer::{Object, Resource};
use super::request::Relationships;
use crate::caps::{CapUsage, usage};
use crate::catalog::{CapMetric, CapPeriod, Money, cap_field};
use crate::store::caps::{Cap, CapOwner, of_owner};
use crate::store::{ReadTx, StoreError, settings};

/// The names of the relationships.
pub(super) const REMAINING: &str = "remaining_caps";
pub(super) const USED: &str = "used_caps";

/// Adds the rest, or the used part, of each limit. A metric and period without a limit is null.
pub(super) fn relate_caps<T: Resource>(
    connection: &ReadTx<'_>,
    objects: &mut [Object<T>],
    wanted: &Relationships,
    owner: fn(u32) -> CapOwner,
) -> Result<(), StoreError> {
    if !wanted.has(REMAINING) && !wanted.has(USED) {
        return Ok(());
    }
    let mut caps = Vec::with_capacity(objects.len());
    for object in objects.iter() {
        caps.push(of_owner(connection, owner(object.id()))?);
    }
    let known: Vec<Cap> = caps.iter().flatten().cloned().collect();
    let mut usages = usage_now(connection, &known)?.into_iter();
    for (object, cap) in objects.iter_mut().zip(&caps) {
        let usage = cap.as_ref().and_then(|_| usages.next()).unwrap_or_default();
        if wanted.has(REMAINING) {
            object.relate(REMAINING, parts(cap.as_ref(), &usage, "remaining", remaining));
        }
        if wanted.has(USED) {
            object.relate(USED, parts(cap.as_ref(), &usage, "used", |_, used| used));
        }
    }
    Ok(())
}

/// The usage of caps in the present windows of the network.
pub(super) fn usage_now(
    connection: &ReadTx<'_>,
    caps: &[Cap],
) -> Result<Vec<CapUsage>, StoreError> {
    let zone = settings::read(connection)?.settings.time_zone;
    let zone = TimeZone::get(&zone).unwrap_or(TimeZone::UTC);
    let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    usage(connection, caps, &zone, now_ms)
}

pub(super) fn remaining(limit: Money, used: Money) -> Money {
    let rest = limit.decimal().saturating_sub(used.decimal());
    if rest.is_sign_negative() { Money::default() } else { Money::from_sum(rest) }
}

fn parts(
    cap: Option<&Cap>,
    usage: &CapUsage,
    word: &str,
    part: fn(Money, Money) -> Money,
) -> Value {
    let mut parts = Map::new();
    for metric in CapMetric::ALL {
        for period in CapPeriod::ALL {
            let limit = cap.and_then(|cap| cap.limits.limit(metric, period));
            let value = limit.map(|limit| part(limit, usage.used(metric, period)));
            parts.insert(format!("{word}_{}", cap_field(metric, period)), json!(value));
        }
    }
    parts.into()
}
