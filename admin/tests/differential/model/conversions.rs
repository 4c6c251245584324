//! Postbacks and conversions in the model.

use super::attribution::{Found, Owner};
use super::{Conversion, Key, Model, Rank, Refund, Status, Verdict};
use crate::money::{self, Micros, ONE, Terms};
use crate::steps::{EventNamed, Id, Number, Postback, Token};

/// Amounts above this, in the main unit, wait for approval.
const LARGEST: Micros = 10_000_000 * ONE;
const DUPLICATE: u32 = 8;
const REJECTED_BY_HAND: u32 = 9;
const NOT_BELIEVED: u32 = 21;
const UNKNOWN_EVENT: u32 = 25;
const SEVERAL: u32 = 1006;
const UNREADABLE_AMOUNT: u32 = 1011;
const OTHER_CURRENCY: u32 = 1012;
const POSSIBLE_DUPLICATE: u32 = 1015;
const CONFLICT: u32 = 1016;
const UNKNOWN_ORDER: u32 = 1018;
const DISPUTED: u32 = 1021;
const LARGE: u32 = 1022;
const UNPROVED_REFUND: u32 = 1023;
const REFUND_WAITS: u32 = 1024;
const REPEATED_REFUND: u32 = 1025;

/// Relation of a claim to earlier conversions.
enum Relation {
    New,
    Again(usize),
    Disputes(Vec<usize>),
}

impl Model {
    /// Processes the next postback, in order of reception.
    pub(crate) fn report(&mut self, number: Number, said: &Postback) {
        let told = self.stranger_verdict(said);
        let verdict = self.judge(number, said);
        self.verdicts.insert(number, verdict);
        self.told.insert(number, told.unwrap_or(verdict));
    }

    /// Verdict for a sender who fails the rules of the advertiser, or of any advertiser whose code
    /// the unknown code could be; `None` if the sender sees the stored verdict.
    fn stranger_verdict(&self, said: &Postback) -> Option<Verdict> {
        let found = self.find(said);
        let may_be_careful = found.advertiser.is_none() && said.code.is_some();
        let fails = !found.is_believed || (may_be_careful && said.token != Token::Good);
        let verdict = Verdict { status: Status::Rejected, error: NOT_BELIEVED, conversion: None };
        fails.then_some(verdict)
    }

    fn judge(&mut self, number: Number, said: &Postback) -> Verdict {
        let found = self.find(said);
        let mut made = self.build_conversion(number, said, &found);
        self.see_sale(&made, said);
        (made.status, made.error) = self.status_of(said, &found, &made);
        let is_refund = made.amount.is_some_and(|amount| amount < 0);
        if found.is_believed && made.error != UNREADABLE_AMOUNT {
            match self.relate(said, &found, &made, is_refund) {
                Ok(Relation::Again(at)) if is_refund => {
                    return self.take_back(made, found.rank, at);
                }
                Ok(Relation::Again(at)) => return self.handle_repeat(said, found.rank, at),
                Ok(Relation::Disputes(weaker)) => {
                    self.kinds.saw("a stronger claim on a weaker one's order");
                    for at in weaker {
                        self.conversions[at].status = Status::Pending;
                        self.conversions[at].error = DISPUTED;
                    }
                    (made.status, made.error) = (Status::Pending, DISPUTED);
                    return self.keep(made);
                }
                Ok(Relation::New) => {}
                Err(error) => (made.status, made.error) = (Status::Invalid, error),
            }
            if is_refund && made.error == UNKNOWN_ORDER && made.key.is_some() {
                return self.wait_for_sale(made);
            }
            let counts = matches!(made.status, Status::Approved | Status::Pending);
            if made.key.is_none()
                && counts
                && self.has_twin(said)
                && made.status == Status::Approved
            {
                (made.status, made.error) = (Status::Pending, POSSIBLE_DUPLICATE);
            }
        }
        if is_refund {
            made.key = None;
        }
        let knows_code = said.code.is_some_and(|code| !self.live_rows(code).is_empty());
        if found.nearest.is_none() && !knows_code {
            // It could never be paid to a partner.
            return Verdict { status: made.status, error: made.error, conversion: None };
        }
        self.keep(made)
    }

