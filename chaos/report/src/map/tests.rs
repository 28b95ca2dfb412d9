//! Maps made by hand.

use super::*;

fn point(trigger_s: f64, rate: f64, measured: Measured, simulated: f64) -> MapPoint {
    MapPoint {
        trigger_s,
        rate,
        load: rate / 200.0,
        seed: 1,
        dir: format!("points/{trigger_s}s-{rate}"),
        measured,
        simulated: Simulated::share(simulated),
        agreement: Agreement::Undecided,
    }
}

fn map(points: Vec<MapPoint>) -> Map {
    let background = Background {
        rates: vec![50.0, 75.0, 100.0],
        triggers_s: vec![0.5, 2.0],
        answered: vec![vec![1.0, 1.0, 0.97], vec![1.0, 0.6, 0.0]],
        repetitions: 3,
    };
    Map {
        schema_version: SCHEMA_VERSION,
        scenario: "retry-storm".to_owned(),
        shows: "a <dip>".to_owned(),
        because: "the border lies there".to_owned(),
        seed: 7,
        quick: true,
        repeats: 1,
        environment: None,
        trigger: "dip".to_owned(),
        server: Server {
            link: "gateway-product".to_owned(),
            at_once: 10,
            left: 3,
            service_time_s: 0.05,
            queue: 10_000,
            capacity_rps: 200.0,
        },
        before_s: 3.0,
        settle_s: 20.0,
        watch_s: 8.0,
        up: 0.95,
        down: 0.5,
        arms: vec![ArmMap {
            name: "naive".to_owned(),
            points,
            background,
        }],
        stopped: None,
        verdict: Agreement::Undecided,
        says: String::new(),
    }
    .judged()
}

fn agreeing() -> Vec<MapPoint> {
    vec![
        point(0.5, 50.0, Measured::share(400, 400), 1.0),
        point(2.0, 100.0, Measured::share(12, 800), 0.0),
    ]
}

#[test]
fn the_thresholds_are_up_from_95_per_cent_and_down_below_half() {
    let at = |answered| Standing::of(answered);
    assert_eq!(
        [at(1.0), at(0.95), at(0.9499)],
        [Standing::Up, Standing::Up, Standing::Between]
    );
    assert_eq!(
        [at(0.5), at(0.4999), at(0.0)],
        [Standing::Between, Standing::Down, Standing::Down]
    );
}

#[test]
fn a_point_agrees_disagrees_or_is_undecided() {
    use Standing::{Between, Down, Up};
    for (measured, simulated, expected) in [
        (Some(Up), Up, Agreement::Agree),
        (Some(Down), Down, Agreement::Agree),
        (Some(Up), Down, Agreement::Disagree),
        (Some(Down), Up, Agreement::Disagree),
        (Some(Between), Between, Agreement::Undecided),
        (Some(Up), Between, Agreement::Undecided),
        (None, Up, Agreement::Undecided),
    ] {
        assert_eq!(
            Agreement::of(measured, simulated),
            expected,
            "{measured:?} {simulated:?}"
        );
    }
}

#[test]
fn the_sentence_says_that_all_agree_or_which_do_not() {
    let all = map(agreeing());
    assert_eq!(all.verdict, Agreement::Agree);
    assert_eq!(all.says, "Shop and simulator agree at all 2 points.");

    let mut points = agreeing();
    points.push(point(2.0, 50.0, Measured::share(10, 100), 1.0));
    points.push(point(0.5, 100.0, Measured::nothing("void"), 0.97));
    let some = map(points);
    assert_eq!(
        some.verdict,
        Agreement::Disagree,
        "it outweighs the undecided one"
    );
    assert_eq!(
        some.says,
        "1 of 4 points disagree: naive after 2 s at 25 % of the capacity (down, 10.00 %; the simulator \
         says up, 100 %). 1 of 4 points can’t be decided: naive after 500 ms at 50 % of the capacity (not \
         measured: void; the simulator says up, 97.00 %). They agree at the other 2."
    );
    let open = map(vec![point(2.0, 100.0, Measured::share(70, 100), 0.0)]);
    assert_eq!(open.verdict, Agreement::Undecided);
    assert!(open.says.contains("(in between, 70.00 %"), "{}", open.says);
    let none = map(Vec::new());
    assert_eq!(
        (none.verdict, &*none.says),
        (Agreement::Undecided, "No point was measured.")
    );
}

#[test]
fn no_request_is_no_measurement() {
    let nothing = Measured::share(0, 0);
    assert_eq!((nothing.standing, nothing.answered), (None, None));
    assert!(nothing.why.is_some());
}

#[test]
fn three_files_are_written_and_the_json_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let map = map(agreeing());
    let page = write(&map, dir.path()).unwrap();
    assert_eq!(page, dir.path().join("map.html"));
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let back: Map = serde_json::from_str(&read("map.json")).unwrap();
    assert_eq!(back, map);
    assert!(read("map.json").contains(r#""agreement": "agree""#));
    let svg = read("map.svg");
    assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
    assert_eq!(
        svg.matches("<g ").count() + svg.matches("<g>").count(),
        svg.matches("</g>").count()
    );
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 3, "no half file stays");
}

/// Each measured point lies over its own field, and says in words whether it agrees.
#[test]
fn points_lie_over_their_fields() {
    let mut points = agreeing();
    points.push(point(2.0, 50.0, Measured::share(0, 100), 1.0));
    let svg = picture::document(&map(points));
    assert_eq!(svg.matches("class=\"map-mark\"").count(), 2, "{svg}");
    assert_eq!(svg.matches("class=\"map-mark disagrees\"").count(), 1);
    assert_eq!(svg.matches(">agrees<").count(), 2);
    assert_eq!(svg.matches(">disagrees<").count(), 1);
    // 0.5 s is the lower of two rows, 50 a second the first column: x 74 + 3, y 44 + 5.
    assert!(svg.contains("<rect x=\"77\" y=\"49\""), "{svg}");
    // A point for which there is no field is not drawn at a wrong place.
    let off = map(vec![point(9.0, 50.0, Measured::share(1, 1), 1.0)]);
    assert!(!picture::document(&off).contains("map-mark"));
}

#[test]
fn the_page_needs_no_script_and_no_network_and_has_every_figure_as_text() {
    let mut points = agreeing();
    points.push(point(
        0.5,
        100.0,
        Measured::nothing("the fault did not act"),
        0.97,
    ));
    let html = page::page(&map(points));
    assert!(
        !html.contains("<script") && !html.contains(" style="),
        "no inline style passes"
    );
    assert!(!html.contains("http://") && !html.contains("https://"));
    assert!(html.contains("default-src &#39;none&#39;; style-src &#39;sha256-"));
    assert!(
        html.contains("a &lt;dip&gt;"),
        "what others wrote is escaped"
    );
    for words in [
        "<h1>retry-storm: trigger and load</h1>",
        "href=\"points/0.5s-50/report.html\"",
        "up: 100 %",
        "down: 1.50 %",
        "of 400 requests",
        "the fault did not act",
        ">agrees<",
        ">undecided<",
        "cargo lab chaos run retry-storm --map --seed 7 --quick",
        "role=\"img\" aria-label=\"naive: share of requests",
        "60.00 %",
    ] {
        assert!(html.contains(words), "{words} is not in {html}");
    }
    assert_eq!(html.matches("<h1").count(), 1);
    assert!(html.len() < 200_000);
}
