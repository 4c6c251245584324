//! Webhooks. They are not published.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Map;

use super::{EditError, Editable, Saved, audit, check_if_match, existing};
use crate::catalog::{Webhook, WebhookStatus};
use crate::store::outbox;
use crate::store::rows::{self, Stored};
use crate::store::webhooks::{self, ReplayedDeliveries, WebhookOutbox};
use crate::store::{StoreError, WriteTx, domains};

/// The audit's name for a delivery.
const DELIVERY: &str = "webhook_delivery";
/// A bound, because each event goes to all webhooks.
const MAX_WEBHOOKS: u64 = 20;
/// As Standard Webhooks says: 24 to 64 bytes.
const SECRET_BYTES: usize = 32;
/// How long a replaced secret signs beside the new one, in seconds.
const OVERLAP_S: i64 = 24 * 60 * 60;

impl Editable for Webhook {
    const NAME: &'static str = "webhook";
    const IS_PUBLISHED: bool = false;
    const READ_ONLY_FIELDS: &'static [&'static str] = &[
        "network_webhook_id",
        "network_id",
        "secret",
        "time_created",
        "time_saved",
        "time_deleted",
    ];

    fn check(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
        Webhook::check(self).map_err(EditError::Invalid)?;
        check_target(self, tx, id)?;
        if webhooks::count_others(tx, id)? < MAX_WEBHOOKS {
            return Ok(());
        }
        let message =
            format!("there are {MAX_WEBHOOKS} webhooks, which is the most; delete some first");
        Err(EditError::conflict("webhook.too_many", "name", message))
    }
}

/// Checks that the URL leads to no tracking domain. A domain may be newer than a webhook that leads
/// to the domain; then nothing is sent, and the webhook can still be switched off.
fn check_target(webhook: &Webhook, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
    let before = id.map(|id| rows::find::<Webhook>(tx, id)).transpose()?.flatten();
    if before.is_some_and(|before| webhook.only_switches_off(&before.object)) {
        return Ok(());
    }
    let Some(url) = webhook.target() else { return Ok(()) };
    let elsewhere = domains::own_hosts(tx)?.check(&url);
    elsewhere.map_err(|own| {
        let message = format!("{} is a tracking domain of this network; name another", own.host);
        EditError::field("url", message)
    })
}

/// A webhook, and a secret that nothing shows again.
pub type WithSecret = (Stored<Webhook>, String);

/// Creates a webhook and its secret.
///
/// # Errors
/// When a rule is violated.
pub fn create(tx: &WriteTx<'_>, webhook: &Webhook) -> Result<Saved<WithSecret>, EditError> {
    let Saved { now, sequence } = super::create(tx, webhook)?;
    let secret = new_secret()?;
    webhooks::replace_secret(tx, now.id, &secret, 0)?;
    Ok(Saved { now: (existing(tx, now.id)?, secret), sequence })
}

/// Gives a webhook a new secret. For a day the former secret signs as well.
///
/// # Errors
/// When the webhook does not exist.
pub fn rotate(tx: &WriteTx<'_>, id: u32) -> Result<Saved<WithSecret>, EditError> {
    let before = existing::<Webhook>(tx, id)?;
    check_if_match(tx, Webhook::NAME, id, before.times.revision)?;
    let secret = new_secret()?;
    webhooks::replace_secret(tx, id, &secret, tx.now() + OVERLAP_S)?;
    audit::record_action(tx, "webhook", "rotated", id)?;
    Ok(Saved { now: (existing(tx, id)?, secret), sequence: None })
}

fn new_secret() -> Result<String, StoreError> {
    let mut random = [0_u8; SECRET_BYTES];
    getrandom::fill(&mut random)?;
    Ok(format!("whsec_{}", STANDARD.encode(random)))
}

/// Makes deliveries due, and returns their number.
///
/// # Errors
/// When the delivery or webhook does not exist, or the webhook is inactive.
pub fn replay(tx: &WriteTx<'_>, which: ReplayedDeliveries) -> Result<Saved<u64>, EditError> {
    let id = match which {
        ReplayedDeliveries::DeadSince { webhook_id, .. } => webhook_id,
        ReplayedDeliveries::One(id) => {
            let found = outbox::delivery::<WebhookOutbox>(tx, id)?;
            found.ok_or(EditError::NotFound { what: "delivery", id })?.network_webhook_id
        }
    };
    if existing::<Webhook>(tx, id)?.object.webhook_status != WebhookStatus::Active {
        let message = format!("webhook {id} is inactive; make it active first");
        return Err(EditError::conflict("webhook.inactive", "webhook_status", message));
    }
    let (replayed, first, last) = webhooks::replay(tx, which)?;
    if replayed > 0 {
        audit::record_range(tx, DELIVERY, "replayed", replayed, (first, last), &Map::new())?;
    }
    Ok(Saved { now: replayed, sequence: None })
}
