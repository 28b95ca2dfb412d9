//! A second copy of a slow attempt. The first answer wins and the other is cancelled.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::attempt::Kind;
use super::{Ended, Failure, Path, Progress};
use crate::call::{Attempt, Reason};
use crate::failure::Classify;
use crate::observe::Event;

impl Path<'_> {
    /// How long to wait before a second copy is sent; `None` when none may be: hedging is off or
    /// has not seen enough answers yet, the call can't be repeated, or it has had its one hedge.
    pub(super) fn hedge_delay(&self, progress: &Progress<'_>) -> Option<Duration> {
        if progress.hedged || !self.call.idempotent {
            return None;
        }
        let delay = self.active.hedge.as_ref()?.delay()?;
        (!self.deadline.ends_within(delay)).then_some(delay)
    }

    pub(super) async fn hedged<T, E, F, Fut>(
        &self,
        progress: &mut Progress<'_>,
        delay: Duration,
        first: impl Future<Output = Result<T, Failure<E>>>,
        op: &mut F,
    ) -> Result<T, Ended<E>>
    where
        E: Classify,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let started = Instant::now();
        let mut first = pin!(first);
        tokio::select! {
            biased;
            answer = &mut first => return answer.map_err(Ended::Failed),
            () = sleep(delay) => {}
        }
        let Some(second) = self.second(progress, delay, op) else {
            return first.await.map_err(Ended::Failed);
        };
        let number = *progress.made;
        let mut second = pin!(second);
        let (answer, hedge_won) = tokio::select! {
            biased;
            answer = &mut first => match answer {
                Ok(answer) => (Ok(answer), false),
                Err(_) => (second.await, true),
            },
            answer = &mut second => match answer {
                Ok(answer) => {
                    self.observe(started.elapsed());
                    (Ok(answer), true)
                }
                Err(_) => (first.await, false),
            },
        };
        if hedge_won && answer.is_ok() {
            tracing::debug!(attempt = number, "hedge won");
            self.slot.tell(&Event::HedgeWon {
                slot: self.slot.names(),
                call: self.id(),
                attempt: number,
            });
        }
        answer.map_err(Ended::Failed)
    }

    /// Starts the second copy, if the budget and everybody else lets it.
    fn second<'s, T, E, F, Fut>(
        &'s self,
        progress: &mut Progress<'_>,
        after: Duration,
        op: &mut F,
    ) -> Option<impl Future<Output = Result<T, Failure<E>>> + use<'s, T, E, F, Fut>>
    where
        E: Classify,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let number = *progress.made + 1;
        let reserved = match &self.budget {
            None => None,
            Some(budget) => match budget.reserve(None) {
                Some(reserved) => Some(reserved),
                None => {
                    self.refuse(number, Reason::Budget, None);
                    return None;
                }
            },
        };
        let leave = self.admit_now(number).ok()?;
        progress.hedged = true;
        *progress.made = number;
        tracing::debug!(
            attempt = number,
            after_ms = super::millis(after),
            "hedge sent"
        );
        self.slot.tell(&Event::Hedge {
            slot: self.slot.names(),
            call: self.id(),
            attempt: number,
            after,
        });
        let begun = self.begin(Kind::Hedge, number, leave, reserved);
        let answer = Box::pin(begun.span.in_scope(|| op(begun.attempt)));
        Some(self.finish(begun, answer))
    }
}
