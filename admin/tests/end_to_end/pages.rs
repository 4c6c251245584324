//! The pages of the repository name paths, programs, flags, API routes and identifiers. A page with
//! a name that does not exist fails here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs::{admin_program, daemon_program, loadtest_program};

/// Folders of the repository, as paths in pages begin.
const FOLDERS: [&str; 7] =
    [".ci/", "admin/", "benches/", "daemon/", "loadtest/", "shared/", "systemd/"];
/// Words in capitals that readers replace.
const PLACEHOLDERS: [&str; 6] = ["VARIABLE", "SIZE", "NAME", "WINTER25", "CURRENT", "STATE"];

struct Page {
    path: PathBuf,
    text: String,
}

impl Page {
    fn name(&self) -> String {
        self.path.strip_prefix(repository()).unwrap().display().to_string()
    }

    /// Code spans of running text, without the fenced blocks.
    fn spans(&self) -> Vec<String> {
        let prose: String = self.text.split("```").step_by(2).collect();
        prose.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")).collect()
    }

    /// Lines of fenced shell blocks; continued lines are joined, comments removed.
    fn shell_lines(&self) -> Vec<String> {
        let blocks = self.text.split("```").skip(1).step_by(2);
        let shell = blocks.filter_map(|block| block.strip_prefix("sh\n"));
        let joined = shell.map(|block| block.replace("\\\n", " "));
        let lines = joined.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>());
        lines.map(|line| line.split(" # ").next().unwrap_or_default().trim().to_owned()).collect()
    }

    /// Targets of relative links.
    fn links(&self) -> Vec<String> {
        let targets = self.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
    }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn pages() -> Vec<Page> {
    let folders = ["", "admin", "benches", "daemon", "loadtest", "shared", "systemd"];
    let files = folders.into_iter().flat_map(|folder| {
        let entries = std::fs::read_dir(repository().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    });
    let pages: Vec<Page> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| Page { text: std::fs::read_to_string(&path).unwrap(), path })
        .collect();
    let names: Vec<String> = pages.iter().map(Page::name).collect();
    for expected in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "admin/README.md",
        "benches/README.md",
        "daemon/README.md",
        "loadtest/README.md",
        "systemd/README.md",
    ] {
        assert!(names.iter().any(|name| name == expected), "{expected} is missing");
    }
    pages
}

/// All text with identifiers: sources, configuration, scripts.
fn sources() -> String {
    let listed = Command::new("find")
        .args([".ci", "admin", "benches", "daemon", "loadtest", "shared", "systemd"])
        .args(["-type", "f", "-not", "-path", "*/target/*"])
        .args(["(", "-name", "*.rs", "-o", "-name", "*.toml", "-o", "-name", "*.sql"])
        .args(["-o", "-name", "*.js", "-o", "-name", "*.yml", "-o", "-path", ".ci/*", ")"])
        .current_dir(repository())
        .output()
        .unwrap();
    let files = String::from_utf8(listed.stdout).unwrap();
    let texts = files.lines().filter(|file| !file.ends_with("end_to_end/pages.rs"));
    texts.filter_map(|file| std::fs::read_to_string(repository().join(file)).ok()).collect()
}

fn word_set(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect()
}

fn slug(heading: &str) -> String {
    let kept = heading.to_ascii_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
}

#[test]
fn the_front_page_is_short() {
    let lines = std::fs::read_to_string(repository().join("README.md")).unwrap().lines().count();
    assert!(lines <= 120, "README.md has {lines} lines; more belongs into the folders' pages");
}

#[test]
fn paths_named_in_pages_exist() {
    let mut named = 0;
    for page in pages() {
        for span in page.spans() {
            let is_path = FOLDERS.iter().any(|folder| span.starts_with(folder));
            let path = span.split([' ', '*', '#', '{']).next().unwrap();
            if is_path && !span.contains("://") {
                named += 1;
                assert!(repository().join(path).exists(), "{}: no `{span}`", page.name());
            }
        }
        for link in page.links() {
            named += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => page.path.clone(),
                file => page.path.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: the link {link} leads nowhere", page.name());
            let is_heading = |line: &str| {
                line.starts_with('#') && slug(line.trim_start_matches('#').trim()) == anchor
            };
            assert!(
                anchor.is_empty()
                    || std::fs::read_to_string(target).unwrap().lines().any(is_heading),
                "{}: the link {link} names no heading",
                page.name()
            );
        }
    }
    assert!(named > 40, "only {named} paths were found: does this test still read the pages?");
}

