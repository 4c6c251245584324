//! The trust rules of an advertiser: address list, signature, token. Each is optional.
//!
//! The rules apply to every channel, also to the script in a page: an attacker would use the
//! channel without the rule. So an advertiser with an address list or a signing key accepts
//! conversions from its own servers only.
//!
//! **Signature.** The query contains `timestamp` (Unix seconds, at most 300 from the receipt) and
//! `signature`. The signature is the HMAC-SHA256 in hex, with the advertiser's `signing_key`, of
//! the query as sent without the `signature=…` parameter (the others in their order, joined by
//! `&`). For a POST it covers three parts separated by newlines: the media type of `Content-Type`
//! in lower case without its parameters (empty without the header), this query, and the body as
//! sent.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::decision_step::DecisionSteps;
use super::error_code::ErrorCode;
use super::postback_fields::{PostbackFields, Signed};
use crate::catalog::Advertiser;

/// Largest difference between the time of a signature and the receipt.
const MAX_SKEW_SECONDS: u64 = 300;

/// Why a sender is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The sender passed all rules of the advertiser, or is a user of the network.
    Proved,
    /// The advertiser has no rules and trusts every sender.
    Anybody,
}

impl Trust {
    fn after_passing(advertiser: &Advertiser) -> Trust {
        if has_rules(advertiser) { Trust::Proved } else { Trust::Anybody }
    }
}

/// Whether the advertiser has a rule that a sender can fail.
pub(super) fn has_rules(advertiser: &Advertiser) -> bool {
    !advertiser.trust_rules().is_empty()
}

/// Checks the sender against the trust rules of the advertiser.
///
/// # Errors
/// The first broken rule; all broken rules are noted among the steps.
pub fn check(
    fields: &PostbackFields,
    advertiser: &Advertiser,
    received_ms: u64,
    steps: &mut DecisionSteps,
) -> Result<Trust, ErrorCode> {
    if fields.by_network.is_some() {
        return Ok(Trust::Proved);
    }
    let rules = [
        address(fields, advertiser),
        signature(fields, advertiser),
        timestamp(fields, advertiser, received_ms),
        token(fields, advertiser),
    ];
    let broken: Vec<ErrorCode> = rules.into_iter().filter_map(Result::err).collect();
    broken.iter().for_each(|error| steps.note(error.as_str(), error.sentence()));
    broken.first().map_or(Ok(Trust::after_passing(advertiser)), |error| Err(*error))
}

fn address(fields: &PostbackFields, advertiser: &Advertiser) -> Result<(), ErrorCode> {
    let list = &advertiser.ip_allow_list;
    let is_allowed = list.is_empty() || list.iter().any(|entry| covers(entry, fields.address));
    is_allowed.then_some(()).ok_or(ErrorCode::AddressNotAllowed)
}

/// Treats an IPv4 address and its IPv6-mapped form as equal, in the list and outside.
fn covers(entry: &str, address: IpAddr) -> bool {
    let address = address.to_canonical();
    let mapped = match address {
        IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
        IpAddr::V6(_) => address,
    };
    match (entry.parse::<IpAddr>(), entry.parse::<IpNet>()) {
        (Ok(one), _) => one.to_canonical() == address,
        (_, Ok(range)) => range.contains(&address) || range.contains(&mapped),
        _ => false,
    }
}

fn signature(fields: &PostbackFields, advertiser: &Advertiser) -> Result<(), ErrorCode> {
    let key = advertiser.signing_key.as_bytes();
    let is_signed = |signed: &Signed| verifies(key, signed);
    let is_good = key.is_empty() || fields.signed.as_ref().is_some_and(is_signed);
    is_good.then_some(()).ok_or(ErrorCode::BadSignature)
}

