//! The worker that keeps certificates current: compares the wish with the key files and with
//! coupond, installs and removes, and makes one order at a time.
//!
//! Each attempt is recorded with its next time before the ACME server is asked, so neither a crash
//! nor a restart loop repeats orders. The number of orders in an hour is bounded over all hosts.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coupon_serve::tls::{CertifiedPair, check_pair};
use coupon_shared::removal_clock::RemovalRefused;
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::CertificatesStatus;
use super::key_files::{KeyFiles, KeyPair};
use super::order::{AcmeClient, ORDER_TIMEOUT, OrderError, order_certificate};
use super::schedule::{RetryDelays, can_wait, due_at, is_near_end, problem};
use crate::catalog::EventType;
use crate::daemon_client::{DaemonClient, DaemonError, InstalledCertificate};
use crate::nodes::{Daemon, NodeRegistry};
use crate::publish::PublisherHandle;
use crate::store::certificates::{self, HostCertificate};
use crate::store::meta::{self, Sequence};
use crate::store::{ReadTx, Store, StoreError, WriteTx, events, removal_clock};
use crate::worker::{self, Worker};

/// Interval between comparisons with coupond.
const COMPARISON_INTERVAL: Duration = Duration::from_secs(300);
/// Interval between looks for edits, also of other processes.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long coupond may take to serve the account's thumbprint.
const LIVE_TIMEOUT: Duration = Duration::from_secs(60);
/// Let's Encrypt takes 300 new orders in three hours.
const ORDERS_PER_HOUR: usize = 60;
const HOUR: Duration = Duration::from_secs(3600);
/// While the clock is not trusted, renewals that can wait are looked at again after this time.
const CLOCK_WAIT: Duration = Duration::from_secs(600);

/// Why a round failed; the round is repeated.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoundError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error("the key files cannot be used: {0}")]
    KeyFile(#[from] std::io::Error),
    #[error("there is no coupond that could answer for the domains and take their certificates")]
    NoDaemon,
}

/// A daemon, and the certificates that it got from coupon-admin.
type DaemonCertificates = (Daemon, Vec<InstalledCertificate>);

pub(super) struct CertificateWorker {
    store: Store,
    publisher: PublisherHandle,
    nodes: NodeRegistry,
    client: AcmeClient,
    files: KeyFiles,
    wake: Arc<Notify>,
    status: watch::Sender<CertificatesStatus>,
    delays: RetryDelays,
    orders: OrderBudget,
    /// The catalog's change, and the hosts, when the last round began.
    seen: (Sequence, Vec<String>),
    /// Whether a round of this run has read all key files. Later rounds read a file only where it
    /// is needed, because each pair is checked.
    has_read_files: bool,
    /// How long to wait for the next round, without edits.
    wait: Duration,
}

impl CertificateWorker {
    pub(super) fn new(
        store: Store,
        publisher: PublisherHandle,
        nodes: NodeRegistry,
        client: AcmeClient,
        wake: Arc<Notify>,
        status: watch::Sender<CertificatesStatus>,
    ) -> CertificateWorker {
        let files = KeyFiles::within(store.dir());
        let settings = &client.settings;
        let delays = RetryDelays { first: settings.first_retry, longest: settings.longest_retry };
        CertificateWorker {
            store,
            publisher,
            nodes,
            client,
            files,
            wake,
            status,
            delays,
            orders: OrderBudget::default(),
            seen: Default::default(),
            has_read_files: false,
            wait: COMPARISON_INTERVAL,
        }
    }

