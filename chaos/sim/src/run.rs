//! How to run a scenario: with which seed, on how many threads.

use std::num::NonZeroUsize;

use crate::kernel::{Seed, cells};

/// What every scenario is given besides its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Decides over everything that is left to chance.
    pub seed: u64,
    /// Worlds at once; the outcome doesn't depend on it.
    pub threads: NonZeroUsize,
}

impl Run {
    /// With this seed, on all cores.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            threads: cells::available(),
        }
    }

    /// The same on this many threads.
    #[must_use]
    pub fn on(self, threads: NonZeroUsize) -> Self {
        Self { threads, ..self }
    }

    /// Where a scenario's streams of chance begin.
    pub(crate) fn root(&self, scenario: &str) -> Seed {
        Seed::new(self.seed).role(scenario)
    }

    /// Works out `cell(i, repetition)` for all cells and repetitions, on all threads; the results
    /// come by cell, then repetition.
    pub(crate) fn repeat<T: Send>(
        &self,
        cells: usize,
        repetitions: u32,
        cell: impl Fn(usize, u64) -> T + Sync,
    ) -> Vec<Vec<T>> {
        let each = repetitions.max(1) as usize;
        // Cells of a scenario differ in size, mostly with the later ones larger: these go first,
        // so that no thread is left alone with a large one at the end.
        let last = cells * each;
        let mut flat = cells::map(self.threads, last, |i| {
            let i = last - 1 - i;
            cell(i / each, (i % each) as u64)
        });
        flat.reverse();
        let mut flat = flat.into_iter();
        (0..cells)
            .map(|_| flat.by_ref().take(each).collect())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_come_by_cell() {
        let results = Run::new(1).repeat(3, 2, |cell, repetition| (cell, repetition));
        let expected = [[(0, 0), (0, 1)], [(1, 0), (1, 1)], [(2, 0), (2, 1)]];
        assert_eq!(results, expected);
    }
}
