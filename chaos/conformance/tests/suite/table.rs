//! docs/CONFORMANCE.md, written from what this run saw.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use conformance::{Case, Outcome, Server};

use crate::differences::DIFFERENCES;
use crate::{api, behaviour, cli, client};

const HEAD: &str = "\
# Ours beside Toxiproxy 2.12

Made by `chaos/conformance`: each row was observed on both in the run that wrote this page, and its test fails
when the page is not what it sees. Don't edit it; `UPDATE_DOCS=1 cargo test --test suite table` (in
`chaos/conformance`) writes it. [FAULT_PROXY.md](FAULT_PROXY.md) says how to run it.
";

/// The page's sections of what both do alike.
fn sections() -> [(&'static str, &'static [Case]); 7] {
    [
        ("The HTTP API", &api::CASES),
        (
            "Toxics that delay, swallow and reset",
            &behaviour::delaying::CASES,
        ),
        ("Toxics that shape", &behaviour::shaping::CASES),
        (
            "Toxics at the end of a connection",
            &behaviour::closing::CASES,
        ),
        ("Connections", &behaviour::connections::CASES),
        ("Toxiproxy's command line (`toxiproxy-cli`)", &cli::CASES),
        ("A published client (`toxiproxy_rust`)", &client::CASES),
    ]
}

/// The page; `None` if something that it takes is not installed.
fn page() -> Option<String> {
    let mut page = HEAD.to_owned();
    for (title, cases) in sections() {
        let _ = write!(
            page,
            "\n## {title}\n\n| behaviour | Toxiproxy 2.12 | ours |\n|---|---|---|\n"
        );
        for case in cases {
            let (real, ours) = (mark(case, Server::Real)?, mark(case, Server::Ours)?);
            let _ = writeln!(page, "| {} | {real} | {ours} |", case.says);
        }
    }
    page.push_str("\n## Where ours differs on purpose\n\n| ours | Toxiproxy 2.12 |\n|---|---|\n");
    for difference in &DIFFERENCES {
        let ours = said(difference.ours, difference.is_right(Server::Ours)?);
        let real = said(difference.real, !difference.is_right(Server::Real)?);
        let _ = writeln!(page, "| {ours} | {real} |");
    }
    Some(page)
}

fn mark(case: &Case, server: Server) -> Option<&'static str> {
    match case.outcome(server) {
        Outcome::Holds => Some("yes"),
        Outcome::Fails(_) => Some("**no**"),
        Outcome::LeftOut => None,
    }
}

fn said(text: &str, observed: bool) -> String {
    if observed {
        text.to_owned()
    } else {
        format!("**not** observed: {text}")
    }
}

#[test]
fn the_table_is_current() {
    let update = env::var("UPDATE_DOCS").is_ok_and(|value| value == "1");
    let Some(page) = page() else {
        assert!(
            !update,
            "the table takes toxiproxy-server and toxiproxy-cli"
        );
        return;
    };
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/CONFORMANCE.md");
    if update {
        fs::write(&committed, page).unwrap();
        return;
    }
    let seen = Path::new(env!("CARGO_TARGET_TMPDIR")).join("CONFORMANCE.md");
    fs::write(&seen, &page).unwrap();
    assert!(
        fs::read_to_string(&committed).unwrap_or_default() == page,
        "docs/CONFORMANCE.md is not what this run saw, which is in {}; if that is right, \
         UPDATE_DOCS=1 writes it",
        seen.display()
    );
}
