//! Log filters: a level, or directives such as `info,coupond=debug`.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

const LEVELS: &str = "off, error, warn, info, debug or trace";

pub(crate) fn check_log_filter(filter: &str) -> Result<(), String> {
    if filter.trim().is_empty() {
        return Err(format!("must name a level: {LEVELS}"));
    }
    // `EnvFilter` takes a word that is no level for a module's name and logs all of that module,
    // so a misspelt level would silence the program.
    let misspelt = filter
        .split(',')
        .find(|directive| is_word(directive) && directive.parse::<LevelFilter>().is_err());
    if let Some(word) = misspelt {
        return Err(format!(
            "`{word}` is no level; use {LEVELS}, and for one module `{word}=LEVEL`"
        ));
    }
    EnvFilter::try_new(filter).map(drop).map_err(|error| error.to_string())
}

fn is_word(directive: &str) -> bool {
    let is_of_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '-' | '.');
    !directive.is_empty() && directive.chars().all(is_of_word)
}
