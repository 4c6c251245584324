//! Passes an uploaded file from the request's body (plain, or the only file of a form) to the
//! thread that stages the file. Only the current piece is in memory.
//!
//! A client may take any time while bytes arrive. If no byte arrives for the configured time, or
//! the file is too large, the upload fails and nothing is stored.

use std::future::Future;
use std::io;

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use tokio::sync::mpsc;

use super::byte_source::{ByteSource, WholeBody};
use super::form::FormFile;
use super::parameters::UploadParameters;
use crate::api::download;
use crate::api::error::ApiError;
use crate::import::Layout;
use crate::uploads::{Bounds, Piece, Staged, Uploads, pieces};

/// Stages the file of a request; also returns the layout as the request describes it.
pub(super) async fn stage(
    uploads: &Uploads,
    mut parameters: UploadParameters,
    request: Request,
) -> Result<(Staged, Layout), ApiError> {
    let source = open(request, uploads.bounds(), &mut parameters).await?;
    let UploadParameters { intent, layout, keeps_unclear } = parameters;
    let (to, from) = pieces();
    let bring = async {
        let brought = match source {
            RequestFile::Nothing => Ok(()),
            RequestFile::Body(body) => send(body, uploads.bounds(), &to).await,
            RequestFile::Form(form) => send(*form, uploads.bounds(), &to).await,
        };
        let last = match &brought {
            Ok(()) => Piece::End,
            Err(_) => Piece::Failed(io::ErrorKind::UnexpectedEof.into()),
        };
        let _ = to.send(last).await;
        brought
    };
    match tokio::join!(bring, uploads.stage(intent, layout.clone(), keeps_unclear, from)) {
        (Err(error), _) => Err(error),
        (Ok(()), staged) => Ok((staged?, layout)),
    }
}

/// How a request brings its file.
enum RequestFile {
    Nothing,
    Body(WholeBody),
    Form(Box<FormFile>),
}

/// Opens the file of a request. Texts of a form before the file are further parameters.
async fn open(
    request: Request,
    bounds: &Bounds,
    parameters: &mut UploadParameters,
) -> Result<RequestFile, ApiError> {
    let is_empty = request.body().size_hint().exact() == Some(0);
    let given = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let given = given.unwrap_or_default().to_owned();
    let kind = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        // A client that says how its file is read, and loses the file, learns of it.
        _ if is_empty && parameters.layout != Layout::default() => {
            Err(ApiError::field("body", "is empty, and the parameters say how a file is read"))
        }
        _ if is_empty => Ok(RequestFile::Nothing),
        "text/csv" | download::XLSX => Ok(RequestFile::Body(WholeBody(request.into_body()))),
        "multipart/form-data" => {
            let mut form = FormFile::new(&given, WholeBody(request.into_body()))?;
            for (name, text) in in_time(bounds, form.read_fields()).await?? {
                parameters.set_field(&name, &text)?;
            }
            Ok(RequestFile::Form(Box::new(form)))
        }
        _ => {
            let message = format!(
                "send the file with Content-Type: text/csv, or {} for XLSX, or as the one file of a \
                 multipart/form-data, not `{given}`",
                download::XLSX
            );
            Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "body.content_type", message))
        }
    }
}

async fn send(
    mut source: impl ByteSource,
    bounds: &Bounds,
    to: &mpsc::Sender<Piece>,
) -> Result<(), ApiError> {
    let (mut left, mut is_refused) = (bounds.max_bytes, false);
    while let Some(bytes) = in_time(bounds, source.next()).await?? {
        left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            let message = format!("the file has more than {} bytes; split it", bounds.max_bytes);
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body.too_large", message)
        })?;
        // A refused file is still read to its end: most clients read the answer only then, and
        // report a broken connection if the connection was closed before.
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
