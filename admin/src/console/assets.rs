//! Style, script and icons. Each address holds a hash of the content, so a browser keeps a file
//! for ever and asks for a changed file at once.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::OriginalUri;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::ConsoleState;
use super::compress::{accepts_gzip, gzip};

/// A file of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asset {
    Style,
    Script,
    Icons,
}

const ALL: [Asset; 3] = [Asset::Style, Asset::Script, Asset::Icons];

impl Asset {
    fn stem(self) -> &'static str {
        match self {
            Asset::Style => "console",
            Asset::Script => "console",
            Asset::Icons => "icons",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Asset::Style => "css",
            Asset::Script => "js",
            Asset::Icons => "svg",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Asset::Style => "text/css; charset=utf-8",
            Asset::Script => "text/javascript; charset=utf-8",
            Asset::Icons => "image/svg+xml",
        }
    }

    fn content(self) -> &'static [u8] {
        match self {
            Asset::Style => include_bytes!("../../assets/console.css"),
            Asset::Script => include_bytes!("../../assets/console.js"),
            Asset::Icons => include_bytes!("../../assets/icons.svg"),
        }
    }
}

/// All files with their addresses, hashed and compressed once.
static LOADED: LazyLock<Vec<Loaded>> = LazyLock::new(|| ALL.into_iter().map(Loaded::new).collect());

#[derive(Debug)]
struct Loaded {
    asset: Asset,
    address: String,
    zipped: Vec<u8>,
}

impl Loaded {
    fn new(asset: Asset) -> Loaded {
        let hash = blake3::hash(asset.content()).to_hex();
        let (stem, extension) = (asset.stem(), asset.extension());
        let address = format!("/assets/{stem}-{}.{extension}", &hash[..8]);
        Loaded { asset, address, zipped: gzip(asset.content()) }
    }
}

/// The address of a file.
pub(super) fn address(asset: Asset) -> &'static str {
    let found = LOADED.iter().find(|loaded| loaded.asset == asset);
    found.map(|loaded| loaded.address.as_str()).unwrap_or_default()
}

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/assets/{name}", get(serve)).route("/favicon.ico", get(favicon))
}

/// A file by its name. Any other name is unknown, and the answer is not kept: after an upgrade of
/// one of two machines, the other may still give out the former address.
async fn serve(OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    let Some(found) = LOADED.iter().find(|loaded| loaded.address == uri.path()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let always = [
        (CONTENT_TYPE, found.asset.content_type()),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (VARY, "accept-encoding"),
    ];
    if accepts_gzip(&headers) {
        return (always, [(CONTENT_ENCODING, "gzip")], found.zipped.clone()).into_response();
    }
    (always, found.asset.content()).into_response()
}

/// Browsers ask for this name by themselves.
async fn favicon() -> Response {
    let kept = [(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, "public, max-age=86400")];
    (kept, include_bytes!("../../assets/favicon.svg").as_slice()).into_response()
}
