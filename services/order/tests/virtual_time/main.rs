//! The saga in virtual time: two processes over one journal, clients that retry with keys, and a
//! fault now and then: crashes at any await, cut links, lost messages, slow ones. All of it is
//! drawn from a seed, so that the seed alone repeats a run, byte for byte.
//!
//! `CASES` sets how many seeds a test runs.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod check;
mod net;
mod shop;

use std::thread;

use order_service::store::DEFECTS;
use shop::{Extent, LONG, SHORT, Story, run};

fn seeds(otherwise: u64) -> u64 {
    std::env::var("CASES").map_or(otherwise, |n| n.parse().unwrap())
}

/// What all seeds came to.
#[derive(Default)]
struct Sum {
    faults: u64,
    fewest_faults: Option<u64>,
    acknowledged: u64,
}

/// Runs the seeds below `count` on every core, looks at each story, and adds them up.
fn each(count: u64, extent: Extent, look: impl Fn(u64, &Story) + Sync) -> Sum {
    let cores = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let share = |core: u64| {
        let mut sum = Sum::default();
        for seed in (core..count).step_by(usize::try_from(cores).unwrap()) {
            let story = run(extent, seed, None);
            let broken = &story.broken;
            assert!(broken.is_empty(), "seed {seed}: {broken:?}\n{}", story.log);
            look(seed, &story);
            sum.add(story.faults, Some(story.faults), story.acknowledged);
        }
        sum
    };
    let mut all = Sum::default();
    thread::scope(|scope| {
        let share = &share;
        let shares = (0..cores).map(|core| scope.spawn(move || share(core)));
        for share in shares.collect::<Vec<_>>() {
            let sum = share.join().unwrap();
            all.add(sum.faults, sum.fewest_faults, sum.acknowledged);
        }
    });
    println!(
        "{count} seeds: {} faults, at least {:?} each, {} orders acknowledged",
        all.faults, all.fewest_faults, all.acknowledged
    );
    all
}

impl Sum {
    fn add(&mut self, faults: u64, fewest: Option<u64>, acknowledged: u64) {
        self.faults += faults;
        self.acknowledged += acknowledged;
        self.fewest_faults = [self.fewest_faults, fewest].into_iter().flatten().min();
    }
}

#[test]
fn seeds_keep_the_invariants_and_repeat_byte_for_byte() {
    let count = seeds(1000);
    let sum = each(count, SHORT, |seed, first| {
        assert!(first.log.len() > 1000, "{}", first.log);
        assert_eq!(first.log, run(SHORT, seed, None).log, "seed {seed}");
    });
    // Else nothing was tested.
    assert!(sum.faults > count * 5, "{} faults", sum.faults);
    assert!(sum.acknowledged > count * 3, "{} orders", sum.acknowledged);
}

#[test]
fn seeds_of_fifty_faults_and_more_keep_the_invariants() {
    let count = seeds(50);
    let sum = each(count, LONG, |_, _| ());
    assert!(sum.fewest_faults >= Some(50), "{:?}", sum.fewest_faults);
    assert!(sum.acknowledged > count * 20, "{} orders", sum.acknowledged);
}

/// The check can fail: each of these bugs is found by one of the first seeds.
#[test]
fn seeded_defects_are_found() {
    for defect in ["lost_compensation", "key_after_effect", "early_reply"] {
        assert!(DEFECTS.contains(&defect));
        let found = (0..200).find(|seed| !run(SHORT, *seed, Some(defect)).broken.is_empty());
        assert!(found.is_some(), "{defect} was not found in 200 seeds");
    }
}
