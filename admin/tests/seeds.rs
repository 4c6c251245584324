//! The published descriptions of coupon codes as tests, sentence by sentence. Sentences about
//! visits run on both real programs, the others on the API. The test names are the list.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "end_to_end/http.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod http;
#[path = "end_to_end/programs.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod programs;

#[path = "seeds/shop.rs"]
mod shop;

#[path = "seeds/help_page.rs"]
mod help_page;
#[path = "seeds/help_page_bulk.rs"]
mod help_page_bulk;
#[path = "seeds/partner_api.rs"]
mod partner_api;
