//! A map for a terminal.

use chaos_report::map::{Agreement, Map, MapPoint};

use crate::text;

/// The verdict, the points of every arm, and the sentence.
pub(super) fn render(map: &Map) -> String {
    let word = match map.verdict {
        Agreement::Agree => "AGREE",
        Agreement::Disagree => "DISAGREE",
        Agreement::Undecided => "INCONCLUSIVE",
    };
    let mut rows = vec![text::row([
        "arm",
        &map.trigger,
        "load",
        "measured",
        "simulated",
        "verdict",
    ])];
    for arm in &map.arms {
        rows.extend(arm.points.iter().map(|point| row(&arm.name, point)));
    }
    let stopped = map.stopped.as_ref();
    let stopped = stopped.map_or_else(String::new, |why| format!("\nIt ended early: {why}."));
    format!(
        "{word}  {}, map: answered from {} s to {} s after `{}`\n\n{}\n{}{stopped}\n",
        map.scenario,
        map.settle_s,
        map.settle_s + map.watch_s,
        map.trigger,
        text::table(&rows),
        map.says
    )
}

fn row(arm: &str, point: &MapPoint) -> Vec<String> {
    let measured = match (point.measured.standing, point.measured.answered) {
        (Some(standing), Some(share)) => said(share, standing.words()),
        _ => "not measured".to_owned(),
    };
    let simulated = &point.simulated;
    text::row([
        arm,
        &format!("{} s", point.trigger_s),
        &format!("{} /s = {:.0} %", point.rate, point.load * 100.0),
        &measured,
        &said(simulated.answered, simulated.standing.words()),
        point.agreement.words(),
    ])
}

/// Cut, not rounded: `100 %` means all.
fn said(share: f64, words: &str) -> String {
    format!("{:>3} % {words}", (share * 100.0).floor())
}

#[cfg(test)]
mod tests {
    use chaos_report::map::{ArmMap, Background, Measured, Simulated, Standing};

    use super::*;

    #[test]
    fn every_point_has_a_row_and_the_sentence_follows() {
        let point = |measured| MapPoint {
            trigger_s: 0.5,
            rate: 120.0,
            load: 0.6,
            seed: 1,
            dir: "points/500ms-120".to_owned(),
            measured,
            simulated: Simulated::share(1.0),
            agreement: Agreement::Undecided,
        };
        let arm = ArmMap {
            name: "naive".to_owned(),
            points: vec![
                point(Measured::share(999, 1_000)),
                point(Measured::share(1, 10)),
                point(Measured::nothing("void")),
            ],
            background: Background {
                rates: Vec::new(),
                triggers_s: Vec::new(),
                answered: Vec::new(),
                repetitions: 1,
            },
        };
        let said = render(&super::super::tests::map(vec![arm]).judged());
        assert!(
            said.starts_with("DISAGREE  storm, map: answered from 20 s to 28 s after `dip`\n"),
            "{said}"
        );
        let rows: Vec<&str> = said
            .lines()
            .filter(|line| line.starts_with("naive"))
            .collect();
        assert_eq!(
            rows,
            [
                "naive  0.5 s  120 /s = 60 %   99 % up      100 % up   agrees",
                "naive  0.5 s  120 /s = 60 %   10 % down    100 % up   DISAGREES",
                "naive  0.5 s  120 /s = 60 %  not measured  100 % up   undecided",
            ]
        );
        assert!(
            said.contains("1 of 3 points disagree: naive after 500 ms at 60 %"),
            "{said}"
        );
        assert_eq!(Standing::Up.words(), "up");
    }
}
