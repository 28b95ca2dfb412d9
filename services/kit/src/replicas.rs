//! Several replicas of one service, and to which of them an attempt goes.
//!
//! Attempts take turns among the replicas whose connections hold. One that refuses a connection,
//! or breaks it, is left out for a second; then its turn comes again, and the attempt that meets it
//! finds out whether it is back. When none is left, all take turns: nobody knows of a better one,
//! and asking is how a caller learns that it is back. An attempt after a failed one goes to
//! another replica if there is one.
//!
//! Answers never count here, however bad: what they mean is the policy's business. The breaker
//! stands before all replicas together.
//!
//! Besides, each of several replicas is asked four times a second whether it takes work
//! ([`Replicas::follow`]). One that was told to end says no before it stops listening, and so gets
//! nothing any more that it could not finish; it is left out until it says yes again.
//!
//! Source: passive and active health checks as in nginx's `max_fails`, `fail_timeout` and
//! `health_check`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// How long a replica whose connection failed is left out.
const OUT: Duration = Duration::from_secs(1);
/// How often each of several replicas is asked whether it takes work.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// An answer that takes longer says nothing.
const ASK_PATIENCE: Duration = Duration::from_secs(1);

/// The replicas of a service, in the order of their list. Clones share what is known of them.
#[derive(Debug)]
pub struct Replicas<T>(Arc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    all: Vec<Replica<T>>,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Replica<T> {
    target: T,
    out_until: Mutex<Option<Instant>>,
    /// It said so itself, or did not answer when it was asked.
    takes_no_work: AtomicBool,
}

/// What a replica said when it was asked whether it takes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// No, or nobody is there.
    Unready,
    /// Nothing that could be understood: it stays as it was.
    Unknown,
}

impl<T> Clone for Replicas<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The replica that an attempt goes to.
#[derive(Debug)]
pub struct Picked<T> {
    replicas: Replicas<T>,
    index: usize,
}

impl<T> Picked<T> {
    /// Where it is.
    pub fn target(&self) -> &T {
        &self.replicas.0.all[self.index].target
    }

    /// Its number, 1 for the first in the list; `None` when it is the only one.
    pub fn number(&self) -> Option<u32> {
        let several = self.replicas.0.all.len() > 1;
        several.then(|| u32::try_from(self.index + 1).unwrap_or(u32::MAX))
    }

    /// Its place, for [`Replicas::pick`].
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its connection was refused, or broke: it is left out for a while.
    pub fn failed(&self) {
        *self.replicas.0.all[self.index].out_until.lock() = Some(Instant::now() + OUT);
    }
}

impl<T> Replicas<T> {
    /// Of these; `None` when there is none.
    pub fn new(targets: impl IntoIterator<Item = T>) -> Option<Self> {
        let all: Vec<Replica<T>> = targets
            .into_iter()
            .map(|target| Replica {
                target,
                out_until: Mutex::new(None),
                takes_no_work: AtomicBool::new(false),
            })
            .collect();
        let turn = AtomicUsize::new(0);
        (!all.is_empty()).then(|| Self(Arc::new(Inner { all, turn })))
    }

    /// The replica whose turn it is; not the one `tried` just now, unless nobody else is there.
    /// One that takes no work is asked only when all others are out too.
    pub fn pick(&self, tried: Option<usize>) -> Picked<T> {
        let now = Instant::now();
        let turn = self.0.turn.fetch_add(1, Ordering::Relaxed);
        let another = |index: usize| tried != Some(index);
        let index = self
            .nth(turn, |index| self.is_in(index, now) && another(index))
            .or_else(|| self.nth(turn, |index| self.is_in(index, now)))
            .or_else(|| self.nth(turn, |index| self.takes_work(index) && another(index)))
            .or_else(|| self.nth(turn, |index| self.takes_work(index)))
            .or_else(|| self.nth(turn, another))
            .unwrap_or(0);
        Picked {
            replicas: self.clone(),
            index,
        }
    }

    /// Asks each of several replicas four times a second whether it takes work, until it is
    /// dropped. Of a single one nobody needs to know: there is no other to turn to.
    pub async fn follow<F>(&self, ask: impl Fn(&T) -> F)
    where
        F: Future<Output = Readiness>,
    {
        if self.0.all.len() < 2 {
            return;
        }
        let each = self.0.all.iter().map(|replica| async {
            loop {
                let said = timeout(ASK_PATIENCE, ask(&replica.target)).await;
                replica.said(said.unwrap_or(Readiness::Unknown));
                sleep(ASK_EVERY).await;
            }
        });
        futures_util::future::join_all(each).await;
    }

    /// Where they all are.
    pub fn targets(&self) -> impl Iterator<Item = &T> {
        self.0.all.iter().map(|replica| &replica.target)
    }

    fn is_in(&self, index: usize, now: Instant) -> bool {
        let holds = self.0.all[index].out_until.lock();
        holds.is_none_or(|until| until <= now) && self.takes_work(index)
    }

