//! The declarations of keys, one method for each kind of value.

use std::fmt::{self, Display, Write};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use crate::bounds::{MAX_PERIOD_MS, MAX_TIMEOUT_MS};
use crate::log_filter::check_log_filter;
use crate::networks::parse_network;
use crate::sources::{WrittenEntry, WrittenKeys, WrittenValue};

/// Stands before the bounds of a limit.
const NO_LIMIT_OR: &str = "0 (no limit) or ";

/// Reads or prints the keys of a [`Configuration`](crate::Configuration).
///
/// Each method declares one key and its field. While reading, the method sets the field to a usable
/// written value, and returns whether it did.
pub struct Keys(Pass);

enum Pass {
    Reading { written: WrittenKeys, problems: Vec<String> },
    Printing { text: String, section: String },
}

impl Keys {
    pub(crate) fn reading(written: WrittenKeys) -> Keys {
        Keys(Pass::Reading { written, problems: Vec::new() })
    }

    pub(crate) fn printing() -> Keys {
        Keys(Pass::Printing { text: String::new(), section: String::new() })
    }

    /// `true` or `false`.
    pub fn declare_flag(&mut self, key: &str, target: &mut bool) -> bool {
        let parse = |text: &str| text.parse().map_err(|_| "must be true or false".to_owned());
        self.declare(key, target, bool::to_string, one(parse))
    }

    /// A whole number in `range`.
    pub fn declare_number<T>(&mut self, key: &str, target: &mut T, range: RangeInclusive<T>) -> bool
    where
        T: FromStr + PartialOrd + Display,
    {
        let print = |number: &T| with_bounds(number, &range, "");
        self.declare(key, target, print, one(|text| parse_number(text, &range, "")))
    }

    /// A whole number in `range`, or 0 for no limit.
    pub fn declare_limit<T>(&mut self, key: &str, target: &mut T, range: RangeInclusive<T>) -> bool
    where
        T: FromStr + PartialOrd + Display + Default,
    {
        let parse = |text: &str| match text.parse() {
            Ok(number) if number == T::default() => Ok(number),
            _ => parse_number(text, &range, NO_LIMIT_OR),
        };
        let print = |number: &T| with_bounds(number, &range, NO_LIMIT_OR);
        self.declare(key, target, print, one(parse))
    }

    /// A time-out in milliseconds, from 1 to [`MAX_TIMEOUT_MS`].
    pub fn declare_timeout(&mut self, key: &str, target: &mut Duration) -> bool {
        self.declare_millis(key, target, 1..=MAX_TIMEOUT_MS)
    }

    /// A pause in milliseconds, at most [`MAX_TIMEOUT_MS`]; 0 for none.
    pub fn declare_pause(&mut self, key: &str, target: &mut Duration) -> bool {
        self.declare_millis(key, target, 0..=MAX_TIMEOUT_MS)
    }

    /// A retention or wait in milliseconds, from 1 to [`MAX_PERIOD_MS`].
    pub fn declare_period(&mut self, key: &str, target: &mut Duration) -> bool {
        self.declare_millis(key, target, 1..=MAX_PERIOD_MS)
    }

    /// A time in milliseconds, in `range`.
    pub fn declare_millis(
        &mut self,
        key: &str,
        target: &mut Duration,
        range: RangeInclusive<u64>,
    ) -> bool {
        let parse = |text: &str| parse_number(text, &range, "").map(Duration::from_millis);
        let print = |duration: &Duration| with_bounds(&duration.as_millis(), &range, "");
        self.declare(key, target, print, one(parse))
    }

    /// An address with its port.
    pub fn declare_address(&mut self, key: &str, target: &mut SocketAddr) -> bool {
        self.declare(key, target, quoted, one(parse_address))
    }

    /// An address with its port, or nothing.
    pub fn declare_optional_address(&mut self, key: &str, target: &mut Option<SocketAddr>) -> bool {
        let parse = |text: &str| match text {
            "" => Ok(None),
            text => parse_address(text).map(Some),
        };
        let print = |address: &Option<SocketAddr>| {
            quoted(&address.map(|address| address.to_string()).unwrap_or_default())
        };
        self.declare(key, target, print, one(parse))
    }

    /// An address with its port that has no default.
    pub fn declare_required_address(&mut self, key: &str, target: &mut SocketAddr) {
        let is_written = self.declare_address(key, target);
        self.require(key, is_written);
    }

