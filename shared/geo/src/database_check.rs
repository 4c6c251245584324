//! The check of a file before it goes into service, within bounded processor time.
//!
//! Every node of the search tree is read. Records are read from a sample: addresses spread over the
//! whole space, and the first networks of the tree. A small file is read in full. The sample also
//! finds the layout, so its size is a fixed number and not a time: the same file has the same parts
//! on a busy machine.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use rustix::time::{ClockId, clock_gettime};

use crate::database_error::DatabaseFault;
use crate::fields::FieldNames;
use crate::layout::{Layout, LayoutFinder, Record};

/// Most processor time of a check. A city database of 100 MB takes a twentieth of it.
const MAX_CPU_TIME: Duration = Duration::from_secs(4);
const V4_PROBES: u32 = 1 << 13;
const V6_PROBES: u32 = 1 << 11;
const WALKED_NETWORKS: usize = 1 << 13;
/// Of so many records, one may be damaged: its addresses are then unknown places.
const RECORDS_PER_DAMAGED: u32 = 100;

/// Bytes of the separator between the tree and the data.
const SEPARATOR_BYTES: u64 = 16;

/// Checks the tree of a file whose metadata were read.
pub(crate) fn check_tree(bytes: &[u8]) -> Result<(), DatabaseFault> {
    let reader = Reader::from_source(bytes).map_err(DatabaseFault::Format)?;
    let metadata = reader.metadata();
    let (nodes, bits) = (u64::from(metadata.node_count), usize::from(metadata.record_size));
    let node_bytes = bits / 4;
    let tree_bytes = nodes as usize * node_bytes;
    // A data pointer counts from the end of the nodes; the file's metadata lie behind the data.
    let last = nodes + (bytes.len() - tree_bytes) as u64;
    let is_sound = |child: u64| {
        // The root is no child, and the separator is no data. Zeros and text fail here, as left by
        // an incomplete download.
        child != 0 && (child <= nodes || (nodes + SEPARATOR_BYTES..last).contains(&child))
    };
    for (node, record) in bytes[..tree_bytes].chunks_exact(node_bytes).enumerate() {
        let (left, right) = children(record);
        if !is_sound(left) || !is_sound(right) {
            return Err(DatabaseFault::SearchTree { node: node as u64 });
        }
    }
    Ok(())
}

/// The two records of a node: 24, 28 or 32 bits each.
fn children(node: &[u8]) -> (u64, u64) {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    match node {
        [left @ .., middle, _, _, _] if node.len() == 7 => {
            let (high, low) = (u64::from(middle >> 4) << 24, u64::from(middle & 0xf) << 24);
            (high | number(left), low | number(&node[4..]))
        }
        _ => {
            let (left, right) = node.split_at(node.len() / 2);
            (number(left), number(right))
        }
    }
}

/// Reads a sample of the records, and returns the layout.
pub(crate) fn find_layout(reader: &Reader<Vec<u8>>) -> Result<Layout, DatabaseFault> {
    let mut sample = Sample::default();
    for address in probe_addresses(reader.metadata().ip_version == 6) {
        sample.add(reader.lookup(address))?;
    }
    // Networks without data are included: each of them is a step, so no step takes long.
    let options = WithinOptions::default().include_networks_without_data();
    let networks = reader.networks(options).map_err(DatabaseFault::Format)?;
    for network in networks.take(WALKED_NETWORKS) {
        sample.add(network)?;
    }
    sample.finish()
}

/// Addresses spread evenly over the space, not all at the start of their networks.
fn probe_addresses(with_v6: bool) -> impl Iterator<Item = IpAddr> {
    const GOLDEN: u32 = 0x9e37_79b9;
    let scatter = |at: u32| at.wrapping_mul(GOLDEN);
    let v4 = (0..V4_PROBES).map(move |at| {
        let step = u32::MAX / V4_PROBES;
        IpAddr::V4(Ipv4Addr::from(at * step + scatter(at) % step))
    });
    let v6 = (0..if with_v6 { V6_PROBES } else { 0 }).map(move |at| {
        // The registries give networks out of 2000::/4 so far.
        let high = 0x2000_0000 + at * ((1 << 28) / V6_PROBES) + scatter(at) % (1 << 17);
        IpAddr::V6(Ipv6Addr::from(u128::from(high) << 96 | u128::from(scatter(at)) << 64))
    });
    v4.chain(v6)
}

