//! `POST /v1/networks/conversions/reporting/transaction_ids` creates conversions for clicks.

use axum::Json;
use axum::extract::State;
use coupon_shared::postback::{Verdict, VerdictStatus};
use coupon_shared::transaction_id::TransactionId;
use serde::{Deserialize, Serialize};

use super::body::number_or_text;
use crate::api::error::ApiError;
use crate::api::request;
use crate::attribution::postback_fields::ByNetwork;
use crate::catalog::{Money, Problems};
use crate::conversions::creation::{CreationError, WantedConversions};
use crate::conversions::postback_ingest::PostbackHandle;
use crate::reports::period::PeriodQuery;
use crate::store::{Store, settings};

/// The most conversions of a request, which creates all in one transaction.
const MAX_IDS: usize = 1_000;

/// Conversions to create, one for each click. Fields that a click or the offer's terms give may be
/// left out.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreatedConversionsRequest)]
pub(super) struct CreationRequest {
    offer_id: u32,
    /// The offer's payout entry; 0 is the base conversion.
    #[serde(default)]
    event_id: u32,
    #[schema(min_items = 1, max_items = 1000, example = json!(["0192f0c1d2e37405a6b7c8d9eaf00112"]))]
    transaction_ids: Vec<String>,
    /// Whether the sales are of now; else `date` names their time.
    #[serde(default = "yes")]
    is_now: bool,
    /// `2026-12-31` (its last second) or `2026-12-31 23:59:59`, not before the clicks.
    #[serde(default)]
    #[schema(value_type = Option<String>, required = false)]
    date: Option<String>,
    /// The zone of `date`; else the network's. A number as text is read, too.
    #[serde(default, deserialize_with = "number_or_text")]
    #[schema(value_type = Option<u32>, required = false)]
    timezone_id: Option<u32>,
    /// Paid to the partner for each conversion, instead of the offer's terms; taken only with
    /// `is_payout_amount_submitted`.
    #[serde(default)]
    #[schema(value_type = Option<Money>, required = false)]
    payout_amount: Option<Money>,
    #[serde(default)]
    is_payout_amount_submitted: bool,
    /// The network's revenue of each conversion, instead of the offer's terms; taken only with
    /// `is_revenue_amount_submitted`.
    #[serde(default)]
    #[schema(value_type = Option<Money>, required = false)]
    revenue_amount: Option<Money>,
    #[serde(default)]
    is_revenue_amount_submitted: bool,
    #[serde(default)]
    #[schema(value_type = Option<Money>, required = false)]
    sale_amount: Option<Money>,
    /// Names one sale, so it goes with one transaction id.
    #[serde(default)]
    order_id: String,
    #[serde(default)]
    coupon_code: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    #[schema(max_length = 4096)]
    internal_notes: String,
    #[serde(default)]
    adv1: String,
    #[serde(default)]
    adv2: String,
    #[serde(default)]
    adv3: String,
    #[serde(default)]
    adv4: String,
    #[serde(default)]
    adv5: String,
    #[serde(default)]
    adv6: String,
    #[serde(default)]
    adv7: String,
    #[serde(default)]
    adv8: String,
    #[serde(default)]
    adv9: String,
    #[serde(default)]
    adv10: String,
}

fn yes() -> bool {
    true
}

/// The conversions in the order of the clicks.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = CreatedConversions)]
pub(super) struct CreationAnswer {
    /// Whether every conversion counts or waits for approval.
    result: bool,
    conversions: Vec<CreatedConversion>,
}

/// What became of a click's conversion.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = CreatedConversion)]
struct CreatedConversion {
    transaction_id: String,
    /// The new conversion, or the one that the click had already; empty without one.
    conversion_id: String,
    /// `approved`, `pending`, `rejected` or `invalid`.
    status: String,
    /// 0 for none.
    error_code: u32,
    error: String,
}

/// Creates a conversion for each of the clicks, all or none. Each click has to be one of the offer;
/// partner, code and sub ids are the click's. A click that has its sale already makes no second one,
/// unless the offer allows that: its conversion is answered. Conversions are judged as those of a
/// trusted advertiser's postback, with caps and approval.
#[utoipa::path(post, path = "/conversions/reporting/transaction_ids", request_body = CreationRequest, responses((status = 200, body = CreationAnswer)))]
pub(super) async fn create(
    State(store): State<Store>,
    State(postbacks): State<PostbackHandle>,
    request::Json(wanted): request::Json<CreationRequest>,
) -> Result<Json<CreationAnswer>, ApiError> {
    let zone = store.read(settings::read).await?.settings.time_zone;
    let wanted = wanted.check(&zone)?;
    let verdicts = postbacks.create(wanted.clone()).await?;
    let conversions: Vec<_> =
        wanted.transaction_ids.iter().zip(verdicts).map(created_conversion).collect();
    let result = conversions.iter().all(|made| matches!(&*made.status, "approved" | "pending"));
    Ok(Json(CreationAnswer { result, conversions }))
}

