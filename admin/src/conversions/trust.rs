//! Whether the sender of a postback may be believed: address, signature, token, each where the
//! advertiser has it.
//!
//! The same rules hold for every channel, the script in a page included: a rule that one channel
//! could walk around would be none. So an advertiser who has an address list or a signing key takes
//! conversions from its own servers only.
//!
//! **Signature.** `timestamp` (Unix seconds, at most 300 from the receipt) and `signature` stand in
//! the query. The signature is the lower-case hex HMAC-SHA256, under the advertiser's `signing_key`,
//! of the query as sent without the `signature=…` pair (the others in their order, joined by `&`),
//! for a POST followed by a newline and the body as sent.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::claim::{Claim, Signed};
use super::error_code::ErrorCode;
use super::step::Steps;
use crate::catalog::Advertiser;

/// How far the time of a signature may be from the receipt.
const MAX_SKEW_SECONDS: u64 = 300;

/// Says whether the sender may be believed to speak for the advertiser.
///
/// # Errors
/// The first rule that it breaks; all of them stand among the steps.
pub fn check(
    claim: &Claim,
    advertiser: &Advertiser,
    received_ms: u64,
    steps: &mut Steps,
) -> Result<(), ErrorCode> {
    let rules = [
        address(claim, advertiser),
        signature(claim, advertiser),
        timestamp(claim, advertiser, received_ms),
        token(claim, advertiser),
    ];
    let broken: Vec<ErrorCode> = rules.into_iter().filter_map(Result::err).collect();
    broken.iter().for_each(|error| steps.note(error.as_str(), error.sentence()));
    broken.first().map_or(Ok(()), |error| Err(*error))
}

fn address(claim: &Claim, advertiser: &Advertiser) -> Result<(), ErrorCode> {
    let list = &advertiser.ip_allow_list;
    let is_allowed = list.is_empty() || list.iter().any(|entry| covers(entry, claim.address));
    is_allowed.then_some(()).ok_or(ErrorCode::AddressNotAllowed)
}

/// An IPv4 address and the same one mapped into IPv6 are one address, in the list and outside.
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

fn signature(claim: &Claim, advertiser: &Advertiser) -> Result<(), ErrorCode> {
    let key = advertiser.signing_key.as_bytes();
    let is_signed = |signed: &Signed| verifies(key, signed);
    let is_good = key.is_empty() || claim.signed.as_ref().is_some_and(is_signed);
    is_good.then_some(()).ok_or(ErrorCode::BadSignature)
}

fn verifies(key: &[u8], signed: &Signed) -> bool {
    let (Ok(mac), Some(tag)) =
        (Hmac::<Sha256>::new_from_slice(key), from_hex(signed.signature.exposed()))
    else {
        return false;
    };
    mac.chain_update(signed.text.exposed()).verify_slice(&tag).is_ok()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: &u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let digits: Vec<u8> = text.bytes().map(|b| digit(&b)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn timestamp(claim: &Claim, advertiser: &Advertiser, received_ms: u64) -> Result<(), ErrorCode> {
    let received = i64::try_from(received_ms / 1000).unwrap_or(i64::MAX);
    let is_near = |at: i64| at.abs_diff(received) <= MAX_SKEW_SECONDS;
    let is_good = advertiser.signing_key.is_empty() || claim.timestamp.is_some_and(is_near);
    is_good.then_some(()).ok_or(ErrorCode::StaleSignature)
}

/// Compared as hashes: the time it takes says nothing of the token, not even its length.
fn token(claim: &Claim, advertiser: &Advertiser) -> Result<(), ErrorCode> {
    let wanted = &advertiser.verification_token;
    let given = claim.verification_token.as_ref().map_or("", |token| token.exposed());
    let is_same = Sha256::digest(wanted).ct_eq(&Sha256::digest(given));
    let is_good = wanted.is_empty() || bool::from(is_same);
    is_good.then_some(()).ok_or(ErrorCode::InvalidToken)
}
