//! Looks when the certificates of the NATS servers end: all edges would lose them in one moment.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coupon_serve::tls::{Dates, Validity};

use super::nats::{self, NatsSettings};
use crate::worker::{RetryDelays, Worker};

/// How often; a renewed certificate is known after this time.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
const DAY_SECONDS: i64 = 86_400;

/// The dates that were seen last; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerCertificate(Arc<Mutex<Option<Validity>>>);

impl ServerCertificate {
    pub(super) fn dates(&self) -> Option<Validity> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, dates: Option<Validity>) {
        // Unreachable servers say nothing about a certificate.
        if dates.is_some() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = dates;
        }
    }
}

/// What to do about a certificate that is near its end or past it, in a sentence.
pub(super) fn problem(dates: Validity, now: i64) -> Option<String> {
    let days = (dates.not_after - now).div_euclid(DAY_SECONDS);
    match dates.dates_at(now) {
        Dates::Valid | Dates::NotYetValid => None,
        Dates::NearEnd => Some(format!(
            "the certificate of the NATS server ends in {days} day(s), and then neither edges nor \
             coupon-admin reach it: renew it, and reload the server"
        )),
        Dates::Expired => Some(
            "the certificate of the NATS server has expired: renew it, and reload the server"
                .to_owned(),
        ),
    }
}

pub(super) struct CertificateWatch {
    settings: NatsSettings,
    certificate: ServerCertificate,
}

impl CertificateWatch {
    pub(super) fn new(settings: &NatsSettings, certificate: ServerCertificate) -> CertificateWatch {
        let settings =
            NatsSettings { name: format!("{}, check", settings.name), ..settings.clone() };
        CertificateWatch { settings, certificate }
    }
}

impl Worker for CertificateWatch {
    const NAME: &'static str = "dates of the certificate of NATS";
    const RETRY_DELAYS: RetryDelays = RetryDelays::constant(INTERVAL);
    type Error = Infallible;

    async fn step(&mut self) -> Result<(), Infallible> {
        self.certificate.note(nats::certificate_dates(&self.settings).await);
        Ok(())
    }

    async fn wait_for_work(&mut self) {
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_a_problem_when_its_renewal_is_late() {
        let dates = Validity { not_before: 0, not_after: 90 * DAY_SECONDS };
        let on = |day: i64| problem(dates, day * DAY_SECONDS);
        assert_eq!((on(0), on(75)), (None, None));
        assert!(on(80).unwrap().contains("in 10 day(s)"));
        assert!(on(91).unwrap().contains("has expired"));
    }
}
