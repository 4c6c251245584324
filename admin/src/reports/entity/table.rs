//! The table of an entity report: groups in order, cut to a page, with names.

use std::cmp::{Ordering, Reverse};
use std::collections::{HashMap, HashSet};
use std::io;

use foldhash::fast::RandomState;

use super::breakdown::{Breakdown, GroupKey};
use super::measures::{CURRENCY, Currencies, Group, MEASURES, Sums};
use super::query::{CheckedQuery, EntityExtent, Order, SortKey};
use super::tally::Tally;
use crate::catalog::FieldWarning;
use crate::classification::visit_place::sources_have;
use crate::reports::column::Value;
use crate::reports::paging::{MAX_ROWS, PageInfo, page_range};
use crate::reports::table_export::TableExport;
use crate::reports::view::View;
use crate::store::rollups::{Dimension, ValueDimension};
use crate::store::{ReadTx, StoreError, bot_list, labels};
use crate::table_file::{TableFile, TableWriter};

type Groups = Vec<(Vec<GroupKey>, Group)>;

/// The rows of a report.
pub struct EntityTable {
    /// The currencies of all rows' money, in the order of the alphabet.
    pub currencies_with_money: Vec<String>,
    /// Rows were cut, or a day had more values of a sub than the rollups keep apart.
    pub is_incomplete: bool,
    /// Values that are not known.
    pub warnings: Vec<FieldWarning>,
    /// `None` where the query names no page.
    pub page: Option<PageInfo>,
    view: View,
    breakdowns: Vec<Breakdown>,
    rows: Groups,
    /// The names of the ids of each breakdown.
    names: Vec<HashMap<u32, String>>,
    summary: Group,
    currencies: Currencies,
}

/// One row of the table.
pub struct EntityRow<'a> {
    table: &'a EntityTable,
    key: &'a [GroupKey],
    group: &'a Group,
}

/// The value of one breakdown in one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakdownValue {
    /// The breakdown.
    pub breakdown: Breakdown,
    /// The value for programs: an id, the Unix time of a day's midnight in UTC, an hour with its
    /// offset from UTC, or a text.
    pub id: String,
    /// The value for people.
    pub label: String,
}

impl EntityTable {
    pub(super) fn build(
        connection: &ReadTx<'_>,
        query: CheckedQuery,
        tally: Tally,
        extent: EntityExtent,
    ) -> Result<EntityTable, StoreError> {
        let warnings = place_warning(connection, query.family)?.into_iter().collect();
        let CheckedQuery { view, breakdowns, order, page, .. } = query;
        let Tally { mut rows, summary, currencies, is_incomplete } = tally;
        if let Some(at) = breakdowns.iter().position(|by| *by == Breakdown::Currency) {
            rows = merge_rows_without_money(rows, at, view);
        }
        let with_money = rows.iter().flat_map(|(_, group)| group.currencies(view));
        let currencies_with_money = currencies.sorted_names(with_money);
        let total_count = rows.len();
        let shown = match page {
            Some(page) => page_range(page, total_count),
            None if extent == EntityExtent::Answer => 0..MAX_ROWS.min(total_count),
            None => 0..total_count,
        };
        let is_cut = page.is_none() && shown.len() < total_count;
        sort(&mut rows, order, &currencies, view, shown.end);
        rows.truncate(shown.end);
        rows.drain(..shown.start);
        Ok(EntityTable {
            currencies_with_money,
            is_incomplete: is_incomplete || is_cut,
            warnings,
            page: page.map(|page| PageInfo { page, total_count: total_count as u64 }),
            names: names(connection, &breakdowns, &rows)?,
            view,
            breakdowns,
            rows,
            summary,
            currencies,
        })
    }

    /// The rows in order.
    pub fn rows(&self) -> impl Iterator<Item = EntityRow<'_>> {
        self.rows.iter().map(|(key, group)| EntityRow { table: self, key, group })
    }

    /// The sums of all rows, also of rows beyond the page or the limit.
    #[must_use]
    pub fn summary(&self) -> Sums {
        self.summary.sums(self.view, &self.currencies)
    }

    /// Writes the table as a file, ids and names in columns of their own.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_file(&self, out: TableWriter) -> io::Result<TableFile> {
        let measures = MEASURES.columns(self.view);
        let mut header = Vec::new();
        for breakdown in &self.breakdowns {
            header.extend(dimension(*breakdown).map(id_column));
            header.push(breakdown.name());
        }
        header.extend(measures.iter().map(|measure| measure.name));
        header.push(CURRENCY.name);
        let mut export = TableExport::begin(out, header)?;
        for EntityRow { key, group, .. } in self.rows() {
            let mut keys = Vec::new();
            for (key, names) in key.iter().zip(&self.names) {
                if let GroupKey::Id(id) = key {
                    keys.push(Value::Unsigned(u64::from(*id)));
                }
                keys.push(Value::Text(key.file_label(names).into()));
            }
            let sums = group.sums(self.view, &self.currencies);
            let figures = measures.iter().map(|measure| measure.value(&sums));
            export.row(keys.into_iter().chain(figures).chain([CURRENCY.value(&sums)]))?;
        }
        export.finish()
    }
}

