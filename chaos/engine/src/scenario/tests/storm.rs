//! Storms: what a file can say, and what a seed makes of it.

use super::*;

const INTEGRITY: &str = include_str!("../../../../scenarios/integrity.toml");

fn integrity() -> Scenario {
    Scenario::parse(INTEGRITY, "integrity.toml").unwrap_or_else(|e| panic!("{e}"))
}

fn told(from: &str, to: &str) -> String {
    assert!(INTEGRITY.contains(from), "{from}");
    let text = INTEGRITY.replacen(from, to, 1);
    Scenario::parse(&text, "f.toml").unwrap_err().to_string()
}

/// All comings of all faults, by time.
fn spells(schedule: &Schedule) -> Vec<(Spell, String)> {
    let of = |f: &Fault| {
        let name = f.name.clone();
        f.spells()
            .into_iter()
            .map(move |spell| (spell, name.clone()))
    };
    let mut all: Vec<_> = schedule.faults.iter().flat_map(of).collect();
    all.sort_by_key(|(spell, _)| spell.at);
    all
}

#[test]
fn one_fault_at_a_time_with_calm_between_and_each_kind_about_as_often() {
    let scenario = integrity();
    for quick in [false, true] {
        let schedule = scenario.schedule(quick);
        let storm = schedule.storm.clone().unwrap();
        for seed in 0..200 {
            let drawn = schedule.drawn(seed);
            let all = spells(&drawn);
            assert_eq!(all.len(), storm.faults as usize);
            assert!(all[0].0.at >= storm.from);
            let last = all.last().unwrap().0;
            assert!(last.at + last.lasts <= storm.until);
            for pair in all.windows(2) {
                let (a, b) = (pair[0].0, pair[1].0);
                assert!(a.at + a.lasts + storm.calm <= b.at, "{seed}: {pair:?}");
                assert!(a.lasts >= storm.lasts.0 && a.lasts <= storm.lasts.1);
            }
            let kinds = drawn.faults.len() as u32;
            let often = |f: &Fault| f.spells().len() as u32;
            let fair = storm.faults / kinds..=storm.faults.div_ceil(kinds);
            assert!(drawn.faults.iter().all(|f| fair.contains(&often(f))));
            assert!(drawn.faults.iter().all(|f| f.at == f.spells()[0].at));
        }
    }
}

#[test]
fn a_seed_makes_the_same_storm_and_another_another() {
    let schedule = integrity().full;
    assert_eq!(schedule.drawn(7), schedule.drawn(7));
    assert_ne!(spells(&schedule.drawn(7)), spells(&schedule.drawn(8)));
    // The draw is the format's: a log must be run again by every later version.
    let (first, name) = spells(&schedule.drawn(7)).swap_remove(0);
    let ms = |d: Duration| d.as_millis();
    assert_eq!((ms(first.at), ms(first.lasts), name.as_str()), FIRST_OF_7);
}

const FIRST_OF_7: (u128, u128, &str) = (4_302, 1295, "cut-order");

#[test]
fn without_a_storm_nothing_is_drawn() {
    let schedule = outage().full;
    assert_eq!(schedule.drawn(7), schedule);
}

#[test]
fn what_is_wrong_with_a_storm_is_told() {
    for (from, to, why) in [
        ("faults = 30", "faults = 3", "9 kinds of faults"),
        ("faults = 30", "faults = 60", "to come and go"),
        (
            "until = \"106s\"",
            "until = \"130s\"",
            "over before the load ends",
        ),
        (
            "[\"200ms\", \"1500ms\"]",
            "[\"2s\", \"1s\"]",
            "at least and at most",
        ),
        ("[\"200ms\", \"1500ms\"]", "\"1s\"", "at least and at most"),
        (
            "calm = \"900ms\"",
            "clam = \"900ms\"",
            "did you mean `calm`",
        ),
        (
            "action = \"pause\"",
            "action = \"puase\"",
            "did you mean `pause`",
        ),
        (
            "part = \"order-service\"",
            "part = \"order-servce\"",
            "order-service",
        ),
        (
            "name = \"kill-product\"",
            "name = \"kill-order\"",
            "taken already",
        ),
        (
            "[\"double_release\"]",
            "[\"double_relaese\"]",
            "did you mean `double_release`",
        ),
        (
            "[load.history]",
            "[[load.stream]]\nmix = \"order\"\nrate = 1\n[load.history]",
            "not both",
        ),
        ("pause = \"120ms\"", "pause = \"0s\"", "above zero"),
        (
            "until = \"61s\"",
            "until = \"80s\"",
            "over before the load ends",
        ),
    ] {
        let told = told(from, to);
        assert!(told.contains(why), "{to}: {told}");
    }
}

#[test]
fn a_fault_of_the_time_line_may_not_meet_the_storm_on_its_part() {
    let line = "[[timeline]]\nname = \"own\"\nat = \"20s\"\nfor = \"1s\"\npart = \"order-service\"\naction = \"kill\"\n[storm]";
    let told = told("[storm]", line);
    assert!(
        told.contains("`own` begins while `kill-order` has order-service stopped"),
        "{told}"
    );
}

#[test]
fn a_shop_with_defects_has_them_throughout() {
    let with = integrity().without_protection().unwrap();
    for quick in [false, true] {
        let conditions = &with.schedule(quick).conditions;
        assert_eq!(conditions.len(), 1);
        assert_eq!(conditions[0].name, "double_release");
        assert_eq!(conditions[0].link, "product-service");
        assert!(!conditions[0].action.fails());
    }
}
