//! Signatures as Standard Webhooks has them: `v1,` and the base64 of the HMAC-SHA256 of
//! `<webhook-id>.<webhook-timestamp>.<body>`. The key is the base64 behind `whsec_` of the secret.
//! While two secrets are good, there are two signatures with a space between.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const PREFIX: &str = "whsec_";

/// The value of `webhook-signature`.
#[must_use]
pub fn signatures(secrets: &[String], id: &str, unix_s: i64, body: &str) -> String {
    let signed = secrets.iter().filter_map(|secret| signature(secret, id, unix_s, body));
    signed.collect::<Vec<_>>().join(" ")
}

fn signature(secret: &str, id: &str, unix_s: i64, body: &str) -> Option<String> {
    let key = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{unix_s}.{body}").as_bytes());
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the Standard Webhooks specification's libraries.
    #[test]
    fn the_signature_is_what_other_programs_compute() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", r#"{"test": 2432232314}"#);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signatures(std::slice::from_ref(&secret), id, 1_614_265_330, body), expected);
        let both = signatures(&[secret.clone(), secret], id, 1_614_265_330, body);
        assert_eq!(both, format!("{expected} {expected}"));
        assert_eq!(signatures(&["other".into()], id, 1_614_265_330, body), "");
    }
}
