//! Collects the written keys of file, environment and command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::ConfigError;

/// The sources of a configuration, kept for reading again.
#[derive(Debug, Clone, Default)]
pub struct ConfigSources {
    /// The file, if the command line or the environment names one.
    pub file: Option<PathBuf>,
    /// The environment. Variables without the program's prefix are ignored.
    pub env: BTreeMap<String, String>,
    /// Keys of the command line; the strongest source.
    pub arguments: BTreeMap<String, String>,
}

/// The UTF-8 variables of this process's environment.
pub fn environment() -> BTreeMap<String, String> {
    // `std::env::vars` panics on a variable that is not UTF-8, whichever program it is meant for.
    let utf8 = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(utf8).collect()
}

/// The value of one key, as written in a source.
pub(crate) struct WrittenValue {
    /// The key, or the variable.
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
    pub(crate) is_list: bool,
}

impl WrittenValue {
    fn one(name: &str, text: String) -> WrittenValue {
        WrittenValue { name: name.to_owned(), values: vec![text], is_list: false }
    }

    /// The values of a list, from an array or from a text with commas.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &str> {
        let elements = self.values.iter().flat_map(|value| value.split(','));
        elements.map(str::trim).filter(|element| !element.is_empty())
    }
}

/// One entry of a list of tables, as written.
pub(crate) enum WrittenEntry {
    Table(WrittenKeys),
    Text(String),
}

/// All written keys. Reading takes out the declared keys; the rest is unknown.
pub(crate) struct WrittenKeys {
    env_prefix: &'static str,
    file: BTreeMap<String, toml::Value>,
    env: BTreeMap<String, String>,
    arguments: BTreeMap<String, String>,
}

impl WrittenKeys {
    pub(crate) fn collect(
        sources: &ConfigSources,
        env_prefix: &'static str,
    ) -> Result<WrittenKeys, ConfigError> {
        let file = sources.file.as_deref().map(read_table).transpose()?;
        let file = file.map(flat_keys).unwrap_or_default();
        // This variable names the file itself.
        let names_file = format!("{env_prefix}CONFIG");
        let mut env = sources.env.clone();
        env.retain(|name, _| name.starts_with(env_prefix) && *name != names_file);
        Ok(WrittenKeys { env_prefix, file, env, arguments: sources.arguments.clone() })
    }

    /// The value of `key` from its strongest source, or a problem for an unusable type.
    pub(crate) fn take(&mut self, key: &str) -> Result<Option<WrittenValue>, String> {
        let variable = format!("{}{}", self.env_prefix, key.replace('.', "_").to_ascii_uppercase());
        // Taken from every source, so that an overruled value does not count as unknown.
        let in_file = self.file.remove(key);
        let in_env = self.env.remove(&variable);
        if let Some(text) = self.arguments.remove(key) {
            return Ok(Some(WrittenValue::one(key, text)));
        }
        if let Some(text) = in_env {
            return Ok(Some(WrittenValue::one(&variable, text)));
        }
        in_file.map(|value| from_toml(key, value)).transpose()
    }

    /// The written entries of the list of tables `key`, or a problem for another type. Each entry is
    /// either a table with keys of its own or a text.
    pub(crate) fn take_entries(&mut self, key: &str) -> Result<Option<Vec<WrittenEntry>>, String> {
        let in_file = match self.file.get(key) {
            Some(toml::Value::Array(values)) if values.iter().any(toml::Value::is_table) => {
                self.file.remove(key)
            }
            _ => None,
        };
        if let Some(value) = self.take(key)? {
            let texts = value.elements().map(|text| WrittenEntry::Text(text.to_owned()));
            return Ok(Some(texts.collect()));
        }
        let Some(toml::Value::Array(values)) = in_file else { return Ok(None) };
        let entries = values.into_iter().enumerate().map(|(at, value)| match value {
            toml::Value::Table(table) => Ok(WrittenEntry::Table(WrittenKeys::of_table(table))),
            _ => Err(format!("{key}: entry {} must be a table ([[{key}]])", at + 1)),
        });
        entries.collect::<Result<Vec<_>, _>>().map(Some)
    }

    /// The keys of one entry of a list of tables.
    fn of_table(table: toml::Table) -> WrittenKeys {
        let file = flat_keys(table);
        WrittenKeys { env_prefix: "", file, env: BTreeMap::new(), arguments: BTreeMap::new() }
    }

    /// A problem for each key without a declaration.
    pub(crate) fn into_unknown(self) -> impl Iterator<Item = String> {
        let keys = self.file.into_keys();
        let keys = keys.map(|key| format!("{key}: there is no such key; correct or remove it"));
        let variables = self.env.into_iter().filter(|(name, value)| !is_service_link(name, value));
        let variables = variables
            .map(|(name, _)| format!("{name}: there is no such variable; correct or remove it"));
        keys.chain(variables)
    }
}

/// Whether an orchestrator made the variable to announce a service of the program's name, as
/// Kubernetes and Docker's links do: such variables are nobody's misspelling.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_port_of = |rest: &str| {
        let mut words = rest.split('_');
        let is_number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
        words.next().is_some_and(is_number)
            && words.next().is_some_and(|word| matches!(word, "TCP" | "UDP" | "SCTP"))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT") && value.contains("://")
        || name.match_indices("_PORT_").any(|(at, word)| is_port_of(&name[at + word.len()..]))
}

fn from_toml(key: &str, value: toml::Value) -> Result<WrittenValue, String> {
    let (values, is_list) = match value {
        toml::Value::Array(values) => (values, true),
        value => (vec![value], false),
    };
    let values: Option<Vec<String>> = values.into_iter().map(scalar).collect();
    match values {
        Some(values) => Ok(WrittenValue { name: key.to_owned(), values, is_list }),
        None => Err(format!("{key}: must be a text, a whole number, true or false")),
    }
}

fn scalar(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn read_table(path: &Path) -> Result<toml::Table, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.into(), source })?;
    text.parse()
        .map_err(|source| ConfigError::Syntax { path: path.into(), source: Box::new(source) })
}

/// The keys of a table, those of nested tables as `section.key`.
pub(crate) fn flat_keys(table: toml::Table) -> BTreeMap<String, toml::Value> {
    let mut keys = BTreeMap::new();
    flatten("", table, &mut keys);
    keys
}

/// Writes the keys of nested tables as `section.key`.
fn flatten(prefix: &str, table: toml::Table, into: &mut BTreeMap<String, toml::Value>) {
    for (key, value) in table {
        let path = format!("{prefix}{key}");
        match value {
            toml::Value::Table(inner) => flatten(&format!("{path}."), inner, into),
            other => drop(into.insert(path, other)),
        }
    }
}
