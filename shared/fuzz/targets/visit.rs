//! A visit's host, path and query, as bytes of the network.
#![no_main]

use coupon_shared::code::{CouponCode, FoldedCode};
use coupon_shared::visit_target::{Host, Parameter, Parameters, code_from_path, lenient_code_from_path};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(host) = Host::parse(data) {
        let again = Host::parse(host.as_str().as_bytes()).expect("a host reads back");
        assert_eq!((again.as_str(), again.name()), (host.as_str(), host.name()));
        assert!(host.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(code) = FoldedCode::fold(code_from_path(text)) {
        assert!(code.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(FoldedCode::fold(code.as_bytes()), Ok(code));
    }
    if let Some(code) = lenient_code_from_path(text) {
        assert!(code.as_bytes().iter().all(u8::is_ascii_alphanumeric));
    }
    if let Ok(code) = CouponCode::parse(text) {
        assert_eq!(code.folded(), FoldedCode::fold(text.as_bytes()).expect("it is a code"));
    }
    let mut parameters = Parameters::default();
    parameters.read(Some(text));
    for parameter in [Parameter::Sub1, Parameter::Uid, Parameter::Oid, Parameter::EfTransactionId] {
        assert!(parameters.get(parameter).len() <= 256);
    }
    let _ = (parameters.offer_id(), parameters.code(), parameters.transaction_id());
});
