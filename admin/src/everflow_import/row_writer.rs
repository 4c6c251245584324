//! Writes rows of another network by the rules of the catalog, and counts the outcomes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::listing::Row;
use super::object_kind::ObjectKind;
use super::object_reader::{ObjectReader, Remark};
use super::report::RowOutcome;
use super::{EverflowImport, RedirectingOffer};
use crate::catalog::{
    Advertiser, Affiliate, CouponCodeEdit, FieldError, Offer, OfferUrl, PartnerVisibility,
    PayoutRevenue, Pixel,
};
use crate::edit::moved::{self, Movable, MoveConflict, Moved};
use crate::edit::visibility::PartnerEntry;
use crate::edit::{EditError, Editable, coupon_codes};
use crate::store::rows;
use crate::store::{DedicatedConnection, StoreError, WriteTx};

/// The index holds offer ids in 24 bits.
const MAX_OFFER_ID: u32 = (1 << 24) - 1;

impl EverflowImport<'_> {
    pub(super) fn write_row(
        &mut self,
        tx: &WriteTx<'_>,
        kind: ObjectKind,
        row: Row,
    ) -> Result<(), StoreError> {
        let Some((id, reader)) = self.begin_row(kind, row) else { return Ok(()) };
        match kind {
            ObjectKind::Advertisers => self.write_advertiser(tx, id, reader),
            ObjectKind::Partners => self.write_partner(tx, id, reader),
            ObjectKind::Offers => self.write_offer(tx, id, reader),
            ObjectKind::OfferUrls => self.write_offer_url(tx, id, reader),
            ObjectKind::PartnerPostbacks => self.write_postback(tx, id, reader),
            // Neither comes row by row.
            ObjectKind::Access | ObjectKind::CouponCodes => Ok(()),
        }
    }

    /// Checks a row before the read of its fields. Refused and deleted rows are counted.
    fn begin_row(&mut self, kind: ObjectKind, row: Row) -> Option<(u32, ObjectReader)> {
        let reader = ObjectReader::new(kind, row);
        let id = reader.id_in(kind.id_field());
        if reader.is_deleted() {
            self.report.count(kind, RowOutcome::Deleted);
            return None;
        }
        let refusal = if id == 0 {
            format!("{} is missing or no number from 1 to {}", kind.id_field(), u32::MAX)
        } else if kind == ObjectKind::Offers && id > MAX_OFFER_ID {
            format!("ids of offers go up to {MAX_OFFER_ID} here")
        } else {
            match self.unmoved_reference(kind, &reader) {
                Some(reason) => reason,
                None => return Some((id, reader)),
            }
        };
        self.refuse(kind, id, refusal);
        None
    }

    /// Finds a reference to an object without a row of its own here.
    fn unmoved_reference(&self, kind: ObjectKind, reader: &ObjectReader) -> Option<String> {
        let references: &[ObjectKind] = match kind {
            ObjectKind::Offers => &[ObjectKind::Advertisers],
            ObjectKind::OfferUrls => &[ObjectKind::Offers],
            ObjectKind::CouponCodes | ObjectKind::PartnerPostbacks => {
                &[ObjectKind::Offers, ObjectKind::Partners]
            }
            _ => &[],
        };
        references.iter().find_map(|referred| {
            let id = reader.id_in(referred.id_field());
            let is_missing = self.not_moved.contains(&(*referred, id));
            is_missing.then(|| format!("{} {id} did not move, see there", referred.name()))
        })
    }

    fn write_advertiser(
        &mut self,
        tx: &WriteTx<'_>,
        id: u32,
        mut reader: ObjectReader,
    ) -> Result<(), StoreError> {
        if reader.text_in("account_status") == "pending" {
            reader.set("account_status", "inactive");
            let text = "is inactive here, because advertisers do not wait for approval";
            reader.remark("account_status = pending", text);
        }
        fill_hidden_secrets(tx, id, &mut reader)?;
        reader.normalize::<Advertiser>(Advertiser::READ_ONLY_FIELDS);
        let moved =
            self.put(tx, ObjectKind::Advertisers, id, reader, |reader, object: &Advertiser| {
                reader.remark_kept::<Advertiser>("", &object.kept);
            })?;
        self.count_moved(ObjectKind::Advertisers, id, moved);
        Ok(())
    }

    fn write_partner(
        &mut self,
        tx: &WriteTx<'_>,
        id: u32,
        mut reader: ObjectReader,
    ) -> Result<(), StoreError> {
        reader.normalize::<Affiliate>(Affiliate::READ_ONLY_FIELDS);
        let moved =
            self.put(tx, ObjectKind::Partners, id, reader, |reader, object: &Affiliate| {
                reader.remark_kept::<Affiliate>("", &object.kept);
            })?;
        self.count_moved(ObjectKind::Partners, id, moved);
        Ok(())
    }

    fn write_offer(
        &mut self,
        tx: &WriteTx<'_>,
        id: u32,
        mut reader: ObjectReader,
    ) -> Result<(), StoreError> {
        reader.normalize::<Offer>(Offer::READ_ONLY_FIELDS);
        if !reader.has("ruleset") {
            let text = "is not told by the API; set the targeting here if the offer has one";
            reader.remark("ruleset", text);
        }
        self.map_domain(&mut reader);
        if reader.id_in("network_offer_group_id") != 0 {
            reader.remark("network_offer_group_id", "is left out: groups of offers are not read");
        }
        reader.take("network_offer_group_id");
        let mut is_created = false;
        if !reader.list_in("internal_redirects").is_empty() {
            is_created = rows::find_including_deleted::<Offer>(tx, id)?.is_none();
            self.redirecting.push(RedirectingOffer { id, reader: reader.clone(), is_created });
            if !is_created {
                return Ok(());
            }
            reader.take("internal_redirects");
        }
        let moved = self.put(tx, ObjectKind::Offers, id, reader, remark_offer)?;
        if is_created && moved.is_some() {
            return Ok(());
        }
        if is_created {
            self.redirecting.pop();
        }
        self.count_offer(id, moved);
        Ok(())
    }

    fn write_offer_url(
        &mut self,
        tx: &WriteTx<'_>,
        id: u32,
        mut reader: ObjectReader,
    ) -> Result<(), StoreError> {
        let kind = ObjectKind::OfferUrls;
        reader.normalize::<OfferUrl>(OfferUrl::READ_ONLY_FIELDS);
        let moved = self.put::<OfferUrl>(tx, kind, id, reader, |_, _| {})?;
        self.count_moved(kind, id, moved);
        Ok(())
    }

    fn count_offer(&mut self, id: u32, moved: Option<Moved>) {
        let is_here = moved.as_ref().is_some_and(|moved| match moved {
            Moved::Conflict(conflict) => !conflict.is_foreign(),
            _ => true,
        });
        self.offers.extend(is_here.then_some(id));
        self.count_moved(ObjectKind::Offers, id, moved);
    }

    /// Replaces the id of the tracking domain by the id of the same host here.
    fn map_domain(&self, reader: &mut ObjectReader) {
        const FIELD: &str = "network_tracking_domain_id";
        let id = reader.id_in(FIELD);
        reader.take(FIELD);
        if id == 0 {
            return;
        }
        let host = self.source_hosts.get(&id);
        if let Some(own) = host.and_then(|host| self.own_hosts.get(host)) {
            reader.set(FIELD, *own);
            return;
        }
        let host = host.map_or_else(|| format!("domain {id}"), String::clone);
        let text = "is no tracking domain here, so the offer uses the default one; create it and \
                    import again, or choose another";
        reader.remark(format!("{FIELD} = {host}"), text);
    }

    /// Writes the offers with redirects, after all offers.
    pub(super) fn set_redirects(
        &mut self,
        connection: &mut DedicatedConnection,
    ) -> Result<(), StoreError> {
        let waiting = std::mem::take(&mut self.redirecting);
        let tx = connection.begin_write()?;
        for RedirectingOffer { id, mut reader, is_created } in waiting {
            if is_created {
                // The creation has reported these.
                reader.remarks.clear();
            }
            if self.leads_to_unmoved_offer(&reader) {
                let text = "are left out: one leads to an offer that did not move";
                reader.remark("internal_redirects", text);
                reader.take("internal_redirects");
            }
            let moved =
                self.put(&tx, ObjectKind::Offers, id, reader, |reader, object: &Offer| {
                    if !is_created {
                        remark_offer(reader, object);
                    }
                })?;
            let moved = if is_created { moved.map(|_| Moved::Created) } else { moved };
            self.count_offer(id, moved);
        }
        tx.commit()
    }

    fn leads_to_unmoved_offer(&self, reader: &ObjectReader) -> bool {
        let destinations = reader.list_in("internal_redirects").iter().filter_map(|redirect| {
            u32::try_from(redirect.get("redirect_network_offer_id")?.as_u64()?).ok()
        });
        destinations.into_iter().any(|id| self.not_moved.contains(&(ObjectKind::Offers, id)))
    }

    pub(super) fn write_access(
        &mut self,
        tx: &WriteTx<'_>,
        offer_id: u32,
        answer: &Value,
    ) -> Result<(), StoreError> {
        let kind = ObjectKind::Access;
        let mut remarks = Vec::new();
        let mut entries = Vec::new();
        for entry in partner_entries(answer) {
            let id = entry.network_affiliate_id;
            let has_moved = !self.not_moved.contains(&(ObjectKind::Partners, id));
            if has_moved && rows::exists::<Affiliate>(tx, id)? {
                entries.push(entry);
            } else {
                let field = format!("partner {id}");
                remarks.push(Remark { field, text: "is not here, so has no access".into() });
            }
        }
        self.report.remark(kind, offer_id, remarks);
        match moved::put_access(tx, offer_id, entries, self.overwrite) {
            // Most offers are open to all partners alike.
            Ok(None) => {}
            Ok(moved) => self.count_moved(kind, offer_id, moved),
            Err(EditError::Store(error)) => return Err(error),
            Err(error) => self.refuse(kind, offer_id, error.to_string()),
        }
        Ok(())
    }

    pub(super) fn write_codes(
        &mut self,
        connection: &mut DedicatedConnection,
        page: Vec<Row>,
    ) -> Result<(), StoreError> {
        let kind = ObjectKind::CouponCodes;
        let mut codes = Vec::with_capacity(page.len());
        for row in page {
            let Some((id, mut reader)) = self.begin_row(kind, row) else { continue };
            match read_code(&mut reader) {
                Ok(code) => codes.push((id, code)),
                Err(errors) => self.refuse(kind, id, sentence_of(&errors)),
            }
            self.report.remark(kind, id, reader.remarks);
        }
        loop {
            let tx = connection.begin_write()?;
            let written = coupon_codes::put_moved(&tx, &codes, self.overwrite)?;
            if !written.violations.is_empty() {
                // Rolled back, and repeated without the rows that cannot stand beside the others.
                drop(tx);
                for (id, conflict) in written.violations {
                    self.count_moved(kind, id, Some(Moved::Conflict(conflict)));
                    codes.retain(|(code_id, _)| *code_id != id);
                }
                continue;
            }
            tx.commit()?;
            for ((id, _), result) in codes.iter().zip(written.rows) {
                match result {
                    Ok(moved) => self.count_moved(kind, *id, Some(moved)),
                    Err(errors) => self.refuse(kind, *id, sentence_of(&errors)),
                }
            }
            return Ok(());
        }
    }

    fn write_postback(
        &mut self,
        tx: &WriteTx<'_>,
        id: u32,
        mut reader: ObjectReader,
    ) -> Result<(), StoreError> {
        let kind = ObjectKind::PartnerPostbacks;
        let usual = [("delivery_method", "postback"), ("pixel_type", "conversion post_conversion")];
        for (field, words) in usual {
            let word = reader.text_in(field);
            if !word.is_empty() && !words.split(' ').any(|usual| usual == word) {
                let field = format!("{field} = {word}");
                let text = "is not possible here: partners are told of conversions and events, by \
                            requests of this server";
                let remark = Remark { field, text: text.into() };
                self.report.remark(kind, id, vec![remark]);
            }
        }
        // Follows from the offer.
        reader.take("pixel_level");
        reader.normalize::<Pixel>(Pixel::READ_ONLY_FIELDS);
        let target = reader.clone().read::<Pixel>().ok().and_then(|pixel| pixel.target());
        let checked = target.map_or(Ok(()), |url| self.addresses.check_literal(&url));
        if let Err(error) = checked {
            self.refuse(kind, id, format!("postback_url: {error}"));
            return Ok(());
        }
        let moved = self.put::<Pixel>(tx, kind, id, reader, |_, _| {})?;
        self.count_moved(kind, id, moved);
        Ok(())
    }

    /// Writes an object. `None`: refused and counted.
    fn put<T: Movable>(
        &mut self,
        tx: &WriteTx<'_>,
        kind: ObjectKind,
        id: u32,
        mut reader: ObjectReader,
        remark: impl Fn(&mut ObjectReader, &T),
    ) -> Result<Option<Moved>, StoreError> {
        let moved = loop {
            let put = reader.read::<T>().map(|object| {
                let moved = moved::put(tx, id, &object, self.overwrite);
                (object, moved)
            });
            let wrong = match put {
                Ok((object, Ok(moved))) => {
                    remark(&mut reader, &object);
                    break Some(moved);
                }
                Ok((_, Err(EditError::Store(error)))) => return Err(error),
                Ok((_, Err(EditError::Invalid(errors)))) => reader.leave_all_out(errors).err(),
                Ok((_, Err(other))) => {
                    break Some(Moved::Conflict(MoveConflict::OtherRow(other.to_string())));
                }
                Err(errors) => Some(errors),
            };
            if let Some(errors) = wrong {
                self.refuse(kind, id, sentence_of(&errors));
                break None;
            }
        };
        self.report.remark(kind, id, reader.remarks);
        Ok(moved)
    }

    fn refuse(&mut self, kind: ObjectKind, id: u32, reason: String) {
        self.not_moved.insert((kind, id));
        self.report.leave_alone(kind, id, RowOutcome::Refused, reason);
    }

    fn count_moved(&mut self, kind: ObjectKind, id: u32, moved: Option<Moved>) {
        let outcome = match moved {
            None => return,
            Some(Moved::Created) => RowOutcome::Created,
            Some(Moved::Updated) => RowOutcome::Updated,
            Some(Moved::Equal) => RowOutcome::Equal,
            Some(Moved::Conflict(conflict)) => {
                if conflict.is_foreign() {
                    self.not_moved.insert((kind, id));
                }
                let reason = conflict.to_string();
                return self.report.leave_alone(kind, id, RowOutcome::Conflict, reason);
            }
        };
        self.report.count(kind, outcome);
    }
}