    /// The path of a file that has no default.
    pub fn declare_required_path(&mut self, key: &str, target: &mut PathBuf) {
        let is_written = self.declare_path(key, target);
        self.require(key, is_written);
    }

    fn require(&mut self, key: &str, is_written: bool) {
        if let Pass::Reading { problems, .. } = &mut self.0
            && !is_written
            && !problems.iter().any(|problem| problem.starts_with(key))
        {
            problems.push(format!("{key}: is missing"));
        }
    }

    /// The path of a folder or a file. It need not exist.
    pub fn declare_path(&mut self, key: &str, target: &mut PathBuf) -> bool {
        let parse = |text: &str| match text {
            // Mostly a variable that a script forgot to fill.
            "" => Err("must name a folder or a file".to_owned()),
            _ => Ok(PathBuf::from(text)),
        };
        self.declare(key, target, |path| quoted(&path.display()), one(parse))
    }

    /// A list of paths of files. The files need not exist.
    pub fn declare_paths(&mut self, key: &str, target: &mut Vec<PathBuf>) -> bool {
        let print = |paths: &Vec<PathBuf>| {
            let paths = paths.iter().map(|path| toml::Value::String(path.display().to_string()));
            toml::Value::Array(paths.collect()).to_string()
        };
        let parse = |value: &WrittenValue| match value.is_list {
            // A path in a list may have commas.
            true => Ok(value.values.iter().map(PathBuf::from).collect()),
            false => Ok(value.elements().map(PathBuf::from).collect()),
        };
        self.declare(key, target, print, parse)
    }

