//! Problems of a scenario file, each with its place and, where one is near, a
//! suggestion. All of them are reported at once, in the manner of rustc.

use std::fmt;
use std::ops::Range;

/// Whether a problem keeps the scenario from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The scenario can't run.
    Error,
    /// It can run, but probably doesn't do what its author meant.
    Warning,
}

/// One problem at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters it spans on that line (at least 1).
    pub length: usize,
    /// What is wrong, in words.
    pub message: String,
    /// The nearest thing that would have been right.
    pub suggestion: Option<String>,
    /// The line of the file, for display.
    pub source_line: String,
}

/// All problems of one file, in the order of their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    /// The file's name as it was given.
    pub file: String,
    /// The problems.
    pub items: Vec<Diagnostic>,
}

impl Diagnostic {
    /// The message with its suggestion, on one line.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.suggestion {
            Some(s) => format!("{}; did you mean `{s}`?", self.message),
            None => self.message.clone(),
        }
    }

    fn render(&self, file: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let number = self.line.to_string();
        let pad = " ".repeat(number.len());
        writeln!(f, "{kind}: {}", self.text())?;
        writeln!(f, "{pad}--> {file}:{}:{}", self.line, self.column)?;
        writeln!(f, "{pad} |")?;
        writeln!(f, "{number} | {}", self.source_line)?;
        // Tabs are kept, so that the carets stand under what they mean.
        let lead: String = self
            .source_line
            .chars()
            .take(self.column - 1)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        write!(f, "{pad} | {lead}{}", "^".repeat(self.length.max(1)))
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.items.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            item.render(&self.file, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Collects problems by byte range while a file is read.
#[derive(Debug)]
pub(crate) struct Collector<'a> {
    source: &'a str,
    items: Vec<(Range<usize>, Diagnostic)>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        Self {
            source,
            items: Vec::new(),
        }
    }

    pub(crate) fn source(&self) -> &'a str {
        self.source
    }

    pub(crate) fn error(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.push(Severity::Error, span, message.into(), None);
    }

    pub(crate) fn warning(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.push(Severity::Warning, span, message.into(), None);
    }

    /// An error about a name; the nearest of `known` becomes the suggestion.
    pub(crate) fn unknown<'k>(
        &mut self,
        span: Range<usize>,
        what: &str,
        name: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) {
        let known: Vec<&str> = known.into_iter().collect();
        let near = closest(name, known.iter().copied());
        let message = if near.is_some() || known.is_empty() {
            format!("unknown {what} `{name}`")
        } else {
            format!("unknown {what} `{name}`; known are {}", list(&known))
        };
        self.push(Severity::Error, span, message, near.map(str::to_owned));
    }

    pub(crate) fn push(
        &mut self,
        severity: Severity,
        span: Range<usize>,
        message: String,
        suggestion: Option<String>,
    ) {
        let (line, column, length, source_line) = place(self.source, &span);
        let item = Diagnostic {
            severity,
            line,
            column,
            length,
            message,
            suggestion,
            source_line,
        };
        self.items.push((span, item));
    }

    /// Errors if there are any, else the warnings.
    pub(crate) fn finish(mut self, file: &str) -> Result<Vec<Diagnostic>, Diagnostics> {
        self.items
            .sort_by_key(|(span, item)| (span.start, item.severity));
        let failed = self
            .items
            .iter()
            .any(|(_, i)| i.severity == Severity::Error);
        let items: Vec<Diagnostic> = self.items.into_iter().map(|(_, item)| item).collect();
        if failed {
            Err(Diagnostics {
                file: file.to_owned(),
                items,
            })
        } else {
            Ok(items)
        }
    }
}

/// The nearest of `known`, when it is near enough to be a slip of the finger.
pub(crate) fn closest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let allowed = (name.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(name, k), k))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}

/// `a`, `b` and `c`, each in back-ticks.
pub(crate) fn list<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<String> = names.iter().map(|n| format!("`{}`", n.as_ref())).collect();
    match quoted.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

fn place(source: &str, span: &Range<usize>) -> (usize, usize, usize, String) {
    let mut start = span.start.min(source.len());
    while !source.is_char_boundary(start) {
        start -= 1;
    }
    let line_start = source[..start].rfind('\n').map_or(0, |i| i + 1);
    let line_end = source[start..]
        .find('\n')
        .map_or(source.len(), |i| start + i);
    let mut end = span.end.clamp(start, line_end);
    while !source.is_char_boundary(end) {
        end += 1;
    }
    let line = source[..start].matches('\n').count() + 1;
    let column = source[line_start..start].chars().count() + 1;
    let length = source[start..end].chars().count().max(1);
    let text = source[line_start..line_end]
        .trim_end_matches('\r')
        .to_owned();
    (line, column, length, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_place_and_suggestion_like_rustc() {
        let source = "a = 1\nthat = \"succes_rate(x)\"\n";
        let mut c = Collector::new(source);
        c.unknown(14..25, "metric", "succes_rate", ["success_rate", "failed"]);
        let shown = c.finish("f.toml").unwrap_err().to_string();
        assert_eq!(
            shown,
            "error: unknown metric `succes_rate`; did you mean `success_rate`?\n \
             --> f.toml:2:9\n  |\n2 | that = \"succes_rate(x)\"\n  |         ^^^^^^^^^^^"
        );
    }

    #[test]
    fn columns_count_characters_and_spans_end_with_their_line() {
        let source = "é = \"ü\"\nnext";
        let (line, column, length, text) = place(source, &(5..100));
        assert_eq!(
            (line, column, length, text.as_str()),
            (1, 5, 3, "é = \"ü\"")
        );
    }

    #[test]
    fn far_names_get_the_list_instead_of_a_guess() {
        let mut c = Collector::new("x");
        c.unknown(0..1, "arm", "banana", ["none", "fast"]);
        let all = c.finish("f").unwrap_err();
        assert_eq!(
            all.items[0].message,
            "unknown arm `banana`; known are `none` and `fast`"
        );
        assert_eq!(all.items[0].suggestion, None);
    }

    #[test]
    fn warnings_alone_are_no_error() {
        let mut c = Collector::new("x");
        c.warning(0..1, "hm");
        assert_eq!(c.finish("f").unwrap().len(), 1);
    }
}
