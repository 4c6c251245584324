//! Generates streams: short stories about one case each, with their steps interleaved.

use crate::chance::Random;
use crate::model::{CPC_OFFER, DUPLICATES_OFFER, EXPIRED, LATER, NOBODY, PAUSED};
use crate::steps::{
    AGENTS, BOT, CHECKER, Edit, EventNamed, How, Id, Number, Numbered, Postback, Rules, SUBS,
    StreamStep, Token, UNKNOWN_CODE, Visit,
};

const AMOUNTS: [&str; 10] =
    ["99.98", "0.01", "7.123456", "33.333333", "100", "59.90", "1234567.89", "20.005", "1", "49.5"];
/// Number of stories that are interleaved at a time.
const TOLD_AT_ONCE: usize = 6;
const ALPHA: usize = 0;
const BOTH: usize = 1;
const GAMMA: usize = 2;
const DELTA: usize = 3;
const TRUST: usize = 4;
const EURO: usize = 5;
const CLICKS: usize = 6;
const DUPES: usize = 7;
const MOVES: usize = 12;
/// Codes of the advertiser without rules, with one row each: code, offer.
const OPEN_CODES: [(usize, usize); 4] = [(ALPHA, 0), (GAMMA, 2), (DELTA, 3), (MOVES, 1)];

/// Generates a stream. `with_pause` makes it long enough for repeated visits that are no
/// duplicates.
pub(crate) fn stream(seed: u64, with_pause: bool) -> Vec<Numbered> {
    let mut draw = StreamGenerator { random: Random(seed), number: 0, order: 0, story: Vec::new() };
    for _ in 0..5 {
        draw.random.below(2);
    }
    let mut stories: Vec<Vec<Numbered>> =
        STORIES.iter().map(|story| draw.add_story(*story)).collect();
    for _ in 0..4 {
        stories.push(draw.add_story(StreamGenerator::noise));
        stories.push(draw.add_story(StreamGenerator::anything));
    }
    draw.mix(stories, with_pause)
}

const STORIES: [fn(&mut StreamGenerator); 33] = [
    StreamGenerator::paused_offer,
    StreamGenerator::beside_a_refused_sale,
    StreamGenerator::several_clicks,
    StreamGenerator::several_clicks_one_order,
    StreamGenerator::several_offers_of_a_code,
    StreamGenerator::empty_rows,
    StreamGenerator::currency_of_an_offer,
    StreamGenerator::other_currency,
    StreamGenerator::pages,
    StreamGenerator::outrun_click,
    StreamGenerator::outrun_click_by_code,
    StreamGenerator::admin_away,
    StreamGenerator::bots,
    StreamGenerator::bots_by_hand,
    StreamGenerator::deleted_code,
    StreamGenerator::removed_event,
    StreamGenerator::moved_to_another_offer,
    StreamGenerator::moved_to_another_partner,
    StreamGenerator::unassigned_beside,
    StreamGenerator::sales_of_one_click,
    StreamGenerator::sales_of_one_click_allowed,
    StreamGenerator::sizes,
    StreamGenerator::paid_clicks,
    StreamGenerator::completed,
    StreamGenerator::refund_first,
    StreamGenerator::refund_ids,
    StreamGenerator::visits_refused,
    StreamGenerator::invalid_by_hand,
    StreamGenerator::sessions,
    StreamGenerator::stronger,
    StreamGenerator::unusable,
    StreamGenerator::rules_of_offers,
    StreamGenerator::rules_of_offers,
];

struct StreamGenerator {
    random: Random,
    number: Number,
    order: u32,
    story: Vec<Numbered>,
}

impl StreamGenerator {
    fn add_story(&mut self, story: fn(&mut StreamGenerator)) -> Vec<Numbered> {
        story(self);
        std::mem::take(&mut self.story)
    }

