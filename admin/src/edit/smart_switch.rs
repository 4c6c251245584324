//! SmartSwitch rules: at most [`MAX_RULES`] of them.

use super::{EditError, Editable, check_reference};
use crate::catalog::{Advertiser, Affiliate, MAX_RULES, Offer, SmartSwitchRule, TargetedEntity};
use crate::store::{WriteTx, smart_switch};

impl Editable for SmartSwitchRule {
    const NAME: &'static str = "SmartSwitch rule";
    // Its blocked values stay as they are until the next run.
    const IS_PUBLISHED: bool = false;
    const READ_ONLY_FIELDS: &'static [&'static str] = &[
        "network_smart_switch_rule_id",
        "network_id",
        "time_created",
        "time_saved",
        "time_deleted",
        "relationship",
        "warnings",
    ];

    fn check(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
        SmartSwitchRule::check(self).map_err(EditError::Invalid)?;
        for (at, target) in self.targeted_entity_ids.iter().enumerate() {
            let field = format!("targeted_entity_ids[{at}]");
            match self.targeted_entity_type {
                TargetedEntity::Offer => check_reference::<Offer>(tx, &field, *target)?,
                TargetedEntity::Advertiser => check_reference::<Advertiser>(tx, &field, *target)?,
                TargetedEntity::Affiliate => check_reference::<Affiliate>(tx, &field, *target)?,
                TargetedEntity::Network => {}
            }
        }
        if smart_switch::count_others(tx, id)? < MAX_RULES {
            return Ok(());
        }
        let message = format!("there are {MAX_RULES} rules, which is the most; delete some first");
        Err(EditError::conflict("smart_switch_rule.too_many", "name", message))
    }
}
