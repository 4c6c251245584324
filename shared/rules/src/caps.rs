//! Caps: how many clicks and conversions an offer, a group of offers, a partner or a code takes.
//!
//! A catalog says which caps there are; how far each is reached is state ([`crate::visit_state`]). A
//! soft cap never refuses a visit.
//!
//! # Bytes
//!
//! Little endian: offer (4), partner (4), code (4), flags (1), zero (3), then the click limits by
//! day, week, month and in all (8 each).

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// Length of a cap's bytes.
pub const ENCODED_LEN: usize = 48;

const IS_GROUP: u8 = 1;
const IS_SOFT: u8 = 2;
const HAS_CONVERSION_LIMITS: u8 = 4;

/// A cap.
///
/// A cap of a code binds that code, a cap of a partner that partner's clicks. Any other cap binds
/// the offers that list it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    pub id: u32,
    /// The only offer whose clicks of the partner count; 0 for all. Only in a partner's cap.
    pub offer_id: u32,
    /// 0 for all partners.
    pub partner_id: u32,
    /// 0 for all codes.
    pub code_id: u32,
    /// Whether it is shared by a group of offers.
    pub is_group: bool,
    /// Whether it only warns.
    pub is_soft: bool,
    /// Most unique clicks by day, week, month and in all; 0 for no limit.
    pub click_limits: [u64; 4],
    /// Whether conversions, payout or revenue are limited. Their counts are the admin's alone.
    pub has_conversion_limits: bool,
}

impl Cap {
    #[must_use]
    pub fn has_click_limits(&self) -> bool {
        self.click_limits != [0; 4]
    }

    /// Whether clicks count against it and can be refused for it.
    #[must_use]
    pub fn refuses_clicks(&self) -> bool {
        !self.is_soft && self.has_click_limits()
    }

    /// Whether a visit can be refused for it.
    #[must_use]
    pub fn can_refuse(&self) -> bool {
        !self.is_soft && (self.has_click_limits() || self.has_conversion_limits)
    }

    /// The bytes after the id.
    #[must_use]
    pub fn encode(&self) -> [u8; ENCODED_LEN] {
        let flags = [
            (self.is_group, IS_GROUP),
            (self.is_soft, IS_SOFT),
            (self.has_conversion_limits, HAS_CONVERSION_LIMITS),
        ];
        let mut bytes = [0; ENCODED_LEN];
        bytes[..4].copy_from_slice(&self.offer_id.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.partner_id.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.code_id.to_le_bytes());
        bytes[12] = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum();
        for (out, limit) in bytes[16..].chunks_exact_mut(8).zip(self.click_limits) {
            out.copy_from_slice(&limit.to_le_bytes());
        }
        bytes
    }

    /// Reads the bytes after the id.
    ///
    /// # Errors
    /// Why the bytes are no cap.
    pub fn decode(id: u32, bytes: &[u8]) -> Result<Cap, String> {
        let bytes: &[u8; ENCODED_LEN] =
            bytes.try_into().map_err(|_| format!("a cap has {ENCODED_LEN} bytes"))?;
        let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let limit = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[16 + at * 8 + i]));
        let flags = bytes[12];
        let cap = Cap {
            id,
            offer_id: number(0),
            partner_id: number(4),
            code_id: number(8),
            is_group: flags & IS_GROUP != 0,
            is_soft: flags & IS_SOFT != 0,
            click_limits: std::array::from_fn(limit),
            has_conversion_limits: flags & HAS_CONVERSION_LIMITS != 0,
        };
        if cap.encode() != *bytes {
            return Err("a cap has flags or filling that nobody writes".into());
        }
        if cap.offer_id != 0 && cap.partner_id == 0 {
            return Err("only a partner's cap names an offer".into());
        }
        if cap.code_id != 0 && (cap.partner_id != 0 || cap.is_group) {
            return Err("a code's cap names neither a partner nor a group".into());
        }
        Ok(cap)
    }

    /// Whether the offers that it binds list it.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        self.partner_id == 0 && self.code_id == 0
    }
}

/// The caps that offers do not list, found by what they bind.
#[derive(Debug, Clone, Default)]
pub struct CapIndex {
    by_code: HashMap<u32, Vec<Cap>, FixedState>,
    by_partner: HashMap<u32, Vec<Cap>, FixedState>,
}

