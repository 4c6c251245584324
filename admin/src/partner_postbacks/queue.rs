//! Queues the deliveries of an approved conversion.
//!
//! There is at most one delivery for each postback and conversion: approving a conversion again
//! queues nothing. Macros are expanded here and the URL is stored, so a later request reports the
//! values of the approval. No content of a stored postback can fail the conversion.

use std::borrow::Cow;

use coupon_shared::further_values::FURTHER_VALUES;

use crate::attribution::further_texts::FurtherTexts;
use crate::catalog::{Pixel, PostbackMacro, PostbackUrl};
use crate::store::partner_postbacks::{self, Listening, NewDelivery};
use crate::store::{StoreError, WriteTx};

/// Data of an approved conversion. A postback can contain no other data.
#[derive(Debug, Clone, Default)]
pub struct Approved<'a> {
    /// 32 lower-case hex digits.
    pub conversion_id: Cow<'a, str>,
    /// Empty if the coupon code alone identified the conversion.
    pub transaction_id: Cow<'a, str>,
    /// The partner.
    pub affiliate_id: u32,
    /// The offer.
    pub offer_id: u32,
    /// The URL that the click was sent to; 0 is the destination of the offer.
    pub offer_url_id: u32,
    /// The offer's event; 0 is the base conversion.
    pub event_id: u32,
    /// The event's name.
    pub event_name: Cow<'a, str>,
    /// In the network's spelling, or empty.
    pub coupon_code: Cow<'a, str>,
    /// The advertiser's order id, or empty.
    pub order_id: Cow<'a, str>,
    /// Decimal number.
    pub payout: Cow<'a, str>,
    /// Currency of the payout.
    pub currency: Cow<'a, str>,
    /// The click's sub values.
    pub subs: [Cow<'a, str>; 5],
    /// The click's source id.
    pub source_id: Cow<'a, str>,
    /// The advertiser's values.
    pub adv: [Cow<'a, str>; 5],
    /// The click's and the advertiser's values beyond those.
    pub further: Cow<'a, FurtherTexts>,
    /// The ids that ad networks gave the click.
    pub ad_click_ids: Cow<'a, FurtherTexts>,
    /// Time of the conversion, in Unix seconds.
    pub unix_s: i64,
    /// Time of the click, in Unix seconds.
    pub click_unix_s: Option<i64>,
}

/// Queues the deliveries of a conversion, in the transaction that approves the conversion.
pub fn on_conversion(tx: &WriteTx<'_>, conversion: &Approved<'_>) -> Result<(), StoreError> {
    let Approved { affiliate_id, offer_id, event_id, .. } = *conversion;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    for pixel in partner_postbacks::listening(tx, affiliate_id, offer_id, event_id)? {
        partner_postbacks::queue(tx, &delivery(&pixel, conversion, now_ms))?;
    }
    Ok(())
}

fn delivery<'a>(pixel: &Listening, conversion: &'a Approved<'_>, now_ms: i64) -> NewDelivery<'a> {
    // Another release may have saved a URL that this one cannot parse. Its delivery is dead, and
    // visible in the list of deliveries.
    let filled = PostbackUrl::parse(&pixel.postback_url)
        .map(|url| url.filled(|name| conversion.value(name).into_owned()));
    let (url, error) = match filled {
        Ok(url) => (url, String::new()),
        Err(error) => (String::new(), error.to_string()),
    };
    NewDelivery {
        pixel_id: pixel.id,
        conversion_id: &conversion.conversion_id,
        affiliate_id: conversion.affiliate_id,
        offer_id: conversion.offer_id,
        host: host_of(&url),
        url,
        error,
        now_ms,
        due_ms: now_ms.saturating_add(pixel.delay_ms.into()),
    }
}

/// Host and port.
fn host_of(url: &str) -> String {
    let after_scheme = url.split_once("://").map_or("", |(_, rest)| rest);
    after_scheme.split(['/', '?']).next().unwrap_or_default().to_owned()
}

impl Approved<'_> {
    /// Sample values for a test request.
    pub(super) fn sample(pixel: &Pixel) -> Approved<'static> {
        let unix_s = jiff::Timestamp::now().as_second();
        let test = || Cow::Borrowed("test");
        let further = FURTHER_VALUES.iter().map(|value| (value.name, "test".to_owned()));
        Approved {
            conversion_id: "0".repeat(32).into(),
            transaction_id: "0".repeat(32).into(),
            affiliate_id: pixel.network_affiliate_id,
            offer_id: pixel.network_offer_id,
            offer_url_id: 0,
            event_id: pixel.network_offer_payout_revenue_id,
            event_name: test(),
            coupon_code: "TEST".into(),
            order_id: test(),
            payout: "0".into(),
            currency: "USD".into(),
            subs: [(); 5].map(|()| test()),
            source_id: test(),
            adv: [(); 5].map(|()| test()),
            further: Cow::Owned(further.clone().collect()),
            ad_click_ids: Cow::Owned(further.collect()),
            unix_s,
            click_unix_s: Some(unix_s),
        }
    }

    pub(super) fn value(&self, name: PostbackMacro) -> Cow<'_, str> {
        use PostbackMacro as M;
        match name {
            M::TransactionId => self.transaction_id.as_ref().into(),
            M::ConversionId => self.conversion_id.as_ref().into(),
            M::OfferId => self.offer_id.to_string().into(),
            M::OfferUrlId => self.offer_url_id.to_string().into(),
            M::AffiliateId => self.affiliate_id.to_string().into(),
            M::CouponCode => self.coupon_code.as_ref().into(),
            M::OrderId => self.order_id.as_ref().into(),
            M::EventId => self.event_id.to_string().into(),
            M::EventName => self.event_name.as_ref().into(),
            M::PayoutAmount => self.payout.as_ref().into(),
            M::Currency => self.currency.as_ref().into(),
            M::Sub1 => self.subs[0].as_ref().into(),
            M::Sub2 => self.subs[1].as_ref().into(),
            M::Sub3 => self.subs[2].as_ref().into(),
            M::Sub4 => self.subs[3].as_ref().into(),
            M::Sub5 => self.subs[4].as_ref().into(),
            M::SourceId => self.source_id.as_ref().into(),
            M::Timestamp => self.unix_s.to_string().into(),
            M::ClickUnixTimestamp => {
                self.click_unix_s.map(|at| at.to_string()).unwrap_or_default().into()
            }
            M::Adv1 => self.adv[0].as_ref().into(),
            M::Adv2 => self.adv[1].as_ref().into(),
            M::Adv3 => self.adv[2].as_ref().into(),
            M::Adv4 => self.adv[3].as_ref().into(),
            M::Adv5 => self.adv[4].as_ref().into(),
            M::Fbclid | M::Gclid | M::Ttclid => self.ad_click_ids.get(name.as_str()).into(),
            M::Sub6
            | M::Sub7
            | M::Sub8
            | M::Sub9
            | M::Sub10
            | M::Adv6
            | M::Adv7
            | M::Adv8
            | M::Adv9
            | M::Adv10 => self.further.get(name.as_str()).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::edit;
    use crate::store::{DedicatedConnection, connect_writer};

    fn network(pixels: &[serde_json::Value]) -> (tempfile::TempDir, DedicatedConnection) {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = connect_writer(dir.path()).unwrap();
        in_transaction(&mut connection, |tx| {
            tx.raw_connection().execute_batch(
                "INSERT INTO advertiser (name, account_status, attribution_priority, attribution_method, time_created, time_saved)
                 VALUES ('Shop', 'active', 'click', 'last_touch', 1, 1);
                 INSERT INTO offer (name, offer_status, destination_url, advertiser_id, visibility, session_definition,
                 session_duration, session_tracking_lifespan_hour, time_created, time_saved)
                 VALUES ('A', 'active', 'https://s.example/', 1, 'public', 'ip', 24, 24, 1, 1),
                 ('B', 'active', 'https://s.example/', 1, 'public', 'ip', 24, 24, 1, 1);
                 INSERT INTO offer_payout_revenue (offer_id, position, payout_type, revenue_type)
                 VALUES (1, 0, 'cpa', 'rpa'), (1, 1, 'cpa', 'rpa'), (1, 2, 'cpa', 'rpa');
                 INSERT INTO affiliate (name, account_status, time_created, time_saved)
                 VALUES ('Anna', 'active', 1, 1), ('Ben', 'active', 1, 1);",
            )
            .unwrap();
            for pixel in pixels {
                let mut pixel = pixel.clone();
                let url = json!("https://p.example:8443/?t={conversion_id}&o={order_id}");
                pixel.as_object_mut().unwrap().entry("postback_url").or_insert(url);
                edit::create(tx, &serde_json::from_value(pixel).unwrap() as &crate::catalog::Pixel)
                    .unwrap();
            }
        });
        (dir, connection)
    }

    fn in_transaction<T>(
        connection: &mut DedicatedConnection,
        work: impl FnOnce(&WriteTx<'_>) -> T,
    ) -> T {
        let tx = connection.begin_write().unwrap();
        let done = work(&tx);
        tx.commit().unwrap();
        done
    }

    fn approve(connection: &mut DedicatedConnection, conversion: &Approved<'_>) {
        in_transaction(connection, |tx| on_conversion(tx, conversion)).unwrap();
    }

    fn conversion(
        number: u8,
        affiliate_id: u32,
        offer_id: u32,
        event_id: u32,
    ) -> Approved<'static> {
        Approved {
            conversion_id: format!("{number:032x}").into(),
            affiliate_id,
            offer_id,
            event_id,
            order_id: "A&1".into(),
            ..Approved::default()
        }
    }

    fn queued(connection: &DedicatedConnection) -> Vec<(u32, String, String)> {
        let sql = "SELECT pixel_id, url, host || ' ' || state FROM pixel_delivery ORDER BY id";
        let mut statement = connection.raw_connection().prepare(sql).unwrap();
        let rows =
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_conversion_is_told_once_however_often_it_is_approved() {
        let (_dir, mut connection) =
            network(&[json!({"network_affiliate_id": 1, "pixel_status": "active"})]);
        approve(&mut connection, &conversion(1, 1, 1, 0));
        approve(&mut connection, &Approved { order_id: "other".into(), ..conversion(1, 1, 1, 0) });
        let url = format!("https://p.example:8443/?t={:032x}&o=A%261", 1);
        assert_eq!(queued(&connection), [(1, url, "p.example:8443 pending".to_owned())]);
    }

    #[test]
    fn what_is_rolled_back_with_its_conversion_is_not_queued() {
        let (_dir, mut connection) =
            network(&[json!({"network_affiliate_id": 1, "pixel_status": "active"})]);
        let tx = connection.begin_write().unwrap();
        on_conversion(&tx, &conversion(1, 1, 1, 0)).unwrap();
        drop(tx);
        assert!(queued(&connection).is_empty());
    }

    #[test]
    fn only_postbacks_of_this_partner_offer_and_kind_are_told() {
        let event = "post_conversion";
        let (_dir, mut connection) = network(&[
            json!({"network_affiliate_id": 1, "pixel_status": "active"}),
            json!({"network_affiliate_id": 1, "pixel_status": "active", "network_offer_id": 2}),
            json!({"network_affiliate_id": 1, "pixel_status": "inactive"}),
            json!({"network_affiliate_id": 2, "pixel_status": "active"}),
            json!({"network_affiliate_id": 1, "pixel_status": "active", "pixel_type": event}),
            json!({"network_affiliate_id": 1, "pixel_status": "active", "pixel_type": event,
                   "network_offer_id": 1, "network_offer_payout_revenue_id": 2}),
        ]);
        let cases: [(_, &[u32]); 6] = [
            ((1, 1, 0), &[1]),
            ((1, 2, 0), &[1, 2]),
            ((2, 1, 0), &[4]),
            ((1, 1, 2), &[5, 6]),
            ((1, 1, 3), &[5]),
            ((2, 1, 2), &[]),
        ];
        for (number, ((partner, offer, event), expected)) in (1..).zip(cases) {
            approve(&mut connection, &conversion(number, partner, offer, event));
            let id = format!("{number:032x}");
            let told = queued(&connection).into_iter().filter(|(_, url, _)| url.contains(&id));
            let told: Vec<u32> = told.map(|(pixel, ..)| pixel).collect();
            assert_eq!(told, expected, "partner {partner} on offer {offer}, event {event}");
        }
    }

    #[test]
    fn a_stored_url_that_cannot_be_read_fails_no_conversion() {
        let (_dir, mut connection) =
            network(&[json!({"network_affiliate_id": 1, "pixel_status": "active"})]);
        connection
            .raw_connection()
            .execute("UPDATE pixel SET postback_url = 'https://p.example/{newer}'", [])
            .unwrap();
        approve(&mut connection, &conversion(1, 1, 1, 0));
        assert_eq!(queued(&connection), [(1, String::new(), " dead".to_owned())]);
    }

    #[test]
    fn a_postback_that_is_made_inactive_or_deleted_sends_nothing_more() {
        for change in ["pixel_status = 'inactive'", "time_deleted = 1"] {
            let (_dir, mut connection) =
                network(&[json!({"network_affiliate_id": 1, "pixel_status": "active"})]);
            approve(&mut connection, &conversion(1, 1, 1, 0));
            connection.raw_connection().execute(&format!("UPDATE pixel SET {change}"), []).unwrap();
            approve(&mut connection, &conversion(2, 1, 1, 0));
            let states: Vec<String> =
                queued(&connection).into_iter().map(|(_, _, state)| state).collect();
            assert_eq!(states, ["p.example:8443 dead"], "{change}");
        }
    }
}
