//! Lists of partners' ids in objects.

use std::collections::HashSet;

use super::problems::Problems;

/// Name of the field.
pub const PARTNER_LIST: &str = "network_affiliate_ids";
const MAX_PARTNERS: usize = 1_000;

/// Checks length and repetitions.
pub(super) fn check(problems: &mut Problems, partners: &[u32]) {
    if partners.len() > MAX_PARTNERS {
        let error = format!("has {} partners; at most {MAX_PARTNERS} fit", partners.len());
        problems.add(PARTNER_LIST, error);
    }
    let mut seen = HashSet::new();
    for (index, id) in partners.iter().enumerate() {
        if !seen.insert(id) {
            problems.add(format!("{PARTNER_LIST}[{index}]"), "stands twice in the list");
        }
    }
}