#[test]
fn identifiers_named_in_pages_exist() {
    let sources = sources();
    let known = word_set(&sources);
    let mut named = 0;
    for page in pages().iter().filter(|page| page.name() != "CHANGELOG.md") {
        for span in page.spans() {
            let last = span.rsplit("::").next().unwrap().rsplit('.').next().unwrap();
            let is_identifier = last.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && span.chars().all(|c| c.is_ascii_alphanumeric() || "_:.".contains(c));
            let is_name = last.contains('_') || last.starts_with(|c: char| c.is_ascii_uppercase());
            if is_identifier && is_name && !PLACEHOLDERS.contains(&last) && !span.ends_with(".md") {
                named += 1;
                let is_known = known.contains(last)
                    || (last.contains('_') && sources.contains(last))
                    // The sources name metrics without the program, and counters without their ending.
                    || ["coupond_", "coupon_admin_"]
                        .iter()
                        .filter_map(|program| last.strip_prefix(program))
                        .any(|name| sources.contains(name.strip_suffix("_total").unwrap_or(name)))
                    || repository().join(&span).exists();
                assert!(is_known, "{}: nothing is named `{span}`", page.name());
            }
        }
    }
    assert!(
        named > 60,
        "only {named} identifiers were found: does this test still read the pages?"
    );
}

#[test]
fn api_routes_named_in_pages_exist() {
    let description = serde_json::to_value(coupon_admin::api::description()).unwrap();
    let templates = description["paths"].as_object().unwrap().keys();
    let routes: BTreeSet<String> = templates.map(|path| without_names(path)).collect();
    let mut named = 0;
    for page in pages().iter().filter(|page| page.name() != "CHANGELOG.md") {
        for span in page.spans() {
            let Some(start) = span.find("/v1/") else { continue };
            let path = span[start..].split(['?', ' ', '…', '"']).next().unwrap();
            let path = path.trim_end_matches('/');
            named += 1;
            let is_prefix = routes.iter().any(|route| route.starts_with(&format!("{path}/")));
            let is_route = routes.contains(&without_names(path));
            let area = path.strip_suffix("/reporting").unwrap_or(path);
            let is_area =
                ["/v1/networks", "/v1/affiliates", "/v1/advertisers", "/v1/meta"].contains(&area);
            assert!(is_route || (is_area && is_prefix), "{}: no route `{span}`", page.name());
        }
    }
    assert!(named > 20, "only {named} routes were found: does this test still read the pages?");
}

/// The template with `{}` for each parameter.
fn without_names(template: &str) -> String {
    let parts = template.split('/');
    let plain = parts.map(|part| if part.starts_with('{') { "{}" } else { part });
    plain.collect::<Vec<_>>().join("/")
}

/// Commands of a page, split at spaces, without environment variables.
fn commands(page: &Page) -> Vec<Vec<String>> {
    let lines = page.shell_lines().into_iter().chain(page.spans());
    let parts = lines
        .flat_map(|line| line.split("&& ").map(str::trim).map(str::to_owned).collect::<Vec<_>>());
    let tokens = parts.map(|part| {
        let is_assignment = |token: &&str| {
            token.split_once('=').is_some_and(|(name, _)| {
                !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            })
        };
        part.split_whitespace().skip_while(is_assignment).map(str::to_owned).collect()
    });
    tokens.collect()
}

#[test]
fn programs_and_flags_named_in_pages_exist() {
    let mut named = 0;
    for page in pages().iter().filter(|page| page.name() != "CHANGELOG.md") {
        for command in commands(page) {
            let Some((program, arguments)) = command.split_first() else { continue };
            let program = match program.rsplit('/').next().unwrap() {
                "coupond" => daemon_program(),
                "coupon-admin" => admin_program(),
                "coupon-loadtest" => loadtest_program(),
                _ => continue,
            };
            named += 1;
            check_arguments(program, arguments, &page.name());
        }
    }
    assert!(named > 20, "only {named} commands were found: does this test still read the pages?");
}