/// Fills in the secrets of the object here if the source hides its secrets.
fn fill_hidden_secrets(
    tx: &WriteTx<'_>,
    id: u32,
    reader: &mut ObjectReader,
) -> Result<(), StoreError> {
    let known = rows::find::<Advertiser>(tx, id)?.map(|row| row.object);
    let known = known.map(|known| (known.verification_token, known.signing_key));
    let (token, key) = known.unwrap_or_default();
    for (field, known) in [("verification_token", token), ("signing_key", key)] {
        let is_named =
            reader.list_in("trust_rules").iter().any(|rule| rule.as_str() == Some(field));
        let is_hidden = is_named && reader.text_in(field).is_empty();
        // Everflow has no signing keys.
        let is_missing = !reader.has(field) && field == "verification_token";
        if is_hidden || is_missing {
            let text = "is not told by the API; set it here, or postbacks of anybody count";
            reader.remark(field, text);
            reader.set(field, known);
        }
    }
    Ok(())
}

fn remark_offer(reader: &mut ObjectReader, offer: &Offer) {
    reader.remark_kept::<Offer>("", &offer.kept);
    for entry in &offer.payout_revenue {
        reader.remark_kept::<PayoutRevenue>("payout_revenue[].", &entry.kept);
    }
}

fn read_code(reader: &mut ObjectReader) -> Result<CouponCodeEdit, Vec<FieldError>> {
    reader.normalize::<CouponCodeEdit>(coupon_codes::READ_ONLY_FIELDS);
    loop {
        let code: CouponCodeEdit = reader.read()?;
        match code.clone().check() {
            Ok(_) => return Ok(code),
            Err(errors) => reader.leave_all_out(errors)?,
        }
    }
}

/// The entries of partners in an answer about an offer, by id.
fn partner_entries(answer: &Value) -> Vec<PartnerEntry> {
    let lists = [
        ("network_affiliate_visible_ids", PartnerVisibility::Visible),
        ("network_affiliate_hidden_ids", PartnerVisibility::Hidden),
        ("network_affiliate_rejected_ids", PartnerVisibility::Rejected),
    ];
    let mut entries = BTreeMap::new();
    for (field, status) in lists {
        let ids = answer.get(field).and_then(Value::as_array).into_iter().flatten();
        for id in ids.filter_map(Value::as_u64).filter_map(|id| u32::try_from(id).ok()) {
            entries.insert(id, PartnerEntry { network_affiliate_id: id, status });
        }
    }
    entries.into_values().collect()
}

fn sentence_of(errors: &[FieldError]) -> String {
    let texts: Vec<String> =
        errors.iter().map(|error| format!("{}: {}", error.field, error.error)).collect();
    texts.join("; ")
}
