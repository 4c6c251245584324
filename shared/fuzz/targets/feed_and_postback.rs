//! Messages between the two programs: refused, or encoded again to the same bytes. The first byte
//! selects the message.
#![no_main]

use coupon_shared::feed::{self, FeedQuestion};
use coupon_shared::postback::{Delivery, Postback, PollRequest, UndecodedDelivery};
use coupon_shared::transaction_id::TransactionId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else { return };
    match which % 6 {
        0 => {
            if let Ok(question) = FeedQuestion::decode(data) {
                let bytes = [question.encode(), question.cursor.encode()];
                assert!(bytes.iter().any(|bytes| bytes == data));
            }
        }
        1 => assert!(feed::blocks(data).count() <= 1 + data.len() / 96),
        2 => {
            if let Ok(postback) = Postback::decode(data) {
                let bytes = postback.encode();
                assert_eq!(Postback::decode(&bytes), Ok(postback));
            }
        }
        3 => {
            if let Ok(question) = PollRequest::decode(data) {
                let bytes = question.encode();
                assert_eq!(PollRequest::decode(&bytes), Ok(question));
            }
        }
        4 => {
            let _ = UndecodedDelivery::split(data);
            if let Ok(delivery) = Delivery::decode(data) {
                let bytes = delivery.encode();
                assert_eq!(Delivery::decode(&bytes), Ok(delivery));
            }
        }
        _ => {
            let text = String::from_utf8_lossy(data);
            if let Ok(id) = text.parse::<TransactionId>() {
                assert_eq!(id.to_string(), text.to_ascii_lowercase());
            }
        }
    }
});
