//! A manifest's fields under a valid checksum: refused, or written again in the same way.
#![no_main]

use coupon_shared::snapshot::manifest::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Manifest::parse(data);
    let mut text = b"coupond-manifest 1\n".to_vec();
    text.extend_from_slice(data);
    let checksum = blake3::hash(&text).to_hex();
    text.extend_from_slice(format!("checksum {checksum}\n").as_bytes());
    if let Ok(manifest) = Manifest::parse(&text) {
        assert_eq!(manifest.to_text().as_bytes(), text);
    }
});
