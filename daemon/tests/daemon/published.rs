//! Publishes small networks into a folder, as the admin does.

use std::path::{Path, PathBuf};

use coupon_shared::civil_day::Day;
use coupon_shared::code::FoldedCode;
use coupon_shared::destination::Destination;
use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::catalog::acme::AcmeDomains;
use coupon_shared::snapshot::catalog::{
    Catalog, CatalogMeta, Domain, Offer, Partner, Visibility, WeightedDestination, ZoneOffset,
};
use coupon_shared::snapshot::level::{CodeRecord, Level, LevelBuilder, LevelMeta};
use coupon_shared::snapshot::manifest::{CURRENT, Manifest, ObjectName, PREVIOUS};

pub(crate) const LINEAGE: Lineage = Lineage([9; 16]);
/// The tracking domain of the sample network.
pub(crate) const HOST: &str = "go.example.com";

/// The contents of a publication.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) generation: u64,
    pub(crate) lineage: Lineage,
    pub(crate) codes: Vec<(String, Vec<CodeRecord>)>,
    pub(crate) catalog: Catalog,
    pub(crate) acme: AcmeDomains,
}

/// The paths of a publication's files.
pub(crate) struct Files {
    pub(crate) manifest: PathBuf,
    pub(crate) level: PathBuf,
    pub(crate) catalog: PathBuf,
}

pub(crate) fn row(code_id: u32, offer_id: u32) -> CodeRecord {
    CodeRecord {
        code_id,
        offer_id,
        partner_id: 1,
        active: true,
        first_day: Day::FIRST,
        last_day: Day::LAST,
    }
}

pub(crate) fn destination(url: &str) -> Destination {
    Destination::parse(url).unwrap().destination
}

pub(crate) fn offer(id: u32, url: &str) -> Offer {
    Offer {
        id,
        advertiser_id: 5,
        active: true,
        visibility: Visibility::Public,
        last_day: u16::MAX,
        destinations: vec![WeightedDestination { weight: 1, destination: destination(url) }],
        fallback: None,
        rules: vec![],
    }
}

/// One partner, two offers, and a code for each reason not to redirect.
pub(crate) fn sample() -> Network {
    let shop = "https://shop.example/buy?c={coupon_code}&t={transaction_id}&s={sub1}&o={offer_id}";
    let ended = Offer { active: false, ..offer(18, "https://ended.example/") };
    let catalog = Catalog {
        click_id_key: [7; 16],
        zone: vec![ZoneOffset { from: i64::MIN, utc_offset: 0 }],
        fallback: None,
        offers: vec![offer(16, shop), offer(17, "https://other.example/?o={offer_id}"), ended],
        partners: vec![Partner { id: 1, active: true }, Partner { id: 2, active: false }],
        approvals: vec![],
        domains: vec![Domain { id: 1, host: HOST.into(), fallback: None }],
        rules: vec![],
    };
    let codes = [
        ("both", vec![row(8, 16), row(9, 17)]),
        ("ended", vec![row(7, 18)]),
        ("expired", vec![CodeRecord { last_day: Day(1), ..row(5, 16) }]),
        ("lapsed", vec![CodeRecord { partner_id: 2, ..row(6, 16) }]),
        ("paused", vec![CodeRecord { active: false, ..row(2, 16) }]),
        ("unassigned", vec![CodeRecord { partner_id: 0, ..row(3, 16) }]),
        ("upcoming", vec![CodeRecord { first_day: Day(65_000), ..row(4, 16) }]),
        ("winter25", vec![row(1, 16)]),
    ];
    let codes = codes.into_iter().map(|(code, rows)| (code.to_owned(), rows)).collect();
    Network { generation: 1, lineage: LINEAGE, codes, catalog, acme: AcmeDomains::default() }
}

impl Network {
    /// Sets the number of the next publication.
    pub(crate) fn generation(mut self, generation: u64) -> Network {
        self.generation = generation;
        self
    }

    /// Adds one code.
    pub(crate) fn with(mut self, code: &'static str) -> Network {
        self.codes.push((code.to_owned(), vec![row(100, 16)]));
        self.codes.sort_by(|(one, _), (other, _)| one.cmp(other));
        self
    }

    /// Adds `count` codes.
    pub(crate) fn and_many_codes(mut self, count: u64) -> Network {
        let more = (0..count).map(|n| (format!("many{n:08}"), vec![row(1000 + n as u32, 16)]));
        self.codes.extend(more);
        self.codes.sort_by(|(one, _), (other, _)| one.cmp(other));
        self
    }

    /// Writes the objects and then the manifest; the previous manifest stays as `CURRENT.prev`.
    pub(crate) fn publish(&self, folder: &Path) -> Files {
        std::fs::create_dir_all(folder).unwrap();
        let level = self.level();
        let meta = CatalogMeta { network_id: 1, lineage: self.lineage, sequence: self.generation };
        let catalog = self.catalog.encode(&meta, &self.acme, None).unwrap();
        let names = (
            ObjectName(*Level::open(level.as_slice()).unwrap().name()),
            ObjectName(*catalog.name()),
        );
        let files = Files {
            manifest: folder.join(CURRENT),
            level: folder.join(names.0.level_file()),
            catalog: folder.join(names.1.catalog_file()),
        };
        std::fs::write(&files.level, level).unwrap();
        std::fs::write(&files.catalog, catalog.parts().concat()).unwrap();
        let manifest = Manifest {
            network_id: 1,
            lineage: self.lineage,
            generation: self.generation,
            sequence: self.generation,
            catalog: names.1,
            levels: vec![names.0],
        };
        if files.manifest.exists() {
            std::fs::rename(&files.manifest, folder.join(PREVIOUS)).unwrap();
        }
        let unfinished = folder.join("unfinished");
        std::fs::write(&unfinished, manifest.to_text()).unwrap();
        std::fs::rename(unfinished, &files.manifest).unwrap();
        files
    }

    fn level(&self) -> Vec<u8> {
        let meta = LevelMeta {
            network_id: 1,
            lineage: self.lineage,
            sequence_from: 0,
            sequence_to: self.generation,
        };
        let mut builder = LevelBuilder::new(meta);
        for (code, rows) in &self.codes {
            builder.push(&FoldedCode::fold(code.as_bytes()).unwrap(), rows).unwrap();
        }
        builder.finish().unwrap()
    }
}

/// Flips a bit in the middle of a file.
pub(crate) fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
