//! The program's command line, next to a running admin and without one.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::json;

use crate::client::{Running, start_with_offers};

fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coupon-admin"));
    command.arg("--data").arg(dir);
    command
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn csv(dir: &Path, rows: usize) -> std::path::PathBuf {
    let mut text = String::from("coupon_code,offer_id,affiliate_id,status\r\n");
    for row in 0..rows {
        let _ = write!(text, "BULK{row:06},1,1,active\r\n");
    }
    let path = dir.join("codes.csv");
    std::fs::write(&path, text).unwrap();
    path
}

async fn count(network: &Running) -> u64 {
    network.get("couponcodes").await.done()["paging"]["total_count"].as_u64().unwrap()
}

#[tokio::test]
async fn an_import_beside_a_running_admin_is_seen_by_it() {
    let network = start_with_offers().await;
    let mut import = program(network.dir());
    import.arg("import").arg(csv(network.dir(), 1000));
    let output = run(import).await;
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("1000 coupon codes created"), "{}", said(&output));
    assert_eq!(count(&network).await, 1000);
}

#[tokio::test]
async fn an_export_can_be_edited_and_imported_as_an_update() {
    let network = start_with_offers().await;
    let mut import = program(network.dir());
    import.arg("import").arg(csv(network.dir(), 3));
    assert!(run(import).await.status.success());
    let file = network.dir().join("exported.csv");
    let mut export = program(network.dir());
    export.arg("export").arg(&file);
    assert!(run(export).await.status.success());
    let exported = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, exported.replacen(",\"active\",", ",paused,", 2)).unwrap();
    let mut update = program(network.dir());
    update.arg("import").arg(&file).args(["--mode", "update"]);
    let output = run(update).await;
    assert!(
        said(&output).contains("2 coupon codes updated, 1 were so already"),
        "{}",
        said(&output)
    );
    // The same codes as a workbook: by the ending of the name, and by name to the standard output.
    let export = |arguments: &[&str]| {
        let mut export = program(network.dir());
        export.arg("export").args(arguments).current_dir(network.dir());
        export
    };
    assert!(run(export(&["codes.XLSX"])).await.status.success());
    let piped = run(export(&["--format", "xlsx"])).await;
    assert!(piped.status.success(), "{}", said(&piped));
    let book = std::fs::read(network.dir().join("codes.XLSX")).unwrap();
    assert!(book.starts_with(b"PK") && piped.stdout.starts_with(b"PK"));
    std::fs::write(network.dir().join("piped.xlsx"), piped.stdout).unwrap();
    for book in ["codes.XLSX", "piped.xlsx"] {
        let mut update = program(network.dir());
        update.arg("import").arg(network.dir().join(book)).args(["--mode", "update"]);
        let output = run(update).await;
        let said = said(&output);
        assert!(said.contains("0 coupon codes updated, 3 were so already"), "{said}");
    }
    let marked = run(export(&["--bom"])).await;
    assert!(marked.stdout.starts_with(b"\xef\xbb\xbfcoupon_code_id,"), "{}", said(&marked));
    let refused = run(export(&["other.xlsx", "--bom"])).await;
    assert!(!refused.status.success() && said(&refused).contains("leave out --bom"));
    let plain = run(export(&["other.xlsx", "--bom", "--format", "csv"])).await;
    assert!(plain.status.success(), "{}", said(&plain));
    let plain = std::fs::read(network.dir().join("other.xlsx")).unwrap();
    assert_eq!(plain, marked.stdout);

    let mut wrong = program(network.dir());
    std::fs::write(&file, "coupon_code,status\nBULK000001,active\nNOBODYS,active\n").unwrap();
    wrong.arg("import").arg(&file).args(["--mode", "update", "--skip-invalid"]);
    let output = run(wrong).await;
    assert!(said(&output).contains("1 wrong row(s) were left out"), "{}", said(&output));
}

#[tokio::test]
async fn a_wrong_import_tells_its_lines_and_saves_nothing() {
    let network = start_with_offers().await;
    let file = network.dir().join("wrong.csv");
    let errors = network.dir().join("errors.csv");
    let mut rows = String::from("offer_id,affiliate_id,coupon_code,status\n1,1,GOOD,active\n");
    rows.push_str(&"1,1,a b,active\n".repeat(30));
    std::fs::write(&file, rows).unwrap();
    let mut import = program(network.dir());
    import.arg("import").arg(&file).arg("--errors").arg(&errors);
    let output = run(import).await;
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(said.contains("line 3, column coupon_code: ") && said.contains("line 22, "), "{said}");
    assert!(!said.contains("line 23, ") && said.contains("and 10 more"), "{said}");
    assert_eq!(std::fs::read_to_string(errors).unwrap().lines().count(), 31);
    assert_eq!(count(&network).await, 0);
}

