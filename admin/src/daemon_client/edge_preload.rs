//! Asks an edge again and again until it has fetched and loaded a level.
//!
//! The transfer may take minutes, so each answer only tells how far the edge is. An edge that gives no
//! answer is asked again: its agent or its connection may be starting anew.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use tokio::time::{sleep, timeout};

use super::{DaemonError, error_text};

/// Pause between two requests; the edge holds each one for up to two seconds.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 500 });

pub(super) async fn ask_until_loaded<F>(
    ask: impl Fn() -> F,
    longest: Duration,
) -> Result<(), DaemonError>
where
    F: Future<Output = Result<Response<Bytes>, DaemonError>>,
{
    let mut obstacle = "the edge was not asked in time".to_owned();
    let asking = async {
        loop {
            obstacle = match ask().await {
                Ok(answer) if answer.status() == StatusCode::OK => return Ok(()),
                Ok(answer) if is_passing(answer.status()) => error_text(answer.body()),
                Ok(answer) if answer.status() == StatusCode::NOT_FOUND => {
                    return Err(DaemonError::NotPreloaded { reason: too_old(answer.body()) });
                }
                Ok(answer) => {
                    let reason = error_text(answer.body());
                    return Err(DaemonError::NotPreloaded { reason });
                }
                Err(error) => error.to_string(),
            };
            sleep(PAUSE).await;
        }
    };
    let loaded = timeout(longest, asking).await;
    loaded.unwrap_or_else(|_elapsed| Err(DaemonError::NotPreloaded { reason: obstacle }))
}

/// Whether the edge may have the level later.
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::ACCEPTED | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

fn too_old(answer: &[u8]) -> String {
    format!("{}; upgrade coupon-admin and coupond on the edge", error_text(answer))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const LONGEST: Duration = Duration::from_millis(500);

    fn answer(status: u16, error: &str) -> Result<Response<Bytes>, DaemonError> {
        let body = Bytes::from(serde_json::json!({ "error": error }).to_string());
        Ok(Response::builder().status(status).body(body).unwrap())
    }

    /// Asks an edge with these answers, the last one repeated; returns the result and the number of
    /// requests.
    async fn ask_edge(
        answers: Vec<Result<Response<Bytes>, DaemonError>>,
    ) -> (Result<(), String>, usize) {
        let (answers, asked) = (RefCell::new(answers), RefCell::new(0));
        let next = || async {
            *asked.borrow_mut() += 1;
            let mut answers = answers.borrow_mut();
            match answers.len() {
                1 => answer(answers[0].as_ref().unwrap().status().as_u16(), "the last"),
                _ => answers.remove(0),
            }
        };
        let asking = ask_until_loaded(next, LONGEST);
        let loaded = asking.await.map_err(|error| error.to_string());
        (loaded, asked.into_inner())
    }

    #[tokio::test]
    async fn an_edge_is_asked_until_it_has_loaded_the_level() {
        let silent = Err(DaemonError::Timeout { after: Duration::from_secs(5) });
        let answers = vec![
            answer(202, "fetching"),
            silent,
            answer(503, "coupond does not answer"),
            answer(200, ""),
        ];
        assert_eq!(ask_edge(answers).await, (Ok(()), 4));
    }

    #[tokio::test]
    async fn a_refusal_ends_the_asking_and_an_old_agent_is_named() {
        let (loaded, asked) =
            ask_edge(vec![answer(202, ""), answer(507, "disk full"), answer(200, "")]).await;
        assert_eq!((loaded.unwrap_err().contains("disk full"), asked), (true, 2));
        let (loaded, asked) = ask_edge(vec![answer(404, "an edge does not answer this")]).await;
        assert_eq!((loaded.unwrap_err().contains("upgrade coupon-admin"), asked), (true, 1));
    }

    #[tokio::test]
    async fn an_edge_that_is_not_ready_in_time_is_given_up_with_its_last_answer() {
        let began = std::time::Instant::now();
        let (loaded, asked) = ask_edge(vec![answer(202, "fetching")]).await;
        assert!(loaded.unwrap_err().contains("the last"));
        assert!(asked > 1 && began.elapsed() >= LONGEST);
    }
}