#[derive(Default)]
struct Sample {
    finder: LayoutFinder,
    /// Offsets of the records that were read.
    offsets: HashSet<usize>,
    added: u32,
    unreadable: u32,
    first_error: Option<MaxMindDbError>,
    field_names: String,
    begun: Option<Duration>,
}

impl Sample {
    fn add(&mut self, result: Result<Record<'_>, MaxMindDbError>) -> Result<(), DatabaseFault> {
        self.added += 1;
        let read = result.and_then(|record| match record.offset() {
            Some(offset) if self.offsets.insert(offset) => self.read(&record),
            _ => Ok(()),
        });
        if let Err(error) = read {
            self.unreadable += 1;
            self.first_error.get_or_insert(error);
        }
        self.check_time()
    }

    fn read(&mut self, record: &Record<'_>) -> Result<(), MaxMindDbError> {
        self.finder.add(record)?;
        if self.field_names.is_empty() {
            self.field_names = record.decode::<FieldNames>()?.unwrap_or_default().0;
        }
        Ok(())
    }

    fn check_time(&mut self) -> Result<(), DatabaseFault> {
        let now = thread_cpu_time();
        if now.saturating_sub(*self.begun.get_or_insert(now)) > MAX_CPU_TIME {
            return Err(DatabaseFault::TooSlow { seconds: MAX_CPU_TIME.as_secs() });
        }
        Ok(())
    }

    fn finish(self) -> Result<Layout, DatabaseFault> {
        let checked = self.offsets.len() as u32 + self.unreadable;
        if let Some(first) = self.first_error
            && self.unreadable > checked / RECORDS_PER_DAMAGED
        {
            return Err(DatabaseFault::Records { unreadable: self.unreadable, checked, first });
        }
        let layout = self.finder.layout();
        if layout.parts().is_empty() {
            let fields = if self.field_names.is_empty() {
                "it has no records".to_owned()
            } else {
                format!("its fields are {}", self.field_names)
            };
            return Err(DatabaseFault::NoKnownFields { fields });
        }
        Ok(layout)
    }
}

/// Processor time, because a waiting check delays nobody.
fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_two_children_in_each_record_size() {
        assert_eq!(children(&[1, 2, 3, 4, 5, 6]), (0x01_0203, 0x04_0506));
        assert_eq!(
            children(&[0x23, 0x45, 0x67, 0x18, 0x9a, 0xbc, 0xde]),
            (0x0123_4567, 0x089a_bcde)
        );
        assert_eq!(children(&[1, 2, 3, 4, 5, 6, 7, 8]), (0x0102_0304, 0x0506_0708));
    }

    #[test]
    fn probes_are_spread_over_the_space() {
        let probes: Vec<IpAddr> = probe_addresses(true).collect();
        let firsts: HashSet<u8> = probes
            .iter()
            .filter_map(|probe| match probe {
                IpAddr::V4(address) => Some(address.octets()[0]),
                IpAddr::V6(_) => None,
            })
            .collect();
        assert_eq!(firsts.len(), 256);
        let in_registries = |address: &Ipv6Addr| address.segments()[0] >> 12 == 2;
        let v6: Vec<_> = probes.iter().filter(|probe| probe.is_ipv6()).collect();
        assert_eq!(v6.len(), V6_PROBES as usize);
        assert!(v6.iter().all(|probe| matches!(probe, IpAddr::V6(v6) if in_registries(v6))));
        assert!(probe_addresses(false).all(|probe| probe.is_ipv4()));
    }
}
