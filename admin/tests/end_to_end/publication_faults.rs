//! Faults at each system call of a publication and of an edit's commit: the program is killed, or
//! the call fails. Afterwards the index folder holds the old or the new index, a saved edit exists
//! completely or not at all, and the next run repairs the rest.
//!
//! The long form takes all calls and prints its figures:
//! `cargo test -p coupon-admin --test end_to_end -- --ignored --nocapture every_system_call`.

use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::faults::{self, Call, Fault, Figures, each};
use crate::http::Answer;
use crate::programs::{Codes, Network, Program, is_installed, wait_for};

/// Runs of each short form.
const SAMPLE: usize = 9;

#[test]
fn a_fault_at_a_system_call_of_a_publication_leaves_the_old_or_the_new_index() {
    if is_installed("strace") {
        println!("{:?}", Publication::after_an_import().suffer_all(Some(SAMPLE)));
    }
}

#[test]
fn a_fault_at_a_system_call_of_an_edit_leaves_all_of_it_or_nothing() {
    if is_installed("strace") {
        println!("{:?}", Edit::new().suffer_all(Some(SAMPLE)));
    }
}

#[test]
#[ignore = "takes many minutes; see the header"]
fn every_system_call_of_publications_and_edits_survives_every_fault() {
    assert!(is_installed("strace"));
    println!("a publication: {:?}", Publication::after_an_import().suffer_all(None));
    println!("the first publication: {:?}", Publication::first().suffer_all(None));
    println!("an edit: {:?}", Edit::new().suffer_all(None));
}

/// A network with a copy of its folder from before each run.
struct Prepared {
    network: Network,
    codes: Codes,
}

impl Prepared {
    /// Network with `WINTER25` published.
    fn new() -> Prepared {
        let network = Network::new();
        let mut admin = network.start_admin();
        let daemon = network.start_daemon();
        let codes = network.create_winter25();
        drop(daemon);
        admin.stop();
        Prepared { network, codes }
    }

    fn keep(&self) {
        std::fs::rename(self.network.path("admin"), self.network.path("before")).unwrap();
    }

    fn restore(&self) {
        for folder in ["admin", "daemon", "run"] {
            let _ = std::fs::remove_dir_all(self.network.path(folder));
        }
        let (from, to) = (self.network.path("before"), self.network.path("admin"));
        assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
    }

    fn log(&self) -> PathBuf {
        self.network.path("calls")
    }

    /// Calls on the chosen files until `done` returns.
    fn calls(&self, is_of_interest: fn(&str) -> bool, done: impl FnOnce()) -> Vec<Call> {
        self.restore();
        let mut admin = self.start(faults::noted(&self.log()));
        done();
        admin.kill();
        let data = self.network.path("admin");
        let mut calls = faults::calls(&self.log(), &data);
        calls.retain(|call| {
            is_of_interest(call.path.strip_prefix(&data).unwrap().to_str().unwrap())
        });
        calls
    }

    /// Whether the program survived its fault. A kill may be pending: an answer proves survival.
    fn is_alive(&self, admin: &mut Program) -> bool {
        wait_for("an answer, or the program's end", || {
            if admin.has_ended() {
                return Some(false);
            }
            self.network.try_call("GET", "status", None).ok().map(|_| true)
        })
    }

    /// Starts coupon-admin in a tracer; it may end before it listens.
    fn start(&self, mut tracer: Command) -> Program {
        Program::start(self.network.serve(&mut tracer))
    }
}

/// A start of coupon-admin with a pending publication.
struct Publication {
    prepared: Prepared,
    is_first: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Served {
    Nothing,
    Old,
    New,
}

impl Publication {
    fn after_an_import() -> Publication {
        let prepared = Prepared::new();
        let Codes { offer, partner, .. } = prepared.codes;
        let file =
            format!("offer_id,affiliate_id,coupon_code,status\n{offer},{partner},FRESH10,active\n");
        let (done, said) = prepared.network.import(&file);
        assert!(done, "{said}");
        prepared.keep();
        Publication { prepared, is_first: false }
    }

    fn first() -> Publication {
        let publication = Publication::after_an_import();
        let index = publication.prepared.network.path("before/index");
        std::fs::remove_dir_all(index).unwrap();
        Publication { is_first: true, ..publication }
    }

    fn suffer_all(&self, sample: Option<usize>) -> Figures {
        let is_of_interest = |file: &str| file.starts_with("index") || is_of_the_store(file);
        let calls = self.prepared.calls(is_of_interest, || {
            wait_for("the publication", || self.is_published().then_some(()));
            // Until the next check of the store.
            std::thread::sleep(std::time::Duration::from_millis(400));
        });
        each(&calls, sample, |call, fault| self.suffer(call, fault))
    }

    fn is_published(&self) -> bool {
        let index = coupon_admin::publish::published(&self.prepared.network.path("admin"));
        index.is_ok_and(|index| index.lookup(&fresh10()).is_some())
    }

