//! Checks that databases of places know what new rules ask.

use std::sync::Arc;

use axum::extract::FromRef;
use coupon_geo::GeoWatcher;

use super::state::AppState;
use crate::catalog::{FieldError, Ruleset};
use crate::edit::EditError;
use crate::publish::PublisherHandle;

/// The facts that the databases of both programs know.
#[derive(Clone)]
pub(crate) struct RulesetData {
    geo: Arc<GeoWatcher>,
    publisher: PublisherHandle,
}

impl FromRef<AppState> for RulesetData {
    fn from_ref(state: &AppState) -> RulesetData {
        RulesetData { geo: state.geo.clone(), publisher: state.publisher.clone() }
    }
}

/// The rulesets of an edit that lack data.
#[derive(Default)]
pub(super) struct MissingFacts(Vec<FieldError>);

impl MissingFacts {
    /// # Errors
    /// When a ruleset lacks data.
    pub(super) fn finish(self) -> Result<(), EditError> {
        if self.0.is_empty() { Ok(()) } else { Err(EditError::NoDataForRule(self.0)) }
    }

    fn add(&mut self, path: &str, errors: Vec<FieldError>) {
        for error in errors {
            let field = format!("{path}.{}", error.field);
            if self.0.iter().all(|known| known.field != field) {
                self.0.push(FieldError { field, ..error });
            }
        }
    }
}

impl RulesetData {
    /// Reports the lists of a ruleset that no database answers. coupond decides visits, so its
    /// databases count once it has told about them. Those of coupon-admin count where some are
    /// configured, because `explain` asks them, or where nothing else is known.
    pub(super) fn check(&self, missing: &mut MissingFacts, path: &str, ruleset: &Ruleset) {
        let mut check = |known, program| {
            missing.add(path, ruleset.check_data(known, program).err().unwrap_or_default());
        };
        let of_daemon = self.publisher.daemon_place_parts();
        if let Some(known) = of_daemon {
            check(known, "coupond");
        }
        if of_daemon.is_none() || !self.geo.status().is_empty() {
            check(self.geo.current().parts(), "coupon-admin");
        }
    }
}
