//! A click as a row of a report.
//!
//! Uniqueness is no column: counts decide about uniqueness, and no click stores the decision.

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;

use coupon_geo::Databases;
use coupon_rules::agent::{Agent, Brand};
use coupon_shared::click::{Click, ClickHead, Tag, VisitKind};
use coupon_shared::decision::{Detour, DetourKind, Reason};
use coupon_shared::further_values::FURTHER_VALUES;
use coupon_shared::transaction_id::TransactionId;

use crate::attribution::postback_fields::url_without_secrets;
use crate::catalog::click_error_code;
use crate::classification::bot_list::BotList;
use crate::classification::click_pay::ClickPay;
use crate::classification::click_terms::ClickTerms;
use crate::classification::{self, IdentifiedAgent, VisitClass, VisitPlace};
use crate::reports::amount::Amount;
use crate::reports::column::Column;
use crate::reports::facet::Facet;
use crate::reports::filters::{Conditions, FacetValue};
use crate::reports::related::{self, HasRelated, Related, RelatedIds, RelatedNames};
use crate::reports::table_export::ColumnExport;
use crate::reports::view::{
    ADVERTISER_CLICK, ADVERTISER_RELATED, ColumnMask, PARTNER_CLICK, PARTNER_RELATED, View, Viewer,
};
use crate::store::rollups::Dimension;
use crate::store::{ReadTx, StoreError, conversions, offer_urls, traffic_controls};
use crate::table_file::{TableFile, TableWriter};

/// A click read from its archived block.
#[derive(Debug, Clone)]
pub(super) struct ArchivedClick {
    pub(super) head: ClickHead,
    pub(super) identified: IdentifiedAgent,
    /// Provisional until [`super::classify`] has compared the click with earlier visits.
    pub(super) class: VisitClass,
    /// The offer's terms at the time of the click; `None` before [`super::classify`] reads them.
    pub(super) terms: Option<ClickTerms>,
    code: String,
    address: Option<IpAddr>,
    place: VisitPlace,
    subs: [String; 5],
    source_id: String,
    uid: String,
    offer_url_id: u32,
    /// The further values that the click has.
    further: Vec<(Tag, String)>,
    referer: String,
    user_agent: String,
    language: String,
    detour: Option<Detour>,
}

impl ArchivedClick {
    pub(super) fn read(click: &Click<'_>, bots: &BotList) -> ArchivedClick {
        let text = |tag| click.text(tag).into_owned();
        let identified = classification::identify_agent(click, bots);
        ArchivedClick {
            head: click.head,
            identified,
            class: classification::class_without_history(&click.head, identified.is_bot, false),
            terms: None,
            code: String::from_utf8_lossy(click.code).into_owned(),
            address: click.address(),
            place: VisitPlace::default(),
            subs: [Tag::Sub1, Tag::Sub2, Tag::Sub3, Tag::Sub4, Tag::Sub5].map(text),
            source_id: text(Tag::SourceId),
            uid: text(Tag::Uid),
            offer_url_id: click.offer_url_id(),
            further: FURTHER_VALUES
                .iter()
                .filter_map(|value| click.tag(value.tag).map(|_| (value.tag, text(value.tag))))
                .collect(),
            referer: url_without_secrets(click.text(Tag::Referer).as_bytes()),
            user_agent: text(Tag::UserAgent),
            language: text(Tag::Language),
            detour: click.detour(),
        }
    }

    /// Looks the address up. An address that was recorded in part, or erased, has no exact place.
    pub(super) fn find_place(&mut self, databases: &Databases) {
        self.place = VisitPlace::find(self.head.kind, self.address, databases);
    }

    fn further(&self, wanted: Tag) -> &str {
        let found = self.further.iter().find(|(tag, _)| *tag == wanted);
        found.map_or("", |(_, text)| text)
    }

    fn agent(&self) -> Agent {
        self.identified.agent
    }

    /// The payout or revenue of the click itself; 0 where clicks are not paid or the click is
    /// invalid.
    fn amount(&self, of: fn(&ClickPay) -> i64) -> Amount {
        let terms = self.terms.as_ref().filter(|_| self.class.is_valid_click());
        let pay = terms.and_then(|terms| terms.pay.as_ref());
        Amount::from_billionths(Some(pay.map_or(0, |pay| of(pay).into())))
    }

    fn terms_text(&self, of: fn(&ClickTerms) -> &str) -> Cow<'_, str> {
        self.terms.as_ref().map_or("", of).into()
    }
}

/// Whether a click matches the conditions. Runs before the click is copied out of its block.
pub(super) fn matches(click: &Click<'_>, conditions: &Conditions, databases: &Databases) -> bool {
    conditions.match_row(|facet| facet_value(click, &click.head, databases, facet))
}

