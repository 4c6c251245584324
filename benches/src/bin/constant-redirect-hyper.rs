//! hyper alone: one thread, one constant redirect for every request. The difference to coupond is
//! coupond's own work. Takes the address to listen on; runs until killed.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const PAGE: HeaderValue =
    HeaderValue::from_static("https://shop1.example/landing?coupon=ABCDEFGH25");
const NOT_KEPT: HeaderValue = HeaderValue::from_static("private, no-store");

type Answer = Ready<Result<Response<Empty<Bytes>>, Infallible>>;

fn redirect(request: Request<Incoming>) -> Answer {
    let mut headers = request.into_parts().0.headers;
    headers.clear();
    headers.insert(LOCATION, PAGE);
    headers.insert(CACHE_CONTROL, NOT_KEPT);
    let mut answer = Response::new(Empty::new());
    *answer.status_mut() = StatusCode::FOUND;
    *answer.headers_mut() = headers;
    ready(Ok(answer))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: SocketAddr =
        std::env::args().nth(1).ok_or("give the address to listen on")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let mut http = http1::Builder::new();
            http.writev(false);
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service_fn(redirect)));
        }
    })
}
