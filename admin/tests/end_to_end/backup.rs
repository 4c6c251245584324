//! Backup of a running network, and its restore beside the same daemon.

use crate::programs::{Network, admin_program, is_installed, today, wait_for};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[test]
fn a_restored_network_is_served_by_the_live_daemon_and_counts_each_click_once() {
    let network = Network::new();
    let mut admin = network.start_admin();
    let _daemon = network.start_daemon();
    let codes = network.create_winter25();
    for _ in 0..5 {
        assert_eq!(network.visit("/winter25").status, 302);
    }
    wait_for("5 clicks", || (network.gross_clicks() == 5).then_some(()));
    let list = network.done("PUT", "botlist", json!({"patterns": ["linkchecker"]}));
    let (done, said) = network.on_data("backup", "backup.tar.zst");
    assert!(done, "{said}");

    let code = |text: &str| {
        json!({
            "coupon_code": text, "coupon_status": "active",
            "network_offer_id": codes.offer, "network_affiliate_id": codes.partner,
        })
    };
    let lost = network.done("POST", "couponcodes?wait=live", code("LOST10"));
    for target in ["/lost10", "/lost10", "/winter25"] {
        assert_eq!(network.visit(target).status, 302);
    }
    wait_for("8 clicks", || (network.gross_clicks() == 8).then_some(()));

    admin.stop();
    let key = network.lose_data();
    let (done, said) = network.on_data("restore", "backup.tar.zst");
    assert!(done, "{said}");
    network.put_key(&key);
    let _admin = network.start_admin();

    // The restored store skips the generations that the daemon loaded from the lost store.
    let answer = network.call("POST", "couponcodes?wait=live", Some(code("NEW10")));
    assert_eq!(answer.header("x-coupon-live"), Some("true"), "{answer:?}");
    let id = |code: &serde_json::Value| code["network_coupon_code_id"].as_u64().unwrap();
    assert!(id(&answer.json()) > id(&lost), "the id of a lost code was given out again");
    assert_eq!(network.visit("/lost10").status, 404);
    assert_eq!(network.visit("/new10").status, 302);

    let clicks = wait_for("9 clicks", || Some(network.clicks()).filter(|clicks| clicks.len() >= 9));
    let ids: HashSet<&str> =
        clicks.iter().filter_map(|click| click["transaction_id"].as_str()).collect();
    assert_eq!((clicks.len(), ids.len(), network.gross_clicks()), (9, 9, 9));
    assert_eq!(network.call("GET", "botlist", None).json()["patterns"], list["patterns"]);
    let told = network.call("GET", "audit?filter=action=restored", None).json();
    assert_eq!(told["audit"][0]["actor"], "command_line");
}

