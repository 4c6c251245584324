//! Every key that was written somewhere, until it is taken; what is left at the end is unknown.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::ConfigError;

const ENV_PREFIX: &str = "COUPOND_";
/// The variable that names the file itself.
const ENV_CONFIG: &str = "COUPOND_CONFIG";
/// Longer than any sensible time-out, and far from overflowing a clock.
const MAX_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// One key's value, and the name it was written under.
struct Written {
    name: String,
    values: Vec<String>,
    is_list: bool,
}

pub(super) struct Keys {
    file: BTreeMap<String, toml::Value>,
    env: BTreeMap<String, String>,
    arguments: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Keys {
    pub(super) fn new(
        table: toml::Table,
        env: &BTreeMap<String, String>,
        arguments: &BTreeMap<String, String>,
    ) -> Keys {
        let mut file = BTreeMap::new();
        flatten("", table, &mut file);
        let ours = |name: &str| name.starts_with(ENV_PREFIX) && name != ENV_CONFIG;
        let env = env.iter().filter(|(name, _)| ours(name));
        Keys {
            file,
            env: env.map(|(name, value)| (name.clone(), value.clone())).collect(),
            arguments: arguments.clone(),
            problems: Vec::new(),
        }
    }

    /// Sets `target` and says so, where the key was written and can be used.
    pub(super) fn set<T>(&mut self, key: &str, target: &mut T) -> bool
    where
        T: FromStr<Err: Display>,
    {
        self.set_checked(key, target, |_| Ok(()))
    }

    pub(super) fn set_within<T>(
        &mut self,
        key: &str,
        target: &mut T,
        range: RangeInclusive<T>,
    ) -> bool
    where
        T: FromStr<Err: Display> + PartialOrd + Display,
    {
        self.set_checked(key, target, |value| match range.contains(value) {
            true => Ok(()),
            false => Err(format!("must be between {} and {}", range.start(), range.end())),
        })
    }

    pub(super) fn set_millis(&mut self, key: &str, target: &mut Duration) -> bool {
        let mut millis = 0_u64;
        let set = self.set_within(key, &mut millis, 1..=MAX_MILLIS);
        if set {
            *target = Duration::from_millis(millis);
        }
        set
    }

    pub(super) fn set_checked<T>(
        &mut self,
        key: &str,
        target: &mut T,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> bool
    where
        T: FromStr<Err: Display>,
    {
        let Some(written) = self.take(key) else { return false };
        let (false, [text]) = (written.is_list, written.values.as_slice()) else {
            self.problems.push(format!("{}: must be one value, not a list", written.name));
            return false;
        };
        let parsed = text.parse::<T>().map_err(|error| error.to_string());
        match parsed.and_then(|value| check(&value).map(|()| value)) {
            Ok(value) => {
                *target = value;
                true
            }
            Err(reason) => {
                self.problems.push(format!("{} = {text:?}: {reason}", written.name));
                false
            }
        }
    }

    pub(super) fn set_list<T>(
        &mut self,
        key: &str,
        target: &mut Vec<T>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) {
        let Some(written) = self.take(key) else { return };
        let values = written.values.iter().flat_map(|value| value.split(','));
        let values = values.map(str::trim).filter(|value| !value.is_empty());
        match values.map(parse).collect() {
            Ok(values) => *target = values,
            Err(reason) => self.problems.push(format!("{}: {reason}", written.name)),
        }
    }

    /// For what no key alone can be blamed for.
    pub(super) fn refuse(&mut self, problem: &str) {
        self.problems.push(problem.into());
    }

    /// The command line wins over the environment, that over the file.
    fn take(&mut self, key: &str) -> Option<Written> {
        let in_file = self.file.remove(key);
        let variable = format!("{ENV_PREFIX}{}", key.replace('.', "_").to_ascii_uppercase());
        let in_env = self.env.remove(&variable);
        if let Some(text) = self.arguments.remove(key) {
            return Some(Written { name: key.into(), values: vec![text], is_list: false });
        }
        if let Some(text) = in_env {
            return Some(Written { name: variable, values: vec![text], is_list: false });
        }
        let (values, is_list) = match in_file? {
            toml::Value::Array(values) => (values, true),
            value => (vec![value], false),
        };
        let values: Option<Vec<_>> = values.into_iter().map(scalar).collect();
        if values.is_none() {
            self.problems.push(format!("{key}: must be a text, a whole number, true or false"));
        }
        Some(Written { name: key.into(), values: values?, is_list })
    }

    pub(super) fn finish(mut self) -> Result<(), ConfigError> {
        self.problems.extend(self.file.keys().map(|key| format!("{key}: there is no such key")));
        self.problems
            .extend(self.env.keys().map(|name| format!("{name}: there is no such variable")));
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigError::Problems(self.problems)) }
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

fn flatten(prefix: &str, table: toml::Table, into: &mut BTreeMap<String, toml::Value>) {
    for (key, value) in table {
        let path = format!("{prefix}{key}");
        match value {
            toml::Value::Table(inner) => flatten(&format!("{path}."), inner, into),
            scalar => drop(into.insert(path, scalar)),
        }
    }
}
