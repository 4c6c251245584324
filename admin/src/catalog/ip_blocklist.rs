//! The addresses that every offer of the network refuses.

use std::net::IpAddr;

use coupon_rules::ruleset::addresses::AddressRanges;
use ipnet::IpNet;

use super::problems::Problems;

/// Most entries of the list.
const MAX_ENTRIES: usize = 1000;

type AddressRange = (IpAddr, IpAddr);

/// Checks the entries with one another: one that another one includes is a mistake, because its
/// removal would change nothing.
pub(super) fn check(problems: &mut Problems, field: &str, entries: &[String]) {
    if entries.len() > MAX_ENTRIES {
        let count = entries.len();
        problems.add(field, format!("has {count} entries; at most {MAX_ENTRIES} fit; use CIDRs"));
        return;
    }
    let mut ranges: Vec<(AddressRange, usize)> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        match range(entry) {
            Ok(range) => ranges.push((range, index)),
            Err(error) => problems.add(format!("{field}[{index}]"), error),
        }
    }
    ranges.sort_unstable();
    // Networks never overlap in part: an entry is before another one, or includes it.
    let mut widest: Option<(AddressRange, usize)> = None;
    for ((first, last), index) in ranges {
        match widest {
            Some(((_, end), wider)) if first <= end && first.is_ipv4() == end.is_ipv4() => {
                let (at, other) = (index.max(wider), &entries[index.min(wider)]);
                let error = format!("`{}` overlaps with {other}; remove one of them", entries[at]);
                problems.add(format!("{field}[{at}]"), error);
            }
            _ => {}
        }
        if widest.is_none_or(|((_, end), _)| end.is_ipv4() != last.is_ipv4() || end < last) {
            widest = Some(((first, last), index));
        }
    }
}

/// The ranges of a list.
///
/// # Errors
/// The first entry that is none.
pub(crate) fn address_ranges(entries: &[String]) -> Result<AddressRanges, String> {
    let ranges = entries.iter().map(|entry| range(entry));
    Ok(AddressRanges::new(ranges.collect::<Result<Vec<_>, _>>()?))
}

fn range(entry: &str) -> Result<AddressRange, String> {
    if let Ok(address) = entry.parse::<IpAddr>() {
        let address = address.to_canonical();
        return Ok((address, address));
    }
    let network: IpNet = entry.parse().map_err(|_| {
        format!("`{entry}` is neither an address nor a CIDR such as 192.0.2.0/24 or 2001:db8::/32")
    })?;
    if network.prefix_len() == 0 {
        return Err(format!("`{entry}` refuses every visitor of its family; pause offers instead"));
    }
    if network.addr() != network.network() {
        let whole = network.trunc();
        return Err(format!("`{entry}` is an address within {whole}; send the network"));
    }
    Ok((network.network(), network.broadcast()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(entries: &[&str]) -> Vec<(String, String)> {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).into()).collect();
        let mut problems = Problems::default();
        check(&mut problems, "ip_blocklist", &entries);
        let errors = problems.finish().err().unwrap_or_default();
        errors.into_iter().map(|error| (error.field, error.error)).collect()
    }

    #[test]
    fn entries_that_overlap_or_are_no_networks_are_named() {
        let good = ["203.0.113.7", "198.51.100.0/24", "198.51.101.0/24", "2001:db8::/32", "::1"];
        assert_eq!(wrong(&good), []);
        for (entries, at, part) in [
            (vec!["here"], 0, "neither an address nor a CIDR"),
            (vec!["10.0.0.1/8"], 0, "an address within 10.0.0.0/8"),
            (vec!["0.0.0.0/0"], 0, "refuses every visitor"),
            (vec!["10.0.0.0/8", "192.0.2.1", "10.9.0.0/16"], 2, "overlaps with 10.0.0.0/8"),
            (vec!["10.9.0.7", "10.0.0.0/8"], 1, "overlaps with 10.9.0.7"),
            (vec!["192.0.2.1", "::ffff:192.0.2.1"], 1, "overlaps with 192.0.2.1"),
            (vec!["2001:db8::1", "2001:db8::/32"], 1, "overlaps with 2001:db8::1"),
        ] {
            let errors = wrong(&entries);
            assert_eq!(errors.len(), 1, "{entries:?}: {errors:?}");
            assert_eq!(errors[0].0, format!("ip_blocklist[{at}]"), "{entries:?}");
            assert!(errors[0].1.contains(part), "{errors:?}");
        }
        let many: Vec<String> =
            (0..1001).map(|n| format!("10.0.{}.{}", n / 256, n % 256)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(wrong(&many[..1000]), []);
        assert_eq!(wrong(&many)[0].0, "ip_blocklist");
    }
}