    async fn compare_and_order(&mut self) -> Result<(), RoundError> {
        let read = |connection: &ReadTx<'_>| {
            let seen = meta::read(connection)?.catalog_seq;
            let hosts = certificates::wanted_hosts(connection)?;
            Ok::<_, StoreError>((seen, hosts, certificates::all(connection)?))
        };
        let (seen, hosts, known) = self.store.read(read).await?;
        self.seen = (seen, hosts.clone());
        self.wait = COMPARISON_INTERVAL;
        let known: HashMap<String, HostCertificate> =
            known.into_iter().map(|state| (state.host.clone(), state)).collect();
        if hosts.is_empty() && known.is_empty() {
            self.show(&[]);
            return Ok(());
        }
        let mut wanted = self.states(&hosts, &known).await?;
        self.has_read_files = true;
        self.show(&wanted);
        if self.nodes.daemons().is_empty() {
            return Err(RoundError::NoDaemon);
        }
        let (installed, failure) = self.installed().await?;
        if failure.is_none() {
            for state in known.values().filter(|state| !hosts.contains(&state.host)) {
                self.retire(state, &installed).await?;
            }
        }
        for state in &mut wanted {
            self.compare(state, &installed).await?;
        }
        self.show(&wanted);
        self.announce_ends(&wanted).await?;
        self.order_most_due(&mut wanted).await?;
        self.show(&wanted);
        // A daemon that does not answer keeps no other from its certificates.
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    /// The certificates at each daemon that answers, and why another one does not.
    ///
    /// # Errors
    /// When no daemon answers.
    async fn installed(
        &self,
    ) -> Result<(Vec<DaemonCertificates>, Option<DaemonError>), DaemonError> {
        let daemons = self.nodes.daemons();
        let list = |client: DaemonClient| async move { client.certificates().await };
        let (mut installed, mut failure) = (Vec::new(), None);
        for (daemon, list) in for_each_daemon(&daemons, list).await {
            match list {
                Ok(certificates) => installed.push((daemon, certificates)),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if installed.is_empty() => Err(error),
            failure => Ok((installed, failure)),
        }
    }

    /// The state of each host. The key file is durable before the state and in no backup, so the
    /// file decides after a crash or a restore.
    async fn states(
        &self,
        hosts: &[String],
        known: &HashMap<String, HostCertificate>,
    ) -> Result<Vec<HostCertificate>, RoundError> {
        let mut states = Vec::with_capacity(hosts.len());
        for host in hosts {
            let mut state = known.get(host).cloned().unwrap_or_else(|| HostCertificate::new(host));
            let reads_file = !self.has_read_files || !state.has_certificate();
            if reads_file
                && let Some((_, certified)) = self.stored_pair(host).await?
                && certified.fingerprint() != state.fingerprint
            {
                take_certificate(&mut state, &certified);
                self.save(&state).await?;
            }
            states.push(state);
        }
        Ok(states)
    }

    /// The pair in the key file, if it can serve the host or could once.
    async fn stored_pair(
        &self,
        host: &str,
    ) -> Result<Option<(KeyPair, CertifiedPair)>, RoundError> {
        let Some(pair) = self.files.pair(host).await? else { return Ok(None) };
        let certified = check_pair(pair.chain_pem.as_bytes(), pair.key_pem.as_bytes());
        match certified {
            Ok(certified) if certified.covers(host) => Ok(Some((pair, certified))),
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::warn!(host, %error, "stored certificate ignored");
                Ok(None)
            }
        }
    }

    /// Installs the certificate at each coupond where it is missing or older.
    async fn compare(
        &self,
        state: &mut HostCertificate,
        installed: &[DaemonCertificates],
    ) -> Result<(), RoundError> {
        if !state.has_certificate() {
            return Ok(());
        }
        let before = state.clone();
        let is_current = |(_, certificates): &&DaemonCertificates| {
            let mut certificates = certificates.iter();
            certificates.find(|there| there.host == state.host).is_some_and(|there| {
                there.fingerprint == state.fingerprint || there.not_after > state.not_after
            })
        };
        let lacking = installed.iter().filter(|daemon| !is_current(daemon));
        let lacking: Vec<Daemon> = lacking.map(|(daemon, _)| daemon.clone()).collect();
        if lacking.is_empty() {
            if !state.is_installed && state.failures == 0 {
                state.error.clear();
            }
            state.is_installed = true;
        } else {
            let installed = self.install(state, &lacking).await;
            if *state != before {
                self.save(state).await?;
            }
            return installed;
        }
        if *state != before {
            self.save(state).await?;
        }
        Ok(())
    }

    /// Gives the certificate to all of these daemons.
    ///
    /// # Errors
    /// The first failure that is no refusal, after all daemons were asked: the round is repeated soon.
    async fn install(
        &self,
        state: &mut HostCertificate,
        daemons: &[Daemon],
    ) -> Result<(), RoundError> {
        state.is_installed = false;
        let Some((pair, _)) = self.stored_pair(&state.host).await? else {
            // Neither here nor at coupond, as after a restore on a new machine: order anew.
            *state = HostCertificate::new(&state.host);
            return Ok(());
        };
        let failures = give_certificate(daemons, &state.host, pair).await;
        if !failures.is_empty() {
            let texts: Vec<String> =
                failures.iter().map(|(daemon, error)| describe_failure(daemon, error)).collect();
            state.error = texts.join("; ");
            tracing::warn!(host = state.host, error = state.error, "certificate not installed");
            let is_broken = |error: &DaemonError| !matches!(error, DaemonError::Refused { .. });
            let broken = failures.into_iter().map(|(_, error)| error).find(is_broken);
            return broken.map_or(Ok(()), |error| Err(error.into()));
        }
        tracing::info!(host = state.host, not_after = state.not_after, "certificate installed");
        state.is_installed = true;
        state.error.clear();
        Ok(())
    }