impl CapIndex {
    /// Adds a cap of a code or of a partner.
    pub fn add(&mut self, cap: Cap) {
        let (index, id) = match cap.code_id {
            0 => (&mut self.by_partner, cap.partner_id),
            code_id => (&mut self.by_code, code_id),
        };
        index.entry(id).or_default().push(cap);
    }

    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_code.is_empty() && self.by_partner.is_empty()
    }

    /// The caps of a code, then those of a partner on an offer.
    pub fn find(
        &self,
        code_id: u32,
        partner_id: u32,
        offer_id: u32,
    ) -> impl Iterator<Item = &Cap> + Clone {
        let of_code = self.by_code.get(&code_id).into_iter().flatten();
        let of_partner = self.by_partner.get(&partner_id).into_iter().flatten();
        of_code.chain(of_partner.filter(move |cap| cap.offer_id == 0 || cap.offer_id == offer_id))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Cap> {
        self.by_code.values().chain(self.by_partner.values()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAP: Cap = Cap {
        id: 7,
        offer_id: 16,
        partner_id: 2,
        code_id: 0,
        is_group: false,
        is_soft: false,
        click_limits: [3, 0, 0, 100],
        has_conversion_limits: true,
    };

    #[test]
    fn a_cap_that_contradicts_itself_is_refused() {
        for (cap, reason) in [
            (Cap { partner_id: 0, ..CAP }, "only a partner's cap names an offer"),
            (Cap { code_id: 5, offer_id: 0, ..CAP }, "names neither a partner nor a group"),
        ] {
            let error = Cap::decode(7, &cap.encode()).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        for at in [12, 13, 15] {
            let mut bytes = CAP.encode();
            bytes[at] |= 8;
            assert!(Cap::decode(7, &bytes).is_err(), "byte {at}");
        }
        assert!(Cap::decode(7, &CAP.encode()[..47]).is_err());
    }

    #[test]
    fn a_soft_cap_and_a_cap_without_limits_refuse_nobody() {
        let click_limits = [0; 4];
        let cases = [
            (CAP, true, true),
            (Cap { is_soft: true, ..CAP }, false, false),
            (Cap { click_limits, ..CAP }, true, false),
            (Cap { click_limits, has_conversion_limits: false, ..CAP }, false, false),
        ];
        for (cap, can_refuse, refuses_clicks) in cases {
            assert_eq!((cap.can_refuse(), cap.refuses_clicks()), (can_refuse, refuses_clicks));
        }
    }

    #[test]
    fn caps_are_found_by_code_and_by_partner_and_offer() {
        let mut index = CapIndex::default();
        for (id, offer_id, partner_id, code_id) in
            [(1, 16, 2, 0), (2, 17, 2, 0), (3, 0, 2, 0), (4, 0, 0, 5), (5, 0, 3, 0)]
        {
            index.add(Cap { id, offer_id, partner_id, code_id, ..CAP });
        }
        let found = |code_id, partner_id, offer_id| {
            index.find(code_id, partner_id, offer_id).map(|cap| cap.id).collect::<Vec<_>>()
        };
        assert_eq!(found(5, 2, 16), [4, 1, 3]);
        assert_eq!(found(0, 2, 17), [2, 3]);
        assert_eq!((found(6, 3, 16), found(6, 0, 16)), (vec![5], vec![]));
        assert_eq!(index.iter().count(), 5);
        assert!(!index.is_empty() && CapIndex::default().is_empty());
    }

    proptest! {
        #[test]
        fn a_cap_reads_back_as_written(
            ids in any::<[u32; 4]>(),
            flags in any::<[bool; 3]>(),
            click_limits in any::<[u64; 4]>(),
        ) {
            let [id, offer_id, partner_id, code_id] = ids;
            let [is_group, is_soft, has_conversion_limits] = flags;
            let rest = Cap {
                id, offer_id, partner_id, code_id: 0, is_group, is_soft, click_limits,
                has_conversion_limits,
            };
            for cap in [
                Cap { partner_id: partner_id.max(1), ..rest },
                Cap { offer_id: 0, partner_id: 0, ..rest },
                Cap { offer_id: 0, partner_id: 0, code_id, is_group: code_id == 0, ..rest },
            ] {
                prop_assert_eq!(Cap::decode(id, &cap.encode()), Ok(cap));
            }
        }

        #[test]
        fn any_bytes_are_refused_or_written_the_same(bytes in any::<[[u8; 16]; 3]>()) {
            let bytes = bytes.concat();
            if let Ok(cap) = Cap::decode(1, &bytes) {
                prop_assert_eq!(cap.encode().to_vec(), bytes);
            }
        }
    }
}
