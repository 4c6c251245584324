//! Traffic controls.

use super::{EditError, Editable};
use crate::catalog::{Advertiser, Affiliate, FieldError, Offer, TrafficControl};
use crate::store::{StoreError, WriteTx, rows, traffic_controls};

/// A bound, because each visit asks all controls of its offer.
const MAX_CONTROLS: u64 = 500;
/// A bound, because the catalog holds all values in memory.
const MAX_VALUE_BYTES: u64 = 16 << 20;

impl Editable for TrafficControl {
    const NAME: &'static str = "traffic control";
    const READ_ONLY_FIELDS: &'static [&'static str] = &[
        "network_traffic_control_id",
        "network_id",
        "time_created",
        "time_saved",
        "time_deleted",
        "relationship",
        "warnings",
    ];

    fn check(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
        TrafficControl::check(self).map_err(EditError::Invalid)?;
        check_references(self, tx, id)?;
        check_room(self, tx, id)
    }
}

/// Checks that the ids exist. An object that the control named before may be deleted since, so the
/// control can still be changed.
fn check_references(
    control: &TrafficControl,
    tx: &WriteTx<'_>,
    id: Option<u32>,
) -> Result<(), EditError> {
    let before = id.map(|id| rows::find_including_deleted::<TrafficControl>(tx, id)).transpose()?;
    let before = before.flatten().map(|stored| stored.object);
    let named_before = before.as_ref().map(TrafficControl::references);
    let mut wrong = Vec::new();
    for (list, (field, ids)) in control.references().into_iter().enumerate() {
        for (index, id) in ids.iter().enumerate() {
            let is_old = named_before.is_some_and(|lists| lists[list].1.contains(id));
            if let Some(what) = missing(tx, field, *id)?.filter(|_| !is_old) {
                let field = format!("{field}[{index}]");
                wrong.push(FieldError { field, error: format!("there is no {what} {id}") });
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(EditError::Invalid(wrong)) }
}

/// The kind of object that a field names, if there is none with this id.
fn missing(tx: &WriteTx<'_>, field: &str, id: u32) -> Result<Option<&'static str>, StoreError> {
    let (exists, what) = match field {
        "network_offer_ids" => (rows::exists::<Offer>(tx, id)?, Offer::NAME),
        "network_affiliate_ids" => (rows::exists::<Affiliate>(tx, id)?, Affiliate::NAME),
        _ => (rows::exists::<Advertiser>(tx, id)?, Advertiser::NAME),
    };
    Ok((!exists).then_some(what))
}

fn check_room(
    control: &TrafficControl,
    tx: &WriteTx<'_>,
    id: Option<u32>,
) -> Result<(), EditError> {
    let (count, bytes) = traffic_controls::size_of_others(tx, id)?;
    if count >= MAX_CONTROLS {
        let message = format!(
            "the network has {MAX_CONTROLS} traffic controls, which is the most; delete some first"
        );
        return Err(EditError::conflict("traffic_control.too_many", "name", message));
    }
    let own = control.values.iter().map(|value| value.len() as u64).sum::<u64>();
    if bytes + own <= MAX_VALUE_BYTES {
        return Ok(());
    }
    let message = format!(
        "the values of all traffic controls would have more than {MAX_VALUE_BYTES} bytes; delete \
         values or controls first"
    );
    Err(EditError::conflict("traffic_control.too_large", "values", message))
}