/// A backup of the running network, through the standard output.
fn stream_backup(network: &Network, to: &Path) {
    let mut backup = Command::new(admin_program());
    let backup = backup.args(["backup", "--to-stdout", "--data"]).arg(network.path("admin"));
    let output = backup.stdout(File::create(to).unwrap()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// What the API answers about codes, clicks, conversions and their sums.
fn answers(network: &Network) -> [Value; 4] {
    let mut query = today();
    query["columns"] = json!([{"column": "coupon_code"}, {"column": "affiliate"}]);
    let mut clicks = network.clicks();
    clicks.sort_by_key(|click| click["transaction_id"].as_str().unwrap().to_owned());
    let codes = network.call("GET", "couponcodes?page_size=100", None).json();
    let report = network.done("POST", "reporting/entity", query);
    [codes, json!(clicks), json!(network.conversions()), report]
}

#[test]
fn a_drill_restores_a_running_network_into_a_second_folder_and_starts_it_there() {
    let first = Network::new();
    let _admin = first.start_admin();
    let _daemon = first.start_daemon();
    let codes = first.create_winter25();
    for number in 0..20 {
        let code = json!({
            "coupon_code": format!("DRILL{number}"), "coupon_status": "active",
            "network_offer_id": codes.offer, "network_affiliate_id": codes.partner,
        });
        first.done("POST", "couponcodes?wait=live", code);
        assert_eq!(first.visit(&format!("/drill{number}")).status, 302);
    }
    for order in 0..3 {
        let sale = format!("/?nid=1&coupon_code=drill{order}&oid=1&amount=9.5&order_id=A-{order}");
        assert_eq!(first.visit(&sale).status, 200);
    }
    wait_for("clicks and sales", || {
        (first.gross_clicks() == 20 && first.conversions().len() == 3).then_some(())
    });

    let second = Network::new();
    stream_backup(&first, &second.path("backup.tar.zst"));
    let (done, said) = second.on_data("restore", "backup.tar.zst");
    assert!(done && said.contains("Its files belong to "), "{said}");
    second.put_key(&first.key());
    let _second_admin = second.start_admin();
    assert_eq!(answers(&second), answers(&first));
    // The tracking domain in the backup is the first network's. Runs of one node that begin within a
    // second have the same identity, and on a fast machine these two would.
    let variables = [("COUPOND_ACCEPT_ANY_HOST", "true"), ("COUPOND_NODE_ID", "1")];
    let _second_daemon = second.start_daemon_with(&variables);
    wait_for("the restored index", || (second.visit("/drill19").status == 302).then_some(()));
    wait_for("the new click", || (second.gross_clicks() == 21).then_some(()));
    assert_eq!(first.gross_clicks(), 20, "the drill reached the first network");
}

/// The user `nobody`, who is neither root nor the service's user.
const OTHER_USER: u32 = 65_534;

/// coupon-admin run as the other user.
fn as_other_user(arguments: &[&str], data: &Path) -> Output {
    let user = OTHER_USER.to_string();
    let mut program = Command::new("setpriv");
    program.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).arg(admin_program());
    program.env("COUPON_ADMIN_LOG_FILTER", "error").args(arguments);
    program.arg("--data").arg(data).output().unwrap()
}

/// Whether this test is root and the other user can run the program; says what is missing.
fn can_act_as_other_user(data: &Path) -> bool {
    if !is_installed("setpriv") {
        return false;
    }
    let can = rustix::process::geteuid().is_root()
        && as_other_user(&["--version"], data).status.success();
    if !can {
        eprintln!("skipped: not root, or the program lies where uid {OTHER_USER} cannot run it");
    }
    can
}

/// A backup that everybody can read, in a folder that everybody can enter.
fn readable_backup(network: &Network) -> PathBuf {
    network.start_admin().stop();
    let (done, said) = network.on_data("backup", "backup.tar.zst");
    assert!(done, "{said}");
    let file = network.path("backup.tar.zst");
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(network.path("."), Permissions::from_mode(0o755)).unwrap();
    file
}

#[test]
fn the_owner_of_a_folder_can_use_what_root_restored_there() {
    let network = Network::new();
    if !can_act_as_other_user(&network.path("home")) {
        return;
    }
    let backup = readable_backup(&network);
    let home = network.path("home");
    std::fs::create_dir(&home).unwrap();
    chown(&home, Some(OTHER_USER), Some(OTHER_USER)).unwrap();
    let data = home.join("coupon/data");
    let mut restore = Command::new(admin_program());
    let output = restore.arg("restore").arg(backup).arg("--data").arg(&data).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("(uid 65534, gid 65534)"), "{output:?}");
    let key = as_other_user(&["api-key", "create", "--role", "admin"], &data);
    assert!(key.status.success(), "{key:?}");
    let rebuilt = as_other_user(&["rebuild-reports"], &data);
    assert!(rebuilt.status.success(), "{rebuilt:?}");
}

#[test]
fn a_restore_without_the_right_to_write_names_folder_owner_and_remedy() {
    let network = Network::new();
    if !can_act_as_other_user(&network.path("closed")) {
        return;
    }
    let backup = readable_backup(&network);
    let restore = ["restore", backup.to_str().unwrap()];
    let (closed, locked) = (network.path("closed"), network.path("locked"));
    std::fs::create_dir(&closed).unwrap();
    std::fs::create_dir(&locked).unwrap();
    std::fs::write(locked.join("serve.lock"), "").unwrap();
    std::fs::set_permissions(locked.join("serve.lock"), Permissions::from_mode(0o600)).unwrap();
    chown(&locked, Some(OTHER_USER), Some(OTHER_USER)).unwrap();
    let cases = [
        (closed.clone(), closed.clone()),
        (closed.join("new/inner"), closed.clone()),
        (locked.clone(), locked.join("serve.lock")),
    ];
    for (data, refusing) in cases {
        let output = as_other_user(&restore, &data);
        let said = String::from_utf8_lossy(&output.stderr);
        let named = format!("cannot write to {}, which belongs to root", refusing.display());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said.contains(&named) && said.contains("with --data"), "{said}");
    }
    let left = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    assert_eq!((left(&closed), left(&locked)), (0, 1), "a refused restore left files");

    // In a folder open to all, the files belong to the user of the restore.
    std::fs::set_permissions(&closed, Permissions::from_mode(0o777)).unwrap();
    let output = as_other_user(&restore, &closed);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("(uid 65534, gid 65534)"), "{output:?}");
    assert_eq!(std::fs::metadata(closed.join("admin.db")).unwrap().uid(), OTHER_USER);
}