#[tokio::test]
async fn an_import_killed_at_any_moment_leaves_all_or_nothing() {
    const ROWS: usize = 20_000;
    let network = start_with_offers().await;
    let file = csv(network.dir(), ROWS);
    let (mut nothing, mut pause) = (0, Duration::from_millis(5));
    loop {
        let mut import = program(network.dir());
        let mut child =
            import.arg("import").arg(&file).stderr(std::process::Stdio::null()).spawn().unwrap();
        tokio::time::sleep(pause).await;
        child.kill().unwrap();
        child.wait().unwrap();
        match count(&network).await {
            0 => nothing += 1,
            all => break assert_eq!(all, ROWS as u64),
        }
        pause = pause * 3 / 2;
    }
    assert!(nothing >= 3, "it was never killed in time");
}

#[tokio::test]
async fn a_key_made_on_the_command_line_works() {
    let network = start_with_offers().await;
    let mut create = program(network.dir());
    create.args(["api-key", "create", "--role", "partner", "--affiliate", "2", "--name", "Ben's"]);
    let output = run(create).await;
    let key = String::from_utf8(output.stdout).unwrap();
    let answer = network.call_as(key.trim(), "GET", "/v1/affiliates/couponcodes", None).await;
    assert_eq!(answer.status, 200);
    let mut wrong = program(network.dir());
    wrong.args(["api-key", "create", "--role", "partner", "--affiliate", "9"]);
    let output = run(wrong).await;
    assert!(!output.status.success() && said(&output).contains("affiliate 9"), "{}", said(&output));
    let mut create = program(network.dir());
    create.args(["api-key", "create", "--role", "advertiser", "--advertiser", "1"]);
    let key = String::from_utf8(run(create).await.stdout).unwrap();
    let answer = network.call_as(key.trim(), "GET", "/v1/advertisers/offers", None).await;
    assert_eq!(answer.done()["paging"]["total_count"], 2);
}

#[tokio::test]
async fn commands_on_a_folder_without_a_store_make_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = csv(dir.path(), 1);
    for arguments in
        [vec!["api-key", "create", "--role", "admin"], vec!["import", file.to_str().unwrap()]]
    {
        let mut command = program(&dir.path().join("typo"));
        command.args(arguments);
        let output = run(command).await;
        assert!(
            !output.status.success() && said(&output).contains("there is no store"),
            "{}",
            said(&output)
        );
    }
    assert!(!dir.path().join("typo").exists());
}

#[tokio::test]
async fn a_message_says_which_file_and_says_nothing_twice() {
    let network = start_with_offers().await;
    let (nowhere, folder) = (network.dir().join("no/such/file.csv"), network.dir());
    let (path, folder) = (nowhere.to_str().unwrap(), folder.to_str().unwrap());
    let file = csv(network.dir(), 1);
    let wrong = network.dir().join("wrong.csv");
    std::fs::write(&wrong, "offer_id,affiliate_id,coupon_code,status\n9,1,GOOD,active\n").unwrap();
    for (arguments, named, cause) in [
        (vec!["export", path], path, "No such file or directory"),
        (vec!["import", path], path, "No such file or directory"),
        (vec!["import", folder], folder, "Is a directory"),
        (
            vec!["import", wrong.to_str().unwrap(), "--errors", path],
            path,
            "No such file or directory",
        ),
        (vec!["backup", path], path, "No such file or directory"),
        (vec!["restore", path], path, "No such file or directory"),
        (vec!["check-config", "--config", path], path, "No such file or directory"),
        (vec!["explain", "WINTER25", "--time", "noon"], "noon", "Unix seconds"),
    ] {
        let mut command = program(network.dir());
        command.args(&arguments);
        let output = run(command).await;
        let said = said(&output);
        assert!(!output.status.success(), "{arguments:?}: {said}");
        assert!(said.contains(named), "{arguments:?}: {said}");
        assert_eq!(said.matches(cause).count(), 1, "{arguments:?}: {said}");
    }
    assert!(file.exists());
    let mut explain = program(&network.dir().join("typo"));
    explain.args(["explain", "WINTER25"]);
    let told = said(&run(explain).await);
    assert!(told.contains("there is no store") && told.contains("--data"), "{told}");
}

#[tokio::test]
async fn a_role_is_written_with_a_hyphen_or_as_in_the_api() {
    let network = start_with_offers().await;
    for role in ["read-only", "read_only"] {
        let mut create = program(network.dir());
        create.args(["api-key", "create", "--role", role]);
        let output = run(create).await;
        assert!(output.status.success(), "{}", said(&output));
        let key = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            network.call_as(key.trim(), "GET", "/v1/networks/offers", None).await.status,
            200
        );
    }
}

#[tokio::test]
async fn a_second_admin_on_one_folder_is_refused() {
    let network = start_with_offers().await;
    let mut second = program(network.dir());
    second.arg("serve").env("COUPON_ADMIN_LISTEN", "127.0.0.1:0");
    let output = run(second).await;
    assert!(
        !output.status.success() && said(&output).contains("another coupon-admin"),
        "{}",
        said(&output)
    );
}

