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
//! Source: passive health checks as in nginx's `max_fails` and `fail_timeout`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a replica whose connection failed is left out.
const OUT: Duration = Duration::from_secs(1);

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
            })
            .collect();
        let turn = AtomicUsize::new(0);
        (!all.is_empty()).then(|| Self(Arc::new(Inner { all, turn })))
    }

    /// The replica whose turn it is; not the one `tried` just now, unless nobody else is there.
    pub fn pick(&self, tried: Option<usize>) -> Picked<T> {
        let now = Instant::now();
        let turn = self.0.turn.fetch_add(1, Ordering::Relaxed);
        let another = |index: usize| tried != Some(index);
        let index = self
            .nth(turn, |index| self.is_in(index, now) && another(index))
            .or_else(|| self.nth(turn, |index| self.is_in(index, now)))
            .or_else(|| self.nth(turn, another))
            .unwrap_or(0);
        Picked {
            replicas: self.clone(),
            index,
        }
    }

    /// Where they all are.
    pub fn targets(&self) -> impl Iterator<Item = &T> {
        self.0.all.iter().map(|replica| &replica.target)
    }

    fn is_in(&self, index: usize, now: Instant) -> bool {
        self.0.all[index]
            .out_until
            .lock()
            .is_none_or(|until| until <= now)
    }

    /// Of those that `may`, the one whose turn it is.
    fn nth(&self, turn: usize, may: impl Fn(usize) -> bool) -> Option<usize> {
        let those: Vec<usize> = (0..self.0.all.len()).filter(|index| may(*index)).collect();
        let at = turn.checked_rem(those.len())?;
        Some(those[at])
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
    async fn a_single_one_is_always_it() {
        let one = Replicas::new(['a']).unwrap();
        one.pick(None).failed();
        let picked = one.pick(Some(0));
        assert_eq!((picked.target(), picked.number()), (&'a', None));
    }
}