    /// The conversion without its status.
    fn build_conversion(&self, number: Number, said: &Postback, found: &Found) -> Conversion {
        let nowhere = || Owner {
            offer: said.offer.unwrap_or(usize::MAX),
            partner: usize::MAX,
            row: None,
            click: None,
        };
        let whose = found.nearest.clone().unwrap_or_else(nowhere);
        let offer = self.offers.get(whose.offer);
        let event = offer.and_then(|_| self.event_of(said.event, whose.offer));
        let key = match (said.order, whose.click) {
            (Some(order), _) => Some(Key::Order(order)),
            (None, Some(click)) => Some(Key::Click(click)),
            // A named click distinguishes reports even if it does not count here.
            (None, None) => {
                let named = self.touched(said, found.advertiser);
                named.first().map(|click| Key::Click(click.number))
            }
        };
        let of_offer = offer.map_or("USD", |offer| offer.currency);
        let amount = said.amount.and_then(money::parse);
        let currency = said.currency.filter(|_| amount.is_some()).unwrap_or(of_offer);
        let terms = event.map_or(Terms::NONE, |(_, terms)| terms);
        // Fixed amounts are paid in the offer's currency; pure percentages in the sale's.
        let worth_currency =
            if event.is_some() && terms.has_no_fixed_part(of_offer) { currency } else { of_offer };
        let mut made = Conversion {
            number,
            status: Status::Invalid,
            error: 0,
            advertiser: offer.map(|offer| offer.advertiser).or(found.advertiser),
            offer: offer.map(|_| whose.offer),
            partner: Some(whose.partner).filter(|partner| *partner != usize::MAX),
            row: whose.row,
            code: whose.row.map(|row| self.rows[row].code).or(said.code),
            click: whose.click,
            event: event.map_or(0, |(id, _)| id),
            key: key.filter(|_| event.is_some()),
            rank: found.rank,
            amount,
            sale: amount.unwrap_or(0).max(0),
            currency,
            payout: 0,
            revenue: 0,
            worth_currency,
            terms,
            has_conflict: false,
            is_refund: false,
            said: said.clone(),
            sub1: whose.click.and_then(|click| self.click(click)).map_or(0, |click| click.sub1),
        };
        if amount.is_none_or(|amount| amount >= 0) {
            (made.payout, made.revenue) = worth(&made, made.sale);
        }
        made
    }

    /// Status if the conversion were the first of its sale.
    fn status_of(&self, said: &Postback, found: &Found, made: &Conversion) -> (Status, u32) {
        if said.amount.is_some() && made.amount.is_none() {
            return (Status::Invalid, UNREADABLE_AMOUNT);
        }
        match &found.whose {
            Err(18) => return (Status::Rejected, 18),
            Err(error) => return (Status::Invalid, *error),
            Ok(_) if !found.is_believed => return (Status::Rejected, NOT_BELIEVED),
            Ok(_) => {}
        }
        let offer = &self.offers[made.offer.unwrap_or_default()];
        let is_another_of_its_click = |other: &Conversion| {
            stands(other)
                && other.click == made.click
                && other.offer == made.offer
                && other.event == 0
                && other.key.is_some()
                && other.key != made.key
        };
        let has_converted =
            made.click.is_some() && self.conversions.iter().any(is_another_of_its_click);
        let is_large = made.amount.is_some_and(|amount| amount > LARGEST);
        match () {
            () if self.event_of(said.event, made.offer.unwrap_or_default()).is_none() => {
                (Status::Invalid, UNKNOWN_EVENT)
            }
            () if made.amount.is_some_and(|amount| amount < 0) => (Status::Invalid, UNKNOWN_ORDER),
            () if made.event == 0 && has_converted && !offer.allows_duplicates => {
                (Status::Rejected, DUPLICATE)
            }
            () if made.currency != offer.currency => (Status::Pending, OTHER_CURRENCY),
            () if is_large => (Status::Pending, LARGE),
            () if offer.must_approve => (Status::Pending, 0),
            () => (Status::Approved, 0),
        }
    }

