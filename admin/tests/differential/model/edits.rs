//! Edits in the model.

use super::{EVENT_TERMS, Model, Row, TERMS};
use crate::steps::Edit;

impl Model {
    /// Whether this edit is possible in the present state.
    pub(crate) fn can_edit(&self, edit: &Edit) -> bool {
        let has = |code: usize, offer: usize| self.row_of(code, offer).is_some();
        match *edit {
            Edit::CodeStatus { code, offer, .. } | Edit::CodeDeleted { code, offer } => {
                has(code, offer)
            }
            // A code has at most one partner: only a code with one row can move.
            Edit::CodePartner { code, offer, .. } | Edit::CodeOffer { code, offer, .. } => {
                has(code, offer) && self.live_rows(code).len() == 1
            }
            Edit::CodeCreated { code, offer, partner } => {
                let others = self.live_rows(code);
                let mut partners = others.iter().filter_map(|row| self.rows[*row].partner);
                !has(code, offer) && partners.all(|it| partner.is_none_or(|partner| partner == it))
            }
            Edit::Event { offer, is_there } => self.offers[offer].event.is_some() != is_there,
            _ => true,
        }
    }

    pub(crate) fn row_of(&self, code: usize, offer: usize) -> Option<usize> {
        self.live_rows(code).into_iter().find(|row| self.rows[*row].offer == offer)
    }

    /// `new_id` is the API's id of a new row or event.
    pub(crate) fn edit(&mut self, edit: &Edit, new_id: u64) {
        let row = match *edit {
            Edit::CodeStatus { code, offer, .. }
            | Edit::CodePartner { code, offer, .. }
            | Edit::CodeOffer { code, offer, .. }
            | Edit::CodeDeleted { code, offer } => self.row_of(code, offer),
            _ => None,
        };
        let mut nothing = Row {
            id: new_id,
            code: 0,
            offer: 0,
            partner: None,
            is_active: true,
            has_begun: true,
            has_ended: false,
            is_deleted: false,
        };
        let row = match row {
            Some(row) => &mut self.rows[row],
            None => &mut nothing,
        };
        match *edit {
            Edit::CodeStatus { active, .. } => row.is_active = active,
            Edit::CodePartner { partner, .. } => row.partner = Some(partner),
            Edit::CodeOffer { to, .. } => row.offer = to,
            Edit::CodeDeleted { .. } => row.is_deleted = true,
            Edit::CodeCreated { code, offer, partner } => {
                let known = self.rows.iter().any(|row| row.code == code && row.partner.is_some());
                if known && partner.is_none() {
                    self.kinds.saw("a code created anew beside an unassigned one");
                }
                self.rows.push(Row { code, offer, partner, ..nothing });
            }
            Edit::OfferStatus { offer, active } => self.offers[offer].is_active = active,
            Edit::Currency { offer, currency } => self.offers[offer].currency = currency,
            Edit::Terms { offer, terms } => self.offers[offer].terms = TERMS[terms],
            Edit::Duplicates { offer, allowed } => self.offers[offer].allows_duplicates = allowed,
            Edit::MustApprove { offer, must } => self.offers[offer].must_approve = must,
            Edit::Event { offer, is_there } => {
                self.offers[offer].event = is_there.then_some((new_id, EVENT_TERMS));
            }
            Edit::Session { offer, by_address } => {
                if self.offers[offer].by_address != by_address {
                    self.kinds.saw("a session that is defined anew");
                }
                self.offers[offer].by_address = by_address;
            }
            Edit::Rules { offer, rules } => self.offers[offer].rules = rules,
            Edit::Bots { checker } => {
                self.kinds.saw("an edit of the list of bots");
                self.checker_is_bot = checker;
            }
        }
    }
}
