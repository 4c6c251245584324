//! A click record, and a block under valid checksums: refused, or decoded as written.
#![no_main]

use coupon_shared::click::block::{BLOCK_HEADER_LEN, Block, PersonalAction};
use coupon_shared::click::{Click, MAX_RECORD_LEN, Tag, encode_click};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok((click, len)) = Click::decode(data) {
        assert!(len <= data.len());
        let tags: Vec<_> =
            Tag::all().filter_map(|tag| Some((tag, click.tag(tag)?))).collect();
        let mut out = [0; MAX_RECORD_LEN];
        let written = encode_click(&click.head, click.code, &tags, &mut out);
        let (again, _) = Click::decode(&out[..written]).expect("what is written reads back");
        assert_eq!(again.head, click.head);
    }
    if data.len() < BLOCK_HEADER_LEN {
        return;
    }
    let mut bytes = data.to_vec();
    let version = 1 + data[4] % 2;
    bytes[..4].copy_from_slice(b"CLKB");
    bytes[4..6].fill(version);
    let length = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes"));
    let main_to = (BLOCK_HEADER_LEN + length(32) as usize).min(bytes.len());
    let personal_to = (main_to + length(40) as usize).min(bytes.len());
    for (at, part) in [(44, BLOCK_HEADER_LEN..main_to), (48, main_to..personal_to)] {
        let checksum = crc32c::crc32c(&bytes[part]);
        bytes[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
    }
    let checksum = crc32c::crc32c(&bytes[..88]);
    bytes[88..92].copy_from_slice(&checksum.to_le_bytes());
    let Ok(block) = Block::parse(&bytes) else { return };
    assert!(block.last_sequence() >= block.first_sequence());
    let Ok(decoded) = block.decode() else { return };
    assert_eq!(decoded.clicks().count(), block.count() as usize);
    for personal in [PersonalAction::Keep, PersonalAction::Erase, PersonalAction::TruncateAddress] {
        if let Some(other) = block.with_personal_fields(|_| personal).expect("it was decoded") {
            Block::parse(&other).and_then(|block| block.decode()).expect("it reads back");
        }
    }
});
