//! Two copies of one call.

use std::pin::pin;
use std::time::Duration;

use serde::Serialize;

/// Which copy a result is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Won {
    /// The first.
    First,
    /// The second, sent after the delay.
    Second,
}

impl Won {
    /// The name used in events, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
        }
    }
}

/// Runs `first`, and `second` too if `first` has not ended after `delay`. The first success wins,
/// and the other copy is dropped before it is returned; if one fails, the other is waited for.
///
/// When both are ready at one time, the first is taken: the outcome depends on time alone.
///
/// # Errors
/// `first`'s, when it fails within the delay: that is a matter for a retry, not for a hedge. When
/// both copies fail, the error of the one that failed last.
pub async fn race<T, E, F, S>(
    delay: Duration,
    first: F,
    second: impl FnOnce() -> S,
) -> (Result<T, E>, Won)
where
    F: Future<Output = Result<T, E>>,
    S: Future<Output = Result<T, E>>,
{
    maybe(delay, first, || Some(second())).await
}

/// The same with a second copy that may not be had, when its time comes.
pub(super) async fn maybe<T, E, F, S>(
    delay: Duration,
    first: F,
    second: impl FnOnce() -> Option<S>,
) -> (Result<T, E>, Won)
where
    F: Future<Output = Result<T, E>>,
    S: Future<Output = Result<T, E>>,
{
    let mut first = pin!(first);
    tokio::select! {
        biased;
        result = &mut first => return (result, Won::First),
        () = pause(delay) => {}
    }
    let Some(second) = second() else {
        return (first.await, Won::First);
    };
    let mut second = pin!(second);
    tokio::select! {
        biased;
        result = &mut first => match result {
            Ok(answer) => (Ok(answer), Won::First),
            Err(_) => (second.await, Won::Second),
        },
        result = &mut second => match result {
            Ok(answer) => (Ok(answer), Won::Second),
            Err(_) => (first.await, Won::First),
        },
    }
}

/// tokio rounds a sleep of zero up to its next tick.
async fn pause(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::time::{Instant, sleep, timeout};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    type Answer = Result<&'static str, &'static str>;

    /// Counts the copies that are alive.
    type Alive = Arc<()>;

    async fn copy(ms: u64, answer: Answer, _alive: Alive) -> Answer {
        sleep(MS(ms)).await;
        answer
    }

    /// Races two copies with a delay of 10 ms. Returns what came out, after how many milliseconds,
    /// whether the second was sent, and checks that nothing lives on.
    async fn run(first: (u64, Answer), second: (u64, Answer)) -> (Answer, Won, u128, bool) {
        let (alive, started, mut sent) = (Alive::default(), Instant::now(), false);
        let (result, won) = race(MS(10), copy(first.0, first.1, alive.clone()), || {
            sent = true;
            copy(second.0, second.1, alive.clone())
        })
        .await;
        assert_eq!(Arc::strong_count(&alive), 1, "a copy lives on");
        (result, won, started.elapsed().as_millis(), sent)
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_answer_or_failure_sends_no_second_copy() {
        let seen = run((9, Ok("first")), (0, Ok("second"))).await;
        assert_eq!(seen, (Ok("first"), Won::First, 9, false));
        let seen = run((9, Err("first")), (0, Ok("second"))).await;
        assert_eq!(seen, (Err("first"), Won::First, 9, false));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_success_wins_and_the_loser_is_dropped() {
        let seen = run((100, Ok("first")), (5, Ok("second"))).await;
        assert_eq!(seen, (Ok("second"), Won::Second, 15, true));
        let seen = run((14, Ok("first")), (5, Ok("second"))).await;
        assert_eq!(seen, (Ok("first"), Won::First, 14, true));
        let seen = run((15, Ok("first")), (5, Ok("second"))).await;
        assert_eq!(seen, (Ok("first"), Won::First, 15, true), "a draw");
    }

    #[tokio::test(start_paused = true)]
    async fn when_one_fails_the_other_is_waited_for() {
        let seen = run((12, Err("first")), (50, Ok("second"))).await;
        assert_eq!(seen, (Ok("second"), Won::Second, 60, true));
        let seen = run((100, Ok("first")), (5, Err("second"))).await;
        assert_eq!(seen, (Ok("first"), Won::First, 100, true));
    }

    #[tokio::test(start_paused = true)]
    async fn when_both_fail_the_last_error_stands() {
        let seen = run((12, Err("first")), (50, Err("second"))).await;
        assert_eq!(seen, (Err("second"), Won::Second, 60, true));
        let seen = run((100, Err("first")), (5, Err("second"))).await;
        assert_eq!(seen, (Err("first"), Won::First, 100, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_of_nothing_still_lets_a_ready_first_win() {
        let ready = std::future::ready(Ok::<_, ()>("first"));
        let answer = race(Duration::ZERO, ready, || {
            std::future::pending::<Result<&str, ()>>()
        });
        assert_eq!(answer.await, (Ok("first"), Won::First));
        let started = Instant::now();
        let never = std::future::pending::<Result<&str, ()>>();
        let answer = race(Duration::ZERO, never, || std::future::ready(Ok("second")));
        assert_eq!(answer.await, (Ok("second"), Won::Second));
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_race_that_is_dropped_drops_both() {
        let alive = Alive::default();
        let answer = race(MS(10), copy(100, Ok(""), alive.clone()), || {
            copy(100, Ok(""), alive.clone())
        });
        assert!(timeout(MS(50), answer).await.is_err());
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