    /// Starts coupon-admin with a fault at a call; returns whether the fault occurred.
    fn suffer(&self, call: &Call, fault: Fault) -> bool {
        let context = format!("{fault:?} at {call:?}");
        let (network, log) = (&self.prepared.network, self.prepared.log());
        self.prepared.restore();
        let mut daemon = network.start_daemon();
        let mut least = if self.is_first { Served::Nothing } else { Served::Old };
        let mut admin = self.prepared.start(faults::faulty(&log, call, fault));
        let has_struck = wait_for("the fault or the publication", || {
            self.expect_served(&mut least, &context);
            let is_over = least == Served::New && !faults::has_struck(&log);
            match (admin.has_ended(), faults::has_struck(&log)) {
                (true, _) | (_, true) => Some(true),
                _ => is_over.then_some(false),
            }
        });
        faults::end(admin.id());
        // A new daemon knows only the folder.
        daemon.kill();
        daemon = network.start_daemon();
        self.expect_served(&mut least, &context);
        if !self.prepared.is_alive(&mut admin) {
            admin = network.start_admin();
        }
        wait_for(&format!("the new index after {context}"), || {
            self.expect_served(&mut least, &context);
            (least == Served::New).then_some(())
        });
        assert!(self.is_published(), "{context}");
        wait_for(&format!("the admin to be well after {context}"), || {
            let status = network.try_call("GET", "status", None).ok()?.json();
            let publication = &status["publication"];
            // A fault after the announcement is reported until the next round repairs it.
            let is_well = ["daemon_error", "last_error"].iter().all(|e| publication[e].is_null());
            is_well.then_some(())
        });
        drop((admin, daemon));
        has_struck
    }

    /// The served state existed in the store, and is not older than before.
    fn expect_served(&self, least: &mut Served, context: &str) {
        let network = &self.prepared.network;
        // In this order: a newer index may arrive between the two visits.
        let (old, new) = (network.visit("/winter25").status, network.visit("/fresh10").status);
        let served = match (old, new) {
            (302, 302) => Served::New,
            (302, 404) => Served::Old,
            (503, 503 | 302) if self.is_first => Served::Nothing,
            torn => panic!("{context}: served {torn:?}"),
        };
        assert!(served >= *least, "{context}: {served:?} after {least:?}");
        *least = served;
    }
}

fn fresh10() -> coupon_shared::code::FoldedCode {
    coupon_shared::code::FoldedCode::fold(b"fresh10").unwrap()
}

fn is_of_the_store(file: &str) -> bool {
    file.starts_with("admin.db")
}

/// A start of coupon-admin, and one edit.
struct Edit {
    prepared: Prepared,
}

impl Edit {
    fn new() -> Edit {
        let prepared = Prepared::new();
        prepared.keep();
        Edit { prepared }
    }

    fn suffer_all(&self, sample: Option<usize>) -> Figures {
        let calls = self.prepared.calls(is_of_the_store, || {
            let answer = wait_for("the edit", || self.save("EDIT10").ok());
            assert_eq!(answer.status, 200, "{answer:?}");
        });
        each(&calls, sample, |call, fault| self.suffer(call, fault))
    }

    /// Starts coupon-admin with a fault at a call and saves a code; returns whether the fault
    /// occurred.
    fn suffer(&self, call: &Call, fault: Fault) -> bool {
        let context = format!("{fault:?} at {call:?}");
        let (network, log) = (&self.prepared.network, self.prepared.log());
        self.prepared.restore();
        let mut admin = self.prepared.start(faults::faulty(&log, call, fault));
        let answer = wait_for("an answer, or the program's end", || match self.save("EDIT10") {
            Ok(answer) => Some(Some(answer)),
            Err(_) => admin.has_ended().then_some(None),
        });
        let has_struck = admin.has_ended() || faults::has_struck(&log);
        faults::end(admin.id());
        if !self.prepared.is_alive(&mut admin) {
            admin = network.start_admin();
        }
        let is_there = self.is_there("EDIT10", &context);
        match answer.as_ref().map(|answer| answer.status) {
            Some(200) => assert!(is_there, "{context}: an accepted edit is lost"),
            Some(500..) => assert!(!is_there, "{context}: a refused edit was saved: {answer:?}"),
            Some(_) => panic!("{context}: {answer:?}"),
            None => {}
        }
        // The program continues, and the accepted edit survives the next kill.
        let again = self.save(if is_there { "MORE10" } else { "EDIT10" }).unwrap();
        assert_eq!(again.status, 200, "{context}: {again:?}");
        admin.kill();
        admin = network.start_admin();
        assert!(self.is_there("EDIT10", &context), "{context}: an accepted edit is lost");
        drop(admin);
        has_struck
    }

    fn save(&self, code: &str) -> std::io::Result<Answer> {
        let Codes { offer, partner, .. } = self.prepared.codes;
        let code = json!({
            "coupon_code": code, "coupon_status": "active",
            "network_offer_id": offer, "network_affiliate_id": partner,
        });
        self.prepared.network.try_call("POST", "couponcodes", Some(code))
    }

    /// Whether the code was saved: once, with its audit entry, or not at all.
    fn is_there(&self, code: &str, context: &str) -> bool {
        let network = &self.prepared.network;
        let codes = network.call("GET", "couponcodes?page_size=100", None).json();
        let codes = codes["coupon_codes"].as_array().unwrap();
        let audit = "audit?page_size=100&filter=object=coupon_code&filter=action=created";
        let audit = network.call("GET", audit, None).json();
        let audit = audit["audit"].as_array().unwrap();
        assert_eq!(codes.len(), audit.len(), "{context}: {codes:?} {audit:?}");
        let found = codes.iter().filter(|found| found["coupon_code"] == code).count();
        assert!(found <= 1, "{context}: {codes:?}");
        found == 1
    }
}
