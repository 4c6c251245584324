//! Names the commit of a release build.
//!
//! `COUPON_COMMIT` names it where the sources are not a checkout of git, such as in a package's
//! build. Other profiles have none: they would be built again after each commit.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=COUPON_COMMIT");
    println!("cargo:rerun-if-changed=build.rs");
    let commit = std::env::var("COUPON_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = commit.or_else(|| is_release().then(commit_of_checkout).flatten());
    let version = env!("CARGO_PKG_VERSION");
    let build =
        commit.as_deref().map_or(version.to_owned(), |commit| format!("{version} ({commit})"));
    println!("cargo:rustc-env=COUPON_COMMIT={}", commit.unwrap_or_default());
    println!("cargo:rustc-env=COUPON_BUILD_VERSION={build}");
}

/// Cargo names the profile that a custom one inherits from.
fn is_release() -> bool {
    std::env::var("PROFILE").is_ok_and(|profile| profile == "release")
}

fn commit_of_checkout() -> Option<String> {
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo:rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