#[tokio::test]
async fn check_config_reports_all_problems() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("admin.toml");
    std::fs::write(&file, "listen = 'x'\nport = 1\n").unwrap();
    let mut check = program(dir.path());
    check.arg("check-config").arg("--config").arg(&file);
    let output = run(check).await;
    let said = said(&output);
    assert!(!output.status.success() && said.contains("listen") && said.contains("port"), "{said}");
}

#[tokio::test]
async fn a_file_that_is_there_is_replaced_only_by_force() {
    use std::os::unix::fs::PermissionsExt;
    let network = start_with_offers().await;
    let mut import = program(network.dir());
    import.arg("import").arg(csv(network.dir(), 2));
    assert!(run(import).await.status.success());
    let folder = tempfile::tempdir().unwrap();
    let (file, victim) = (folder.path().join("codes.csv"), folder.path().join("victim"));
    std::fs::write(&victim, "mine").unwrap();
    std::os::unix::fs::symlink(&victim, &file).unwrap();
    let export = |arguments: &[&str]| {
        let mut export = program(network.dir());
        export.arg("export").arg(&file).args(arguments).current_dir(folder.path());
        export
    };
    let refused = run(export(&[])).await;
    assert!(!refused.status.success() && said(&refused).contains("--force"), "{}", said(&refused));
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
    let forced = run(export(&["--force"])).await;
    assert!(forced.status.success(), "{}", said(&forced));
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
    let found = std::fs::symlink_metadata(&file).unwrap();
    assert!(found.is_file() && found.permissions().mode() & 0o777 == 0o600, "{found:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 3);

    let mut import = program(network.dir());
    import.arg("import").arg(csv(network.dir(), 2)).arg("--errors").arg(&file);
    let refused = run(import).await;
    assert!(said(&refused).contains("exists already"), "{}", said(&refused));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "leftovers");
}

#[tokio::test]
async fn a_dash_is_the_standard_output() {
    let network = start_with_offers().await;
    let folder = tempfile::tempdir().unwrap();
    let to_dash = |command: &str| {
        let mut program = program(network.dir());
        program.args([command, "-"]).current_dir(folder.path());
        program
    };
    let exported = run(to_dash("export")).await;
    assert!(exported.stdout.starts_with(b"coupon_code_id,"), "{}", said(&exported));
    let made = run(to_dash("backup")).await;
    assert!(made.status.success(), "{}", said(&made));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let (file, restored) = (folder.path().join("backup"), folder.path().join("restored"));
    std::fs::write(&file, made.stdout).unwrap();
    let mut restore = program(&restored);
    restore.arg("restore").arg(&file);
    let output = run(restore).await;
    assert!(output.status.success(), "{}", said(&output));
    assert!(restored.join("admin.db").exists());

    let wrong = folder.path().join("wrong.csv");
    std::fs::write(&wrong, "offer_id,affiliate_id,coupon_code,status\n1,1,a b,active\n").unwrap();
    let mut import = program(network.dir());
    import.arg("import").arg(&wrong).args(["--errors", "-"]).current_dir(folder.path());
    let output = run(import).await;
    assert!(output.stdout.starts_with(b"row,line,column,error\n1,2,\"coupon_code\","));
    assert!(!folder.path().join("-").exists());
}

#[tokio::test]
async fn users_are_invited_reset_and_disabled_beside_a_running_admin() {
    let network = start_with_offers().await;
    let user = async |arguments: &[&str]| {
        let mut command = program(network.dir());
        command.arg("user").args(arguments);
        let output = run(command).await;
        (output.status.success(), said(&output))
    };
    let link = |said: &str| {
        let token = said.trim().strip_prefix("http://127.0.0.1:8090/link/").unwrap().to_owned();
        assert_eq!(token.len(), 64, "{said}");
        token
    };
    let invite = ["invite", "mia@example.com", "--name", "Mia", "--role", "read-only"];
    let (done, said) = user(&invite).await;
    assert!(done, "{said}");
    let first = link(&said);
    let made = network.get("users/1").await.done();
    assert_eq!((&made["name"], &made["role"]), (&json!("Mia"), &json!("read_only")));
    let (_, said) = user(&["reset", "MIA@example.com"]).await;
    assert_ne!(link(&said), first);
    let (_, said) = user(&["list"]).await;
    assert!(said.contains("mia@example.com") && said.contains("invited"), "{said}");
    assert!(user(&["reset-totp", "1"]).await.0);
    assert!(user(&["disable", "mia@example.com"]).await.0);
    assert_eq!(network.get("users/1").await.done()["user_status"], "disabled");
    for (arguments, why) in [
        (&invite[..], "has the login mia@example.com"),
        (&["reset", "nobody"][..], "there is no user nobody"),
        (&["disable", "77"][..], "there is no user 77"),
        (&["invite", "p", "--role", "partner"][..], "needs the partner"),
    ] {
        let (done, said) = user(arguments).await;
        assert!(!done && said.contains(why), "{arguments:?}: {said}");
    }
    let audit = network.get("audit?filter=object=user&filter=actor=command_line").await.done();
    assert_eq!(audit["paging"]["total_count"], 5, "{audit}");
}
