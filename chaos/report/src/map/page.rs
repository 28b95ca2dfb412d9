//! `map.html`: the verdict, the pictures, and every figure as a table. No script at all.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Agreement, ArmMap, Map, MapPoint, picture};
use crate::markup::{El, Markup, el};
use crate::page::{STYLE, scrolls};
use crate::scale::short;
use crate::verdict::Shown;
use crate::words::{count, percent, plural, seconds};

/// What the page has beside the report's style.
const MAP_STYLE: &str = include_str!("../../assets/map.css");

/// Only the two style sheets, byte for byte; no script, no network, no frame, no form.
fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}' 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(MAP_STYLE)
    )
}

fn shown(agreement: Agreement) -> Shown {
    match agreement {
        Agreement::Agree => Shown::Pass,
        Agreement::Disagree => Shown::Fail,
        Agreement::Undecided => Shown::Inconclusive,
    }
}

fn word(map: &Map) -> &'static str {
    match map.verdict {
        Agreement::Agree => "All points agree",
        Agreement::Disagree => "Points disagree",
        Agreement::Undecided => "Undecided",
    }
}

pub(super) fn page(map: &Map) -> String {
    let meta =
        |name: &'static str, content: &str| el("meta").attr("name", name).attr("content", content);
    let head = el("head")
        .child(el("meta").attr("charset", "utf-8"))
        .child(
            el("meta")
                .attr("http-equiv", "Content-Security-Policy")
                .attr("content", policy()),
        )
        .child(meta("viewport", "width=device-width, initial-scale=1"))
        .child(meta("color-scheme", "light dark"))
        .child(meta("generator", "Faultline"))
        .child(el("title").text(format!("{}, map: {} – Faultline", map.scenario, word(map))))
        .child(el("style").asset(STYLE))
        .child(el("style").asset(MAP_STYLE));
    let skip = el("a").class("skip").attr("href", "#main");
    let main = el("main")
        .id("main")
        .child(hero(map))
        .child(arms(map))
        .child(model(map))
        .child(run(map));
    let body = el("body")
        .child(skip.text("Skip to the verdict"))
        .child(bar(map))
        .child(main)
        .child(el("footer").text("Made by Faultline from map.json and from nothing else."));
    let html: Markup = el("html").attr("lang", "en").child(head).child(body).into();
    format!("<!doctype html>\n{}\n", html.into_string())
}

fn bar(map: &Map) -> El {
    let links = [
        ("#maps", "Maps"),
        ("#model", "The model"),
        ("#run", "This run"),
    ];
    let link = |(to, name): (&str, &str)| el("a").attr("href", to).text(name);
    let brand = el("span").class("brand").text("Faultline");
    el("header")
        .class("bar")
        .child(brand.child(el("span").text(format!("{}, map", map.scenario))))
        .child(
            el("nav")
                .attr("aria-label", "Sections")
                .children(links.map(link)),
        )
}

fn hero(map: &Map) -> El {
    let verdict = shown(map.verdict);
    let quick = if map.quick { " · quick" } else { "" };
    let points: usize = map.arms.iter().map(|arm| arm.points.len()).sum();
    let stopped = map.stopped.as_ref();
    let stopped = stopped.map(|why| {
        el("p")
            .class("warn")
            .text(format!("It ended early: {why}."))
    });
    let words = el("div")
        .child(el("p").class("word").text(word(map)))
        .child(el("h1").text(format!("{}: trigger and load", map.scenario)));
    el("section")
        .id("verdict")
        .class(format!("hero {}", verdict.class()))
        .child(
            el("div")
                .class("headline")
                .child(verdict.icon())
                .child(words),
        )
        .child(el("p").class("map-says").text(&map.says))
        .child(stopped)
        .child(el("p").class("shows").text(&map.shows))
        .child(el("p").class("meta").text(format!(
            "seed {} · {} arms, {} · {} each{quick}",
            map.seed,
            map.arms.len(),
            plural(points as u64, "point"),
            plural(map.repeats.into(), "repeat")
        )))
}

fn arms(map: &Map) -> El {
    let note = format!(
        "The share of the requests that are answered, from {} to {} after the trigger is over. {}. \
         The axes name values; distances are not to scale. The points were chosen because {}.",
        seconds(map.settle_s),
        seconds(map.settle_s + map.watch_s),
        picture::KEY,
        map.because.trim_end_matches('.')
    );
    el("section")
        .id("maps")
        .child(el("h2").text("Measured over simulated"))
        .child(el("p").class("note").text(note))
        .children(map.arms.iter().map(|arm| card(map, arm)))
}

fn card(map: &Map, arm: &ArmMap) -> El {
    let all = el("details")
        .child(el("summary").text("The simulator’s map as a table"))
        .child(background(map, arm));
    el("div")
        .class("map-arm")
        .child(el("h3").text(&arm.name))
        .child(el("figure").child(picture::figure(map, arm)))
        .child(points(map, arm))
        .child(all)
}

