//! Rate limits: requests of each key and each user, and failed authentications from each address.
//!
//! Each key and each user has a budget that refills evenly over [`WINDOW`]; the budget of a whole window may be
//! used at once. Each address has such a budget of failures; beyond the budget, failures get 429. A
//! good key always passes, regardless of failures from the same address: a key has 192 random bits,
//! so guessing is hopeless, and a guesser must not be able to lock out other users. Memory is
//! bounded: the numbers of keys and users are limited, and addresses beyond [`MAX_ADDRESSES`] share one budget.

use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::error::ApiError;
use crate::catalog::{Caller, Role};
use crate::client_network::network_of;
use crate::config;
use crate::store::origin::Actor;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");

/// The time for a full refill of a budget.
pub(super) const WINDOW: Duration = Duration::from_secs(30);
/// Most addresses with a budget of their own.
const MAX_ADDRESSES: usize = 16_384;
/// Number of budgets of callers above which full budgets are dropped.
const MANY_CALLERS: usize = 1_024;

/// The budgets of callers and addresses.
pub(super) struct RateLimits {
    network: Option<Budgets<Actor>>,
    partner: Option<Budgets<Actor>>,
    advertiser: Option<Budgets<Actor>>,
    failures: Option<Budgets<IpAddr>>,
}

/// The rest of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    limit: u32,
    remaining: u32,
    /// Set if the budget was exhausted: the time until the next request is allowed.
    retry_after: Option<Duration>,
}

impl RateLimits {
    pub(super) fn new(limits: &config::ClientLimits) -> RateLimits {
        RateLimits {
            network: Budgets::new(limits.network_requests_per_30s),
            partner: Budgets::new(limits.partner_requests_per_30s),
            advertiser: Budgets::new(limits.advertiser_requests_per_30s),
            failures: Budgets::new(limits.auth_failures_per_30s),
        }
    }

    /// Charges a request to the budget of its key or user. `None`: no limit.
    pub(super) fn charge_caller(&self, caller: Caller) -> Option<Allowance> {
        let budgets = match caller.role {
            Role::Admin | Role::Manager | Role::ReadOnly => self.network.as_ref()?,
            Role::Partner => self.partner.as_ref()?,
            Role::Advertiser => self.advertiser.as_ref()?,
        };
        if budgets.limiter.len() > MANY_CALLERS {
            budgets.limiter.retain_recent();
        }
        Some(budgets.take(&caller.actor))
    }

    /// Charges a failure to an address's budget. `None`: no limit.
    pub(super) fn charge_failure(&self, address: IpAddr) -> Option<Allowance> {
        let budgets = self.failures.as_ref()?;
        let mut address = network_of(address);
        if budgets.limiter.len() >= MAX_ADDRESSES {
            budgets.limiter.retain_recent();
            if budgets.limiter.len() >= MAX_ADDRESSES {
                address = SHARED_ADDRESS;
            }
        }
        Some(budgets.take(&address))
    }
}

impl Allowance {
    /// The 429 answer, if the budget was exhausted.
    pub(super) fn refusal(&self, subject: &str) -> Option<Response> {
        let seconds = self.retry_after?.as_secs_f64().ceil().max(1.0) as u64;
        let message = format!(
            "too many requests {subject}: {} in {} s are allowed; try again in {seconds} s",
            self.limit,
            WINDOW.as_secs()
        );
        let refusal = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate.limited", message);
        let mut response = refusal.into_response();
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
        Some(response)
    }

    /// Adds the state of the budget to the headers of an answer.
    pub(super) fn add_headers(&self, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
    }
}

/// Budgets by key, created on demand.
struct Budgets<K: Hash + Eq + Clone> {
    limit: u32,
    limiter: RateLimiter<K, HashMapStateStore<K>, DefaultClock, StateInformationMiddleware>,
}

impl<K: Hash + Eq + Clone> Budgets<K> {
    /// `None` for 0: no limit.
    fn new(limit: u32) -> Option<Budgets<K>> {
        let burst = NonZeroU32::new(limit)?;
        let quota = Quota::with_period(WINDOW / limit)?.allow_burst(burst);
        let limiter = RateLimiter::hashmap(quota).with_middleware();
        Some(Budgets { limit, limiter })
    }

    fn take(&self, key: &K) -> Allowance {
        match self.limiter.check_key(key) {
            Ok(left) => Allowance {
                limit: self.limit,
                remaining: left.remaining_burst_capacity(),
                retry_after: None,
            },
            Err(not_until) => Allowance {
                limit: self.limit,
                remaining: 0,
                retry_after: Some(not_until.wait_time_from(self.limiter.clock().now())),
            },
        }
    }
}

/// The shared budget of addresses beyond [`MAX_ADDRESSES`].
const SHARED_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(network: u32, failures: u32) -> RateLimits {
        RateLimits::new(&config::ClientLimits {
            network_requests_per_30s: network,
            auth_failures_per_30s: failures,
            ..config::Config::default().limits
        })
    }

    fn caller(actor: Actor) -> Caller {
        Caller { actor, role: Role::Admin, affiliate_id: None, advertiser_id: None }
    }

    #[test]
    fn a_key_has_its_window_at_once_and_then_waits() {
        let limits = limits(3, 1);
        let left: Vec<u32> = (0..3)
            .map(|_| limits.charge_caller(caller(Actor::ApiKey(1))).unwrap().remaining)
            .collect();
        assert_eq!(left, [2, 1, 0]);
        let refused = limits.charge_caller(caller(Actor::ApiKey(1))).unwrap();
        let wait = refused.retry_after.unwrap();
        assert!(wait > Duration::from_secs(9) && wait <= Duration::from_secs(10), "{wait:?}");
        assert!(refused.refusal("").is_some());
        // A user with the id of a key has a budget of their own.
        for other in [Actor::ApiKey(2), Actor::User(1)] {
            assert!(limits.charge_caller(caller(other)).unwrap().refusal("").is_none());
        }
    }

    #[test]
    fn zero_is_no_limit() {
        let limits = limits(0, 0);
        assert_eq!(limits.charge_caller(caller(Actor::ApiKey(1))), None);
        assert_eq!(limits.charge_failure(SHARED_ADDRESS), None);
    }

    #[test]
    fn an_address_that_used_up_its_failures_waits_and_its_neighbour_does_not() {
        let limits = limits(0, 2);
        let is_refused = |address: &str| {
            limits.charge_failure(address.parse().unwrap()).unwrap().refusal("").is_some()
        };
        // One IPv6 network is one address.
        let tries = ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(is_refused);
        assert_eq!(tries, [false, false, true]);
        assert_eq!(["2001:db8:0:1::1", "192.0.2.1"].map(is_refused), [false; 2]);
    }

    #[test]
    fn a_million_addresses_take_no_more_memory_than_some() {
        let limits = limits(0, 2);
        for number in 0..20_000_u32 {
            limits.charge_failure(Ipv4Addr::from_bits(number + 1).into());
        }
        let budgets = limits.failures.as_ref().unwrap();
        assert!(budgets.limiter.len() <= MAX_ADDRESSES + 1, "{}", budgets.limiter.len());
    }
}
