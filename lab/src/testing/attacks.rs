//! `docs/SECURITY_TESTS.md`, made from the tests.
//!
//! A test of an attack has a comment of one line above it:
//!
//! ```text
//! // attack(part, part): what is tried -> what comes of it
//! ```
//!
//! The parts are those of [`ROWS`]; a comment without any is of an attack besides.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// A row of the attack table of the specification.
struct Row {
    attacks: &'static str,
    answer: &'static str,
    /// What of it needs a test of its own, by the names that the comments use.
    parts: &'static [&'static str],
    /// What of it can't have a test yet, and why.
    to_come: &'static [(&'static str, &'static str)],
}

const fn row(attacks: &'static str, answer: &'static str, parts: &'static [&'static str]) -> Row {
    Row {
        attacks,
        answer,
        parts,
        to_come: &[],
    }
}

/// reliability.md, "Attacks, and the answer each gets", in its order.
const ROWS: [Row; 20] = [
    row(
        "`alg` none; HS256 with the public PEM; `jku`, `x5u`, `jwk`, `kid` tricks",
        "401, no outbound call, key refetch at most once in 30 s",
        &["alg none", "HS256", "key headers", "key refetch"],
    ),
    row(
        "`exp` / `nbf` as text, null, missing, 1e400; wrong `iss`, `aud`, type",
        "401",
        &["exp and nbf", "claims"],
    ),
    row(
        "spent refresh after the grace; 32 at once",
        "family revoked; one successor",
        &["spent refresh", "32 refreshes at once"],
    ),
    row(
        "access token after log-out, deactivation, password change, role loss",
        "refused within 5 s",
        &[
            "after log-out",
            "after deactivation",
            "after password change",
            "after role loss",
        ],
    ),
    row(
        "verify-login without, with a forged, with another's pending login",
        "one 401, same time",
        &["pending login"],
    ),
    row(
        "TOTP code again, or an earlier step after a later one",
        "401",
        &["TOTP code again"],
    ),
    row(
        "restart of the login to reset the guess counter; parallel guesses past the limit",
        "no extra guess",
        &["guess counter", "parallel guesses"],
    ),
    row(
        "locking a victim out; forged X-Forwarded-For",
        "the owner, from a known device, still gets in; the header counts only from a trusted proxy",
        &["locking out", "forged X-Forwarded-For"],
    ),
    row(
        "password of 1 MiB; login flood",
        "400; 429 or 503, browsing's p99 at most doubles, hashes at once ≤ cores",
        &[
            "password of 1 MiB",
            "login flood",
            "browsing in a login flood",
            "hashes at once",
        ],
    ),
    Row {
        attacks: "others' orders, users, reviews, idempotency keys",
        answer: "404, keys are per user",
        parts: &["others' orders", "others' users", "others' keys"],
        to_come: &[("others' reviews", "the shop has no reviews yet")],
    },
    row(
        "roles, price, user_id in a body; method, slash and %2e tricks",
        "ignored or 400 / 403",
        &[
            "roles in a body",
            "price and owner in a body",
            "path tricks",
        ],
    ),
    row(
        "CL + TE, two TE, bare LF, chunk extensions through the gateway (60 raw requests)",
        "400 and close; back-end count = accepted",
        &["raw requests", "back-end count"],
    ),
    row(
        "deadline, priority, fault, forwarding headers from outside",
        "stripped or bounded",
        &["headers from outside"],
    ),
    row(
        "slow headers, slow body, rapid reset, empty DATA, CONTINUATION flood, 2 000 slow connections",
        "closed within 10 s or GOAWAY; p99 of others at most doubles",
        &[
            "slow headers",
            "slow body",
            "rapid reset",
            "empty DATA",
            "CONTINUATION flood",
            "slow connections",
        ],
    ),
    row(
        "gRPC without secret, foreign CA, TLS 1.2; gzip bomb, 5 MiB message",
        "refused; RESOURCE_EXHAUSTED or OUT_OF_RANGE",
        &[
            "gRPC secret",
            "foreign CA",
            "TLS 1.2",
            "gzip bomb",
            "large message",
        ],
    ),
    row(
        "ciphertext swapped between rows, unknown key id",
        "refused",
        &["swapped ciphertext", "unknown key"],
    ),
    row(
        "log injection; secrets in logs, any encoding",
        "escaped; none",
        &["log injection", "secrets in logs"],
    ),
    Row {
        attacks: "cross-site refresh, log-out, console commands",
        answer: "403",
        parts: &["cross-site refresh", "cross-site log-out"],
        to_come: &[("cross-site console commands", "the lab has no console yet")],
    },
    row(
        "default secrets or sample accounts in production; lab API from outside",
        "does not start; not there",
        &["default secrets", "sample accounts", "lab API"],
    ),
    row(
        "POST retried by the gateway",
        "sent once; its JSON error kept",
        &["POST once"],
    ),
];

