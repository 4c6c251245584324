//! Numbers in rulesets: values named by a number get their names, the others their number.

use super::EditError;
use crate::catalog::ruleset::numbered::NumberedValue;
use crate::catalog::{Problems, Ruleset};
use crate::store::{StoreError, WriteTx, target_values};

/// Completes the values of a ruleset.
pub(super) fn complete(
    tx: &WriteTx<'_>,
    path: &str,
    ruleset: &mut Ruleset,
) -> Result<(), EditError> {
    let mut problems = Problems::default();
    for (index, entry) in ruleset.regions.iter_mut().enumerate() {
        complete_value(tx, &mut problems, &format!("{path}.regions[{index}]"), &mut entry.value)?;
    }
    for (index, entry) in ruleset.cities.iter_mut().enumerate() {
        complete_value(tx, &mut problems, &format!("{path}.cities[{index}]"), &mut entry.value)?;
    }
    for (index, entry) in ruleset.mobile_carriers.iter_mut().enumerate() {
        let path = format!("{path}.mobile_carriers[{index}]");
        complete_value(tx, &mut problems, &path, &mut entry.value)?;
    }
    problems.finish().map_err(EditError::Invalid)
}

fn complete_value<V: NumberedValue>(
    tx: &WriteTx<'_>,
    problems: &mut Problems,
    path: &str,
    value: &mut V,
) -> Result<(), StoreError> {
    if value.id() == 0 {
        let id = target_values::find_or_add(tx, value)?;
        *value = value.clone().with_id(id);
        return Ok(());
    }
    let field = format!("{path}.{}", V::ID_FIELD);
    let id = value.id();
    let Some(known) = target_values::find::<V>(tx, id)? else {
        problems.add(field, format!("{id} is not known here; {}", V::HINT));
        return Ok(());
    };
    let key = value.key();
    if key == known.key() {
        target_values::find_or_add(tx, value)?;
    } else if key.is_empty() || value.agrees_with(&known) {
        *value = known;
    } else {
        let (number, named) = (known.describe(), value.describe());
        problems.add(field, format!("{id} is {number}, not {named}; leave one of them out"));
    }
    Ok(())
}