    // --- what came before

    /// Relation to conversions with the same key, otherwise to others that may be the same sale; an
    /// error code if several may be.
    fn relate(
        &self,
        said: &Postback,
        found: &Found,
        made: &Conversion,
        is_refund: bool,
    ) -> Result<Relation, u32> {
        let same_key = self.same_key(made);
        if is_refund {
            if let Some(at) = self.preferred(&same_key) {
                return Ok(Relation::Again(at));
            }
        } else {
            match self.place_of_sale(made, &same_key) {
                Relation::New => {}
                place => return Ok(place),
            }
        }
        let others = self.others(said, found, made, is_refund);
        match others.as_slice() {
            [] => Ok(Relation::New),
            [one] => {
                let all = self.same_key(&self.conversions[*one]);
                Ok(self.preferred(&all).map_or(Relation::New, Relation::Again))
            }
            _ => Err(SEVERAL),
        }
    }

    /// Conversions of the same offer, event, and order or click.
    fn same_key(&self, made: &Conversion) -> Vec<usize> {
        let is_same = |other: &Conversion| {
            made.key.is_some()
                && (other.offer, other.event, other.key) == (made.offer, made.event, made.key)
                && !matches!(other.error, NOT_BELIEVED | UNREADABLE_AMOUNT)
        };
        (0..self.conversions.len()).filter(|at| is_same(&self.conversions[*at])).collect()
    }

    fn place_of_sale(&self, made: &Conversion, same_key: &[usize]) -> Relation {
        let all = |rank: fn(Rank, Rank) -> bool| -> Vec<usize> {
            let is_it = |at: &&usize| {
                let other = &self.conversions[**at];
                stands(other) && rank(other.rank, made.rank)
            };
            same_key.iter().filter(is_it).copied().collect()
        };
        let as_well = self.preferred(&all(|other, own| other == own));
        if let Some(at) = as_well.or_else(|| self.preferred(&all(|other, own| other > own))) {
            return Relation::Again(at);
        }
        let weaker = all(|other, own| other < own);
        if matches!(made.status, Status::Approved | Status::Pending) {
            if weaker.is_empty() {
                return Relation::New;
            }
            let counts = |at: &usize| {
                matches!(self.conversions[*at].status, Status::Approved | Status::Pending)
            };
            return Relation::Disputes(weaker.into_iter().filter(counts).collect());
        }
        // A repeat of a refused report has the same sender.
        let refused_so = |at: &&usize| {
            let other = &self.conversions[**at];
            other.error == made.error && other.rank >= made.rank
        };
        same_key.iter().find(refused_so).map_or(Relation::New, |at| Relation::Again(*at))
    }

    /// Counting conversions first, then pending, then refused; then by evidence, then by age.
    fn preferred(&self, among: &[usize]) -> Option<usize> {
        let order = |at: &&usize| {
            let it = &self.conversions[**at];
            (it.status, std::cmp::Reverse(it.rank), **at)
        };
        among.iter().min_by_key(order).copied()
    }

    /// Standing conversions that may be the same sale under another key.
    fn others(
        &self,
        said: &Postback,
        found: &Found,
        made: &Conversion,
        is_refund: bool,
    ) -> Vec<usize> {
        let is_new = found.whose.is_ok() && made.key.is_some() && !is_refund;
        let clicked: Vec<usize> =
            self.clicks_of(said).into_iter().filter_map(|click| click.offer).collect();
        let rows = said.code.map(|code| self.live_rows(code)).unwrap_or_default();
        let coded: Vec<usize> = rows.into_iter().map(|row| self.rows[row].offer).collect();
        let is_possible = |other: &Conversion| {
            let Some(offer) = other.offer else { return false };
            let is_theirs = found.advertiser == other.advertiser;
            let under_its_code = said.code.is_some() && other.code == said.code;
            let is_led_to = is_theirs
                && (said.offer == Some(offer)
                    || clicked.contains(&offer)
                    || coded.contains(&offer));
            let has_moved = under_its_code && !coded.contains(&offer) && said.order.is_some();
            stands(other)
                && other.key.is_some()
                && is_of_the_same(said, made, other, is_refund)
                && self.is_of_event(other, said.event)
                && said.offer.is_none_or(|asked_for| asked_for == offer)
                && (is_led_to || under_its_code)
                && (!is_new || (has_moved && found.is_by_code))
        };
        let mut known: Vec<(Option<usize>, u64, Option<Key>)> = Vec::new();
        let mut others = Vec::new();
        for at in 0..self.conversions.len() {
            let it = &self.conversions[at];
            let key = (it.offer, it.event, it.key);
            if is_possible(it) && !known.contains(&key) {
                known.push(key);
                others.push(at);
            }
        }
        others
    }

