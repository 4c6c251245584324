//! Writes a bulk-add CSV of distinct codes in the style of marketing codes.
//!
//! Invariant: no two codes are equal when folded, so no code has two partners. This holds by
//! construction, without a memory of written codes: the shape of a code ([`Shape`]) is recognisable
//! from the code, and within a shape each code encodes another number.
//!
//! Deliberately absent: unguessable codes. These codes are for load tests only.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::ops::RangeInclusive;
use std::path::Path;

use indicatif::ProgressBar;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};

use super::scatter::Scatter;
use crate::cli::CodesArguments;

/// Reasons why the file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{} could not be written: {source}; a file is left there that is not complete", path.display())]
pub(crate) struct BulkError {
    path: std::path::PathBuf,
    source: std::io::Error,
}

pub(crate) fn write_file(
    arguments: &CodesArguments,
    progress: &ProgressBar,
) -> Result<u64, BulkError> {
    write_rows(arguments, &arguments.out, progress)
        .map_err(|source| BulkError { path: arguments.out.clone(), source })
}

fn write_rows(
    arguments: &CodesArguments,
    path: &Path,
    progress: &ProgressBar,
) -> std::io::Result<u64> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut rows =
        BulkRows::new(arguments.seed, arguments.offer_id.clone(), arguments.affiliate_ids.clone());
    out.write_all(HEADER)?;
    for row in 0..arguments.count {
        rows.write_next(&mut out)?;
        if row % 16_384 == 0 {
            progress.set_position(row);
        }
    }
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(arguments.count)
}

/// Columns of the rows.
pub(crate) const HEADER: &[u8] = b"offer_id,affiliate_id,coupon_code,status\n";

/// Values of a row beside its code.
pub(crate) struct Row {
    pub(crate) offer: u32,
    pub(crate) affiliate: u32,
}

/// Endless rows with distinct codes.
pub(crate) struct BulkRows {
    rng: Xoshiro256PlusPlus,
    makers: CodeGenerator,
    code: Vec<u8>,
    offers: RangeInclusive<u32>,
    affiliates: RangeInclusive<u32>,
    /// Number of offers per partner; all offers if `None`.
    offers_each: Option<u32>,
}

impl BulkRows {
    pub(crate) fn new(
        seed: u64,
        offers: RangeInclusive<u32>,
        affiliates: RangeInclusive<u32>,
    ) -> BulkRows {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let makers = CodeGenerator::new(&mut rng);
        let code = Vec::with_capacity(16);
        BulkRows { rng, makers, code, offers, affiliates, offers_each: None }
    }

    /// Limits each partner to a few offers, as in a grown network.
    pub(crate) fn with_offers_each(self, offers: u32) -> BulkRows {
        BulkRows { offers_each: Some(offers), ..self }
    }

    /// Offer of a partner, chosen among the partner's few.
    fn offer_of(&self, affiliate: u32, drawn: u32) -> u32 {
        let Some(each) = self.offers_each else { return drawn };
        let offers = u64::from(self.offers.end() - self.offers.start()) + 1;
        let number = u64::from(affiliate) * u64::from(each) + u64::from(drawn % each);
        // Scattered, so neighbouring partners mostly share no offer.
        self.offers.start() + (number * 7919 % offers) as u32
    }

    /// Writes a row and returns its offer and partner.
    pub(crate) fn write_next(&mut self, out: &mut impl std::io::Write) -> std::io::Result<Row> {
        self.makers.write_next(&mut self.rng, &mut self.code);
        let drawn = pick(&self.offers, &mut self.rng);
        let affiliate = pick(&self.affiliates, &mut self.rng);
        let offer = self.offer_of(affiliate, drawn);
        write!(out, "{offer},{affiliate},")?;
        out.write_all(&self.code)?;
        out.write_all(b",active\n")?;
        Ok(Row { offer, affiliate })
    }

    /// Code of the row written last.
    pub(crate) fn last_code(&self) -> &[u8] {
        &self.code
    }
}

fn pick(ids: &RangeInclusive<u32>, rng: &mut Xoshiro256PlusPlus) -> u32 {
    rng.random_range(ids.clone())
}

/// Shape of a code; folded, no code has two shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Letters, then digits: `SUMMER25`, `Anna4821`.
    WordNumber { digits: u32 },
    /// Digits, then letters: `20OFFANNA`.
    NumberWord,
    /// A letter, a digit, then both: `K7PX2M`, as random generators make.
    Random { length: u32 },
}

/// Shapes and their percentages.
const MIX: [(Shape, u32); 8] = [
    (Shape::WordNumber { digits: 2 }, 25),
    (Shape::WordNumber { digits: 3 }, 15),
    (Shape::WordNumber { digits: 4 }, 20),
    (Shape::NumberWord, 10),
    (Shape::Random { length: 6 }, 5),
    (Shape::Random { length: 8 }, 15),
    (Shape::Random { length: 12 }, 2),
    // Last, as the fallback of the others: its codes cannot be exhausted.
    (Shape::Random { length: 10 }, 8),
];