impl CreationRequest {
    fn check(self, network_zone: &str) -> Result<WantedConversions, ApiError> {
        let mut problems = Problems::default();
        let sold_ms = self.sold_ms(network_zone, &mut problems);
        let transaction_ids = self.ids(&mut problems);
        for (amount, is_given, name) in [
            (self.payout_amount, self.is_payout_amount_submitted, "payout_amount"),
            (self.revenue_amount, self.is_revenue_amount_submitted, "revenue_amount"),
        ] {
            if is_given && amount.is_none_or(Money::is_negative) {
                problems.add(name, "must be an amount of 0 or more");
            }
        }
        if self.sale_amount.is_some_and(Money::is_negative) {
            problems.add("sale_amount", "must not be negative: a refund is a postback");
        }
        if !self.order_id.is_empty() && transaction_ids.len() > 1 {
            problems.add("order_id", "names one sale; give one transaction id with it");
        }
        if self.internal_notes.len() > 4_096 {
            problems.add("internal_notes", "has more than 4096 bytes");
        }
        problems.finish().map_err(ApiError::fields)?;
        let by_network = ByNetwork {
            payout: self.payout_amount.filter(|_| self.is_payout_amount_submitted),
            revenue: self.revenue_amount.filter(|_| self.is_revenue_amount_submitted),
            notes: self.internal_notes.clone(),
        };
        let (offer_id, event_id) = (self.offer_id, self.event_id);
        let parameters = self.parameters();
        Ok(WantedConversions {
            offer_id,
            event_id,
            transaction_ids,
            sold_ms,
            by_network,
            parameters,
        })
    }

    fn sold_ms(&self, network_zone: &str, problems: &mut Problems) -> Option<u64> {
        let Some(date) = self.date.as_deref().filter(|_| !self.is_now) else {
            if !self.is_now {
                problems.add("date", "is required, unless is_now is true");
            }
            return None;
        };
        match PeriodQuery::end_of(date, self.timezone_id, network_zone) {
            Ok(end_ms) => Some(end_ms),
            Err(error) => {
                problems.add(error.field, error.error);
                None
            }
        }
    }

    fn ids(&self, problems: &mut Problems) -> Vec<TransactionId> {
        if self.transaction_ids.is_empty() || self.transaction_ids.len() > MAX_IDS {
            problems.add("transaction_ids", format!("must have 1 to {MAX_IDS} ids"));
            return Vec::new();
        }
        let mut ids = Vec::new();
        for (at, text) in self.transaction_ids.iter().enumerate() {
            match text.parse() {
                Ok(id) if !ids.contains(&id) => ids.push(id),
                Ok(_) => problems.add(format!("transaction_ids[{at}]"), "is given twice"),
                Err(_) => problems.add(format!("transaction_ids[{at}]"), "is no transaction id"),
            }
        }
        ids
    }

    fn parameters(self) -> Vec<(&'static str, String)> {
        let amount = self.sale_amount.map(|amount| amount.to_string()).unwrap_or_default();
        let parameters = [
            ("amount", amount),
            ("order_id", self.order_id),
            ("coupon_code", self.coupon_code),
            ("email", self.email),
            ("adv1", self.adv1),
            ("adv2", self.adv2),
            ("adv3", self.adv3),
            ("adv4", self.adv4),
            ("adv5", self.adv5),
            ("adv6", self.adv6),
            ("adv7", self.adv7),
            ("adv8", self.adv8),
            ("adv9", self.adv9),
            ("adv10", self.adv10),
        ];
        parameters.into_iter().filter(|(_, text)| !text.is_empty()).collect()
    }
}

fn created_conversion((id, verdict): (&TransactionId, Verdict)) -> CreatedConversion {
    CreatedConversion {
        transaction_id: id.to_string(),
        conversion_id: verdict.conversion_id.map(|id| id.to_string()).unwrap_or_default(),
        status: verdict.status.as_str().into(),
        error_code: verdict.error_code,
        error: match verdict.status {
            VerdictStatus::Approved => String::new(),
            _ => verdict.error,
        },
    }
}

impl From<CreationError> for ApiError {
    fn from(error: CreationError) -> ApiError {
        match error {
            CreationError::Invalid(fields) => ApiError::fields(fields),
            CreationError::Store(error) => error.into(),
            error @ (CreationError::Clicks(_) | CreationError::Random(_)) => {
                tracing::error!(%error, "no conversion was created");
                ApiError::inside()
            }
        }
    }
}