    fn has_twin(&self, said: &Postback) -> bool {
        let is_like = |other: &Conversion| {
            matches!(other.status, Status::Approved | Status::Pending) && other.said == *said
        };
        self.conversions.iter().any(is_like)
    }

    // --- what becomes of it

    fn keep(&mut self, made: Conversion) -> Verdict {
        let (number, key) = (made.number, made.key);
        let verdict = Verdict { status: made.status, error: made.error, conversion: Some(number) };
        if made.status == Status::Approved {
            self.clear_bot_flag(made.click);
        }
        if made.key.is_none() && !made.is_refund && made.status == Status::Pending {
            self.kinds.saw("a postback that says the same as one without order and click");
        }
        self.conversions.push(made);
        let at = self.conversions.len() - 1;
        let is_believed = !matches!(verdict.error, NOT_BELIEVED | UNREADABLE_AMOUNT);
        // A refused conversion takes them when it is approved by hand.
        let stands = matches!(verdict.status, Status::Approved | Status::Pending);
        if key.is_some() && is_believed && stands {
            self.settle_waiting(at);
        }
        verdict
    }

    /// A bot's visit with a sale becomes a click.
    fn clear_bot_flag(&mut self, click: Option<Number>) {
        for known in &mut self.clicks {
            known.is_turned |= Some(known.number) == click;
        }
    }

    fn handle_repeat(&mut self, said: &Postback, rank: Rank, at: usize) -> Verdict {
        self.see_repeat(at, said);
        let amount = said.amount.and_then(money::parse);
        let made = &mut self.conversions[at];
        let is_other = said.currency.is_some_and(|currency| currency != made.currency);
        let mut error = made.error;
        match (amount, made.amount) {
            (Some(_), _) if is_other => {
                made.has_conflict = true;
                error = CONFLICT;
                self.kinds.saw("a repeat in another currency");
            }
            (Some(amount), None) if rank >= made.rank => {
                made.amount = Some(amount);
                made.sale = amount;
                (made.payout, made.revenue) = worth(made, amount);
                self.kinds.saw("a report that is completed with its amount");
            }
            (Some(amount), known) if known != Some(amount) => {
                made.has_conflict = true;
                error = CONFLICT;
            }
            _ => {}
        }
        let made = &self.conversions[at];
        Verdict { status: made.status, error, conversion: Some(made.number) }
    }

    // --- refunds

    fn take_back(&mut self, refund: Conversion, rank: Rank, at: usize) -> Verdict {
        self.see_refund(&refund.said, at);
        let order = self.conversions[at].clone();
        let amount = refund.amount.unwrap_or_default();
        if let Some(verdict) = self.refund_again(&refund, &order) {
            return verdict;
        }
        let names_its_click =
            order.click.is_some_and(|click| refund.said.ids.contains(&Id::Click(click)));
        let other_currency = other_currency(&refund, &order);
        let why = reason_to_hold(amount, rank, names_its_click, other_currency.is_some());
        let of = (order.offer, order.event, order.key);
        let Some(why) = why else {
            self.refunds.push(Refund {
                of,
                about: order.number,
                amount,
                other_currency,
                id: refund.said.refund,
            });
            self.take(at, amount);
            let order = &self.conversions[at];
            return Verdict {
                status: order.status,
                error: order.error,
                conversion: Some(order.number),
            };
        };
        let held = Conversion {
            status: Status::Pending,
            error: why,
            advertiser: order.advertiser,
            offer: order.offer,
            partner: order.partner,
            row: order.row,
            code: order.code,
            event: order.event,
            currency: refund.said.currency.unwrap_or(order.currency),
            worth_currency: order.worth_currency,
            key: None,
            is_refund: true,
            ..refund
        };
        let about = held.number;
        let id = held.said.refund;
        self.refunds.push(Refund { of, about, amount, other_currency, id });
        self.keep(held)
    }