/// The picture's points, in words.
fn points(map: &Map, arm: &ArmMap) -> El {
    let head = [
        map.trigger.as_str(),
        "load",
        "measured",
        "simulated",
        "verdict",
        "run",
    ];
    let head = head.map(|name| el("th").attr("scope", "col").text(name));
    let table = el("table")
        .child(el("thead").child(el("tr").children(head)))
        .child(el("tbody").children(arm.points.iter().map(row)));
    scrolls(&format!("Points of {}", arm.name), table)
}

fn row(point: &MapPoint) -> El {
    let cell = |words: String| el("td").text(words);
    let measured = match (
        &point.measured.why,
        point.measured.standing,
        point.measured.answered,
    ) {
        (None, Some(standing), Some(share)) => {
            cell(format!("{}: {}", standing.words(), percent(share))).child(
                el("small").text(format!("of {}", plural(point.measured.requests, "request"))),
            )
        }
        (why, ..) => cell("not measured".to_owned())
            .child(el("small").text(why.as_deref().unwrap_or_default())),
    };
    let simulated = format!(
        "{}: {}",
        point.simulated.standing.words(),
        percent(point.simulated.answered)
    );
    let verdict = shown(point.agreement);
    let badge = el("span")
        .class(format!("badge {}", verdict.class()))
        .child(verdict.icon())
        .text(point.agreement.words().to_lowercase());
    let report = format!("{}/report.html", point.dir);
    let link = match point.measured.why {
        Some(_) => el("span").text(&point.dir),
        None => el("a").attr("href", report).text(&point.dir),
    };
    let load = format!("{} a second", count(point.rate));
    el("tr")
        .child(el("th").attr("scope", "row").text(seconds(point.trigger_s)))
        .child(cell(load).child(el("small").text(format!("{} %", short(point.load * 100.0, 1)))))
        .child(measured)
        .child(cell(simulated))
        .child(el("td").child(badge))
        .child(el("td").child(link))
}

fn background(map: &Map, arm: &ArmMap) -> El {
    let fine = &arm.background;
    let loads = fine.rates.iter().map(|rate| {
        let load = short(rate / map.server.capacity_rps * 100.0, 1);
        el("th")
            .class("num")
            .attr("scope", "col")
            .text(format!("{load} %"))
    });
    let first = el("th").attr("scope", "col").text(&map.trigger);
    let rows = fine
        .triggers_s
        .iter()
        .zip(&fine.answered)
        .map(|(trigger, shares)| {
            let cells = shares
                .iter()
                .map(|share| el("td").class("num").text(percent(*share)));
            el("tr")
                .child(el("th").attr("scope", "row").text(seconds(*trigger)))
                .children(cells)
        });
    let table = el("table")
        .child(el("thead").child(el("tr").child(first).children(loads)))
        .child(el("tbody").children(rows));
    scrolls(&format!("The simulator’s map of {}", arm.name), table)
}

fn model(map: &Map) -> El {
    let server = &map.server;
    let what = format!(
        "The simulator runs the arms’ policies, the very same code, in virtual time against one server: {} \
         at a time, {} each, which is {} a second; {} may wait, and work goes on for callers who have \
         left. For the trigger, {} at a time remain. {} and more answered is up, less than {} is down; \
         what lies between is undecided.",
        server.at_once,
        seconds(server.service_time_s),
        short(server.capacity_rps, 1),
        count(server.queue.into()),
        server.left,
        percent(map.up),
        percent(map.down)
    );
    let lacks = "It has no gateway, no network and no processor that is shared, so a point near the \
                 border may come out otherwise in the shop. Where they disagree, the shop is right.";
    el("section")
        .id("model")
        .child(el("h2").text("The model"))
        .child(el("p").text(what))
        .child(el("p").text(lacks))
}

fn run(map: &Map) -> El {
    let quick = if map.quick { " --quick" } else { "" };
    let command = format!(
        "cargo lab chaos run {} --map --seed {}{quick}",
        map.scenario, map.seed
    );
    let mut facts = vec![
        ("Again", command),
        ("Seed", map.seed.to_string()),
        ("Link", map.server.link.clone()),
        ("Before the trigger", seconds(map.before_s)),
    ];
    if let Some(e) = &map.environment {
        facts.push(("Started", e.started_at.clone()));
        facts.push(("Lab", e.version.clone()));
        facts.push((
            "Machine",
            format!("{} on {}, {} cores", e.kind, e.os, e.cores),
        ));
    }
    let fact = |(name, value): (&str, String)| {
        el("div")
            .child(el("dt").text(name))
            .child(el("dd").text(value))
    };
    el("section")
        .id("run")
        .child(el("h2").text("This run"))
        .child(el("dl").children(facts.into_iter().map(fact)))
}