const HEAD: &str = "\
# Attacks, the answer each gets, and the test that shows it

Made from the comments `// attack(…): … -> …` above the tests. Don't edit it:
`UPDATE_DOCS=1 cargo test --release --workspace --bin lab attacks` writes it, and the same without the variable
fails when it is not current or when a part of a row has no test. What the shop does about attacks is told in
[SECURITY.md](SECURITY.md). Each test starts whole services on free ports, unless it stands under `src`.
";

/// A test of an attack.
#[derive(Debug, PartialEq)]
struct Attack {
    parts: Vec<String>,
    tried: String,
    answer: String,
    /// Where it stands, from the root of the sources.
    file: String,
    test: String,
    /// Left out but at night.
    ignored: bool,
}

/// The tests of attacks in a source file.
fn read(file: &str, text: &str) -> Result<Vec<Attack>, String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let Some(rest) = line.strip_prefix("// attack") else {
            continue;
        };
        let place = format!("{file}:{}", n + 1);
        let (parts, rest) = match rest.strip_prefix('(') {
            Some(rest) => rest.split_once(')').ok_or(format!("{place}: no `)`"))?,
            None => ("", rest),
        };
        let told = rest.strip_prefix(": ").and_then(|r| r.split_once(" -> "));
        let (tried, answer) = told.ok_or(format!("{place}: not `// attack(…): … -> …`"))?;
        let below = &lines[n + 1..lines.len().min(n + 12)];
        let end = below.iter().position(|line| name(line).is_some());
        let end = end.ok_or(format!("{place}: no test below it"))?;
        found.push(Attack {
            parts: parts
                .split(", ")
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
            tried: tried.to_owned(),
            answer: answer.to_owned(),
            file: file.to_owned(),
            test: name(below[end]).unwrap_or_default().to_owned(),
            ignored: below[..end].iter().any(|line| line.starts_with("#[ignore")),
        });
    }
    Ok(found)
}

/// The name of the function that a line begins.
fn name(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("async ").unwrap_or(line);
    rest.strip_prefix("fn ")?.split('(').next()
}

