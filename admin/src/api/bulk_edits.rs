//! `/v1/networks/patch`: the same patch of several offers, partners or advertisers.

use utoipa_axum::router::OpenApiRouter;

use super::crud::{self, BulkPatchable, PatchTarget};
use super::state::AppState;
use crate::catalog::{Advertiser, Affiliate, Offer};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    let mut routes = OpenApiRouter::new()
        .routes(crud::bulk_patch::<Offer>("/patch/offers/apply", ABOUT_APPLY))
        .routes(crud::bulk_patch_preview::<Offer>("/patch/offers/submit", ABOUT_SUBMIT))
        .routes(crud::bulk_patch::<Affiliate>("/patch/affiliates/apply", ABOUT_APPLY))
        .routes(crud::bulk_patch_preview::<Affiliate>("/patch/affiliates/submit", ABOUT_SUBMIT));
    // Everflow's path has the singular; the plural is what its other paths suggest.
    for name in ["advertiser", "advertisers"] {
        let (apply, submit) = (format!("/patch/{name}/apply"), format!("/patch/{name}/submit"));
        routes = routes
            .routes(crud::bulk_patch::<Advertiser>(&apply, ABOUT_APPLY))
            .routes(crud::bulk_patch_preview::<Advertiser>(&submit, ABOUT_SUBMIT));
    }
    routes
}

const ABOUT_APPLY: &str = "Changes the same fields of several objects.\n\
     \n\
     Each object is changed as by its own PATCH. One error changes none. `operator` is `overwrite`, or\n\
     `append` for lists.";
const ABOUT_SUBMIT: &str = "Tells what the same request to `apply` would change, and changes nothing.\n\
     \n\
     `changes` has the present and the new value of each field of each object, with the error if the\n\
     object cannot be changed; `resource_errors` has the objects that do not exist.";

impl BulkPatchable for Offer {
    const IDS_FIELD: &'static str = "network_offer_ids";
    const OBJECT_FIELD: &'static str = "network_offer";
    const STATUS_FIELD: &'static str = "offer_status";

    fn target(field_type: &str) -> PatchTarget<'_> {
        const ENTRIES: &str = "payout_revenue";
        match field_type {
            "offer_name" => PatchTarget::Field("name"),
            "payout" | "revenue" => PatchTarget::DefaultEntry(ENTRIES),
            "payout_revenue_name" => PatchTarget::DefaultEntryField(ENTRIES, "entry_name"),
            "brands" => PatchTarget::Nested("ruleset", "brands"),
            other => match other.strip_prefix("ruleset_") {
                Some(part) => PatchTarget::Nested("ruleset", part),
                None => PatchTarget::Field(other),
            },
        }
    }
}

impl BulkPatchable for Affiliate {
    const IDS_FIELD: &'static str = "network_affiliate_ids";
    const OBJECT_FIELD: &'static str = "network_affiliate";
    const STATUS_FIELD: &'static str = "account_status";

    fn target(field_type: &str) -> PatchTarget<'_> {
        match field_type {
            "affiliate_name" => PatchTarget::Field("name"),
            "affiliate_status" => PatchTarget::Field("account_status"),
            other => PatchTarget::Field(other),
        }
    }
}

impl BulkPatchable for Advertiser {
    const IDS_FIELD: &'static str = "network_advertiser_ids";
    const OBJECT_FIELD: &'static str = "network_advertiser";
    const STATUS_FIELD: &'static str = "account_status";

    fn target(field_type: &str) -> PatchTarget<'_> {
        match field_type {
            "advertiser_name" => PatchTarget::Field("name"),
            "advertiser_status" => PatchTarget::Field("account_status"),
            other => PatchTarget::Field(other),
        }
    }
}
