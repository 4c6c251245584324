//! Eligibility: whether a coupon code, its offer and its partner may redirect or convert on a day.
//!
//! Three callers ask: the redirect ([`crate::decision`]), the state of a code's link in lists, and
//! the attribution of a conversion (both in coupon-admin). Conditions and their order stand only
//! here. The first unmet condition is the answer:
//!
//! | terms | condition | unmet |
//! |---|---|---|
//! | code | status is active | `Paused` |
//! | code | a partner is assigned | `Unassigned` |
//! | code | first day has come | `NotStarted` |
//! | code | last day has not passed | `Expired` |
//! | offer | status is active | `OfferNotActive` |
//! | offer | last day has not passed | `OfferEnded` |
//! | partner | account is active | `PartnerNotActive` |
//! | access | offer is open to the partner | `NotRunnable` |
//!
//! Visits and postbacks without a code skip the code's terms. Both days are inclusive.
//!
//! Deliberately absent: looking up. A missing or deleted offer or partner means different things to
//! the callers, and each of them deals with it before it asks: the redirect records `incomplete`,
//! the link names the deleted object first because no edit of the code can mend that, and the
//! conversion refuses a missing offer as `invalid_offer` and a missing partner as not active. The
//! link also names a missing assignment before any other state, because such a code has no link.

use crate::civil_day::Day;
use crate::snapshot::level::CodeRecord;

/// The first condition that is not met. [`Ineligibility::IN_ORDER`] has the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ineligibility {
    /// The coupon code is not active.
    Paused,
    /// The coupon code has no partner.
    Unassigned,
    /// The coupon code's first day has not come.
    NotStarted,
    /// The coupon code's last day has passed.
    Expired,
    /// The offer's status is not active.
    OfferNotActive,
    /// The offer's last day has passed.
    OfferEnded,
    /// The partner's account is not active.
    PartnerNotActive,
    /// The offer is not open to the partner.
    NotRunnable,
}

impl Ineligibility {
    /// Every variant, in the order of the checks.
    pub const IN_ORDER: [Ineligibility; 8] = [
        Ineligibility::Paused,
        Ineligibility::Unassigned,
        Ineligibility::NotStarted,
        Ineligibility::Expired,
        Ineligibility::OfferNotActive,
        Ineligibility::OfferEnded,
        Ineligibility::PartnerNotActive,
        Ineligibility::NotRunnable,
    ];
}

/// The terms of a coupon code. `D` is a civil day: [`Day`] for published records,
/// a calendar date for rows of the store. An open end is the first or last value of `D`.
#[derive(Debug, Clone, Copy)]
pub struct CodeTerms<D> {
    /// The code's status is active.
    pub active: bool,
    /// The code has a partner.
    pub assigned: bool,
    /// First day on which the code works.
    pub first_day: D,
    /// Last day on which the code works.
    pub last_day: D,
}

impl From<&CodeRecord> for CodeTerms<Day> {
    #[inline]
    fn from(row: &CodeRecord) -> CodeTerms<Day> {
        CodeTerms {
            active: row.active,
            assigned: row.partner_id != 0,
            first_day: row.first_day,
            last_day: row.last_day,
        }
    }
}

impl<D: PartialOrd> CodeTerms<D> {
    /// Checks the code's own terms.
    ///
    /// # Errors
    /// The first condition that is not met.
    #[inline]
    pub fn check(&self, today: D) -> Result<(), Ineligibility> {
        match () {
            () if !self.active => Err(Ineligibility::Paused),
            () if !self.assigned => Err(Ineligibility::Unassigned),
            () if today < self.first_day => Err(Ineligibility::NotStarted),
            () if today > self.last_day => Err(Ineligibility::Expired),
            () => Ok(()),
        }
    }
}

/// The terms under which a partner runs an offer, with any code or without one.
#[derive(Debug, Clone, Copy)]
pub struct RunTerms<D, F> {
    /// The offer's status is active.
    pub offer_active: bool,
    /// Last day on which the offer redirects and converts.
    pub offer_last_day: D,
    /// The partner's account is active.
    pub partner_active: bool,
    /// Whether the offer is open to the partner.
    pub access: AccessCheck<F>,
}

/// When the partner's access to the offer is checked.
#[derive(Debug, Clone, Copy)]
pub enum AccessCheck<F> {
    /// Now. The closure runs only if every other condition is met, because it may search a list.
    Now(F),
    /// It was checked when the click was redirected, and is not checked again: a partner who loses
    /// access keeps the sales of clicks from before.
    AtClick,
}

impl<D: PartialOrd, F: FnOnce() -> bool> RunTerms<D, F> {
    /// Checks offer, partner and access. A code's own terms come first ([`CodeTerms::check`]).
    ///
    /// # Errors
    /// The first condition that is not met.
    #[inline]
    pub fn check(self, today: D) -> Result<(), Ineligibility> {
        match () {
            () if !self.offer_active => Err(Ineligibility::OfferNotActive),
            () if today > self.offer_last_day => Err(Ineligibility::OfferEnded),
            () if !self.partner_active => Err(Ineligibility::PartnerNotActive),
            () => match self.access {
                AccessCheck::Now(can_run) => {
                    if can_run() {
                        Ok(())
                    } else {
                        Err(Ineligibility::NotRunnable)
                    }
                }
                AccessCheck::AtClick => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Terms with the conditions unmet whose bits are set, in the order of the checks.
    fn first_unmet(unmet: u32) -> Option<Ineligibility> {
        let is_met = |at: u32| unmet >> at & 1 == 0;
        let code = CodeTerms {
            active: is_met(0),
            assigned: is_met(1),
            first_day: if is_met(2) { 10 } else { 11 },
            last_day: if is_met(3) { 10 } else { 9 },
        };
        let run = RunTerms {
            offer_active: is_met(4),
            offer_last_day: if is_met(5) { 10 } else { 9 },
            partner_active: is_met(6),
            access: AccessCheck::Now(|| is_met(7)),
        };
        code.check(10).and_then(|()| run.check(10)).err()
    }

    #[test]
    fn the_first_unmet_condition_is_the_answer_in_all_combinations() {
        for unmet in 0..1_u32 << Ineligibility::IN_ORDER.len() {
            let first = Ineligibility::IN_ORDER.get(unmet.trailing_zeros() as usize);
            assert_eq!(first_unmet(unmet).as_ref(), first, "{unmet:08b}");
        }
    }

    #[test]
    fn access_is_asked_last_and_not_at_all_for_a_recorded_click() {
        let terms = |offer_active, access: AccessCheck<fn() -> bool>| RunTerms {
            offer_active,
            offer_last_day: 10,
            partner_active: true,
            access,
        };
        let not_asked = AccessCheck::Now((|| unreachable!()) as fn() -> bool);
        assert_eq!(terms(false, not_asked).check(1), Err(Ineligibility::OfferNotActive));
        assert_eq!(terms(true, AccessCheck::AtClick).check(1), Ok(()));
        assert_eq!(
            terms(true, AccessCheck::Now(|| false)).check(1),
            Err(Ineligibility::NotRunnable)
        );
    }
}
