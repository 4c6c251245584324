//! Lets a page of another origin read an answer.
//!
//! Shops call from their own sites, and which sites those are nobody knows beforehand: the origin
//! that the browser names is echoed. That is safe because no answer depends on who the visitor is:
//! this server sets and reads no cookies. Credentials are allowed because scripts written for this
//! protocol ask with them, and a browser then refuses an answer that does not.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, HeaderMap, HeaderValue, ORIGIN,
    VARY,
};

/// Makes a request's headers those of an answer that the page that asked may read.
pub fn open_to_origin(headers: &mut HeaderMap) {
    let origin = headers.remove(ORIGIN);
    headers.clear();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}