    /// Removes a certificate that no domain asks for any more. The state goes last, so that a
    /// removal that was cut short is repeated. A certificate that somebody else put there stays.
    async fn retire(
        &self,
        state: &HostCertificate,
        installed: &[DaemonCertificates],
    ) -> Result<(), RoundError> {
        let host = state.host.clone();
        let is_own = |there: &InstalledCertificate| {
            there.host == host && there.fingerprint == state.fingerprint
        };
        for (daemon, certificates) in installed {
            if certificates.iter().any(is_own) {
                daemon.client.remove_certificate(&host).await?;
                tracing::info!(host, daemon = daemon.label(), "certificate removed");
            }
        }
        self.files.remove_pair(&host).await?;
        self.store.write(move |tx| certificates::remove(tx, &host)).await?;
        Ok(())
    }

    /// Orders for the host that is due longest, and sets the wait for the next.
    async fn order_most_due(&mut self, wanted: &mut [HostCertificate]) -> Result<(), RoundError> {
        let now = now();
        let clock_has_jumped = self.clock_has_jumped().await?;
        let mut due: Option<(i64, &mut HostCertificate)> = None;
        for state in wanted {
            let mut at = due_at(state, now);
            if at <= now && clock_has_jumped && can_wait(state) {
                at = now.saturating_add(seconds(CLOCK_WAIT));
            }
            if due.as_ref().is_none_or(|(earliest, _)| at < *earliest) {
                due = Some((at, state));
            }
        }
        let Some((at, state)) = due else { return Ok(()) };
        if at > now {
            let until = Duration::from_secs(u64::try_from(at - now).unwrap_or(0));
            self.wait = self.wait.min(until);
            return Ok(());
        }
        if let Err(until) = self.orders.take(Instant::now()) {
            self.wait = self.wait.min(until);
            return Ok(());
        }
        self.attempt(state).await?;
        // The result is installed, and the next host is looked at, without a wait.
        self.wait = Duration::ZERO;
        Ok(())
    }

    async fn attempt(&mut self, state: &mut HostCertificate) -> Result<(), RoundError> {
        state.failures = state.failures.saturating_add(1);
        state.is_renewal_requested = false;
        self.set_next_attempt(state, None);
        self.save(state).await?;
        let ordered = match timeout(ORDER_TIMEOUT, self.order(&state.host)).await {
            Ok(ordered) => ordered,
            Err(_elapsed) => Err(OrderError::Timeout { retry_after: None }),
        };
        match ordered {
            Ok((pair, certified)) => {
                self.files.save_pair(&state.host, &pair).await?;
                take_certificate(state, &certified);
                tracing::info!(
                    host = state.host,
                    not_after = state.not_after,
                    "certificate issued"
                );
                self.save(state).await
            }
            Err(error) => {
                state.error = error.to_string();
                tracing::warn!(
                    host = state.host,
                    failures = state.failures,
                    error = state.error,
                    "certificate not issued"
                );
                self.set_next_attempt(state, error.retry_after());
                self.save_failure(state).await
            }
        }
    }