/// Whether a click is among the viewer's rows.
pub(super) fn belongs_to(head: &ClickHead, viewer: Viewer) -> bool {
    let own_rows = viewer.own_rows();
    own_rows.is_none_or(|(facet, id)| {
        facet.dimension().is_some_and(|dimension| dimension_id(head, dimension) == id)
    })
}

/// The detour of a click that fail traffic sent to another offer.
pub(super) fn failed_over(click: &Click<'_>) -> Option<Detour> {
    click.detour().filter(|detour| detour.kind == DetourKind::FailTraffic)
}

/// Whether a click matches the conditions as a click of the offer that refused it.
pub(super) fn matches_before(
    click: &Click<'_>,
    conditions: &Conditions,
    databases: &Databases,
) -> bool {
    failed_over(click).is_some_and(|detour| {
        let head = ClickHead {
            offer_id: detour.previous_offer_id,
            advertiser_id: detour.previous_advertiser_id,
            ..click.head
        };
        conditions.match_row(|facet| facet_value(click, &head, databases, facet))
    })
}

fn facet_value<'a>(
    click: &Click<'a>,
    head: &ClickHead,
    databases: &Databases,
    facet: Facet,
) -> FacetValue<'a> {
    match (facet.dimension(), facet.tag()) {
        (Some(dimension), _) => FacetValue::Id(dimension_id(head, dimension)),
        (None, Some(tag)) => FacetValue::Text(click.text(tag)),
        (None, None) if facet.is_place() => {
            let place = VisitPlace::find(head.kind, click.address(), databases);
            FacetValue::Text(Cow::Owned(place_text(place, facet)))
        }
        (None, None) => FacetValue::Text(Cow::Borrowed(agent_name(click, facet))),
    }
}

fn place_text(place: VisitPlace, facet: Facet) -> String {
    match facet {
        Facet::Region => place.region_value(),
        Facet::City => place.city_value(),
        _ => place.country,
    }
}

