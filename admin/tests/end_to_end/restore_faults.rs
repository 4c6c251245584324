//! Faults at each system call of a restore: the program is killed, or the call fails. Afterwards
//! the folder holds the whole network or none, no admin starts in an incomplete folder, and another
//! restore succeeds.
//!
//! The long form takes all calls: `cargo test -p coupon-admin --test end_to_end -- --ignored \
//! --nocapture a_restore_survives`.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::faults::{self, Call, Fault, Figures, each};
use crate::programs::{Network, admin_program, is_installed};

#[test]
fn a_fault_at_a_system_call_of_a_restore_leaves_all_or_nothing() {
    if is_installed("strace") {
        println!("{:?}", Restore::new().suffer_all(Some(12)));
    }
}

#[test]
#[ignore = "takes a minute; see the header"]
fn a_restore_survives_every_fault_at_every_system_call() {
    assert!(is_installed("strace"));
    println!("{:?}", Restore::new().suffer_all(None));
}

/// A backup of a network with `WINTER25` and a click.
struct Restore {
    network: Network,
}

impl Restore {
    fn new() -> Restore {
        let network = Network::new();
        let mut admin = network.start_admin();
        let daemon = network.start_daemon();
        network.create_winter25();
        assert_eq!(network.visit("/winter25").status, 302);
        crate::programs::wait_for("the click", || (network.gross_clicks() == 1).then_some(()));
        let (done, said) = network.on_data("backup", "backup.tar.zst");
        assert!(done, "{said}");
        drop(daemon);
        admin.stop();
        network.lose_data();
        Restore { network }
    }

    fn log(&self) -> PathBuf {
        self.network.path("calls")
    }

    fn suffer_all(&self, sample: Option<usize>) -> Figures {
        let output = self.restore(faults::noted(&self.log()));
        assert!(output.status.success(), "{output:?}");
        let calls = faults::calls(&self.log(), &self.network.path("admin"));
        each(&calls, sample, |call, fault| self.suffer(call, fault))
    }

    fn suffer(&self, call: &Call, fault: Fault) -> bool {
        let context = format!("{fault:?} at {call:?}");
        let data = self.network.path("admin");
        std::fs::remove_dir_all(&data).unwrap();
        let output = self.restore(faults::faulty(&self.log(), call, fault));
        let has_struck =
            fault == Fault::Kill && !output.status.success() || faults::has_struck(&self.log());
        let is_there = data.join("admin.db").exists();
        assert!(is_there || !output.status.success(), "{context}: {output:?}");
        if is_there {
            self.expect_all(&context);
            return has_struck;
        }
        if data.join("restore.unfinished").exists() {
            let start = self.network.serve(&mut Command::new(admin_program())).output().unwrap();
            let said = String::from_utf8_lossy(&start.stderr).into_owned();
            assert!(!start.status.success() && said.contains("run it again"), "{context}: {said}");
        }
        let output = self.restore(Command::new(admin_program()));
        assert!(output.status.success(), "{context}: {output:?}");
        self.expect_all(&context);
        has_struck
    }

    fn restore(&self, mut program: Command) -> Output {
        let backup = self.network.path("backup.tar.zst");
        program.arg("restore").arg(backup).arg("--data").arg(self.network.path("admin"));
        program.output().unwrap()
    }

    /// Expects the code and the click, both counted again from the restored data.
    fn expect_all(&self, context: &str) {
        let on_data = |command: &str| {
            let mut program = Command::new(admin_program());
            program.arg(command).arg("--data").arg(self.network.path("admin"));
            let output = program.env("COUPON_ADMIN_LOG_FILTER", "error").output().unwrap();
            assert!(output.status.success(), "{context}: {output:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert!(on_data("export").contains("WINTER25"), "{context}");
        let counted = on_data("rebuild-reports");
        assert!(counted.contains("counted 1 clicks"), "{context}: {counted}");
    }
}