    /// A repeat of the same refund counts once.
    fn refund_again(&mut self, refund: &Conversion, order: &Conversion) -> Option<Verdict> {
        let of = (order.offer, order.event, order.key);
        let amount = refund.amount.unwrap_or_default();
        let is_same = |known: &&Refund| {
            let has_id = refund.said.refund.is_some();
            let same_id = known.id == refund.said.refund;
            let is_identical =
                known.amount == amount && known.other_currency == other_currency(refund, order);
            known.of == of && same_id && (has_id || is_identical)
        };
        let Refund { about, amount: known, .. } = *self.refunds.iter().find(is_same)?;
        let first = self.conversions.iter_mut().find(|made| made.number == about)?;
        let error = match refund.said.refund {
            None => REPEATED_REFUND,
            Some(_) if known != amount => CONFLICT,
            Some(_) => first.error,
        };
        first.has_conflict |= error == CONFLICT;
        let status = first.status;
        self.kinds.saw(match refund.said.refund {
            Some(_) => "a refund with its id, and again",
            None => "an identical refund at once",
        });
        Some(Verdict { status, error, conversion: Some(about) })
    }

    fn take(&mut self, at: usize, amount: Micros) {
        let order = &mut self.conversions[at];
        order.sale = (order.sale + amount).max(0);
        let (payout, revenue) = if order.sale == 0 { (0, 0) } else { worth(order, order.sale) };
        order.payout = order.payout.min(payout);
        order.revenue = order.revenue.min(revenue);
    }

    fn wait_for_sale(&mut self, refund: Conversion) -> Verdict {
        // As long as nobody knows the order, its currency is taken for the offer's.
        let currency = refund.offer.map_or("USD", |offer| self.offers[offer].currency);
        let order = Conversion { currency, ..refund.clone() };
        if let Some(verdict) = self.refund_again(&refund, &order) {
            return verdict;
        }
        let other_currency = other_currency(&refund, &order);
        self.kinds.saw("a refund before its sale");
        let of = (refund.offer, refund.event, refund.key);
        let waits = Conversion {
            status: Status::Pending,
            error: REFUND_WAITS,
            key: None,
            is_refund: true,
            ..refund
        };
        let about = waits.number;
        let amount = waits.amount.unwrap_or_default();
        let id = waits.said.refund;
        self.refunds.push(Refund { of, about, amount, other_currency, id });
        self.keep(waits)
    }

    /// Refunds that arrived before this sale reduce it now.
    fn settle_waiting(&mut self, at: usize) {
        let order = self.conversions[at].clone();
        let of = (order.offer, order.event, order.key);
        let waiting: Vec<Number> =
            self.refunds.iter().filter(|known| known.of == of).map(|known| known.about).collect();
        for about in waiting {
            let Some(refund) = self.conversions.iter_mut().find(|made| made.number == about) else {
                continue;
            };
            if refund.error != REFUND_WAITS {
                continue;
            }
            let amount = refund.amount.unwrap_or_default();
            let names_its_click = order.click.is_some() && refund.click == order.click;
            let is_other = refund.currency != order.currency;
            match reason_to_hold(amount, refund.rank, names_its_click, is_other) {
                Some(why) => refund.error = why,
                None => {
                    (refund.status, refund.error) = (Status::Approved, 0);
                    self.take(at, amount);
                }
            }
        }
    }

    // --- by hand

