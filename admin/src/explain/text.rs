//! Describes a decision in sentences.

use coupon_shared::civil_day::{Day, UNIX_DAYS_OF_DAY_0};
use coupon_shared::decision::{Candidate, DecidedClick, Reason};
use jiff::ToSpan;
use jiff::civil::date;

use super::explanation::Explanation;

/// Formats a day as in the API.
pub(super) fn day(day: Day) -> String {
    let days = UNIX_DAYS_OF_DAY_0 + i64::from(day.0);
    let epoch = date(1970, 1, 1);
    epoch.checked_add(days.days()).map(|day| day.to_string()).unwrap_or_default()
}

pub(super) fn rows(count: usize) -> String {
    match count {
        1 => "the code stands on one offer".into(),
        several => format!("the code stands on {several} offers"),
    }
}

/// Describes the obstacle of a row.
pub(super) fn reason(row: &Candidate<'_>) -> String {
    let (offer, partner) = (row.row.offer_id, row.row.partner_id);
    match row.reason {
        Reason::Redirected => "nothing stands in its way".into(),
        Reason::Paused => "the coupon code is paused".into(),
        Reason::Unassigned => "the coupon code has no partner".into(),
        Reason::NotStarted => format!("it starts on {}", day(row.row.first_day)),
        Reason::Expired => format!("its last day was {}", day(row.row.last_day)),
        Reason::OfferNotActive => format!("offer {offer} is not active"),
        Reason::OfferEnded => {
            let last = row.offer.map(|offer| day(Day(offer.last_day.to_native())));
            format!("the last day of offer {offer} was {}", last.unwrap_or_default())
        }
        Reason::PartnerNotActive => format!("partner {partner} is not active"),
        Reason::NotRunnable => format!("partner {partner} may not run offer {offer}"),
        Reason::NotOnOffer => "another offer was asked for".into(),
        Reason::Incomplete => {
            format!("the published index lacks offer {offer} or partner {partner}")
        }
    }
}

/// Describes why this row was chosen.
pub(super) fn choice(
    rows: &[Candidate<'_>],
    click: &DecidedClick,
    offer_id: Option<u32>,
) -> String {
    let id = click.row.code_id;
    let first = rows.iter().find(|row| row.reason != Reason::NotOnOffer);
    let Some(first) = first else {
        return format!(
            "the code is not on offer {}, and an offer asked for is never replaced; \
             the click is kept with coupon code {id}",
            offer_id.unwrap_or_default()
        );
    };
    if first.row.code_id != id {
        return format!(
            "coupon code {} comes first and cannot redirect; coupon code {id} is the next of \
             advertiser {} that can",
            first.row.code_id, click.advertiser_id
        );
    }
    match (offer_id, click.reason) {
        (Some(offer), _) => format!("coupon code {id} is on offer {offer}, which was asked for"),
        (None, Reason::Redirected) => {
            format!("coupon code {id} has the lowest id and can redirect")
        }
        (None, _) => format!(
            "coupon code {id} has the lowest id and cannot redirect, and no other of advertiser {} can",
            click.advertiser_id
        ),
    }
}

pub(super) fn answer(explanation: &Explanation) -> String {
    match explanation.answer {
        "offer" => format!("302 to the offer: {}", explanation.location),
        "fallback" => {
            let of = explanation.fallbacks.iter().find(|fallback| !fallback.url.is_empty());
            let of = of.map_or("", |fallback| fallback.of).replace('_', " ");
            format!("302 to the fallback URL of the {of}: {}", explanation.location)
        }
        _ => "the 404 page: offer, tracking domain and network have no fallback URL".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_in_the_api() {
        assert_eq!(day(Day(0)), "2000-01-01");
        assert_eq!(day(Day(9662)), "2026-06-15");
        assert_eq!(day(Day::LAST), "2179-06-06");
    }
}
