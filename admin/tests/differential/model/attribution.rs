//! Attribution in the model.

use super::{Click, Model, Rank};
use crate::steps::{CAREFUL, CODES, Id, Number, Postback, Token, UNKNOWN_CODE};

/// Partner, offer and advertiser of a sale.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) offer: usize,
    pub(super) partner: usize,
    pub(super) row: Option<usize>,
    pub(super) click: Option<Number>,
}

/// Result of an attribution.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) advertiser: Option<usize>,
    pub(super) whose: Result<Owner, u32>,
    /// The partial result of an existing but unusable identifier.
    pub(super) nearest: Option<Owner>,
    pub(super) rank: Rank,
    pub(super) is_believed: bool,
    pub(super) is_by_code: bool,
}

/// An unusable identifier: error, partial result, and whether it exists.
type Failure = (u32, Option<Owner>, bool);

impl Model {
    pub(super) fn find(&self, said: &Postback) -> Found {
        let advertiser = self.advertiser_of(said);
        let code_first = advertiser == Some(CAREFUL);
        let mut failures: Vec<Failure> = Vec::new();
        let (mut whose, mut is_by_code) = (None, false);
        for by_code in [code_first, !code_first] {
            if whose.is_none() {
                is_by_code = by_code;
                whose = match by_code {
                    true => self.by_code(said, advertiser, &mut failures),
                    false => self.by_click(said, advertiser, &mut failures),
                };
            }
        }
        if whose.is_none() {
            is_by_code = false;
            whose = self.by_names(said, &mut failures);
        }
        let of_existing = failures.iter().find(|(_, _, exists)| *exists);
        let chosen = of_existing.or(failures.first()).cloned();
        let has_rule = advertiser == Some(CAREFUL);
        let is_believed = !has_rule || said.token == Token::Good;
        let nearest = match &whose {
            Some(whose) => Some(whose.clone()),
            None => chosen.as_ref().and_then(|(_, nearest, _)| nearest.clone()),
        };
        // An unusable click is equally strong evidence.
        let has_click = nearest.as_ref().is_some_and(|whose| whose.click.is_some());
        let rank = match (has_rule && is_believed, has_click) {
            (true, _) => Rank::Trusted,
            (false, true) => Rank::Click,
            (false, false) => Rank::CodeAlone,
        };
        let whose = whose.ok_or(chosen.map_or(1010, |(error, ..)| error));
        Found { advertiser, whose, nearest, rank, is_believed, is_by_code }
    }

    /// Advertiser of the named offer, otherwise of the first click, otherwise of the code.
    fn advertiser_of(&self, said: &Postback) -> Option<usize> {
        let of_offer = |offer: usize| self.offers[offer].advertiser;
        let clicked = || self.clicks_of(said).first().and_then(|click| click.offer);
        let coded = || {
            let code = said.code?;
            self.rows.iter().find(|row| row.code == code).map(|row| row.offer)
        };
        said.offer.or_else(clicked).or_else(coded).map(of_offer)
    }

    /// Clicks of the named ids, in order.
    pub(super) fn clicks_of(&self, said: &Postback) -> Vec<&Click> {
        let ids = said.ids.iter().filter_map(|id| match id {
            Id::Click(number) => self.click(*number),
            Id::Invented | Id::Garbage => None,
        });
        ids.filter(|click| click.is_redirected).collect()
    }

    pub(super) fn touched(&self, said: &Postback, advertiser: Option<usize>) -> Vec<&Click> {
        let mut clicks = self.clicks_of(said);
        clicks.sort_by(|a, b| a.transaction_id.cmp(&b.transaction_id));
        if advertiser != Some(CAREFUL) {
            clicks.reverse();
        }
        clicks
    }

    fn by_click(
        &self,
        said: &Postback,
        advertiser: Option<usize>,
        failures: &mut Vec<Failure>,
    ) -> Option<Owner> {
        if said.ids.contains(&Id::Garbage) {
            failures.push((12, None, false));
        }
        if said.ids.contains(&Id::Invented) {
            failures.push((12, None, false));
        }
        for click in self.touched(said, advertiser) {
            let whose = of_click(click);
            match self.obstacle_of_click(said, advertiser, click) {
                0 => return Some(whose),
                error => failures.push((error, Some(whose), true)),
            }
        }
        None
    }

    fn obstacle_of_click(&self, said: &Postback, advertiser: Option<usize>, click: &Click) -> u32 {
        let Some(offer) = click.offer else { return 13 };
        match () {
            () if said.offer.is_some_and(|asked_for| asked_for != offer) => 14,
            () if advertiser.is_some_and(|it| it != self.offers[offer].advertiser) => 15,
            () if !self.offers[offer].is_active => 18,
            () => 0,
        }
    }

    fn by_code(
        &self,
        said: &Postback,
        advertiser: Option<usize>,
        failures: &mut Vec<Failure>,
    ) -> Option<Owner> {
        let code = said.code?;
        let rows = if code == UNKNOWN_CODE { Vec::new() } else { self.live_rows(code) };
        if rows.is_empty() {
            failures.push((1001, None, false));
            return None;
        }
        let is_meant = |row: &&usize| match said.offer {
            Some(offer) => self.rows[**row].offer == offer,
            None => advertiser == Some(self.offers[self.rows[**row].offer].advertiser),
        };
        let meant: Vec<usize> = rows.iter().filter(is_meant).copied().collect();
        let row = match meant.as_slice() {
            [row] => *row,
            [] => {
                failures.push((if said.offer.is_some() { 1007 } else { 15 }, None, true));
                return None;
            }
            _ => {
                failures.push((1006, None, true));
                return None;
            }
        };
        let of_row = &self.rows[row];
        debug_assert!(of_row.code < CODES.len());
        let error = self.obstacle_of_row(of_row);
        let partner = of_row.partner.unwrap_or(usize::MAX);
        let click = |said: &Postback| {
            let clicks = self.touched(said, advertiser);
            let is_theirs = |click: &&&Click| {
                click.offer == Some(of_row.offer)
                    && click.partner == of_row.partner
                    && self.obstacle_of_click(said, advertiser, click) == 0
            };
            clicks.iter().find(is_theirs).map(|click| click.number)
        };
        let mut whose = Owner { offer: of_row.offer, partner, row: Some(row), click: None };
        if error != 0 {
            failures.push((error, Some(whose), true));
            return None;
        }
        whose.click = click(said);
        Some(whose)
    }

    fn by_names(&self, said: &Postback, failures: &mut Vec<Failure>) -> Option<Owner> {
        let (offer, partner) = (said.offer?, said.partner?);
        let whose = Owner { offer, partner, row: None, click: None };
        if self.offers[offer].is_active {
            return Some(whose);
        }
        failures.push((18, Some(whose), true));
        None
    }
}

fn of_click(click: &Click) -> Owner {
    Owner {
        offer: click.offer.unwrap_or(usize::MAX),
        partner: click.partner.unwrap_or(usize::MAX),
        row: click.row,
        click: Some(click.number),
    }
}
