//! The saga in virtual time: two processes over one journal, clients that retry with keys, and a
//! fault now and then: crashes at any await, cut links, lost messages, slow ones. All of it is
//! drawn from a seed, so that the seed alone repeats a run, byte for byte.
//!
//! `CASES` sets how many seeds are run (1 000 otherwise).
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod check;
mod net;
mod shop;

use order_service::store::DEFECTS;
use shop::run;

fn seeds() -> u64 {
    std::env::var("CASES").map_or(1000, |n| n.parse().unwrap())
}

#[test]
fn a_thousand_seeds_keep_the_invariants() {
    let mut faults = 0;
    let mut acknowledged = 0;
    for seed in 0..seeds() {
        let story = run(seed, None);
        assert_eq!(
            story.broken,
            Vec::<String>::new(),
            "seed {seed}:\n{}",
            story.log
        );
        faults += story.faults;
        acknowledged += story.acknowledged;
    }
    // Else nothing was tested.
    assert!(faults > seeds() * 5, "{faults} faults");
    assert!(acknowledged > seeds() * 3, "{acknowledged} orders");
}

#[test]
fn a_seed_repeats_its_run_byte_for_byte() {
    for seed in 0..50 {
        let (first, second) = (run(seed, None), run(seed, None));
        assert!(first.log.len() > 1000, "{}", first.log);
        assert_eq!(first.log, second.log, "seed {seed}");
    }
}

/// The check can fail: each of these bugs is found by one of the first seeds.
#[test]
fn seeded_defects_are_found() {
    for defect in ["lost_compensation", "key_after_effect", "early_reply"] {
        assert!(DEFECTS.contains(&defect));
        let found = (0..200).find(|seed| !run(*seed, Some(defect)).broken.is_empty());
        assert!(found.is_some(), "{defect} was not found in 200 seeds");
    }
}