const DIGITS: &[u8] = b"23456789";
const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";
const LETTERS_AND_DIGITS: &[u8] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

impl Shape {
    fn size(self, stems: usize) -> u64 {
        match self {
            Self::WordNumber { digits } => stems as u64 * 10u64.pow(digits),
            Self::NumberWord => stems as u64 * 100,
            Self::Random { length } => {
                let ends = (LETTERS.len() * DIGITS.len() * LETTERS.len()) as u64;
                ends * (LETTERS_AND_DIGITS.len() as u64).pow(length - 3)
            }
        }
    }

    fn write(self, stems: &[String], number: u64, code: &mut Vec<u8>) {
        let stem = |each: u64| stems[(number / each) as usize].as_bytes();
        match self {
            Self::WordNumber { digits } => {
                let each = 10u64.pow(digits);
                code.extend_from_slice(stem(each));
                push_digits(number % each, digits, code);
            }
            Self::NumberWord => {
                push_digits(number % 100, 2, code);
                code.extend_from_slice(stem(100));
            }
            Self::Random { length } => push_random(number, length, code),
        }
    }
}

fn push_digits(number: u64, digits: u32, code: &mut Vec<u8>) {
    for place in (0..digits).rev() {
        code.push(b'0' + (number / 10u64.pow(place) % 10) as u8);
    }
}

fn push_random(mut number: u64, length: u32, code: &mut Vec<u8>) {
    let mut push_of = |alphabet: &[u8]| {
        let size = alphabet.len() as u64;
        code.push(alphabet[(number % size) as usize]);
        number /= size;
    };
    push_of(LETTERS);
    push_of(DIGITS);
    (3..length).for_each(|_| push_of(LETTERS_AND_DIGITS));
    push_of(LETTERS);
}

/// A shape, the order of its codes, and the number of codes made.
struct Maker {
    shape: Shape,
    order: Scatter,
    size: u64,
    made: u64,
}

struct CodeGenerator {
    stems: Vec<String>,
    makers: Vec<Maker>,
}

impl CodeGenerator {
    fn new(rng: &mut Xoshiro256PlusPlus) -> Self {
        let stems = stems();
        let maker = |(shape, _): (Shape, u32)| {
            let size = shape.size(stems.len());
            Maker { shape, order: Scatter::new(size, rng), size, made: 0 }
        };
        let makers = MIX.into_iter().map(maker).collect();
        Self { stems, makers }
    }

    fn write_next(&mut self, rng: &mut Xoshiro256PlusPlus, code: &mut Vec<u8>) {
        let wanted = place_in_mix(rng.random_range(0..100));
        let last = self.makers.len() - 1;
        let used_up = self.makers[wanted].made == self.makers[wanted].size;
        let maker = &mut self.makers[if used_up { last } else { wanted }];
        code.clear();
        maker.shape.write(&self.stems, maker.order.at(maker.made), code);
        maker.made += 1;
        set_case(rng.random_range(0..100), code);
    }
}

fn place_in_mix(mut percent: u32) -> usize {
    for (place, (_, share)) in MIX.iter().enumerate() {
        if percent < *share {
            return place;
        }
        percent -= share;
    }
    MIX.len() - 1
}

/// Most codes are upper case, some capitalised, some lower case.
fn set_case(percent: u32, code: &mut [u8]) {
    match percent {
        0..60 => {}
        60..85 => code.iter_mut().skip(1).for_each(u8::make_ascii_lowercase),
        _ => code.make_ascii_lowercase(),
    }
}

/// Distinct words and pairs of short words, 3 to 8 letters, so letters identify one stem.
fn stems() -> Vec<String> {
    let short: Vec<&str> = WORDS.into_iter().filter(|word| word.len() <= 4).collect();
    let pair = |first| short.iter().map(move |second| format!("{first}{second}"));
    let pairs = short.iter().flat_map(pair);
    let distinct: BTreeSet<String> = WORDS.into_iter().map(str::to_owned).chain(pairs).collect();
    distinct.into_iter().collect()
}