/// The name of a facet of the user agent; empty for other facets.
fn agent_name(click: &Click<'_>, facet: Facet) -> &'static str {
    match facet {
        Facet::DeviceType => classification::agent(click).device.as_str(),
        Facet::Platform => classification::agent(click).platform.as_str(),
        Facet::Browser => classification::agent(click).browser.as_str(),
        _ => "",
    }
}

fn dimension_id(head: &ClickHead, dimension: Dimension) -> u32 {
    match dimension {
        Dimension::Code => head.code_id,
        Dimension::Offer => head.offer_id,
        Dimension::Affiliate => head.partner_id,
        Dimension::Advertiser => head.advertiser_id,
    }
}

/// A click with all values of the report's columns.
#[derive(Debug, Clone)]
pub struct ReportedClick {
    click: ArchivedClick,
    has_conversion: bool,
    rule_name: String,
    /// Name of the offer's URL that the visit was sent to; empty for the offer's destination.
    offer_url: String,
    /// Offer, partner and advertiser, as far as the view shows them.
    pub related: Related,
}

impl ReportedClick {
    /// The click's id.
    #[must_use]
    pub fn transaction_id(&self) -> TransactionId {
        self.click.head.transaction_id
    }
}

impl HasRelated for ReportedClick {
    fn related(&self) -> &Related {
        &self.related
    }
}

/// Adds names and conversions to clicks.
pub(super) fn complete(
    connection: &ReadTx<'_>,
    view: View,
    clicks: Vec<ArchivedClick>,
) -> Result<Vec<ReportedClick>, StoreError> {
    let ids = |click: &ArchivedClick| RelatedIds {
        offer: click.head.offer_id,
        affiliate: click.head.partner_id,
        advertiser: click.head.advertiser_id,
    };
    let all_ids: Vec<RelatedIds> = clicks.iter().map(ids).collect();
    let names = RelatedNames::load(connection, view, &all_ids)?;
    let controls: Vec<u32> = clicks.iter().filter_map(control_of).collect();
    let controls = traffic_controls::names(connection, &controls)?;
    let urls = offer_urls::names(connection, clicks.iter().map(|click| click.offer_url_id))?;
    let complete = |(click, ids): (ArchivedClick, RelatedIds)| {
        let transaction_id = click.head.transaction_id.to_string();
        let has_conversion = conversions::is_converted(connection, &transaction_id)?;
        let rule_name = control_of(&click).and_then(|id| controls.get(&id).cloned());
        let rule_name = rule_name.unwrap_or_default();
        let offer_url = urls.get(&click.offer_url_id).cloned().unwrap_or_default();
        let related = names.related(ids);
        Ok(ReportedClick { click, has_conversion, rule_name, offer_url, related })
    };
    clicks.into_iter().zip(all_ids).map(complete).collect()
}

/// The traffic control that refused the visit. Rules of other kinds have ids of their own.
fn control_of(click: &ArchivedClick) -> Option<u32> {
    let is_control = matches!(click.head.reason, Reason::TrafficControl | Reason::TrackingDomain);
    is_control.then_some(click.head.rule)
}

/// The columns of a click.
pub static COLUMNS: ColumnMask<ReportedClick> =
    ColumnMask::new(&ALL, PARTNER_CLICK, ADVERTISER_CLICK);

/// Further columns of files.
pub static RELATED_COLUMNS: ColumnMask<ReportedClick> =
    ColumnMask::new(&FILE_COLUMNS, PARTNER_RELATED, ADVERTISER_RELATED);

static FILE_COLUMNS: [Column<ReportedClick>; 6] = related::columns();

static ALL: [Column<ReportedClick>; 62] = [
    Column::text("transaction_id", "", |row| row.click.head.transaction_id.to_string().into()),
    Column::unsigned("unix_timestamp", "", |row| row.click.head.unix_ms / 1000),
    Column::text(
        "coupon_code",
        "As the visitor typed it; empty where the click names offer and partner instead.",
        |row: &ReportedClick| row.click.code.as_str().into(),
    )
    .for_partners("As the visitor typed it; empty where the click names the offer instead."),
    Column::id("network_coupon_code_id", "", |row| row.click.head.code_id),
    Column::text("source_id", "", |row| row.click.source_id.as_str().into()),
    Column::text("sub1", "", |row| row.click.subs[0].as_str().into()),
    Column::text("sub2", "", |row| row.click.subs[1].as_str().into()),
    Column::text("sub3", "", |row| row.click.subs[2].as_str().into()),
    Column::text("sub4", "", |row| row.click.subs[3].as_str().into()),
    Column::text("sub5", "", |row| row.click.subs[4].as_str().into()),
    Column::text("uid", "", |row| row.click.uid.as_str().into()),
    Column::text("referer", "", |row| row.click.referer.as_str().into()),
    Column::text("user_agent", "", |row| row.click.user_agent.as_str().into()),
    Column::text("language", "", |row| row.click.language.as_str().into()),
    Column::text("user_ip", "", |row| {
        row.click.address.map_or_else(String::new, |address| address.to_string()).into()
    }),
    Column::text(
        "country",
        "Two letters, by the address and the present database; empty where it is unknown.",
        |row| row.click.place.country.as_str().into(),
    ),
    Column::text(
        "region",
        "As `country`: the code of ISO 3166-2 without the country, or the name.",
        |row| row.click.place.region.as_str().into(),
    ),
    Column::text("city", "As `country`: in English.", |row| row.click.place.city.as_str().into()),
    Column::text(
        "device_type",
        "`desktop`, `mobile`, `tablet`, `console`, `tv` or `other`.",
        |row| row.click.agent().device.as_str().into(),
    ),
    Column::text(
        "platform",
        "The operating system. An iPad that asks for desktop pages in Safari says macOS.",
        |row| row.click.agent().platform.as_str().into(),
    ),
    Column::text(
        "os_version",
        "Of the operating system; empty where the browser hides it, as Chrome on Android does.",
        |row| {
            let version = row.click.agent().os_version;
            version.map_or_else(String::new, |version| version.to_string()).into()
        },
    ),
    Column::text("browser", "The browser, or the app that showed the page.", |row| {
        row.click.agent().browser.as_str().into()
    }),
    Column::text("brand", "The maker of the device; empty where the browser hides it.", |row| {
        row.click.agent().brand.map_or("", Brand::as_str).into()
    }),
    Column::id("error_code", "0 where the visit was sent on to the offer.", |row| {
        click_error_code(row.click.head.reason)
    }),
    Column::text("error_message", "Why it was not.", |row| match row.click.head.reason {
        Reason::Redirected => "".into(),
        reason => reason.as_str().into(),
    }),
    Column::id(
        "rule_id",
        "The ruleset, traffic control, cap or other rule that refused the visit, or led it to another\n\
         offer; 0 for none.",
        |row| row.click.head.rule,
    ),
    Column::text(
        "rule_name",
        "The name of the traffic control that refused the visit; empty for other rules.",
        |row| row.rule_name.as_str().into(),
    ),
    Column::text(
        "redirect_method",
        "How the visit came to another offer than the code's: `forwarding_rule` or `fail_traffic`;\n\
         `global_fail_traffic` where it went to the network's URL for failed visits.",
        |row| row.click.detour.map_or("", |detour| detour.kind.as_str()).into(),
    ),
    Column::id("previous_network_offer_id", "The code's offer in that case, else 0.", |row| {
        row.click.detour.map_or(0, |detour| detour.previous_offer_id)
    }),
    Column::id(
        "previous_error_code",
        "Why an offer before refused the visit, as `error_code`; 0 without a refusal.",
        |row| {
            let reason = row.click.detour.and_then(|detour| detour.failed_reason);
            reason.map_or(0, click_error_code)
        },
    ),
    Column::flag("is_prefetch", "The browser said that it only fetches ahead.", |row| {
        row.click.head.kind == VisitKind::Prefetch
    }),
    Column::flag(
        "is_bot",
        "A program's, by its user agent, or one that only fetches ahead; unless a conversion that was\n\
         approved came from it.",
        |row| row.click.class == VisitClass::Bot,
    ),
    Column::flag(
        "is_duplicate",
        "The same visitor on the same offer, by the same partner, code and subs, again within seconds.",
        |row| row.click.class == VisitClass::Duplicate,
    ),
    Column::flag(
        "is_sdk_click",
        "Reported by a page or a server, which was answered an id instead of a redirect.",
        |row| matches!(row.click.head.kind, VisitKind::Sdk | VisitKind::Server),
    ),
    Column::flag("is_impression", "Only shown: in no stream, and found by its id.", |row| {
        row.click.head.kind == VisitKind::Impression
    }),
    Column::flag("has_conversion", "One that counts, or waits for approval.", |row| {
        row.has_conversion
    }),
    Column::text(
        "payout_type",
        "What the partner is paid for, by the offer's default entry when the click was made.",
        |row: &ReportedClick| row.click.terms_text(|terms| &terms.payout_type),
    )
    .for_partners("What you are paid for, by the offer's terms when the click was made."),
    Column::amount(
        "payout",
        "For the click itself, where clicks are paid and it is a valid one; else 0.",
        |row: &ReportedClick| row.click.amount(|pay| pay.payout),
    )
    .for_partners(
        "What you get for the click itself, where clicks are paid and it is a valid one; else 0.",
    ),
    Column::text("revenue_type", "What the advertiser pays for.", |row: &ReportedClick| {
        row.click.terms_text(|terms| &terms.revenue_type)
    })
    .for_advertisers("What you pay for."),
    Column::amount("revenue", "As `payout`.", |row: &ReportedClick| {
        row.click.amount(|pay| pay.revenue)
    })
    .for_advertisers(
        "What you pay for the click itself, where clicks are paid and it is a valid one; else 0.",
    ),
    Column::text("currency_id", "", |row| row.click.terms_text(|terms| &terms.currency)),
    Column::text("sub6", "Empty where the click gave none, as all columns after it.", |row| {
        row.click.further(Tag::Sub6).into()
    }),
    Column::text("sub7", "", |row| row.click.further(Tag::Sub7).into()),
    Column::text("sub8", "", |row| row.click.further(Tag::Sub8).into()),
    Column::text("sub9", "", |row| row.click.further(Tag::Sub9).into()),
    Column::text("sub10", "", |row| row.click.further(Tag::Sub10).into()),
    Column::text("adv1", "", |row| row.click.further(Tag::Adv1).into()),
    Column::text("adv2", "", |row| row.click.further(Tag::Adv2).into()),
    Column::text("adv3", "", |row| row.click.further(Tag::Adv3).into()),
    Column::text("adv4", "", |row| row.click.further(Tag::Adv4).into()),
    Column::text("adv5", "", |row| row.click.further(Tag::Adv5).into()),
    Column::text("adv6", "", |row| row.click.further(Tag::Adv6).into()),
    Column::text("adv7", "", |row| row.click.further(Tag::Adv7).into()),
    Column::text("adv8", "", |row| row.click.further(Tag::Adv8).into()),
    Column::text("adv9", "", |row| row.click.further(Tag::Adv9).into()),
    Column::text("adv10", "", |row| row.click.further(Tag::Adv10).into()),
    Column::text("fbclid", "", |row| row.click.further(Tag::Fbclid).into()),
    Column::text("gclid", "", |row| row.click.further(Tag::Gclid).into()),
    Column::text("ttclid", "", |row| row.click.further(Tag::Ttclid).into()),
    Column::text(
        "page_referer",
        "The page that led to the page with the script, as the script reported it.",
        |row| url_without_secrets(row.click.further(Tag::PageReferer).as_bytes()).into(),
    ),
    Column::id(
        "network_offer_url_id",
        "The offer's URL that the visit was sent to; 0 for the offer's destination.",
        |row| row.click.offer_url_id,
    ),
    Column::text("offer_url", "The name of that URL.", |row| row.offer_url.as_str().into()),
];

/// 0 and an empty text for a click that was redirected.
/// Writes clicks as a file.
///
/// # Errors
/// When the file cannot be written.
pub fn write_file(view: View, clicks: &[ReportedClick], out: TableWriter) -> io::Result<TableFile> {
    let columns = [COLUMNS.columns(view), RELATED_COLUMNS.columns(view)].concat();
    let mut export = ColumnExport::begin(out, columns)?;
    export.rows(clicks)?;
    export.finish()
}