    /// Interleaves stories; the steps of a story keep their order.
    fn mix(&mut self, mut stories: Vec<Vec<Numbered>>, with_pause: bool) -> Vec<Numbered> {
        for at in (1..stories.len()).rev() {
            stories.swap(at, self.below(at as u64 + 1));
        }
        stories.iter_mut().for_each(|story| story.reverse());
        let all: usize = stories.iter().map(Vec::len).sum();
        let mut mixed = Vec::new();
        while !stories.is_empty() {
            let at = self.below(stories.len().min(TOLD_AT_ONCE) as u64);
            match stories[at].pop() {
                Some(step) => mixed.push(step),
                None => drop(stories.remove(at)),
            }
            if with_pause && mixed.len() == all / 2 {
                let number = self.next();
                mixed.push(Numbered { number, step: StreamStep::Pause });
            }
            if self.below(30) == 0 {
                let kills =
                    StreamStep::Kill { admin: self.below(2) == 0, daemon: self.below(2) == 0 };
                let number = self.next();
                mixed.push(Numbered { number, step: kills });
            }
        }
        mixed
    }

    fn below(&mut self, limit: u64) -> usize {
        usize::try_from(self.random.below(limit)).unwrap()
    }

    fn next(&mut self) -> Number {
        self.number += 1;
        self.number
    }

    fn new_order(&mut self) -> u32 {
        self.order += 1;
        self.order
    }

    fn step(&mut self, step: StreamStep) -> Number {
        let number = self.next();
        self.story.push(Numbered { number, step });
        number
    }

    fn edit(&mut self, edit: Edit) {
        self.step(StreamStep::Edit(edit));
    }

