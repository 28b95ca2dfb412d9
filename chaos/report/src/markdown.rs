//! The report as Markdown, for an issue or a review.

use std::fmt::Write as _;

use chaos_engine::RunResult;

use crate::checks::Row;
use crate::compare::Table;
use crate::story::Story;
use crate::verdict::{Shown, control, why};

/// Writing to a string can't fail.
macro_rules! say {
    ($out:expr, $($what:tt)*) => {{ let _ = writeln!($out, $($what)*); }};
}

pub(crate) fn of(
    result: &RunResult,
    story: &Story,
    rows: &[Row],
    table: &Table,
    command: &str,
) -> String {
    let mut out = String::new();
    let verdict = Shown::of_run(result).word();
    say!(
        out,
        "## {}: {verdict}\n\n{}\n",
        plain(&result.scenario),
        plain(&why(result))
    );
    if let Some(words) = control(result) {
        say!(out, "**{}**\n", plain(&words));
    }
    for sentence in &story.setting {
        say!(out, "{}", plain(sentence));
    }
    say!(out, "");
    for (arm, words) in &story.arms {
        say!(out, "- **{}**: {}", plain(arm), plain(words));
    }
    say!(out, "");
    for sentence in &story.outcome {
        say!(out, "{}", plain(sentence));
    }
    say!(
        out,
        "\n| verdict | check | observed | 95 % interval | limit | n |\n|---|---|--:|--:|--:|--:|"
    );
    for row in rows {
        let statement = code(&row.statement);
        let (observed, interval) = (plain(&row.observed), plain(&row.interval));
        say!(
            out,
            "| {} | {statement} | {observed} | {interval} | {} | {} |",
            row.shown.word(),
            plain(&row.limit),
            row.n
        );
    }
    say!(
        out,
        "\n| arm | phase | {} |",
        table
            .head
            .iter()
            .map(|h| plain(h))
            .collect::<Vec<_>>()
            .join(" | ")
    );
    say!(out, "|---|---|{}", "--:|".repeat(table.head.len()));
    for (arm, lines) in &table.arms {
        for line in lines {
            let cells: Vec<String> = line.cells.iter().map(|c| plain(&c.value)).collect();
            say!(
                out,
                "| {} | {} | {} |",
                plain(arm),
                line.phase,
                cells.join(" | ")
            );
        }
    }
    let e = &result.environment;
    say!(
        out,
        "\n`{}` · {} {} on {}, {} cores · {}",
        command.replace('`', "'"),
        plain(&e.kind),
        plain(&e.version),
        plain(&e.os),
        e.cores,
        plain(&e.started_at)
    );
    out
}

/// Text that stays text: nothing in it is markup, and it stays on its line.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A code span in a table's cell.
fn code(text: &str) -> String {
    format!(
        "`{}`",
        text.replace('`', "'")
            .replace('|', "\\|")
            .replace('\n', " ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(plain("a|b <c>\n*d*"), "a\\|b \\<c\\> \\*d\\*");
        assert_eq!(code("a < `b` | c"), "`a < 'b' \\| c`");
    }
}
