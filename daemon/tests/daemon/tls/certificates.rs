//! Certificates: chosen by name, exchanged while visitors come, refused where they cannot be used.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::client::{Client, Stream, visit};
use super::{OTHER_HOST, TlsCoupond};
use crate::published::HOST;
use crate::running::until;

/// The host's certificate that a connection got.
fn leaf(stream: &Stream) -> Vec<u8> {
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

fn problems(served: &TlsCoupond) -> String {
    served.coupond.health()["problems"].to_string()
}

#[test]
fn a_new_certificate_is_in_service_within_a_second_and_no_connection_is_lost() {
    // The clients begin as many handshakes as the machine can, all from one address.
    let served = TlsCoupond::start_with(|command| {
        command.env("COUPOND_LIMITS_HANDSHAKES_PER_MINUTE", "0");
    });
    let (over, visits) = (AtomicBool::new(false), AtomicU64::new(0));
    let folder = served.coupond.path("certificates").join(HOST);
    let (address, authority) = (served.address(), &served.authority);
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                // Without tickets: each visit has a full handshake.
                let mut config = Client::config(authority, &[&rustls::version::TLS13]);
                config.resumption = rustls::client::Resumption::disabled();
                let client = Client(config.into());
                while !over.load(Ordering::Relaxed) {
                    let answer = client.get(address, HOST, "/winter25").unwrap();
                    assert_eq!(answer.status, 302);
                    visits.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let client = Client::new(&served.authority);
        let mut kept = client.connect(served.address(), HOST).unwrap();
        for _ in 0..3 {
            let before = leaf(&client.connect(served.address(), HOST).unwrap());
            served.authority.issue(&[HOST]).write(&folder);
            let began = Instant::now();
            until("the new certificate is in service", || {
                let fresh = Client::new(&served.authority);
                let stream = fresh.connect(served.address(), HOST).unwrap();
                (leaf(&stream) != before).then_some(())
            });
            println!("in service after {:?}", began.elapsed());
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        }
        assert_eq!(visit(&mut kept, HOST, "/winter25").unwrap().status, 302);
        over.store(true, Ordering::Relaxed);
    });
    println!("{} visits, none lost", visits.load(Ordering::Relaxed));
    assert!(visits.load(Ordering::Relaxed) > 20);
}

#[test]
fn a_new_domain_is_served_without_restart_and_a_removed_one_is_refused() {
    let served = TlsCoupond::start_with(|command| {
        command.env("COUPOND_ACCEPT_ANY_HOST", "true");
    });
    let client = Client::new(&served.authority);
    assert!(client.connect(served.address(), "new.example").is_err());
    let folder = served.coupond.path("certificates");
    served.authority.issue(&["new.example", "*.new.example"]).write(&folder.join("new.example"));
    let began = Instant::now();
    until("the domain is served", || client.connect(served.address(), "new.example").ok());
    println!("in service after {:?}", began.elapsed());
    let answer = client.get(served.address(), "any.new.example", "/winter25").unwrap();
    assert_eq!(answer.status, 302);
    std::fs::remove_dir_all(folder.join("new.example")).unwrap();
    until("the domain is refused", || {
        client.connect(served.address(), "new.example").is_err().then_some(())
    });
    assert_eq!(client.get(served.address(), HOST, "/winter25").unwrap().status, 302);
}

#[test]
fn files_that_cannot_be_used_change_nothing_and_health_says_why() {
    let served = TlsCoupond::start();
    let client = Client::new(&served.authority);
    let before = leaf(&client.connect(served.address(), HOST).unwrap());
    let folder = served.coupond.path("certificates").join(HOST);
    let good = served.authority.issue(&[HOST]);
    let other = served.authority.issue(&[OTHER_HOST]);
    let half = &good.chain[..good.chain.len() / 2];
    for (chain, key, reason) in [
        (&*good.chain, &*other.key, "belongs to another certificate"),
        (&other.chain, &other.key, "the certificate is for deals.example"),
        (half, &good.key, "not PEM"),
        (&good.chain, "", "no private key"),
        ("", &good.key, "no certificate"),
    ] {
        std::fs::write(folder.join("fullchain.pem"), chain).unwrap();
        std::fs::write(folder.join("privkey.pem"), key).unwrap();
        let told = until(reason, || Some(problems(&served)).filter(|text| text.contains(reason)));
        assert!(told.contains("the one before stays in service"), "{told}");
        assert_eq!(leaf(&client.connect(served.address(), HOST).unwrap()), before);
    }
    std::fs::remove_file(folder.join("privkey.pem")).unwrap();
    until("the missing key is told", || {
        problems(&served).contains("fullchain.pem and privkey.pem").then_some(())
    });
    assert_eq!(served.coupond.health()["status"], "degraded");
    good.write(&folder);
    until("the problem is over", || (served.coupond.health()["status"] == "ok").then_some(()));
    assert_ne!(leaf(&client.connect(served.address(), HOST).unwrap()), before);
    let log = served.coupond.log();
    assert!(!log.contains("PRIVATE KEY") && !log.contains(good.key.lines().nth(1).unwrap()));
}

#[test]
fn dates_near_or_past_their_end_are_a_problem_and_take_nothing_out_of_service() {
    let served = TlsCoupond::start();
    let folder = served.coupond.path("certificates").join(HOST);
    let first_end = || served.coupond.metric("tls_certificate_first_end_seconds");
    let far = first_end();
    for (first, last, reason) in
        [(-80, 10, "ends in 9 day(s)"), (-80, -1, "has expired"), (1, 90, "is not valid yet")]
    {
        served.authority.issue_for_days(&[HOST], first, last).write(&folder);
        let told = until(reason, || Some(problems(&served)).filter(|text| text.contains(reason)));
        assert!(told.contains(HOST), "{told}");
        assert!(first_end() < far);
        // A client whose clock agrees with the certificate is served.
        let count =
            || served.labelled_metric("tls_connections_refused_total{reason=\"unknown_name\"}");
        assert_eq!(count(), 0);
    }
}

#[test]
fn a_certificate_within_its_dates_is_preferred_and_single_files_are_read() {
    let served = TlsCoupond::start_with(|command| {
        let folder = command.get_envs().find_map(|(name, value)| {
            (name == "COUPOND_DATA_DIR").then(|| std::path::PathBuf::from(value.unwrap()))
        });
        let folder = folder.unwrap().with_file_name("single");
        command.env(
            "COUPOND_TLS_CERTIFICATES",
            format!("{0}/fullchain.pem:{0}/privkey.pem", folder.display()),
        );
    });
    let single = served.coupond.path("single");
    until("the missing files are told", || problems(&served).contains("single").then_some(()));
    served.authority.issue(&["single.example"]).write(&single);
    let client = Client::new(&served.authority);
    until("the single pair is served", || client.connect(served.address(), "single.example").ok());
    // An expired certificate for the same name, in the folder, is not taken.
    let folder = served.coupond.path("certificates").join("single.example");
    served.authority.issue_for_days(&["single.example"], -9, -1).write(&folder);
    std::thread::sleep(Duration::from_millis(1200));
    client.connect(served.address(), "single.example").unwrap();
}
