//! Applies the fraud rules to a new conversion.

use serde_json::json;

use super::ConversionWriter;
use super::incoming::Incoming;
use crate::attribution::attributed::{Attributed, Method};
use crate::attribution::error_code::ErrorCode;
use crate::attribution::evaluation::ProposedConversion;
use crate::attribution::fraud_rules::{self, CodeUsage, HOURS_BEFORE};
use crate::attribution::status::Status;
use crate::catalog::EventType;
use crate::store::blocked_values::{self, HeldScope};
use crate::store::{StoreError, events, facts};

impl ConversionWriter<'_, '_> {
    /// Returns the fraud flag of the conversion, empty for none, and holds the conversion where the
    /// network's settings say so.
    pub(super) fn check_fraud_rules(
        &mut self,
        incoming: Incoming<'_>,
        proposed: &mut ProposedConversion,
    ) -> Result<String, StoreError> {
        let is_by_code_alone = |attributed: &Attributed| {
            attributed.method == Method::CouponCode && attributed.transaction_id.is_none()
        };
        let counts = matches!(proposed.status, Status::Approved | Status::Pending);
        if !counts || !proposed.attributed.as_ref().is_some_and(is_by_code_alone) {
            return Ok(String::new());
        }
        let usage = self.code_usage(incoming, incoming.counted_ms(proposed))?;
        let guard = &self.evidence_loader.settings.code_leak_guard;
        let Some(finding) = fraud_rules::inspect(guard, &usage) else {
            return Ok(String::new());
        };
        if fraud_rules::is_first(guard, &usage, &finding) {
            let code = &proposed.partial.coupon_code;
            let data = json!({
                "coupon_code": code, "sign": finding.sign, "detail": finding.detail,
                "is_held": finding.hold, "conversion_id": incoming.row.id.to_string(),
                "network_offer_id": proposed.partial.offer_id.unwrap_or_default(),
                "network_affiliate_id": proposed.partial.affiliate_id.unwrap_or_default(),
                "conversions_last_hour": usage.last_hour, "conversions_before": usage.before,
            });
            events::record(self.tx, EventType::CodeLeakSuspected, &data)?;
        }
        if finding.hold {
            proposed.hold(ErrorCode::HeldForReview, &finding.detail);
        } else {
            proposed.steps.note(finding.sign.as_str(), &finding.detail);
        }
        Ok(finding.sign.as_str().into())
    }

    /// Holds the conversion if conversions of its code are held by a rule or by hand.
    pub(super) fn hold_code(&self, proposed: &mut ProposedConversion) -> Result<(), StoreError> {
        let code = proposed.partial.coupon_code.to_ascii_lowercase();
        let counts = matches!(proposed.status, Status::Approved | Status::Pending);
        if !counts || code.is_empty() {
            return Ok(());
        }
        let scope = HeldScope {
            folded_code: &code,
            offer_id: proposed.partial.offer_id.unwrap_or_default(),
            advertiser_id: proposed.partial.advertiser_id.unwrap_or_default(),
            affiliate_id: proposed.partial.affiliate_id.unwrap_or_default(),
        };
        if let Some((id, rule)) = blocked_values::hold_on(self.tx, &scope)? {
            let author = if rule.is_empty() { "by hand".into() } else { format!("by `{rule}`") };
            let detail = format!("conversions of the code are held {author}: blocked value {id}");
            proposed.hold(ErrorCode::HeldForReview, detail);
        }
        Ok(())
    }

    fn code_usage(&mut self, incoming: Incoming<'_>, at_ms: u64) -> Result<CodeUsage, StoreError> {
        let Incoming { fields, row, .. } = incoming;
        let codes = self.evidence_loader.codes(fields)?;
        let mut clicks = 0;
        for code in &codes {
            clicks += u64::from(facts::was_clicked(self.tx, code.code_id)?);
        }
        let (last_hour, before) =
            facts::count_alone(self.tx, &row.folded_code, at_ms, HOURS_BEFORE)?;
        let conversion_only = codes.iter().all(|code| code.conversion_only);
        Ok(CodeUsage { conversion_only, clicks, last_hour, before })
    }
}