    /// Saves the state of a host with the event about the failed attempt.
    async fn save_failure(&self, state: &HostCertificate) -> Result<(), RoundError> {
        let state = state.clone();
        let save = move |tx: &WriteTx<'_>| {
            certificates::save(tx, &state)?;
            let data = json!({
                "host": state.host, "error": state.error, "failures": state.failures,
                "next_attempt": state.next_attempt, "expires_at": state.not_after,
            });
            events::record(tx, EventType::CertificateFailed, &data)
        };
        Ok(self.store.write(save).await?)
    }

    /// Records once for each certificate that it ends soon.
    async fn announce_ends(&self, wanted: &[HostCertificate]) -> Result<(), RoundError> {
        let event_type = EventType::CertificateExpiresSoon;
        for state in wanted.iter().filter(|state| is_near_end(state, now())) {
            let data = json!({
                "host": state.host, "expires_at": state.not_after,
                "fingerprint": state.fingerprint,
            });
            let known = data.clone();
            let is_recorded =
                move |connection: &ReadTx<'_>| events::is_recorded(connection, event_type, &known);
            if !self.store.read(is_recorded).await? {
                self.store.write(move |tx| events::record_once(tx, event_type, &data)).await?;
            }
        }
        Ok(())
    }

    fn set_next_attempt(&self, state: &mut HostCertificate, retry_after: Option<Duration>) {
        let delay = self.delays.after(state.failures, retry_after);
        state.next_attempt = now().saturating_add(seconds(delay));
    }

    async fn order(&self, host: &str) -> Result<(KeyPair, CertifiedPair), OrderError> {
        let settings = &self.client.settings;
        if !settings.terms_of_service_agreed {
            return Err(OrderError::Terms);
        }
        let key = self.files.account_key(settings.directory_url.as_str()).await?;
        let account = self.client.account(key).await?;
        let thumbprint = account.key_thumbprint().to_owned();
        let publish = move |tx: &WriteTx<'_>| certificates::publish_thumbprint(tx, &thumbprint);
        let sequence = self.store.write(publish).await?;
        // The server asks coupond as soon as the challenge begins.
        self.publisher.wait_live_for(sequence, LIVE_TIMEOUT).await?;
        order_certificate(&account, host).await
    }

    async fn save(&self, state: &HostCertificate) -> Result<(), RoundError> {
        let state = state.clone();
        Ok(self.store.write(move |tx| certificates::save(tx, &state)).await?)
    }

    /// A clock that went ahead makes every certificate look old.
    async fn clock_has_jumped(&self) -> Result<bool, StoreError> {
        let clock = self.store.read(removal_clock::kept).await?;
        Ok(clock.is_some_and(|clock| {
            matches!(clock.removal_time(), Err(RemovalRefused::Jumped { .. }))
        }))
    }

    /// Whether other hosts ask for a certificate than in the last round. A store that cannot be read
    /// counts as a change: the next round reports it.
    async fn has_other_hosts(&mut self) -> bool {
        let (seen, known) = self.seen.clone();
        let read = move |connection: &ReadTx<'_>| {
            let catalog_seq = meta::read(connection)?.catalog_seq;
            let is_same = catalog_seq == seen || certificates::wanted_hosts(connection)? == known;
            Ok::<_, StoreError>(is_same.then_some(catalog_seq))
        };
        match self.store.read(read).await {
            Ok(Some(catalog_seq)) => {
                self.seen.0 = catalog_seq;
                false
            }
            Ok(None) | Err(_) => true,
        }
    }

    fn show(&self, wanted: &[HostCertificate]) {
        let now = now();
        let problems = wanted.iter().filter_map(|state| {
            problem(state, now).map(|problem| format!("{}: {problem}", state.host))
        });
        let problems: Vec<String> = problems.collect();
        let is_issued = |state: &&HostCertificate| state.is_installed;
        self.status.send_modify(|status| {
            status.wanted = wanted.len();
            status.issued = wanted.iter().filter(is_issued).count();
            status.problems = problems;
        });
    }
}

/// Asks all daemons at once, so that a slow daemon delays no other; a daemon that leaves meanwhile has
/// no answer.
async fn for_each_daemon<T, F>(
    daemons: &[Daemon],
    ask: impl Fn(DaemonClient) -> F,
) -> Vec<(Daemon, Result<T, DaemonError>)>
where
    T: Send + 'static,
    F: Future<Output = Result<T, DaemonError>> + Send + 'static,
{
    let mut asking = JoinSet::new();
    for daemon in daemons {
        let (daemon, answer) = (daemon.clone(), ask(daemon.client.clone()));
        asking.spawn(async move { Some((daemon.clone(), daemon.while_present(answer).await?)) });
    }
    let mut answers: Vec<_> = asking.join_all().await.into_iter().flatten().collect();
    answers.sort_by_key(|(daemon, _)| daemon.index);
    answers
}

/// Gives each daemon a certificate; returns the daemons without the certificate.
async fn give_certificate(
    daemons: &[Daemon],
    host: &str,
    pair: KeyPair,
) -> Vec<(Daemon, DaemonError)> {
    let (host, pair) = (Arc::<str>::from(host), Arc::new(pair));
    let give = |client: DaemonClient| {
        let (host, pair) = (Arc::clone(&host), Arc::clone(&pair));
        async move { client.install_certificate(&host, &pair.chain_pem, &pair.key_pem).await }
    };
    let answers = for_each_daemon(daemons, give).await;
    let failed = answers.into_iter().filter_map(|(daemon, answer)| Some((daemon, answer.err()?)));
    failed.collect()
}