/// Checks that each subcommand has a help text with each flag.
fn check_arguments(program: &Path, arguments: &[String], page: &str) {
    let mut subcommands = Vec::new();
    let mut help = help_of(program, &subcommands).unwrap_or_else(|| panic!("{page}: no help"));
    for argument in arguments {
        let argument = argument.trim_matches(|c: char| "[],…".contains(c));
        if let Some(flag) = argument.strip_prefix("--") {
            let flag = flag.split('=').next().unwrap();
            let stands = help.contains(&format!("--{flag}")) || ["help", "version"].contains(&flag);
            assert!(stands, "{page}: {} {subcommands:?} has no flag --{flag}", program.display());
        } else if argument.starts_with(|c: char| c.is_ascii_lowercase())
            && argument.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        {
            let deeper = [subcommands.clone(), vec![argument.to_owned()]].concat();
            if let Some(text) = help_of(program, &deeper) {
                (subcommands, help) = (deeper, text);
            } else {
                assert!(!subcommands.is_empty(), "{page}: {} has no {argument}", program.display());
            }
        }
    }
}

fn help_of(program: &Path, subcommands: &[String]) -> Option<String> {
    let output = Command::new(program).args(subcommands).arg("--help").output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn tests_and_benches_named_in_pages_exist() {
    let sources = sources();
    let mut named = 0;
    for page in pages().iter().filter(|page| page.name() != "CHANGELOG.md") {
        for command in commands(page) {
            if command.first().is_none_or(|program| program != "cargo") {
                continue;
            }
            named += 1;
            let folders = [
                "admin",
                "benches",
                "daemon",
                "loadtest",
                "shared",
                "shared/serve",
                "shared/config",
                "shared/rules",
                "shared/geo",
            ];
            let package = value_of(&command, "-p").map(|package| {
                let manifest = |folder: &&str| {
                    let text =
                        std::fs::read_to_string(repository().join(folder).join("Cargo.toml"));
                    text.is_ok_and(|text| text.contains(&format!("\nname = \"{package}\"")))
                };
                let folder = folders.into_iter().find(manifest);
                repository()
                    .join(folder.unwrap_or_else(|| panic!("{}: no package {package}", page.name())))
            });
            for (flag, folder) in [("--test", "tests"), ("--bench", "benches")] {
                if let Some(target) = value_of(&command, flag) {
                    let file = format!("{folder}/{target}.rs");
                    let is_there = match &package {
                        Some(package) => package.join(&file).exists(),
                        None => folders.iter().any(|of| repository().join(of).join(&file).exists()),
                    };
                    assert!(is_there, "{}: no {file}", page.name());
                }
            }
            for name in test_names(&command) {
                let is_test = |line: &str| {
                    let item = line.trim_start();
                    (item.starts_with("fn ") || item.starts_with("mod ")) && item.contains(name)
                };
                assert!(
                    sources.lines().any(is_test),
                    "{}: no test has {name} in its name",
                    page.name()
                );
            }
        }
    }
    assert!(named > 5, "only {named} commands were found: does this test still read the pages?");
}

/// Words of a `cargo test` that select tests by name.
fn test_names(command: &[String]) -> Vec<&str> {
    if command.get(1).is_none_or(|subcommand| subcommand != "test") {
        return Vec::new();
    }
    let after_flags = command.windows(2).skip(1).filter_map(|pair| {
        let is_value = ["-p", "--test", "--bench"].contains(&pair[0].as_str());
        (!is_value && !pair[1].starts_with('-')).then_some(pair[1].as_str())
    });
    after_flags.filter(|name| !PLACEHOLDERS.contains(name)).collect()
}

fn value_of<'a>(command: &'a [String], flag: &str) -> Option<&'a str> {
    let at = command.iter().position(|word| word == flag)?;
    command.get(at + 1).map(String::as_str)
}