    /// A list of texts that `check` accepts. In the environment: with commas between them.
    pub fn declare_texts(
        &mut self,
        key: &str,
        target: &mut Vec<String>,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> bool {
        let print = |texts: &Vec<String>| {
            toml::Value::Array(texts.iter().cloned().map(toml::Value::String).collect()).to_string()
        };
        let parse = |text: &str| check(text).map(|()| text.to_owned());
        self.declare(key, target, print, |value| value.elements().map(parse).collect())
    }

    /// A list of networks and addresses.
    pub fn declare_networks(&mut self, key: &str, target: &mut Vec<IpNet>) -> bool {
        let print = |networks: &Vec<IpNet>| {
            let networks = networks.iter().map(|network| toml::Value::String(network.to_string()));
            toml::Value::Array(networks.collect()).to_string()
        };
        self.declare(key, target, print, |value| value.elements().map(parse_network).collect())
    }

    /// A log level, or directives such as `info,coupond=debug`.
    pub fn declare_log_filter(&mut self, key: &str, target: &mut String) -> bool {
        let parse = |text: &str| check_log_filter(text).map(|()| text.to_owned());
        self.declare(key, target, quoted, one(parse))
    }

    /// A word of a fixed set; the error of the type's parser lists the set.
    pub fn declare_choice<T>(&mut self, key: &str, target: &mut T) -> bool
    where
        T: FromStr<Err: Display> + Display,
    {
        let parse = |text: &str| text.parse().map_err(|error: T::Err| error.to_string());
        self.declare(key, target, |choice| quoted(choice), one(parse))
    }

    /// The path of a folder or a file, or nothing.
    pub fn declare_optional_path(&mut self, key: &str, target: &mut Option<PathBuf>) -> bool {
        let parse = |text: &str| Ok((!text.is_empty()).then(|| PathBuf::from(text)));
        let print = |path: &Option<PathBuf>| {
            quoted(&path.as_deref().map(|path| path.display().to_string()).unwrap_or_default())
        };
        self.declare(key, target, print, one(parse))
    }

    /// A text that `check` accepts, or nothing.
    pub fn declare_text(
        &mut self,
        key: &str,
        target: &mut String,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> bool {
        let parse = |text: &str| match text {
            "" => Ok(String::new()),
            text => check(text).map(|()| text.to_owned()),
        };
        self.declare(key, target, quoted, one(parse))
    }

    /// A list of tables (`[[key]]`), each with keys of its own. In the environment and on the
    /// command line each entry is a text. Declared behind all keys without a section.
    pub fn declare_entries<T: ConfigEntry>(&mut self, key: &str, target: &mut Vec<T>) -> bool {
        match &mut self.0 {
            Pass::Printing { text, section } => {
                for entry in target {
                    print_entry(text, key, entry);
                    // The next key needs the header of its section again.
                    *section = format!("[{key}]");
                }
                false
            }
            Pass::Reading { written, problems } => match written.take_entries(key) {
                Ok(Some(entries)) => {
                    let numbered = entries.into_iter().enumerate();
                    let read = numbered.map(|(at, entry)| {
                        read_entry(entry).map_err(|of_entry| {
                            let named = |problem| format!("{key}, entry {}: {problem}", at + 1);
                            problems.extend(of_entry.into_iter().map(named));
                        })
                    });
                    *target = read.filter_map(Result::ok).collect();
                    true
                }
                Ok(None) => false,
                Err(problem) => {
                    problems.push(problem);
                    false
                }
            },
        }
    }

    fn declare<T>(
        &mut self,
        key: &str,
        target: &mut T,
        print: impl FnOnce(&T) -> String,
        parse: impl FnOnce(&WrittenValue) -> Result<T, String>,
    ) -> bool {
        match &mut self.0 {
            Pass::Printing { text, section } => {
                // Writing to a `String` cannot fail.
                let _ = print_line(text, section, key, &print(target));
                false
            }
            Pass::Reading { written, problems } => match read(written, key, parse) {
                Ok(Some(value)) => {
                    *target = value;
                    true
                }
                Ok(None) => false,
                Err(problem) => {
                    problems.push(problem);
                    false
                }
            },
        }
    }

    /// All problems, those of unknown keys last.
    pub(crate) fn into_problems(self) -> Vec<String> {
        match self.0 {
            Pass::Reading { written, mut problems } => {
                problems.extend(written.into_unknown());
                problems
            }
            Pass::Printing { .. } => Vec::new(),
        }
    }

    pub(crate) fn into_text(self) -> String {
        match self.0 {
            Pass::Printing { text, .. } => text,
            Pass::Reading { .. } => String::new(),
        }
    }
}

/// One entry of a list of tables.
pub trait ConfigEntry: Default + Clone {
    /// Declares every key of the entry with its field.
    fn declare_keys(&mut self, keys: &mut Keys);

    /// Reads an entry that is written as a text.
    ///
    /// # Errors
    /// A sentence that says what a text must be.
    fn from_text(text: &str) -> Result<Self, String>;
}

fn read_entry<T: ConfigEntry>(entry: WrittenEntry) -> Result<T, Vec<String>> {
    let written = match entry {
        WrittenEntry::Text(text) => return T::from_text(&text).map_err(|problem| vec![problem]),
        WrittenEntry::Table(written) => written,
    };
    let (mut read, mut keys) = (T::default(), Keys::reading(written));
    read.declare_keys(&mut keys);
    let problems = keys.into_problems();
    if problems.is_empty() { Ok(read) } else { Err(problems) }
}

fn print_entry<T: ConfigEntry>(text: &mut String, key: &str, entry: &T) {
    let mut keys = Keys::printing();
    entry.clone().declare_keys(&mut keys);
    text.push_str(&format!("\n[[{key}]]\n{}", keys.into_text()));
}

fn read<T>(
    written: &mut WrittenKeys,
    key: &str,
    parse: impl FnOnce(&WrittenValue) -> Result<T, String>,
) -> Result<Option<T>, String> {
    let Some(value) = written.take(key)? else { return Ok(None) };
    match parse(&value) {
        Ok(parsed) => Ok(Some(parsed)),
        Err(reason) => Err(format!("{} = {:?}: {reason}", value.name, value.values.join(", "))),
    }
}

/// A parser of keys with a single value.
fn one<T>(
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> impl FnOnce(&WrittenValue) -> Result<T, String> {
    |value| match value.values.as_slice() {
        [text] if !value.is_list => parse(text),
        _ => Err("must be one value, not a list".to_owned()),
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "must be an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080".to_owned()
    })
}

fn parse_number<T>(text: &str, range: &RangeInclusive<T>, or: &str) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        format!("must be {or}a whole number between {} and {}", range.start(), range.end())
    })
}

/// A printed number, with its bounds in a comment.
fn with_bounds(number: &impl Display, range: &RangeInclusive<impl Display>, or: &str) -> String {
    format!("{number} # {or}{} to {}", range.start(), range.end())
}

fn quoted(value: &impl Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}

fn print_line(text: &mut String, section: &mut String, key: &str, value: &str) -> fmt::Result {
    let (of_key, name) = key.rsplit_once('.').unwrap_or(("", key));
    if of_key != section {
        of_key.clone_into(section);
        writeln!(text, "\n[{of_key}]")?;
    }
    writeln!(text, "{name} = {value}")
}