    fn takes_work(&self, index: usize) -> bool {
        !self.0.all[index].takes_no_work.load(Ordering::Relaxed)
    }

    /// Of those that `may`, the one whose turn it is.
    fn nth(&self, turn: usize, may: impl Fn(usize) -> bool) -> Option<usize> {
        let those: Vec<usize> = (0..self.0.all.len()).filter(|index| may(*index)).collect();
        let at = turn.checked_rem(those.len())?;
        Some(those[at])
    }
}

impl<T> Replica<T> {
    fn said(&self, readiness: Readiness) {
        let takes_no_work = match readiness {
            Readiness::Ready => false,
            Readiness::Unready => true,
            Readiness::Unknown => return,
        };
        if self.takes_no_work.swap(takes_no_work, Ordering::Relaxed) && !takes_no_work {
            // It is back: what its connections did before says nothing now.
            *self.out_until.lock() = None;
        }
    }
}

/// The addresses in a comma separated list, spaces and a trailing slash of each left out.
pub fn addresses(list: &str) -> Vec<String> {
    list.split(',')
        .map(|address| address.trim().trim_end_matches('/'))
        .filter(|address| !address.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Replicas<char> {
        Replicas::new(['a', 'b', 'c']).unwrap()
    }

    fn turns(replicas: &Replicas<char>, n: usize) -> String {
        (0..n).map(|_| *replicas.pick(None).target()).collect()
    }

    #[test]
    fn a_list_may_have_spaces_and_slashes() {
        assert_eq!(
            addresses(" http://a:1/ ,http://b:2,, "),
            ["http://a:1", "http://b:2"]
        );
        assert!(addresses(" , ").is_empty());
        assert!(Replicas::<String>::new(addresses("")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn they_take_turns() {
        assert_eq!(turns(&three(), 6), "abcabc");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_failed_is_left_out_for_a_second() {
        let replicas = three();
        let first = replicas.pick(None);
        assert_eq!((first.target(), first.number()), (&'a', Some(1)));
        first.failed();
        let meanwhile = turns(&replicas, 6);
        assert!(!meanwhile.contains('a'), "{meanwhile}");
        assert_eq!(
            meanwhile.matches('b').count(),
            3,
            "even shares: {meanwhile}"
        );
        tokio::time::advance(OUT).await;
        assert_eq!(turns(&replicas, 3).matches('a').count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_attempt_goes_to_another_one() {
        let replicas = three();
        for _ in 0..20 {
            let first = replicas.pick(None);
            let second = replicas.pick(Some(first.index()));
            assert_ne!(first.index(), second.index());
        }
        // The others are out: the one that was just tried is still the best there is.
        let first = replicas.pick(None);
        for other in 0..3 {
            if other != first.index() {
                Picked {
                    replicas: replicas.clone(),
                    index: other,
                }
                .failed();
            }
        }
        assert_eq!(replicas.pick(Some(first.index())).index(), first.index());
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_out_all_are_asked() {
        let replicas = three();
        for _ in 0..3 {
            replicas.pick(None).failed();
        }
        let asked = turns(&replicas, 3);
        for one in ['a', 'b', 'c'] {
            assert!(asked.contains(one), "{asked}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_no_work_is_left_out_until_it_says_otherwise() {
        let replicas = three();
        let said = Arc::new(Mutex::new(Readiness::Unready));
        let asked = Arc::clone(&said);
        let following = replicas.clone();
        let follower = tokio::spawn(async move {
            let ask = |target: &char| {
                let said = match target {
                    'a' => *asked.lock(),
                    _ => Readiness::Ready,
                };
                std::future::ready(said)
            };
            following.follow(ask).await;
        });
        let after_a_look = || sleep(2 * ASK_EVERY);
        after_a_look().await;
        assert!(!turns(&replicas, 6).contains('a'));
        // What can't be understood changes nothing, nor does time.
        *said.lock() = Readiness::Unknown;
        sleep(10 * OUT).await;
        assert!(!turns(&replicas, 6).contains('a'));
        // Connections of the others that break are no reason to turn to it.
        for index in [1, 2] {
            *replicas.0.all[index].out_until.lock() = Some(Instant::now() + OUT);
        }
        assert!(!turns(&replicas, 6).contains('a'));
        *said.lock() = Readiness::Ready;
        after_a_look().await;
        assert!(turns(&replicas, 6).contains('a'));
        follower.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_answers_says_nothing_and_holds_no_other_up() {
        let replicas = three();
        let hangs = |target: &char| {
            let hangs = *target == 'a';
            async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                Readiness::Unready
            }
        };
        let looking = replicas.follow(hangs);
        assert!(timeout(2 * ASK_PATIENCE, looking).await.is_err());
        assert_eq!(turns(&replicas, 3), "aaa");
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_one_is_always_it() {
        let one = Replicas::new(['a']).unwrap();
        one.pick(None).failed();
        let picked = one.pick(Some(0));
        assert_eq!((picked.target(), picked.number()), (&'a', None));
    }
}
