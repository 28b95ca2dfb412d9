//! Independent cells on several threads, with results in the order of the cells.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How many threads this machine is good for.
pub fn available() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Works out `cell(0)` to `cell(count - 1)` on up to `threads` threads; the results come in that
/// order, whichever thread was first, so that what is made of them doesn't depend on the machine.
///
/// The cells never run on the caller's thread: that one may be within a runtime, where no
/// [`world`](super::world) can begin.
///
/// # Panics
/// When a cell does.
pub fn map<T: Send>(
    threads: NonZeroUsize,
    count: usize,
    cell: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return done;
            }
            done.push((index, cell(index)));
        }
    };
    let mut results: Vec<(usize, T)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.get().min(count))
            .map(|_| scope.spawn(work))
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| match worker.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whatever_the_number_of_threads() {
        let squares: Vec<usize> = (0..100).map(|i| i * i).collect();
        for threads in [1, 2, 7, 200] {
            let threads = NonZeroUsize::new(threads).unwrap();
            assert_eq!(map(threads, 100, |i| i * i), squares);
        }
        assert!(map(NonZeroUsize::MIN, 0, |i| i).is_empty());
    }

    #[test]
    #[should_panic(expected = "cell 3 is broken")]
    fn a_cell_that_panics_is_heard() {
        map(available(), 5, |i| assert!(i != 3, "cell {i} is broken"));
    }
}