    /// Whether this decision by hand is allowed.
    pub(crate) fn decide(&mut self, postback: Number, approve: bool) -> Option<bool> {
        let at = self.conversions.iter().position(|made| made.number == postback)?;
        let made = self.conversions[at].clone();
        if made.is_refund {
            return Some(self.decide_refund(at, approve));
        }
        if !approve {
            if made.status != Status::Invalid && made.status != Status::Rejected {
                self.conversions[at].status = Status::Rejected;
                self.conversions[at].error = REJECTED_BY_HAND;
            }
            return Some(true);
        }
        if made.status == Status::Approved {
            return Some(true);
        }
        let stands_beside = self.same_key(&made).into_iter().any(|other| {
            let other = &self.conversions[other];
            other.number != made.number
                && matches!(other.status, Status::Approved | Status::Pending)
        });
        let is_whose = made.offer.is_some() && made.partner.is_some();
        let is_nothing = made.error == UNKNOWN_EVENT || made.amount.is_some_and(|it| it < 0);
        if stands_beside {
            self.kinds.saw("an approval beside a standing sale is refused");
        }
        if stands_beside || !is_whose || is_nothing {
            return Some(false);
        }
        match (made.status, made.error) {
            (Status::Rejected, 18) => self.kinds.saw("a refused sale approved by hand"),
            (Status::Invalid, _) => self.kinds.saw("an invalid conversion approved by hand"),
            (_, OTHER_CURRENCY) => self.kinds.saw("a sale in another currency approved by hand"),
            _ => {}
        }
        self.conversions[at].status = Status::Approved;
        self.conversions[at].error = 0;
        self.clear_bot_flag(made.click);
        if made.key.is_some() {
            self.settle_waiting(at);
        }
        Some(true)
    }

    /// An approved refund reduces its order if the order is known and has the same currency; a
    /// reduction stays.
    fn decide_refund(&mut self, at: usize, approve: bool) -> bool {
        let refund = self.conversions[at].clone();
        match (refund.status, approve) {
            (Status::Approved, _) => return approve,
            (Status::Rejected, false) => return true,
            (_, false) => {
                self.conversions[at].status = Status::Rejected;
                self.conversions[at].error = REJECTED_BY_HAND;
                return true;
            }
            (_, true) => {}
        }
        let known = self.refunds.iter().find(|known| known.about == refund.number);
        let Some((offer, event, key)) = known.map(|known| known.of) else { return false };
        let like_its_order = Conversion { offer, event, key, ..refund.clone() };
        let Some(order) = self.preferred(&self.same_key(&like_its_order)) else { return false };
        if self.conversions[order].currency != refund.currency {
            return false;
        }
        self.conversions[at].status = Status::Approved;
        self.conversions[at].error = 0;
        self.take(order, refund.amount.unwrap_or_default());
        true
    }

    // --- which cases were met

    fn see_sale(&mut self, made: &Conversion, said: &Postback) {
        let mut kinds = Vec::new();
        if said.amount.is_some_and(|text| text.contains(['e', 'E'])) {
            kinds.push("an amount with an exponent");
        }
        if made.offer.is_some_and(|offer| made.currency != self.offers[offer].currency) {
            kinds.push("a sale in another currency");
        }
        if made.sale > LARGEST {
            kinds.push("an amount that is held for its size");
        }
        let exact = made.sale * made.terms.payout.2;
        if exact % (money::minor_unit(made.worth_currency) * 100 * ONE) != 0 {
            kinds.push("a payout that is rounded");
        }
        let is_other = |other: &Conversion| {
            stands(other) && other.key == made.key && other.offer != made.offer
        };
        if matches!(made.key, Some(Key::Order(_))) && self.conversions.iter().any(is_other) {
            kinds.push("an order id on two offers");
        }
        let is_second = |other: &Conversion| {
            stands(other) && other.click == made.click && other.key != made.key
        };
        if made.click.is_some() && made.event == 0 && self.conversions.iter().any(is_second) {
            let allows = made.offer.is_some_and(|offer| self.offers[offer].allows_duplicates);
            kinds.push(match allows {
                true => "a second sale of one click with duplicates allowed",
                false => "a second sale of one click without duplicates allowed",
            });
        }
        if said.code.is_some_and(|code| self.live_rows(code).len() > 1) && said.offer.is_none() {
            kinds.push("a code on several offers without an offer");
        }
        kinds.into_iter().for_each(|kind| self.kinds.saw(kind));
    }