impl EntityRow<'_> {
    /// The values of the breakdowns, in their order.
    pub fn breakdown_values(&self) -> impl Iterator<Item = BreakdownValue> {
        let EntityTable { breakdowns, names, .. } = self.table;
        let values = breakdowns.iter().zip(self.key).zip(names);
        values.map(|((breakdown, key), names)| BreakdownValue {
            breakdown: *breakdown,
            id: key.id(),
            label: key.label(names),
        })
    }

    /// The counts and the money of the row.
    #[must_use]
    pub fn sums(&self) -> Sums {
        self.group.sums(self.table.view, &self.table.currencies)
    }
}

/// Why visits may lack the place by which they are counted.
fn place_warning(
    connection: &ReadTx<'_>,
    family: ValueDimension,
) -> Result<Option<FieldWarning>, StoreError> {
    let part = match family {
        ValueDimension::Country => "country",
        ValueDimension::Region => "region",
        ValueDimension::City => "city",
        _ => return Ok(None),
    };
    let has = |sources: &str| sources_have(sources, part);
    let warning = if !has(&bot_list::place_sources_in_service(connection)?) {
        format!("no database tells the {part} of an address: new visits have an empty {part}")
    } else if !has(&bot_list::place_sources(connection)?) {
        format!("earlier visits are being counted by {part}; until then their {part} is empty")
    } else {
        return Ok(None);
    };
    Ok(Some(FieldWarning::new(format!("columns.{part}"), warning)))
}

/// Gives rows without money the empty currency, and joins rows with equal keys. The rollups count a
/// group without money under the currency of its offer.
fn merge_rows_without_money(rows: Groups, at: usize, view: View) -> Groups {
    let mut merged: HashMap<Vec<GroupKey>, Group, RandomState> = HashMap::default();
    for (mut key, group) in rows {
        if group.currencies(view).next().is_none() {
            key[at] = GroupKey::Text("".into());
        }
        merged.entry(key).or_default().merge(&group);
    }
    merged.into_iter().collect()
}

/// Puts the first `wanted` rows in order. Without an `order`, and between equal rows, rows are
/// sorted by time, then the most clicks first.
fn sort(
    rows: &mut Groups,
    order: Option<Order>,
    currencies: &Currencies,
    view: View,
    wanted: usize,
) {
    let Some(Order { by, is_descending }) = order else {
        // Of a hundred thousand rows a few are shown; the others need no order.
        if wanted < rows.len() {
            rows.select_nth_unstable_by(wanted, compare_by_default);
        }
        return rows[..wanted].sort_unstable_by(compare_by_default);
    };
    rows.sort_unstable_by(compare_by_default);
    match by {
        SortKey::Breakdown(at) => rows.sort_by(|(one, _), (other, _)| {
            let order = one[at].cmp(&other[at]);
            if is_descending { order.reverse() } else { order }
        }),
        SortKey::Measure(at) => {
            let measure = MEASURES.columns(view)[at];
            let number = |group: &Group| measure.value(&group.sums(view, currencies)).number();
            if is_descending {
                rows.sort_by_cached_key(|(_, group)| Reverse(number(group)));
            } else {
                rows.sort_by_cached_key(|(_, group)| number(group));
            }
        }
    }
}

fn compare_by_default(
    (key, group): &(Vec<GroupKey>, Group),
    (other_key, other_group): &(Vec<GroupKey>, Group),
) -> Ordering {
    fn times(key: &[GroupKey]) -> impl Iterator<Item = &GroupKey> {
        key.iter().filter(|value| value.is_time())
    }
    let by_clicks = || other_group.gross().cmp(&group.gross());
    times(key).cmp(times(other_key)).then_with(by_clicks).then_with(|| key.cmp(other_key))
}

fn names(
    connection: &ReadTx<'_>,
    breakdowns: &[Breakdown],
    rows: &Groups,
) -> Result<Vec<HashMap<u32, String>>, StoreError> {
    let names = breakdowns.iter().enumerate().map(|(at, breakdown)| {
        let Some(dimension) = dimension(*breakdown) else { return Ok(HashMap::new()) };
        let ids = rows.iter().filter_map(|(key, _)| match key[at] {
            GroupKey::Id(id) => Some(id),
            _ => None,
        });
        let ids: Vec<u32> = HashSet::<u32>::from_iter(ids).into_iter().collect();
        labels::names(connection, dimension, &ids)
    });
    names.collect()
}

fn dimension(breakdown: Breakdown) -> Option<Dimension> {
    breakdown.facet()?.dimension()
}

fn id_column(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Offer => "network_offer_id",
        Dimension::Affiliate => "network_affiliate_id",
        Dimension::Advertiser => "network_advertiser_id",
        Dimension::Code => "network_coupon_code_id",
    }
}
