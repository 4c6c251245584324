//! The bundle: the one file that an edge needs to join, made by `coupon-admin edges add`.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::sealing::{Secret, VerifyingKey};

const FORMAT: &str = "coupon edge 1";

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("cannot read the bundle {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{} is no bundle of this version ({reason}): make one with `coupon-admin edges add NAME`",
        path.display()
    )]
    Form { path: PathBuf, reason: String },
}

/// Who an edge is, where its control plane is, and the secrets of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub name: String,
    pub network_id: u32,
    pub node: u16,
    /// Addresses of NATS servers.
    pub servers: Vec<String>,
    /// PEM of the authorities of these servers; empty for the system's.
    pub ca_pem: String,
    pub secret: Secret,
    /// Checks the control plane's signature.
    pub control_plane: VerifyingKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BundleText {
    format: String,
    name: String,
    network_id: u32,
    node: u16,
    servers: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    ca_pem: String,
    secret: String,
    control_plane: String,
}

impl Bundle {
    /// The file's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let text = BundleText {
            format: FORMAT.to_owned(),
            name: self.name.clone(),
            network_id: self.network_id,
            node: self.node,
            servers: self.servers.clone(),
            ca_pem: self.ca_pem.clone(),
            secret: self.secret.to_hex(),
            control_plane: Secret::from_bytes(self.control_plane.0).to_hex(),
        };
        serde_json::to_string_pretty(&text).unwrap_or_default() + "\n"
    }

    /// # Errors
    /// When the file cannot be read, or is no bundle.
    pub fn read(path: &Path) -> Result<Bundle, BundleError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| BundleError::Read { path: path.into(), source })?;
        Bundle::parse(&text).map_err(|reason| BundleError::Form { path: path.into(), reason })
    }

    fn parse(text: &str) -> Result<Bundle, String> {
        let text: BundleText = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if text.format != FORMAT {
            return Err(format!("its format is {:?}", text.format));
        }
        let key = |name: &str, digits: &str| {
            Secret::from_hex(digits).ok_or_else(|| format!("{name} has not 64 hex digits"))
        };
        if text.servers.is_empty() {
            return Err("it names no servers".to_owned());
        }
        Ok(Bundle {
            name: text.name,
            network_id: text.network_id,
            node: text.node,
            servers: text.servers,
            ca_pem: text.ca_pem,
            secret: key("secret", &text.secret)?,
            control_plane: VerifyingKey(*key("control_plane", &text.control_plane)?.bytes()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_reads_back_and_a_wrong_one_says_what_is_wrong() {
        let bundle = Bundle {
            name: "fra1".into(),
            network_id: 1,
            node: 7,
            servers: vec!["tls://hub.example.com:4222".into()],
            ca_pem: String::new(),
            secret: Secret::from_bytes([3; 32]),
            control_plane: VerifyingKey([4; 32]),
        };
        let text = bundle.to_text();
        assert_eq!(Bundle::parse(&text), Ok(bundle));
        let wrong = [
            ("edge 1", "edge 2", "format"),
            ("0303", "03", "secret"),
            ("0404", "zz04", "control_plane"),
            ("\"node\"", "\"nodes\"", "nodes"),
            ("\"tls://hub.example.com:4222\"", "", "servers"),
        ];
        for (from, to, named) in wrong {
            let error = Bundle::parse(&text.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
