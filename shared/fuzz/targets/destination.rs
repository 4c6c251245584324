//! A destination from a user, filled with a value from a visitor: every expansion keeps the origin.
//! The text ends at the first NUL, the value follows.
#![no_main]

use coupon_shared::destination::{ArchivedDestination, Destination, Macro, MacroSink, MacroValues};
use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::catalog::{
    Catalog, CatalogFile, CatalogMeta, Offer, Visibility, WeightedDestination, ZoneOffset,
};
use libfuzzer_sys::fuzz_target;

struct Value<'a>(&'a [u8]);

impl MacroValues for Value<'_> {
    fn push_value(&self, _: Macro, sink: &mut MacroSink<'_>) {
        sink.push(self.0);
    }
}

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (url, value) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let Ok(url) = std::str::from_utf8(url) else { return };
    let Ok(parsed) = Destination::parse(url) else { return };
    let offer = Offer {
        id: 1,
        advertiser_id: 1,
        active: true,
        visibility: Visibility::Public,
        last_day: u16::MAX,
        destinations: vec![WeightedDestination { weight: 1, destination: parsed.destination }],
        fallback: None,
        rules: vec![],
    };
    let catalog = Catalog {
        click_id_key: [7; 16],
        zone: vec![ZoneOffset { from: i64::MIN, utc_offset: 0 }],
        fallback: None,
        offers: vec![offer],
        partners: vec![],
        approvals: vec![],
        domains: vec![],
        rules: vec![],
    };
    let meta = CatalogMeta { network_id: 1, lineage: Lineage([9; 16]), sequence: 1 };
    let file = catalog.to_file(&meta).expect("what is parsed can be published");
    let catalog = CatalogFile::open(&file).expect("what is published opens");
    let destination = &catalog.offer(1).expect("it is there").destinations[0].destination;
    check(destination, value);
});

fn check(destination: &ArchivedDestination, value: &[u8]) {
    let expand = |value: &[u8]| {
        let mut url = Vec::new();
        destination.expand(&Value(value), &mut url);
        assert!(url.iter().all(u8::is_ascii_graphic));
        url::Url::parse(std::str::from_utf8(&url).expect("it is ASCII")).expect("it is a URL")
    };
    let (filled, empty) = (expand(value), expand(b""));
    assert_eq!(filled.origin(), empty.origin());
    assert_eq!(filled.origin().ascii_serialization(), destination.origin());
    assert!(filled.username().is_empty() && filled.password().is_none());
}
