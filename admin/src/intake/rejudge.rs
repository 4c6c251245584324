//! Judging the archive again, by another list of bots or by newer rules of the program, while clicks
//! come in and reports are read.
//!
//! It goes through the frames that are counted, in their order and a bounded number at a time, and
//! counts them beside what is counted; `store::bot_list` says what happens at the end. Each step is
//! one transaction with its place, so a crash costs at most a step. It is done by the task that
//! takes clicks in, between two batches: nothing is counted while a step is made.

use std::sync::Arc;

use super::batch::check_terms;
use super::ledger::Ledger;
use super::{IntakeError, replay};
use crate::archive::{Archive, ArchiveError};
use crate::conversions;
use crate::judgement::Judge;
use crate::judgement::bot_list::BotList;
use crate::store::blocks::{self, BlockRow};
use crate::store::bot_list::{self, Work};
use crate::store::rollups::Rollups;

/// Blocks that are judged in one step.
const STEP_BLOCKS: usize = if cfg!(test) { 3 } else { 1_000 };

#[derive(Default)]
pub(super) struct Rejudgement {
    /// Who has judged exactly the frames before the next one.
    judge: Option<Judge>,
}

impl Rejudgement {
    /// Does a part of what is to be done; answers whether there is more.
    pub(super) async fn step(&mut self, ledger: &Ledger) -> Result<bool, IntakeError> {
        let (store, archive) = (ledger.store(), ledger.archive());
        match store.read(bot_list::work).await? {
            Work::Done => return Ok(false),
            Work::Begin => {
                self.judge = None;
                store.write(bot_list::begin).await?;
            }
            Work::Judge(bots, from) => self.judge_from(ledger, bots, from).await?,
            Work::Turn(after) => conversions::turn_visits(store, archive, after).await?,
        }
        Ok(true)
    }

    async fn judge_from(
        &mut self,
        ledger: &Ledger,
        bots: Arc<BotList>,
        from: u64,
    ) -> Result<(), IntakeError> {
        let (store, archive) = (ledger.store(), ledger.archive());
        let rows = store.read(move |c| blocks::from(c, from, STEP_BLOCKS)).await?;
        let Some(next) = rows.last().map(|row| row.archive_sequence + 1) else {
            self.judge = None;
            store.write(bot_list::put_in_force).await?;
            ledger.forget_judge();
            return Ok(());
        };
        let mut judge = match self.judge.take() {
            Some(judge) => judge,
            None => replay::shown(Judge::new(bots), store, archive, from).await?,
        };
        replay::learn(&mut judge, store).await?;
        let last_click_ms = rows.iter().map(|row| row.unix_ms.1).max();
        let count = move |archive: &Archive| count(archive, judge, &rows);
        let (judge, rollups) = archive.on_disk(count).await?;
        let terms_through = judge.knows_terms_through();
        store
            .write(move |tx| {
                check_terms(tx, terms_through, last_click_ms)?;
                rollups.apply(tx)?;
                Ok::<_, IntakeError>(bot_list::judged_before(tx, next)?)
            })
            .await?;
        self.judge = Some(judge);
        Ok(())
    }
}

fn count(
    archive: &Archive,
    mut judge: Judge,
    rows: &[BlockRow],
) -> Result<(Judge, Rollups), ArchiveError> {
    let (mut archived, mut rollups) = (archive.blocks(), Rollups::judged_again());
    for row in rows {
        let decoded = archived.read(row.archive_sequence)?;
        for click in decoded.clicks().skip(row.repeated()) {
            let judged = judge.judge(&click);
            rollups.count(&click, &judged);
        }
    }
    Ok((judge, rollups))
}
