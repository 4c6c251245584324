//! A file on its way in: from the request's body, plain or as the one file of a form, to the thread
//! that stages it. Nothing of it is held here but the piece in hand.
//!
//! A client may take as long as it likes while bytes come; when none came for the configured time,
//! or more came than fit, it is told so and nothing is kept.

use std::future::Future;
use std::io;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use super::super::error::ApiError;
use super::form::FormFile;
use crate::store::staging::Intent;
use crate::uploads::{Bounds, Piece, Staged, Uploads, pieces};

/// Stages the file of a request.
pub(super) async fn stage(
    uploads: &Uploads,
    intent: Intent,
    request: Request,
) -> Result<Staged, ApiError> {
    let (to, from) = pieces();
    let bring = async {
        let brought = bring(request, uploads.bounds(), &to).await;
        let last = match &brought {
            Ok(()) => Piece::End,
            Err(_) => Piece::BrokenOff(io::ErrorKind::UnexpectedEof.into()),
        };
        let _ = to.send(last).await;
        brought
    };
    match tokio::join!(bring, uploads.stage(intent, from)) {
        (Err(error), _) => Err(error),
        (Ok(()), staged) => Ok(staged?),
    }
}

async fn bring(
    request: Request,
    bounds: &Bounds,
    to: &mpsc::Sender<Piece>,
) -> Result<(), ApiError> {
    let is_empty = request.body().size_hint().exact() == Some(0);
    let given = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let given = given.unwrap_or_default().to_owned();
    let kind = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        _ if is_empty => Ok(()),
        "text/csv" => send(Plain(request.into_body()), bounds, to).await,
        "multipart/form-data" => {
            let form = FormFile::new(&given, Plain(request.into_body()))?;
            send(form, bounds, to).await
        }
        _ => {
            let message = format!(
                "send the file with Content-Type: text/csv, or as the one file of a multipart/form-data, not `{given}`"
            );
            Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "body.content_type", message))
        }
    }
}

/// Where pieces come from.
pub(super) trait Source {
    /// The next one; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError>;
}

/// The file is the whole body.
pub(super) struct Plain(pub(super) Body);

impl Source for Plain {
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            match self.0.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken_off(&error)),
                // Trailers are not of the file.
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

async fn send(
    mut source: impl Source,
    bounds: &Bounds,
    to: &mpsc::Sender<Piece>,
) -> Result<(), ApiError> {
    let (mut left, mut is_refused) = (bounds.max_bytes, false);
    while let Some(bytes) = in_time(bounds, source.next()).await?? {
        left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            let message = format!("the file has more than {} bytes; split it", bounds.max_bytes);
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body.too_large", message)
        })?;
        // A file that was refused is read to its end all the same: most clients look for an answer
        // only then, and find the connection broken when it was closed before.
        is_refused = is_refused || to.send(Piece::Bytes(bytes)).await.is_err();
    }
    Ok(())
}

async fn in_time<T>(bounds: &Bounds, next: impl Future<Output = T>) -> Result<T, ApiError> {
    tokio::time::timeout(bounds.stall_timeout, next).await.map_err(|_elapsed| {
        let seconds = bounds.stall_timeout.as_secs_f64();
        let message = format!("no byte of the file came for {seconds} s; nothing was kept");
        ApiError::new(StatusCode::BAD_REQUEST, "body.too_slow", message)
    })
}

fn broken_off(error: &dyn std::error::Error) -> ApiError {
    let message = format!("the body broke off: {error}");
    ApiError::new(StatusCode::BAD_REQUEST, "body.broken_off", message)
}