const WORDS: [&str; 136] = [
    "WINTER", "SUMMER", "SPRING", "AUTUMN", "EASTER", "XMAS", "HALLOW", "FRIDAY", "CYBER",
    "MONDAY", "SUNNY", "HAPPY", "LUCKY", "FRESH", "WELCOME", "HELLO", "THANKS", "FRIEND", "FAMILY",
    "STUDENT", "FIRST", "BONUS", "EXTRA", "SUPER", "MEGA", "FLASH", "DAILY", "WEEKLY", "SECRET",
    "INSIDER", "LAUNCH", "COMEBACK", "LOYAL", "GOLD", "SILVER", "PLATINUM", "DIAMOND", "STYLE",
    "FASHION", "BEAUTY", "HEALTH", "TRAVEL", "GAMING", "MUSIC", "COFFEE", "SNACK", "PIZZA",
    "GREEN", "SAVE", "DEAL", "SALE", "GIFT", "FREE", "BEST", "CODE", "SHIP", "PLUS", "CLUB",
    "SHOP", "LOVE", "GLOW", "YOGA", "RUN", "FIT", "GYM", "TECH", "HOME", "KIDS", "BABY", "PETS",
    "BIKE", "BOOK", "WINE", "VIP", "NEW", "NOW", "GET", "OFF", "TOP", "WOW", "YES", "BUY", "TRY",
    "HOT", "MAX", "PRO", "ANNA", "BEN", "CARLA", "DAVID", "EMMA", "FELIX", "GRETA", "HUGO", "IDA",
    "JONAS", "KIM", "LENA", "MIA", "NOAH", "OLIVER", "PAUL", "ROSA", "SARAH", "TOM", "VERA",
    "WILL", "ZOE", "ALEX", "BELLA", "CHRIS", "DANIEL", "ELLA", "FINN", "GRACE", "HANNAH", "ISLA",
    "JACK", "KATE", "LIAM", "LUCA", "MAYA", "NINA", "OSCAR", "PIA", "QUINN", "RYAN", "SOFIA",
    "THEO", "UMA", "VICTOR", "WENDY", "YARA", "ADAM", "CLEO", "JUNE",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn rows(count: u64, seed: u64) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("codes.csv");
        let arguments =
            CodesArguments { count, out: out.clone(), offer_id: 7..=7, affiliate_ids: 1..=5, seed };
        assert_eq!(write_file(&arguments, &ProgressBar::hidden()).unwrap(), count);
        let content = std::fs::read_to_string(out).unwrap();
        let (header, rows) = content.split_once('\n').unwrap();
        assert_eq!(header, "offer_id,affiliate_id,coupon_code,status");
        rows.lines().map(str::to_owned).collect()
    }

    fn code_of(row: &str) -> &str {
        row.split(',').nth(2).unwrap()
    }

    #[test]
    fn codes_are_valid_distinct_when_folded_and_5_to_12_long() {
        let rows = rows(200_000, 1);
        let mut seen = HashSet::new();
        for row in &rows {
            let code = coupon_shared::code::CouponCode::parse(code_of(row)).unwrap();
            assert!((5..=12).contains(&code.as_str().len()), "{row}");
            assert!(seen.insert(code.folded()), "{row} twice");
        }
        assert_eq!(seen.len(), 200_000);
    }

    #[test]
    fn a_shape_that_is_used_up_falls_back_without_a_repeat() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let mut makers = CodeGenerator::new(&mut rng);
        for maker in &mut makers.makers[..7] {
            maker.size = maker.size.min(50);
        }
        let mut seen = HashSet::new();
        let mut code = Vec::new();
        for _ in 0..5_000 {
            makers.write_next(&mut rng, &mut code);
            assert!(seen.insert(code.to_ascii_lowercase()));
        }
        assert!(makers.makers[..7].iter().all(|maker| maker.made == 50));
    }

    #[test]
    fn the_seed_alone_decides_the_file() {
        assert_eq!(rows(500, 1), rows(500, 1));
        assert_ne!(rows(500, 1), rows(500, 2));
    }

    #[test]
    fn rows_name_the_offer_a_partner_in_range_and_active() {
        let mut partners = HashSet::new();
        for row in rows(500, 4) {
            let fields: Vec<&str> = row.split(',').collect();
            assert_eq!((fields.len(), fields[0], fields[3]), (4, "7", "active"));
            partners.insert(fields[1].parse::<u32>().unwrap());
        }
        assert_eq!(partners, HashSet::from([1, 2, 3, 4, 5]));
    }

    #[test]
    fn a_partners_codes_stand_on_a_few_offers_where_that_is_asked_for() {
        let mut rows = BulkRows::new(1, 1..=1000, 1..=5).with_offers_each(3);
        let mut offers = HashSet::new();
        for _ in 0..2000 {
            let Row { offer, affiliate } = rows.write_next(&mut std::io::sink()).unwrap();
            assert!((1..=1000).contains(&offer));
            offers.insert((affiliate, offer));
        }
        assert_eq!(offers.len(), 15);
    }

    #[test]
    fn codes_come_in_several_cases() {
        let rows = rows(200, 5);
        let upper = |row: &String| !code_of(row).bytes().any(|byte| byte.is_ascii_lowercase());
        let uppers = rows.iter().filter(|row| upper(row)).count();
        assert!((60..180).contains(&uppers), "{uppers}");
    }

    #[test]
    fn stems_are_3_to_8_letters() {
        let stems = stems();
        assert!(stems.iter().all(|stem| (3..=8).contains(&stem.len())));
        assert!(stems.iter().all(|stem| stem.bytes().all(|byte| byte.is_ascii_uppercase())));
    }
}