fn describe_failure(daemon: &Daemon, error: &DaemonError) -> String {
    let daemon = daemon.label();
    match error {
        DaemonError::Refused { status, reason } => {
            format!("{daemon} refused the certificate ({status}): {reason}")
        }
        error => format!("{daemon} did not get the certificate: {error}"),
    }
}

/// Records a new certificate.
fn take_certificate(state: &mut HostCertificate, certified: &CertifiedPair) {
    *state = HostCertificate {
        fingerprint: certified.fingerprint(),
        not_before: certified.not_before(),
        not_after: certified.not_after(),
        ..HostCertificate::new(&state.host)
    };
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

impl Worker for CertificateWorker {
    const NAME: &'static str = "certificates";
    const RETRY_DELAYS: worker::RetryDelays =
        worker::RetryDelays { shortest: Duration::from_secs(1), longest: Duration::from_secs(60) };
    type Error = RoundError;

    async fn step(&mut self) -> Result<(), RoundError> {
        self.compare_and_order().await
    }

    /// Until the next host is due, a domain changes, or a client asks for a certificate.
    async fn wait_for_work(&mut self) {
        let began = Instant::now();
        while began.elapsed() < self.wait {
            let poll = POLL_INTERVAL.min(self.wait.saturating_sub(began.elapsed()));
            if timeout(poll, self.wake.notified()).await.is_ok() {
                return;
            }
            if self.has_other_hosts().await {
                return;
            }
        }
    }

    fn show_failure(&mut self, failure: Option<&str>) {
        let failure = failure.map(str::to_owned);
        self.status.send_modify(|status| status.last_error = failure);
    }
}

/// Bounds the orders in an hour of running time.
#[derive(Debug, Default)]
struct OrderBudget(VecDeque<Instant>);

impl OrderBudget {
    /// # Errors
    /// How long the next order has to wait.
    fn take(&mut self, now: Instant) -> Result<(), Duration> {
        while self.0.front().is_some_and(|began| now.duration_since(*began) >= HOUR) {
            self.0.pop_front();
        }
        match self.0.front() {
            Some(oldest) if self.0.len() >= ORDERS_PER_HOUR => {
                Err(HOUR.saturating_sub(now.duration_since(*oldest)))
            }
            _ => {
                self.0.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon_client::fake_daemon::FakeDaemon;

    #[tokio::test]
    async fn a_refusal_keeps_no_other_daemon_from_a_certificate_and_each_is_named() {
        let daemons = [FakeDaemon::start(), FakeDaemon::start(), FakeDaemon::start()];
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let sockets = daemons.iter().map(|daemon| daemon.socket.as_path());
        let nodes = NodeRegistry::new(store, ["a", "b", "c"].into_iter().zip(sockets));
        daemons[0].hands.lock().unwrap().refuses_certificates = true;
        daemons[1].hands.lock().unwrap().refuses_certificates = true;
        let pair = KeyPair { chain_pem: "chain".into(), key_pem: "key".into() };
        let failures = give_certificate(&nodes.daemons(), "go.example.com", pair).await;
        let texts: Vec<String> =
            failures.iter().map(|(daemon, error)| describe_failure(daemon, error)).collect();
        assert_eq!(texts.len(), 2);
        for (name, text) in ["`a`", "`b`"].into_iter().zip(&texts) {
            assert!(text.contains(name) && text.contains("no such domain"), "{text}");
        }
        let got = |daemon: &FakeDaemon| daemon.hands.lock().unwrap().certificates.clone();
        assert_eq!(got(&daemons[2]), ["go.example.com"]);
        assert_eq!(got(&daemons[0]), Vec::<String>::new());
    }

    #[test]
    fn orders_are_bounded_in_each_hour() {
        let mut budget = OrderBudget::default();
        let began = Instant::now();
        for order in 0..ORDERS_PER_HOUR {
            assert_eq!(budget.take(began + Duration::from_secs(order as u64)), Ok(()));
        }
        let minute = Duration::from_secs(60);
        assert_eq!(budget.take(began + minute), Err(HOUR - minute));
        assert_eq!(budget.take(began + HOUR), Ok(()));
        assert!(budget.take(began + HOUR).is_err());
    }
}
