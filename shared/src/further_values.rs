//! Values that links and pages may give with a click, beyond `sub1` to `sub5`, `source_id` and
//! `uid`.
//!
//! Clicks keep them as far as their record has room ([`crate::click::append_fitting`]). Reports
//! show them, and destinations have a macro for each. The ids of ad networks and the page before
//! are personal: they tell one visitor from all others.

use crate::click::Tag;

/// How a daemon says that it knows the macros of these values.
pub const FEATURE: &str = "further_values.1";

/// A value beyond the usual ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FurtherValue {
    /// Name of the report's column and of the macro.
    pub name: &'static str,
    /// Name of the query parameter.
    pub parameter: &'static str,
    /// The field of a click record.
    pub tag: Tag,
}

const fn named(name: &'static str, tag: Tag) -> FurtherValue {
    FurtherValue { name, parameter: name, tag }
}

/// All further values. Their macros have this order.
pub const FURTHER_VALUES: [FurtherValue; 19] = [
    named("sub6", Tag::Sub6),
    named("sub7", Tag::Sub7),
    named("sub8", Tag::Sub8),
    named("sub9", Tag::Sub9),
    named("sub10", Tag::Sub10),
    named("adv1", Tag::Adv1),
    named("adv2", Tag::Adv2),
    named("adv3", Tag::Adv3),
    named("adv4", Tag::Adv4),
    named("adv5", Tag::Adv5),
    named("adv6", Tag::Adv6),
    named("adv7", Tag::Adv7),
    named("adv8", Tag::Adv8),
    named("adv9", Tag::Adv9),
    named("adv10", Tag::Adv10),
    named("fbclid", Tag::Fbclid),
    named("gclid", Tag::Gclid),
    named("ttclid", Tag::Ttclid),
    FurtherValue { name: "page_referer", parameter: "__rf", tag: Tag::PageReferer },
];

/// The position in [`FURTHER_VALUES`] of a query parameter.
pub(crate) fn position(parameter: &[u8]) -> Option<usize> {
    // Few parameters get here, and the lengths tell most of those that do.
    if !(4..=6).contains(&parameter.len()) {
        return None;
    }
    FURTHER_VALUES.iter().position(|value| value.parameter.as_bytes() == parameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_found_by_its_name() {
        for (at, value) in FURTHER_VALUES.iter().enumerate() {
            assert_eq!(position(value.parameter.as_bytes()), Some(at), "{}", value.parameter);
        }
        for other in ["", "sub5", "sub11", "adv0", "adv11", "clid", "page_referer", "SUB6"] {
            assert_eq!(position(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn the_table_has_each_further_tag_in_its_order() {
        assert_eq!(FURTHER_VALUES.map(|value| value.tag), Tag::FURTHER);
    }

    #[test]
    fn what_tells_a_visitor_from_others_is_personal() {
        let personal = FURTHER_VALUES.iter().filter(|value| value.tag as u8 >= 128);
        let names: Vec<&str> = personal.map(|value| value.name).collect();
        assert_eq!(names, ["fbclid", "gclid", "ttclid", "page_referer"]);
    }
}