    fn see_repeat(&mut self, at: usize, said: &Postback) {
        let first = &self.conversions[at];
        let rows: Vec<usize> = said.code.map(|code| self.live_rows(code)).unwrap_or_default();
        let of_rows = || rows.iter().map(|row| &self.rows[*row]);
        let is_elsewhere = !rows.is_empty() && of_rows().all(|row| Some(row.offer) != first.offer);
        let is_others =
            of_rows().any(|row| Some(row.offer) == first.offer && row.partner != first.partner);
        let was_refused = self.verdicts.get(&first.number).is_some_and(|it| it.error == 18);
        let mut kinds = Vec::new();
        if is_elsewhere {
            kinds.push("a repeat after the code went to another offer");
        }
        if is_others {
            kinds.push("a repeat after the code went to another partner");
        }
        if was_refused && first.status == Status::Approved {
            kinds.push("a repeat after a refused sale was approved");
        }
        kinds.into_iter().for_each(|kind| self.kinds.saw(kind));
    }

    fn see_refund(&mut self, said: &Postback, at: usize) {
        let made = &self.conversions[at];
        let Some(offer) = made.offer else { return };
        let rows: Vec<usize> = said.code.map(|code| self.live_rows(code)).unwrap_or_default();
        let mut kinds = Vec::new();
        if said.ids.len() > 1 {
            kinds.push("a refund of one of several clicks");
        }
        if rows.len() > 1 && said.offer.is_none() {
            kinds.push("a refund by a code on several offers, found by its order");
        }
        if said.code.is_some() && rows.is_empty() {
            kinds.push("a refund after its code was deleted");
        }
        if said.event == EventNamed::First && self.offers[offer].event.is_none() {
            kinds.push("a refund after its event was removed");
        }
        if made.error == 0 && made.currency != self.offers[offer].currency {
            kinds.push("a refund after the offer's currency was changed");
        }
        kinds.into_iter().for_each(|kind| self.kinds.saw(kind));
    }
}

/// Same order; without order ids, same click.
fn is_of_the_same(said: &Postback, made: &Conversion, other: &Conversion, is_refund: bool) -> bool {
    match (said.order, other.click) {
        (Some(order), _) => other.said.order == Some(order),
        (None, Some(click)) if is_refund => said.ids.contains(&Id::Click(click)),
        (None, click) => click.is_some() && click == made.click,
    }
}

/// Payout and revenue of a sale under a conversion's terms; a percentage in another currency than
/// the sale's gives nothing.
fn worth(made: &Conversion, sale: Micros) -> (Micros, Micros) {
    let known = if made.currency == made.worth_currency { sale } else { 0 };
    made.terms.worth(known, made.worth_currency)
}

/// The currency that the refund names where it is not its order's.
fn other_currency(refund: &Conversion, order: &Conversion) -> Option<&'static str> {
    refund.said.currency.filter(|named| *named != order.currency)
}

/// Reason why a refund needs a decision by hand.
fn reason_to_hold(
    amount: Micros,
    rank: Rank,
    names_its_click: bool,
    is_in_other_currency: bool,
) -> Option<u32> {
    match () {
        () if is_in_other_currency => Some(OTHER_CURRENCY),
        () if amount < -LARGEST => Some(LARGE),
        () if rank < Rank::Trusted && !names_its_click => Some(UNPROVED_REFUND),
        () => None,
    }
}

/// Whether a conversion makes later reports repeats.
fn stands(made: &Conversion) -> bool {
    match made.status {
        Status::Approved | Status::Pending => true,
        Status::Rejected => made.error == REJECTED_BY_HAND,
        Status::Invalid => false,
    }
}
