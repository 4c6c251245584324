//! The real programs against a model of the outside contract for visits, postbacks, conversions and
//! reports: for each random stream of steps, both must give the same results.
//!
//! `COUPON_TESTS_SEED` sets the first stream, `COUPON_TESTS_ROUNDS` the number of streams:
//! `COUPON_TESTS_ROUNDS=50 cargo test -p coupon-admin --test differential -- --nocapture`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "end_to_end/chance.rs"]
mod chance;
#[path = "end_to_end/http.rs"]
#[allow(dead_code, reason = "written for the tests of both programs")]
mod http;
#[path = "end_to_end/programs.rs"]
#[allow(dead_code, reason = "written for the tests of both programs")]
mod programs;

#[path = "differential/compare.rs"]
mod compare;
#[path = "differential/expect.rs"]
mod expect;
#[path = "differential/generate.rs"]
mod generate;
#[path = "differential/kinds.rs"]
mod kinds;
#[path = "differential/model.rs"]
mod model;
#[path = "differential/money.rs"]
mod money;
#[path = "differential/rounds.rs"]
mod rounds;
#[path = "differential/steps.rs"]
mod steps;
#[path = "differential/world.rs"]
mod world;
