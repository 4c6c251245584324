//! The Debian package of both programs: its files, man pages and completions. `.ci/package` builds
//! the package, and `.ci/boot-package` installs it on a booted machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

#[path = "../../examples/manuals/pages.rs"]
mod manuals;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

fn manifest(path: &str) -> Table {
    read(path).parse().unwrap()
}

fn package() -> Table {
    let manifest = manifest("daemon/Cargo.toml");
    manifest["package"]["metadata"]["deb"].as_table().unwrap().clone()
}

/// A file or pattern of the package's metadata, and the path in the package. Folders end with `/`.
fn assets() -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let assets = package()["assets"].as_array().unwrap().clone();
    assets.iter().map(|asset| (text(&asset[0]), text(&asset[1]))).collect()
}

/// The files that a pattern with at most one `*` in its last part names.
fn files(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().unwrap().to_str().unwrap();
    let (head, tail) = name.split_once('*').unwrap_or((name, ""));
    let entries = std::fs::read_dir(pattern.parent().unwrap()).unwrap();
    let names = entries.map(|entry| entry.unwrap().path()).filter(|path| {
        let found = path.file_name().unwrap().to_str().unwrap();
        match name.contains('*') {
            true => found.starts_with(head) && found.ends_with(tail),
            false => found == name,
        }
    });
    names.collect()
}

/// Every path of the package, with the file it is made from.
fn contents(manuals: &Path) -> Vec<(String, PathBuf)> {
    let mut contents = Vec::new();
    for (pattern, target) in assets() {
        let sources = if pattern.starts_with("target/release/") {
            vec![PathBuf::from(&pattern)]
        } else if let Some(page) = pattern.strip_prefix("../target/manuals/") {
            files(&manuals.join(page))
        } else {
            files(&repository().join("daemon").join(&pattern))
        };
        assert!(!sources.is_empty(), "{pattern} of the package names no file");
        for source in sources {
            let name = source.file_name().unwrap().to_str().unwrap();
            let path = match target.ends_with('/') {
                true => format!("/{target}{name}"),
                false => format!("/{target}"),
            };
            contents.push((path, source));
        }
    }
    contents
}

#[test]
fn the_package_holds_what_its_units_and_pages_name() {
    let folder = tempfile::tempdir().unwrap();
    manuals::write(folder.path()).unwrap();
    let contents = contents(folder.path());
    let paths: BTreeSet<&str> = contents.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths.len(), contents.len(), "a path of the package is named twice");

    let units = std::fs::read_dir(repository().join("systemd")).unwrap();
    let units: Vec<String> = units
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| [".service", ".socket", ".timer"].iter().any(|kind| name.ends_with(kind)))
        .collect();
    let scripts = ["postinst", "prerm", "postrm"];
    let scripts = scripts.map(|script| read(&format!("systemd/debian/{script}")));
    for unit in &units {
        assert!(paths.contains(format!("/usr/lib/systemd/system/{unit}").as_str()), "{unit}");
        let text = read(&format!("systemd/{unit}"));
        // A unit without that section is started by another one.
        for script in &scripts {
            let names = script.contains(unit.as_str());
            assert_eq!(names, text.contains("[Install]"), "{unit} in {script}");
        }
        let words = text.lines().filter(|line| line.starts_with("Exec"));
        let words = words.flat_map(|line| line.split(['=', ' ']));
        for path in words.filter(|word| ["/usr/", "/etc/"].iter().any(|top| word.starts_with(top)))
        {
            assert!(paths.contains(path), "{unit} names {path}, which is not in the package");
        }
    }
    assert!(units.len() > 5, "only {units:?} were found");

    let configuration: Vec<&str> =
        paths.iter().copied().filter(|path| path.starts_with("/etc/")).collect();
    let names = ["coupon-admin", "coupon-edge", "coupond"];
    assert_eq!(configuration, names.map(|name| format!("/etc/coupon/{name}.toml")));
    for (path, program) in contents.iter().filter(|(path, _)| path.starts_with("/usr/bin/")) {
        let name = program.file_name().unwrap().to_str().unwrap();
        let page = format!("/usr/share/man/man1/{name}.1");
        assert!(paths.contains(page.as_str()), "{path} has no man page");
    }
    for page in
        ["/usr/share/coupond/monitoring/coupon.rules.yml", "/usr/share/doc/coupond/README.md"]
    {
        assert!(paths.contains(page), "{page} is named by the programs and is not in the package");
    }
}

#[test]
fn the_package_has_the_version_of_the_programs() {
    let version = manifest("Cargo.toml")["workspace"]["package"]["version"].clone();
    let log = read("systemd/debian/changelog");
    let first = log.lines().next().unwrap();
    let expected = format!("coupond ({}-1) ", version.as_str().unwrap());
    assert!(first.starts_with(&expected), "systemd/debian/changelog begins with {first}");
}

#[test]
fn man_pages_and_completions_name_every_command_and_option() {
    let folder = tempfile::tempdir().unwrap();
    manuals::write(folder.path()).unwrap();
    let mut options = 0;
    for mut program in manuals::programs() {
        program.build();
        let name = program.get_name().to_owned();
        let completions: Vec<String> =
            [format!("{name}.bash"), format!("{name}.fish"), format!("_{name}")]
                .iter()
                .map(|file| folder.path().join("completions").join(file))
                .map(|path| std::fs::read_to_string(path).unwrap())
                .collect();
        options += check_command(&program, &name, folder.path(), &completions);
    }
    assert!(options > 40, "only {options} options were found");
}

/// Checks the command and those below it. Returns the number of options.
fn check_command(
    command: &clap::Command,
    name: &str,
    folder: &Path,
    completions: &[String],
) -> usize {
    let page = folder.join("man").join(format!("{name}.1"));
    let page = std::fs::read_to_string(page).unwrap_or_else(|_| panic!("{name} has no man page"));
    // In roff a hyphen of an option is escaped.
    let page = page.replace("\\-", "-");
    let mut options = 0;
    for variable in command.get_opts().filter_map(clap::Arg::get_env) {
        let variable = variable.to_str().unwrap();
        assert!(page.contains(variable), "the page of {name} lacks {variable}");
    }
    for option in command.get_opts().filter_map(clap::Arg::get_long) {
        options += 1;
        assert!(page.contains(&format!("--{option}")), "the page of {name} lacks --{option}");
        for completion in completions {
            // fish names options without their hyphens.
            let forms = [format!("--{option}"), format!("-l {option}")];
            let is_there = forms.iter().any(|form| completion.contains(form));
            assert!(is_there, "a completion lacks --{option} of {name}");
        }
    }
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        let below_name = below.get_name();
        assert!(completions.iter().all(|text| text.contains(below_name)), "{name} {below_name}");
        let page_name = format!("{name}-{below_name}");
        options += check_command(below, &page_name, folder, completions);
    }
    options
}
