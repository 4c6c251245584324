//! Ranges of addresses. Both families are one row of numbers: IPv4 stands in it as `::ffff:a.b.c.d`.

use std::net::IpAddr;

use rkyv::{Archive, Deserialize, Serialize};

use super::{Matched, Refusal, Sides, Verdict};

/// Ranges by ascending address, which neither overlap nor touch.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressRanges(Vec<(u128, u128)>);

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

impl AddressRanges {
    /// Joins ranges of first and last addresses.
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = (IpAddr, IpAddr)>) -> AddressRanges {
        let mut ranges: Vec<(u128, u128)> =
            ranges.into_iter().map(|(first, last)| (number(first), number(last))).collect();
        ranges.sort_unstable();
        let mut joined: Vec<(u128, u128)> = Vec::new();
        for (first, last) in ranges {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last);
                }
                _ => joined.push((first, last)),
            }
        }
        AddressRanges(joined)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        let number = number(address);
        let after = self.0.partition_point(|(first, _)| *first <= number);
        after > 0 && number <= self.0[after - 1].1
    }

    /// Checks what [`AddressRanges::has`] relies on.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check_order(&self) -> Result<(), String> {
        let are_ranges = self.0.iter().all(|(first, last)| first <= last);
        let ascend = self.0.windows(2).all(|pair| pair[0].1 < pair[1].0);
        if are_ranges && ascend { Ok(()) } else { Err("its addresses are out of order".into()) }
    }
}

pub(super) fn verdict(ranges: &Sides<AddressRanges>, address: IpAddr) -> Verdict {
    let matched = Matched {
        is_known: true,
        has_includes: !ranges.include.is_empty(),
        is_included: ranges.include.has(address),
        is_excluded: ranges.exclude.has(address),
    };
    matched.verdict(match matched.is_excluded {
        true => Refusal::AddressExcluded,
        false => Refusal::AddressNotIncluded,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(of: &[(&str, &str)]) -> AddressRanges {
        AddressRanges::new(of.iter().map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())))
    }

    #[test]
    fn ranges_have_both_ends_and_either_spelling_of_ipv4() {
        let list = ranges(&[
            ("10.11.12.13", "10.11.12.100"),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("10.11.12.50", "10.11.12.101"),
        ]);
        assert_eq!(list.check_order(), Ok(()));
        for (address, expected) in [
            ("10.11.12.12", false),
            ("10.11.12.13", true),
            ("10.11.12.101", true),
            ("10.11.12.102", false),
            ("::ffff:10.11.12.13", true),
            ("2001:db8:1::1", true),
            ("2001:db9::", false),
        ] {
            assert_eq!(list.has(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn ranges_that_touch_or_reach_the_end_are_joined() {
        let all = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let list =
            ranges(&[("1.2.3.4", "1.2.3.5"), ("1.2.3.6", "1.2.3.6"), ("::1", all), ("::2", all)]);
        assert_eq!(list.0.len(), 1);
        let unordered = AddressRanges(vec![(5, 6), (1, 2)]);
        assert!(unordered.check_order().is_err());
        assert!(AddressRanges(vec![(6, 5)]).check_order().is_err());
    }
}
