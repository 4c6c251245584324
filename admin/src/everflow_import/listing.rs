//! Reads lists of another network page by page.

use serde_json::{Map, Value, json};

use super::client::{SourceClient, SourceError};
use super::object_kind::ObjectKind;

/// An object as answered.
pub(super) type Row = Map<String, Value>;

/// Rows of a page, from the largest size that a server may take to the default.
const PAGE_SIZES: [u32; 4] = [2000, 500, 100, 50];
/// Offers come with rulesets and payouts.
const LARGEST_OFFER_PAGE: u32 = 500;

/// The pages of a list.
pub(super) struct Pages {
    kind: ObjectKind,
    number: u32,
    sizes: Vec<u32>,
    /// The server has no `GET` of the list, so the table is asked.
    is_table: bool,
    first_of_last_page: Option<Value>,
    /// Rows so far.
    pub(super) read: u64,
    /// Rows of the list, if the server tells it.
    pub(super) total: Option<u64>,
    is_done: bool,
}

impl Pages {
    pub(super) fn new(kind: ObjectKind) -> Pages {
        let largest = if kind == ObjectKind::Offers { LARGEST_OFFER_PAGE } else { PAGE_SIZES[0] };
        let mut sizes: Vec<u32> = PAGE_SIZES.into_iter().filter(|size| *size <= largest).collect();
        sizes.reverse();
        Pages {
            kind,
            number: 1,
            sizes,
            is_table: false,
            first_of_last_page: None,
            read: 0,
            total: None,
            is_done: false,
        }
    }

    /// Whether rows come from a table, which may leave fields out.
    pub(super) fn is_table(&self) -> bool {
        self.is_table
    }

    /// The next page; `None` behind the last one.
    ///
    /// # Errors
    /// When the server gives no usable answer.
    pub(super) async fn next(
        &mut self,
        client: &mut SourceClient,
    ) -> Result<Option<Vec<Row>>, SourceError> {
        if self.is_done {
            return Ok(None);
        }
        let answer = self.request(client).await?;
        let rows = self.rows(&answer)?;
        let total = answer.pointer("/paging/total_count").and_then(Value::as_u64);
        self.total = total.or(self.total);
        let first = rows.first().and_then(|row| row.get(self.kind.id_field())).cloned();
        // Such a server ignores `page`, and this list would never end.
        let is_repeated = first.is_some() && first == self.first_of_last_page;
        if rows.is_empty() || is_repeated {
            self.is_done = true;
            return Ok(None);
        }
        self.first_of_last_page = first;
        self.read += rows.len() as u64;
        self.number += 1;
        self.is_done = self.total.is_some_and(|total| self.read >= total);
        Ok(Some(rows))
    }

    async fn request(&mut self, client: &mut SourceClient) -> Result<Value, SourceError> {
        loop {
            let size = self.sizes.last().copied().unwrap_or(PAGE_SIZES[3]);
            let page = format!("page={}&page_size={size}", self.number);
            let path = self.kind.path();
            let answer = if self.is_table {
                let body = json!({"filters": {}, "search_terms": []});
                client.post(&format!("/{path}table?{page}"), &body).await
            } else {
                client.get(&format!("/{path}?{page}")).await
            };
            match answer {
                Err(error) if error.is_missing_route() && !self.is_table && self.number == 1 => {
                    self.is_table = true;
                }
                Err(error)
                    if error.is_bad_request() && self.number == 1 && self.sizes.len() > 1 =>
                {
                    self.sizes.pop();
                }
                answer => return answer,
            }
        }
    }

    fn rows(&self, answer: &Value) -> Result<Vec<Row>, SourceError> {
        let rows = self.kind.row_fields().iter().find_map(|field| answer.get(field));
        let rows = match rows {
            Some(Value::Array(rows)) => rows.as_slice(),
            // A list without rows may be null.
            Some(Value::Null) => &[],
            _ => {
                let fields = self.kind.row_fields().join(" or ");
                return Err(SourceError::NotTheApi {
                    url: format!("/v1/networks/{}", self.kind.path()),
                    what: format!("JSON without the list {fields}"),
                });
            }
        };
        Ok(rows.iter().filter_map(Value::as_object).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_under_both_names_of_codes_and_nowhere_else() {
        let pages = Pages::new(ObjectKind::CouponCodes);
        for name in ["coupon_codes", "couponcodes"] {
            assert_eq!(pages.rows(&json!({name: [{"coupon_code": "A"}]})).unwrap().len(), 1);
        }
        assert_eq!(pages.rows(&json!({"coupon_codes": null})).unwrap().len(), 0);
        let error = pages.rows(&json!({"message": "hello"})).unwrap_err().to_string();
        assert!(error.contains("JSON without the list coupon_codes"), "{error}");
    }
}
