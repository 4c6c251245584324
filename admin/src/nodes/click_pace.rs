//! How often a daemon is asked for clicks.
//!
//! A coupond with few visitors makes a small block each 100 ms, and every archived block costs a row
//! and a header. So the clicks of an edge gather there for some seconds, and its agent puts the blocks
//! of each stream together. Some clicks are wanted sooner: see [`ClickPace::hurry`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout_at;

/// Longest gathering while caps count clicks: the caps of one edge are behind the visits of the others
/// by this time, the answer, and the sending of the counts.
const LONGEST_WHILE_CAPPED: Duration = Duration::from_secs(1);

/// The pace of one daemon.
#[derive(Debug, Default)]
pub(crate) struct ClickPace {
    gathering: Duration,
    wanted: Notify,
    caps_count: Arc<AtomicBool>,
}

impl ClickPace {
    /// `caps_count` says whether click caps are in force.
    pub(super) fn new(gathering: Duration, caps_count: Arc<AtomicBool>) -> ClickPace {
        ClickPace { gathering, wanted: Notify::new(), caps_count }
    }

    /// Ends the present gathering: a sale waits for a click of the daemon.
    pub(super) fn hurry(&self) {
        self.wanted.notify_one();
    }

    /// Waits until the clicks since the last question have gathered.
    pub(crate) async fn wait_until_due(&self, last_question: Option<Instant>) {
        let Some(last_question) = last_question.filter(|_| !self.gathering.is_zero()) else {
            return;
        };
        let due = |gathering: Duration| tokio::time::Instant::from_std(last_question) + gathering;
        let while_capped = due(self.gathering.min(LONGEST_WHILE_CAPPED));
        if timeout_at(while_capped, self.wanted.notified()).await.is_ok() {
            return;
        }
        // A cap that comes into force now counts from the next gathering on.
        if !self.caps_count.load(Ordering::Relaxed) {
            // Either end of the waiting is good.
            let _ = timeout_at(due(self.gathering), self.wanted.notified()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn waited(pace: &ClickPace, last_question: Option<Instant>) -> Duration {
        let began = tokio::time::Instant::now();
        pace.wait_until_due(last_question).await;
        began.elapsed()
    }

    fn pace(gathering_s: u64, caps_count: bool) -> ClickPace {
        ClickPace::new(Duration::from_secs(gathering_s), Arc::new(caps_count.into()))
    }

    #[tokio::test(start_paused = true)]
    async fn clicks_gather_from_question_to_question_and_shortly_while_caps_count() {
        let now = || Some(tokio::time::Instant::now().into_std());
        let seconds = |waited: Duration| waited.as_secs_f64().round();
        assert_eq!(waited(&pace(0, false), now()).await, Duration::ZERO);
        assert_eq!(waited(&pace(5, false), None).await, Duration::ZERO, "the first question");
        assert_eq!(seconds(waited(&pace(5, false), now()).await), 5.0);
        assert_eq!(seconds(waited(&pace(5, true), now()).await), 1.0);
        let an_hour_ago = now().and_then(|now| now.checked_sub(Duration::from_secs(3600)));
        assert!(waited(&pace(5, false), an_hour_ago).await < Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wanted_click_ends_the_gathering_at_any_time() {
        let pace = Arc::new(pace(3600, false));
        pace.hurry();
        let now = tokio::time::Instant::now().into_std();
        assert!(waited(&pace, Some(now)).await < Duration::from_millis(100));
        let later = Arc::clone(&pace);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(30)).await;
            later.hurry();
        });
        assert_eq!(waited(&pace, Some(now)).await.as_secs(), 30);
    }
}