/// All Rust sources below `dir`, sorted; neither outputs nor foreign code.
fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)
        .expect("a folder of the sources")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or(".");
        if path.is_dir() && !name.starts_with('.') && !["target", "node_modules"].contains(&name) {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// What is wrong with the tests: parts without one, parts that nobody knows.
fn wrong(attacks: &[Attack]) -> Vec<String> {
    let has = |part: &str| attacks.iter().any(|a| a.parts.iter().any(|p| p == part));
    let mut wrong = Vec::new();
    for row in &ROWS {
        let missing = row.parts.iter().filter(|part| !has(part));
        wrong.extend(missing.map(|part| format!("no test has `// attack({part}): …`")));
        let there = row.to_come.iter().filter(|(part, _)| has(part));
        wrong.extend(there.map(|(part, _)| format!("{part:?} has a test: make it one of `parts`")));
    }
    for attack in attacks {
        let known = |part: &&String| !ROWS.iter().any(|row| row.names(part));
        let unknown = attack.parts.iter().filter(known);
        wrong.extend(unknown.map(|part| format!("{}: no row has {part:?}", attack.file)));
    }
    wrong
}

impl Row {
    fn names(&self, part: &str) -> bool {
        self.parts.contains(&part) || self.to_come.iter().any(|(name, _)| *name == part)
    }
}

fn page(attacks: &[Attack]) -> String {
    let mut page = HEAD.to_owned();
    for (n, row) in ROWS.iter().enumerate() {
        let _ = write!(
            page,
            "\n## {}. {}\n\nMust be: {}.\n\n",
            n + 1,
            row.attacks,
            row.answer
        );
        let of_row = |a: &&Attack| a.parts.iter().any(|part| row.names(part));
        table(&mut page, attacks.iter().filter(of_row));
        for (part, why) in row.to_come {
            let _ = writeln!(page, "\nNot yet: {part} ({why}).");
        }
    }
    page.push_str("\n## Besides\n\n");
    table(&mut page, attacks.iter().filter(|a| a.parts.is_empty()));
    page
}

fn table<'a>(page: &mut String, attacks: impl Iterator<Item = &'a Attack>) {
    page.push_str("| attack | answer | test |\n|---|---|---|\n");
    for attack in attacks {
        let night = if attack.ignored { " (at night)" } else { "" };
        let [tried, answer] = [&attack.tried, &attack.answer].map(|text| text.replace('|', "\\|"));
        let (file, test) = (&attack.file, &attack.test);
        let _ = writeln!(
            page,
            "| {tried} | {answer} | [`{test}`](../{file}){night} |"
        );
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn all() -> Vec<Attack> {
    let root = root();
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut attacks = Vec::new();
    for path in &files {
        let file = path.strip_prefix(&root).expect("below the root");
        let text = fs::read_to_string(path).expect("a source");
        attacks.extend(read(&file.to_string_lossy(), &text).expect("a comment of the one form"));
    }
    attacks
}

#[test]
fn every_row_of_the_attack_table_has_its_tests() {
    assert_eq!(wrong(&all()), Vec::<String>::new());
}

#[test]
fn the_page_of_attacks_is_current() {
    let path = root().join("docs/SECURITY_TESTS.md");
    let page = page(&all());
    if env::var("UPDATE_DOCS").is_ok_and(|value| value == "1") {
        fs::write(&path, page).expect("writing the page");
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/SECURITY_TESTS.md is not current: \
         UPDATE_DOCS=1 cargo test --release --workspace --bin lab attacks"
    );
}

#[test]
fn a_comment_is_read_with_the_test_below_it() {
    let text = "    // attack(HS256, claims): a -> b -> c\n    #[tokio::test]\n    #[ignore = \"n\"]\n    \
                async fn it_is(x in 1) {\n// attack: d -> e\n#[test]\nfn other() {";
    let found = read("f.rs", text).unwrap();
    assert_eq!(found[0].parts, ["HS256", "claims"]);
    assert_eq!(
        (&*found[0].tried, &*found[0].answer, &*found[0].test),
        ("a", "b -> c", "it_is")
    );
    assert!(found[0].ignored && !found[1].ignored);
    assert_eq!((found[1].parts.len(), &*found[1].test), (0, "other"));
    for bad in [
        "// attack: no answer\n#[test]\nfn x() {",
        "// attack(HS256: a -> b\n#[test]\nfn x() {",
        "// attack: a -> b\n\nconst X: u8 = 1;",
    ] {
        assert!(read("f.rs", bad).is_err(), "{bad}");
    }
}

#[test]
fn a_part_without_a_test_and_a_test_of_no_part_are_named() {
    let mut attacks = all();
    attacks.retain(|attack| !attack.parts.iter().any(|part| part == "POST once"));
    attacks[0].parts.push("no such thing".into());
    let wrong = wrong(&attacks);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong[0].contains("POST once") && wrong[1].contains("no such thing"));
}
