//! A catalog's payload under valid hashes: refused, or usable as a whole.
#![no_main]

use coupon_shared::destination::{ArchivedDestination, Macro, MacroSink, MacroValues};
use coupon_shared::snapshot::catalog::CatalogFile;
use libfuzzer_sys::fuzz_target;

struct Line;

impl MacroValues for Line {
    fn push_value(&self, _: Macro, sink: &mut MacroSink<'_>) {
        sink.push(b"\r\n//evil.example");
    }
}

fuzz_target!(|payload: &[u8]| {
    let Ok(catalog) = CatalogFile::open(&sealed(payload)) else { return };
    for id in 0..32 {
        if let Some(offer) = catalog.offer(id) {
            check(&offer.destinations[0].destination);
            offer.fallback.iter().for_each(check);
            catalog.partner(id).map(|partner| catalog.can_run(partner, offer));
        }
    }
    if let Some(domain) = catalog.domain(b"go.example.com") {
        domain.fallback.iter().for_each(check);
    }
    catalog.fallback().into_iter().for_each(check);
    catalog.utc_offset_at(1_763_000_000);
});

fn check(destination: &ArchivedDestination) {
    let mut url = Vec::new();
    destination.expand(&Line, &mut url);
    assert!(url.iter().all(u8::is_ascii_graphic));
    assert!(url.starts_with(destination.origin().as_bytes()));
}

/// The file of a payload, as the format's specification says.
fn sealed(payload: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 128];
    file[..10].copy_from_slice(b"CPNCATLG\x01\0");
    file[48..56].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    file[64..96].copy_from_slice(blake3::hash(payload).as_bytes());
    let hash = blake3::hash(&file[..96]);
    file[96..].copy_from_slice(hash.as_bytes());
    file.extend_from_slice(payload);
    file
}
