//! Brings a level before a head names it, and has coupond load it.
//!
//! The transfer may take minutes, so no request waits for its end: an answer tells how far it is, and
//! the control plane asks again. One level is prepared at a time. The rest of the index is fetched
//! meanwhile, and a head that names the level waits for it instead of fetching it again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use coupon_shared::snapshot::manifest::ObjectName;
use hyper::{Request, Response, StatusCode};
use tokio::sync::watch;
use tokio::time::timeout;

use super::AgentShared;
use super::daemon::{explain, pass_on};
use super::download::{DownloadError, Progress};
use super::objects::{FolderObjects, ObjectOrigin};
use crate::edges::message::FetchOrder;

/// How long a request waits for the end.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

pub(super) struct Preparer {
    shared: Arc<AgentShared>,
    objects: Arc<FolderObjects>,
    last: Mutex<Option<Preparation>>,
}

/// A level under way, or with the answer of coupond.
#[derive(Clone)]
struct Preparation {
    level: ObjectName,
    progress: Arc<Progress>,
    answer: watch::Receiver<Option<Response<Bytes>>>,
}

impl Preparation {
    fn is_under_way(&self) -> bool {
        self.answer.borrow().is_none() && self.answer.has_changed().is_ok()
    }
}

impl Preparer {
    pub(super) fn new(shared: Arc<AgentShared>, objects: Arc<FolderObjects>) -> Preparer {
        Preparer { shared, objects, last: Mutex::default() }
    }

    /// Begins to prepare a level that is sealed with this key at NATS, unless it is under way. Returns
    /// coupond's answer, or how far the level is.
    pub(super) async fn prepare(&self, level: ObjectName, order: FetchOrder) -> Response<Bytes> {
        let Some(mut preparation) = self.join_or_begin(level, order) else {
            let busy = "the edge is still fetching another level";
            return explain(StatusCode::SERVICE_UNAVAILABLE, busy);
        };
        let answered = timeout(ANSWER_WAIT, preparation.answer.wait_for(Option::is_some)).await;
        let answer = answered.map(|answer| answer.ok().and_then(|answer| answer.clone()));
        let Ok(answer) = answer else {
            return explain(StatusCode::ACCEPTED, &preparation.progress.to_string());
        };
        self.end(level);
        let broken_off = || explain(StatusCode::SERVICE_UNAVAILABLE, "the work was broken off");
        answer.unwrap_or_else(broken_off)
    }

    /// `None` while another level is under way.
    fn join_or_begin(&self, level: ObjectName, order: FetchOrder) -> Option<Preparation> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(last) if last.level == level => return Some(last.clone()),
            Some(last) if last.is_under_way() => return None,
            _ => {}
        }
        let progress = Arc::<Progress>::default();
        let (sender, answer) = watch::channel(None);
        let (shared, objects) = (Arc::clone(&self.shared), Arc::clone(&self.objects));
        let fetched = Arc::clone(&progress);
        tokio::spawn(async move {
            let answer = bring_and_load(&shared, &objects, level, &order, &fetched).await;
            sender.send_replace(Some(answer));
        });
        let preparation = Preparation { level, progress, answer };
        *last = Some(preparation.clone());
        Some(preparation)
    }

    /// An answer is given once: the next request of the level prepares it anew.
    fn end(&self, level: ObjectName) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.take_if(|last| last.level == level && !last.is_under_way());
    }
}

async fn bring_and_load(
    shared: &AgentShared,
    objects: &FolderObjects,
    level: ObjectName,
    order: &FetchOrder,
    progress: &Arc<Progress>,
) -> Response<Bytes> {
    let FetchOrder { key_id, recipe } = order;
    let origin = ObjectOrigin::Nats { key_id: *key_id, recipe: recipe.as_ref(), progress };
    if let Err(error) = objects.bring_ahead(level, origin).await {
        tracing::warn!(%level, %error, "level not fetched before its publication");
        if let DownloadError::Lacking { name, .. } = &error {
            shared.report_lacking(name);
        }
        return explain(status(&error), &error.to_string());
    }
    let request = Request::post(format!("/preload/{level}")).body(Bytes::new());
    let Ok(request) = request else {
        return explain(StatusCode::BAD_REQUEST, "the level's name is not valid");
    };
    let answer = pass_on(shared, request).await;
    if answer.status() == StatusCode::UNPROCESSABLE_ENTITY {
        // The head that names the level has the file read back, and fetched anew if it is damaged.
        objects.distrust(level);
    }
    answer
}

/// The control plane asks again after 503.
fn status(error: &DownloadError) -> StatusCode {
    match error {
        DownloadError::Nats(_) | DownloadError::UnknownKey { .. } => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::INSUFFICIENT_STORAGE,
    }
}
