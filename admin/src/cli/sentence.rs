//! An error and its causes as one sentence.

/// Most errors tell their cause themselves: one whose words stand there already is not said again.
#[must_use]
pub fn sentence(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if said.contains(&cause) {
            continue;
        }
        if !said.is_empty() {
            said.push_str(": ");
        }
        said.push_str(&cause);
    }
    said
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;
    use crate::import::ReadError;

    #[test]
    fn a_cause_is_said_once() {
        let source = || std::io::Error::from_raw_os_error(2);
        let open = ReadError::Open { path: "codes.csv".into(), source: source() };
        let told = sentence(&anyhow::Error::from(open).context("cannot import codes.csv"));
        assert_eq!(told.matches("No such file").count(), 1, "{told}");
        let told = sentence(&Err::<(), _>(source()).context("cannot write x").unwrap_err());
        assert!(told.starts_with("cannot write x: No such file"), "{told}");
    }
}