fn verifies(key: &[u8], signed: &Signed) -> bool {
    let (Ok(mac), Some(tag)) =
        (Hmac::<Sha256>::new_from_slice(key), from_hex(signed.signature.exposed()))
    else {
        return false;
    };
    let signs = |text: &Vec<u8>| mac.clone().chain_update(text).verify_slice(&tag).is_ok();
    signed.texts.exposed().iter().any(signs)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: &u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    };
    let digits: Vec<u8> = text.bytes().map(|b| digit(&b)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn timestamp(
    fields: &PostbackFields,
    advertiser: &Advertiser,
    received_ms: u64,
) -> Result<(), ErrorCode> {
    let received = i64::try_from(received_ms / 1000).unwrap_or(i64::MAX);
    let is_near = |at: i64| at.abs_diff(received) <= MAX_SKEW_SECONDS;
    let is_good = advertiser.signing_key.is_empty() || fields.timestamp.is_some_and(is_near);
    is_good.then_some(()).ok_or(ErrorCode::StaleSignature)
}

fn token(fields: &PostbackFields, advertiser: &Advertiser) -> Result<(), ErrorCode> {
    let wanted = &advertiser.verification_token;
    if wanted.is_empty() {
        return Ok(());
    }
    let given = fields.verification_token.as_ref().ok_or(ErrorCode::InvalidToken)?;
    // Comparing hashes takes the same time for every token, whatever its length.
    let is_same = Sha256::digest(wanted).ct_eq(&Sha256::digest(given.exposed()));
    bool::from(is_same).then_some(()).ok_or(ErrorCode::InvalidToken)
}

#[cfg(test)]
mod tests {
    use coupon_shared::postback::Postback;

    use super::*;
    use crate::attribution::postback_fields::PostbackFields;
    use crate::attribution::sample::{NOW_MS, get};

    const KEY: &str = "top-secret";

    fn advertiser(json: serde_json::Value) -> Advertiser {
        let mut all = serde_json::json!({"name": "Shop", "account_status": "active"});
        all.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn checked(postback: &Postback<'_>, rules: serde_json::Value) -> Result<(), u32> {
        let fields = PostbackFields::read(postback);
        let mut steps = DecisionSteps::default();
        let has_rules = !rules.as_object().unwrap().is_empty();
        let result =
            check(&fields, &advertiser(rules), NOW_MS, &mut steps).map_err(ErrorCode::number);
        assert_eq!(steps.0.is_empty(), result.is_ok());
        let trust = if has_rules { Trust::Proved } else { Trust::Anybody };
        result.map(|why| assert_eq!(why, trust))
    }

    fn hex_of(text: &str) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap().chain_update(text);
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn who_has_no_rules_believes_everybody() {
        assert_eq!(checked(&get("nid=1"), serde_json::json!({})), Ok(()));
    }

    #[test]
    fn the_token_must_be_the_one() {
        let rules = || serde_json::json!({"verification_token": "s3cret"});
        assert_eq!(checked(&get("verification_token=s3cret"), rules()), Ok(()));
        for wrong in [
            "",
            "verification_token=",
            "verification_token=S3cret",
            "verification_token=s3cre",
            "verification_token=s3crets",
        ] {
            assert_eq!(checked(&get(wrong), rules()), Err(21), "{wrong}");
        }
    }

    #[test]
    fn the_address_must_be_on_the_list() {
        let rule = |entry: &str| serde_json::json!({"ip_allow_list": ["203.0.113.1", entry]});
        let from = |address: &str| Postback { address: address.parse().unwrap(), ..get("") };
        for (entry, address) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.0/24", "192.0.2.7"),
            ("192.0.2.7", "::ffff:192.0.2.7"),
            ("192.0.2.0/24", "::ffff:192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.0/120", "192.0.2.7"),
            ("2001:db8::/32", "2001:db8::7"),
        ] {
            assert_eq!(checked(&from(address), rule(entry)), Ok(()), "{entry} {address}");
        }
        for (entry, address) in [
            ("192.0.2.8", "192.0.2.7"),
            ("192.0.3.0/24", "192.0.2.7"),
            ("2001:db8::/32", "192.0.2.7"),
            ("0.0.0.0/0", "2001:db8::7"),
        ] {
            assert_eq!(checked(&from(address), rule(entry)), Err(3), "{entry} {address}");
        }
    }

    // To reproduce: printf '%s' 'nid=1&amount=10&timestamp=1781524800' | openssl dgst -sha256 -hmac
    // top-secret
    #[test]
    fn a_signature_that_others_made_is_understood() {
        let rules = serde_json::json!({"signing_key": KEY});
        let signature = "70e4308a15a5fd640aa7c7d4c8328525ba8dac3710f3393a84a75ef4da783416";
        let query = format!("nid=1&amount=10&timestamp=1781524800&signature={signature}");
        assert_eq!(checked(&get(&query), rules.clone()), Ok(()));
        // printf '%s\n%s\n%s' application/json 'nid=1&timestamp=1781524800' '{"order_id": "A1"}' |
        // …
        let body = "{\"order_id\": \"A1\"}";
        let query = "nid=1&timestamp=1781524800&signature=a4bf22de32132ec7703b8d076ca4693f19b83d0f99ff37d95d8c55a5d6d5e4f4";
        let content_type = &b"Application/JSON; charset=utf-8"[..];
        let post = Postback { is_post: true, body: body.as_bytes(), content_type, ..get(query) };
        assert_eq!(checked(&post, rules), Ok(()));
    }

    #[test]
    fn a_signature_in_hex_of_either_case_is_the_same() {
        let signature = hex_of("nid=1&timestamp=1781524800").to_ascii_uppercase();
        let query = format!("nid=1&timestamp=1781524800&signature={signature}");
        assert_eq!(checked(&get(&query), serde_json::json!({"signing_key": KEY})), Ok(()));
    }

    #[test]
    fn a_signed_body_is_not_believed_as_another_media_type() {
        let rules = || serde_json::json!({"signing_key": KEY});
        let sent = |signed: &str, content_type: &str, body: &str| {
            let query = format!("nid=1&timestamp=1781524800&signature={}", hex_of(signed));
            let content_type = content_type.as_bytes();
            let post =
                Postback { is_post: true, body: body.as_bytes(), content_type, ..get(&query) };
            checked(&post, rules())
        };
        let (query, body) = ("nid=1&timestamp=1781524800", "{\"order_id\": \"A&amount=1\"}");
        let json = format!("application/json\n{query}\n{body}");
        assert_eq!(sent(&json, "application/json", body), Ok(()));
        for other in ["application/x-www-form-urlencoded", "text/json", ""] {
            assert_eq!(sent(&json, other, body), Err(1013), "{other}");
        }
        // Signed without the media type: only where there is none.
        let former = format!("{query}\n{body}");
        assert_eq!(sent(&former, "", body), Ok(()));
        assert_eq!(sent(&format!("\n{former}"), "", body), Ok(()));
        for typed in ["application/json", "application/x-www-form-urlencoded"] {
            assert_eq!(sent(&former, typed, body), Err(1013), "{typed}");
        }
        // Nothing of one text can be moved into another part of the other.
        assert_eq!(sent(&json, "", &format!("application/json\n{former}")), Err(1013));
        let moved = format!("application/json&signature={}", hex_of(&json));
        let post = Postback { is_post: true, body: former.as_bytes(), ..get(&moved) };
        assert_eq!(checked(&post, rules()), Err(1014), "it has no time then");
    }

    #[test]
    fn a_signature_covers_all_but_itself_wherever_it_stands() {
        let rules = || serde_json::json!({"signing_key": KEY});
        let good = hex_of("nid=1&&a=%20b&timestamp=1781524800");
        assert_eq!(
            checked(&get(&format!("signature={good}&nid=1&&a=%20b&timestamp=1781524800")), rules()),
            Ok(())
        );
        assert_eq!(
            checked(&get(&format!("nid=1&&a=%20b&signature={good}&timestamp=1781524800")), rules()),
            Ok(())
        );
        for wrong in [
            format!("nid=1&&a=+b&timestamp=1781524800&signature={good}"),
            format!("nid=1&a=%20b&timestamp=1781524800&signature={good}"),
            format!("nid=1&&a=%20b&timestamp=1781524800&amount=1&signature={good}"),
            format!("nid=1&&a=%20b&timestamp=1781524800&signature={}", &good[..62]),
            "nid=1&&a=%20b&timestamp=1781524800&signature=zz".to_owned(),
            "nid=1&&a=%20b&timestamp=1781524800".to_owned(),
        ] {
            assert_eq!(checked(&get(&wrong), rules()), Err(1013), "{wrong}");
        }
        let query = format!("nid=1&&a=%20b&timestamp=1781524800&signature={good}");
        let with_body = Postback { is_post: true, body: b"amount=1", ..get(&query) };
        assert_eq!(checked(&with_body, rules()), Err(1013));
    }

    #[test]
    fn a_signature_in_the_body_is_none() {
        let body = format!("timestamp=1781524800&signature={}", hex_of("nid=1\n"));
        let post = Postback { is_post: true, body: body.as_bytes(), ..get("nid=1") };
        assert_eq!(checked(&post, serde_json::json!({"signing_key": KEY})), Err(1013));
    }

    #[test]
    fn a_signature_is_good_for_five_minutes_either_way() {
        let now = NOW_MS as i64 / 1000;
        let sent_at = |at: i64| {
            let query = format!("nid=1&timestamp={at}");
            let signed = format!("{query}&signature={}", hex_of(&query));
            checked(&get(&signed), serde_json::json!({"signing_key": KEY}))
        };
        assert_eq!([sent_at(now), sent_at(now - 300), sent_at(now + 300)], [Ok(()); 3]);
        assert_eq!([sent_at(now - 301), sent_at(now + 301), sent_at(i64::MIN)], [Err(1014); 3]);
        let undated = format!("nid=1&signature={}", hex_of("nid=1"));
        assert_eq!(checked(&get(&undated), serde_json::json!({"signing_key": KEY})), Err(1014));
    }
}