    fn amount(&mut self) -> &'static str {
        AMOUNTS[self.below(AMOUNTS.len() as u64)]
    }

    fn visitor(&mut self, how: How) -> Visit {
        let agents = [0, 1, 2, 5];
        Visit {
            how,
            sub1: self.below(SUBS.len() as u64),
            agent: agents[self.below(4)],
            address: u8::try_from(1 + self.below(20)).unwrap(),
            is_prefetch: false,
        }
    }

    fn visit(&mut self, code: usize) -> Number {
        let visit = self.visitor(How::Code { code, offer: None });
        self.step(StreamStep::Visit(visit))
    }

    fn visit_on(&mut self, code: usize, offer: usize) -> Number {
        let visit = self.visitor(How::Code { code, offer: Some(offer) });
        self.step(StreamStep::Visit(visit))
    }

    fn report(&mut self, said: Postback) -> Number {
        self.step(StreamStep::Report(said))
    }

    fn by_click(&self, click: Number, order: u32, amount: &'static str) -> Postback {
        Postback {
            ids: vec![Id::Click(click)],
            order: Some(order),
            amount: Some(amount),
            ..Postback::NOTHING
        }
    }

    fn by_code(&self, code: usize, order: u32, amount: &'static str) -> Postback {
        Postback { code: Some(code), order: Some(order), amount: Some(amount), ..Postback::NOTHING }
    }

    fn trusted(said: Postback) -> Postback {
        Postback { token: Token::Good, ..said }
    }

    fn decide(&mut self, postback: Number, approve: bool) {
        self.step(StreamStep::Decide { postback, approve });
    }

    fn open_code(&mut self) -> (usize, usize) {
        OPEN_CODES[self.below(4)]
    }

    // --- the stories

    fn paused_offer(&mut self) {
        let (code, offer) = self.open_code();
        let (click, order, amount) = (self.visit(code), self.new_order(), self.amount());
        self.edit(Edit::OfferStatus { offer, active: false });
        let sale = self.report(self.by_click(click, order, amount));
        self.decide(sale, true);
        self.report(self.by_click(click, order, amount));
        self.edit(Edit::OfferStatus { offer, active: true });
        self.report(self.by_click(click, order, amount));
        self.report(self.by_click(click, order, "-1.5"));
    }

    fn beside_a_refused_sale(&mut self) {
        let (code, offer) = self.open_code();
        let (click, order, amount) = (self.visit(code), self.new_order(), self.amount());
        self.edit(Edit::OfferStatus { offer, active: false });
        let refused = self.report(self.by_click(click, order, amount));
        self.edit(Edit::OfferStatus { offer, active: true });
        let sale = self.report(self.by_click(click, order, amount));
        self.decide(refused, true);
        self.decide(sale, false);
        self.report(self.by_click(click, order, amount));
    }

    fn several_clicks(&mut self) {
        let (y, z) = (self.visit_on(BOTH, 0), self.visit_on(BOTH, 1));
        let order = self.new_order();
        self.report(self.by_click(y, order, "100"));
        self.report(self.by_click(z, order, "80"));
        let ids = vec![Id::Click(y), Id::Click(z)];
        self.report(Postback { ids, ..self.by_click(y, order, "-30") });
        self.report(Postback { offer: Some(0), ..self.by_click(y, order, "-20") });
    }

    fn several_clicks_one_order(&mut self) {
        let (y, z) = (self.visit_on(BOTH, 0), self.visit_on(BOTH, 1));
        let order = self.new_order();
        self.report(self.by_click(y, order, "100"));
        let ids = vec![Id::Click(y), Id::Click(z)];
        self.report(Postback { ids: ids.clone(), ..self.by_click(y, order, "-30") });
        // A new sale on the other offer is no conflict.
        self.report(Postback { ids, ..self.by_click(y, order, "70") });
    }

    fn several_offers_of_a_code(&mut self) {
        let order = self.new_order();
        let amount = self.amount();
        self.report(self.by_code(BOTH, order, amount));
        self.report(Postback { offer: Some(0), ..self.by_code(BOTH, order, amount) });
        self.report(self.by_code(BOTH, order, amount));
        self.report(self.by_code(BOTH, order, "-2"));
        self.report(Postback { offer: Some(1), ..self.by_code(BOTH, order, amount) });
        self.report(self.by_code(BOTH, order, "-2"));
        self.report(Postback { offer: Some(3), ..self.by_code(BOTH, order, amount) });
    }

    fn empty_rows(&mut self) {
        let (order, amount) = (self.new_order(), self.amount());
        let unknown = Postback { event: EventNamed::Unknown, ..self.by_code(GAMMA, order, amount) };
        self.report(unknown);
        self.report(self.by_code(ALPHA, order, amount));
    }

    fn currency_of_an_offer(&mut self) {
        let (click, order) = (self.visit(ALPHA), self.new_order());
        let said = |draw: &StreamGenerator, amount, currency| Postback {
            currency: Some(currency),
            ..draw.by_click(click, order, amount)
        };
        self.report(said(self, "100", "USD"));
        self.edit(Edit::Currency { offer: 0, currency: "EUR" });
        self.report(said(self, "-30", "EUR"));
        self.report(said(self, "-30", "USD"));
        self.report(said(self, "100", "EUR"));
        self.report(self.by_click(click, order, "-5"));
        self.edit(Edit::Currency { offer: 0, currency: "USD" });
    }

    fn other_currency(&mut self) {
        for (code, currency) in [(MOVES, "EUR"), (ALPHA, "JPY"), (GAMMA, "USD")] {
            let (click, order, amount) = (self.visit(code), self.new_order(), self.amount());
            let said = Postback { currency: Some(currency), ..self.by_click(click, order, amount) };
            let sale = self.report(said.clone());
            self.decide(sale, !self.order.is_multiple_of(3));
            self.report(said);
            self.report(self.by_click(click, order, "-0.25"));
        }
    }

    fn pages(&mut self) {
        let visit = self.visitor(How::Page { offer: 0, partner: 0 });
        for (offer, partner) in [(0, 0), (1, 0), (0, 1), (0, 0), (2, 2)] {
            self.step(StreamStep::Visit(Visit {
                how: How::Page { offer, partner },
                ..visit.clone()
            }));
        }
        let click = self.visitor(How::Page { offer: 2, partner: 1 });
        let click = self.step(StreamStep::Visit(click));
        let (order, amount) = (self.new_order(), self.amount());
        self.report(self.by_click(click, order, amount));
    }

    fn burst(&mut self, postbacks: Vec<Postback>) {
        let steps = postbacks.into_iter().map(StreamStep::Report);
        let steps = steps.map(|step| Numbered { number: self.next(), step }).collect();
        self.step(StreamStep::Burst(steps));
    }

    fn outrun_click(&mut self) {
        let (code, _) = self.open_code();
        let (order, amount) = (self.new_order(), self.amount());
        let click = self.visit(code);
        let refund = Postback { code: Some(code), ..self.by_click(click, order, "-0.5") };
        self.burst(vec![self.by_click(click, order, amount), refund]);
    }

    fn outrun_click_by_code(&mut self) {
        let (code, _) = self.open_code();
        let (order, amount) = (self.new_order(), self.amount());
        let click = self.visit(code);
        self.burst(vec![self.by_click(click, order, amount), self.by_code(code, order, amount)]);
    }

    fn admin_away(&mut self) {
        let (code, _) = self.open_code();
        let (order, amount) = (self.new_order(), self.amount());
        let visit = self.visitor(How::Code { code, offer: None });
        let click = self.next();
        let refund = Postback { code: Some(code), ..self.by_click(click, order, "-0.75") };
        let reports =
            [self.by_click(click, order, amount), self.by_code(code, order, amount), refund];
        let mut steps = vec![Numbered { number: click, step: StreamStep::Visit(visit) }];
        for said in reports {
            steps.push(Numbered { number: self.next(), step: StreamStep::Report(said) });
        }
        self.step(StreamStep::Away(steps));
    }

    fn bots(&mut self) {
        for (agent, is_prefetch) in [(BOT, false), (CHECKER, false), (0, true)] {
            let (code, _) = self.open_code();
            let visit = self.visitor(How::Code { code, offer: None });
            let click = self.step(StreamStep::Visit(Visit { agent, is_prefetch, ..visit.clone() }));
            self.step(StreamStep::Visit(Visit { agent, is_prefetch, ..visit }));
            let (order, amount) = (self.new_order(), self.amount());
            self.report(self.by_click(click, order, amount));
        }
        let checker = self.below(2) == 0;
        self.edit(Edit::Bots { checker });
        self.edit(Edit::Bots { checker: !checker });
    }

    fn bots_by_hand(&mut self) {
        let (code, offer) = self.open_code();
        let visit = self.visitor(How::Code { code, offer: None });
        let click = self.step(StreamStep::Visit(Visit { agent: BOT, ..visit }));
        let (order, amount) = (self.new_order(), self.amount());
        self.edit(Edit::MustApprove { offer, must: true });
        let sale = self.report(self.by_click(click, order, amount));
        self.edit(Edit::MustApprove { offer, must: false });
        let approve = self.below(3) > 0;
        self.decide(sale, approve);
        self.edit(Edit::Bots { checker: true });
    }

    fn deleted_code(&mut self) {
        let order = self.new_order();
        let trusted = |draw: &StreamGenerator, amount| {
            StreamGenerator::trusted(draw.by_code(TRUST, order, amount))
        };
        self.report(trusted(self, "100"));
        self.edit(Edit::CodeDeleted { code: TRUST, offer: 4 });
        self.report(trusted(self, "-40"));
        self.report(trusted(self, "100"));
        self.edit(Edit::CodeCreated { code: TRUST, offer: 4, partner: Some(1) });
        self.report(trusted(self, "-30"));
    }

    fn removed_event(&mut self) {
        let order = self.new_order();
        let said = |draw: &StreamGenerator, amount| Postback {
            event: EventNamed::First,
            ..StreamGenerator::trusted(draw.by_code(EURO, order, amount))
        };
        self.report(said(self, "50"));
        self.edit(Edit::Event { offer: 5, is_there: false });
        self.report(said(self, "-20"));
        self.report(said(self, "50"));
        self.edit(Edit::Event { offer: 5, is_there: true });
        let by_name = Postback { event: EventNamed::ByName, ..said(self, "12") };
        let order = Some(self.new_order());
        self.report(Postback { order, ..by_name });
    }

    fn moved_to_another_offer(&mut self) {
        let (order, amount) = (self.new_order(), self.amount());
        self.report(self.by_code(MOVES, order, amount));
        self.edit(Edit::CodeOffer { code: MOVES, offer: 1, to: 0 });
        self.report(self.by_code(MOVES, order, amount));
        let new = self.new_order();
        self.report(self.by_code(MOVES, new, amount));
        self.edit(Edit::CodeOffer { code: MOVES, offer: 0, to: 1 });
    }

    fn moved_to_another_partner(&mut self) {
        let (order, amount) = (self.new_order(), self.amount());
        self.report(self.by_code(GAMMA, order, amount));
        let click = self.visit(GAMMA);
        self.edit(Edit::CodePartner { code: GAMMA, offer: 2, partner: 1 });
        self.report(self.by_code(GAMMA, order, amount));
        let (order, again) = (self.new_order(), self.new_order());
        self.report(self.by_click(click, order, amount));
        self.report(self.by_code(GAMMA, again, amount));
        self.edit(Edit::CodePartner { code: GAMMA, offer: 2, partner: 0 });
    }

    fn unassigned_beside(&mut self) {
        self.edit(Edit::CodeDeleted { code: BOTH, offer: 1 });
        self.edit(Edit::CodeCreated { code: BOTH, offer: 2, partner: None });
        let (order, amount) = (self.new_order(), self.amount());
        self.report(Postback { offer: Some(2), ..self.by_code(BOTH, order, amount) });
        self.visit_on(BOTH, 2);
        self.edit(Edit::CodeDeleted { code: BOTH, offer: 2 });
        self.edit(Edit::CodeCreated { code: BOTH, offer: 1, partner: Some(1) });
    }

    fn sales_of_one_click(&mut self) {
        let (code, _) = self.open_code();
        self.sales_by_click(code);
    }

    fn sales_of_one_click_allowed(&mut self) {
        self.sales_by_click(DUPES);
        self.edit(Edit::Duplicates { offer: DUPLICATES_OFFER, allowed: false });
        self.sales_by_click(DUPES);
        self.edit(Edit::Duplicates { offer: DUPLICATES_OFFER, allowed: true });
    }

    fn sales_by_click(&mut self, code: usize) {
        let (click, amount) = (self.visit(code), self.amount());
        let (first, second) = (self.new_order(), self.new_order());
        self.report(Postback { order: None, ..self.by_click(click, first, amount) });
        let further = self.report(self.by_click(click, first, amount));
        self.report(self.by_click(click, second, amount));
        self.report(Postback { order: None, ..self.by_click(click, first, amount) });
        self.decide(further, true);
        let event = Postback { event: EventNamed::ByName, ..self.by_click(click, first, amount) };
        self.report(event);
    }

    fn sizes(&mut self) {
        for amount in ["10000000", "10000000.01", "999999999", "1e2", "1.5E1", "0", "0.004"] {
            let (code, _) = self.open_code();
            let order = self.new_order();
            let is_json = amount.contains(['e', 'E']);
            self.report(Postback { is_json, ..self.by_code(code, order, amount) });
        }
        let offer = self.below(3);
        let terms = [0, 2, 7, 8][self.below(4)];
        self.edit(Edit::Terms { offer, terms });
    }

    fn paid_clicks(&mut self) {
        for _ in 0..4 {
            let visit = self.visitor(How::Code { code: CLICKS, offer: None });
            let agent = self.below(AGENTS.len() as u64);
            self.step(StreamStep::Visit(Visit { agent, ..visit }));
        }
        let (click, order, amount) = (self.visit(CLICKS), self.new_order(), self.amount());
        self.report(self.by_click(click, order, amount));
        assert_eq!(CLICKS, CPC_OFFER);
    }

    fn completed(&mut self) {
        let (code, _) = self.open_code();
        let (order, amount) = (self.new_order(), self.amount());
        self.report(Postback { amount: None, ..self.by_code(code, order, amount) });
        self.report(self.by_code(code, order, amount));
        self.report(self.by_code(code, order, "3"));
        self.report(Postback { amount: None, ..self.by_code(code, order, amount) });
        // Without order and click, an equal report may be a repeat.
        let repeat = Postback { order: None, ..self.by_code(code, order, amount) };
        self.report(repeat.clone());
        self.report(repeat);
    }

    fn refund_first(&mut self) {
        let order = self.new_order();
        self.report(StreamGenerator::trusted(self.by_code(TRUST, order, "-15")));
        // A stranger's claim of the order is another conversion.
        self.report(self.by_code(TRUST, order, "100"));
        self.report(StreamGenerator::trusted(self.by_code(TRUST, order, "100")));
        let (click, order) = (self.visit(ALPHA), self.new_order());
        self.report(self.by_click(click, order, "-15"));
        self.report(self.by_click(click, order, "60"));
    }

    fn refund_ids(&mut self) {
        let (click, order) = (self.visit(DELTA), self.new_order());
        self.report(self.by_click(click, order, "1000"));
        let refund = |draw: &StreamGenerator, amount, refund| Postback {
            refund,
            ..draw.by_click(click, order, amount)
        };
        for (amount, id) in [
            ("-100", Some(1)),
            ("-100", Some(1)),
            ("-100", Some(2)),
            ("-50", None),
            ("-50", None),
            ("-60", None),
            ("-2000", Some(3)),
        ] {
            self.report(refund(self, amount, id));
        }
        // Here no sender has proof for an immediate refund.
        let order = self.new_order();
        self.report(self.by_code(DELTA, order, "500"));
        self.report(self.by_code(DELTA, order, "-100"));
    }

    fn visits_refused(&mut self) {
        self.visit_on(ALPHA, 2);
        self.visit_on(BOTH, 3);
        for code in [PAUSED, EXPIRED, NOBODY, LATER, UNKNOWN_CODE] {
            if code != UNKNOWN_CODE {
                self.visit(code);
            }
            let order = self.new_order();
            self.report(self.by_code(code, order, "5"));
        }
    }

    /// Edits the rules of two offers of one code between visits and sales.
    fn rules_of_offers(&mut self) {
        for _ in 0..4 {
            let offer = self.below(2);
            let rules = match self.below(5) {
                0 => Rules::None,
                1 => Rules::NotIos,
                2 => Rules::OnlyWindowsAndIos,
                3 => Rules::NotAddressesTo(u8::try_from(1 + self.below(12)).unwrap()),
                _ => Rules::NotSub(1 + self.below(2)),
            };
            self.edit(Edit::Rules { offer, rules });
            for _ in 0..3 {
                self.visit(BOTH);
            }
            let click = self.visit_on(BOTH, offer);
            let (order, amount) = (self.new_order(), self.amount());
            self.report(self.by_click(click, order, amount));
            self.report(self.by_code(BOTH, order, amount));
        }
        for offer in 0..2 {
            self.edit(Edit::Rules { offer, rules: Rules::None });
        }
    }

    fn invalid_by_hand(&mut self) {
        let (order, amount) = (self.new_order(), self.amount());
        let sale = self.report(self.by_code(PAUSED, order, amount));
        self.decide(sale, true);
        self.report(self.by_code(PAUSED, order, amount));
        let nobodys = self.new_order();
        let sale = self.report(self.by_code(NOBODY, nobodys, amount));
        self.decide(sale, true);
        let unreadable = self.new_order();
        let sale = self.report(self.by_code(ALPHA, unreadable, "1,5"));
        self.decide(sale, false);
    }

    fn sessions(&mut self) {
        let offer = self.below(2);
        let visit = self.visitor(How::Code { code: BOTH, offer: Some(offer) });
        for (agent, by_address) in [(0, true), (1, false), (2, true), (0, offer == 1)] {
            self.step(StreamStep::Visit(Visit { agent, ..visit.clone() }));
            self.edit(Edit::Session { offer, by_address });
        }
    }

    fn stronger(&mut self) {
        let (code, _) = self.open_code();
        let (click, order, amount) = (self.visit(code), self.new_order(), self.amount());
        let weak = self.report(self.by_code(code, order, amount));
        let strong = self.report(self.by_click(click, order, amount));
        let (_, rejected) = if self.below(2) == 0 { (strong, weak) } else { (weak, strong) };
        self.decide(rejected, false);
    }

    fn unusable(&mut self) {
        let (code, offer) = self.open_code();
        let (click, amount) = (self.visit(code), self.amount());
        let order = self.new_order();
        let ids = vec![Id::Invented, Id::Click(click)];
        self.report(Postback { ids, ..self.by_click(click, order, amount) });
        let order = self.new_order();
        self.report(Postback { ids: vec![Id::Invented], ..self.by_click(click, order, amount) });
        let order = self.new_order();
        let ids = vec![Id::Garbage];
        self.report(Postback { ids, ..self.by_code(code, order, amount) });
        let order = self.new_order();
        let wrong = Postback { token: Token::Wrong, ..self.by_code(TRUST, order, amount) };
        self.report(wrong);
        self.report(self.by_code(TRUST, order, amount));
        self.report(StreamGenerator::trusted(self.by_code(TRUST, order, amount)));
        let order = Some(self.new_order());
        let names = Postback {
            offer: Some(offer),
            partner: Some(2),
            order,
            amount: Some(amount),
            ..Postback::NOTHING
        };
        self.report(names);
        self.report(Postback { amount: Some(amount), ..Postback::NOTHING });
    }

    /// A random step by a random sender.
    fn noise(&mut self) {
        let mut clicks = Vec::new();
        for _ in 0..3 {
            let (code, offer) = self.open_code();
            clicks.push(match self.below(4) {
                0 => self.visit_on(code, offer),
                1 => self.visit(EURO),
                _ => self.visit(code),
            });
            if self.below(3) == 0 {
                self.edit(Edit::CodeStatus { code, offer, active: self.order.is_multiple_of(2) });
                self.edit(Edit::CodeStatus { code, offer, active: true });
            }
        }
        for click in clicks {
            let (order, amount) = (self.new_order(), self.amount());
            let mut said = StreamGenerator::trusted(self.by_click(click, order, amount));
            if self.below(3) == 0 {
                said.event = EventNamed::ByName;
            }
            let sale = self.report(said.clone());
            for _ in 0..self.below(3) {
                match self.below(4) {
                    0 => said.amount = Some(self.amount()),
                    1 => self.decide(sale, self.order.is_multiple_of(2)),
                    2 => said.amount = Some("-0.1"),
                    _ => {}
                }
                self.report(said.clone());
            }
        }
    }

    /// Two orders and two clicks, reported and refunded with random parameters.
    fn anything(&mut self) {
        let codes: Vec<usize> =
            (0..2).map(|_| [ALPHA, BOTH, GAMMA, MOVES][self.below(4)]).collect();
        let clicks: Vec<Number> = codes.iter().map(|code| self.visit(*code)).collect();
        let orders = [self.new_order(), self.new_order()];
        let mut sent = Vec::new();
        for _ in 0..6 {
            let mut said = Postback::NOTHING;
            for click in &clicks {
                if self.below(2) == 0 {
                    said.ids.push(Id::Click(*click));
                }
            }
            if said.ids.is_empty() || self.below(3) == 0 {
                said.code = Some(codes[self.below(2)]);
            }
            if self.below(5) == 0 {
                said.offer = Some(self.below(3));
            }
            said.order = match self.below(4) {
                0 if !said.ids.is_empty() => None,
                which => Some(orders[which % 2]),
            };
            said.event = if self.below(5) == 0 { EventNamed::ByName } else { EventNamed::Base };
            said.amount = match self.below(6) {
                0 => None,
                1 => Some("-3"),
                2 => Some("-1.25"),
                3 => Some("10"),
                _ => Some("20"),
            };
            said.currency = [None, None, None, Some("USD"), Some("EUR")][self.below(5)];
            if said.amount.is_some_and(|amount| amount.starts_with('-')) && self.below(2) == 0 {
                said.refund = Some(7);
            }
            sent.push(self.report(said));
            if self.below(6) == 0 {
                let postback = sent[self.below(sent.len() as u64)];
                let approve = self.below(2) == 0;
                self.decide(postback, approve);
            }
        }
    }
}
