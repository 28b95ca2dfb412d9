//! Full-text search, which every database does in its own way.

use kit::db::Backend;

use super::StoreError;

/// How one kind of database finds words. The pieces go into a query over
/// `products p`.
pub(super) trait TextIndex: Send + Sync {
    /// Joined to `products p`.
    fn join(&self) -> &'static str;
    /// True for the rows that match the pattern in that parameter.
    fn condition(&self, parameter: &str) -> String;
    /// Sorts the best match first.
    fn best_first(&self) -> &'static str;
    /// The words as the index' own language has them: all of them must match, as
    /// prefixes, and nothing in them is an operator.
    fn pattern(&self, words: &[String]) -> String;
}

/// The text index of a kind of database.
pub(super) fn index_of(backend: Backend) -> Result<&'static dyn TextIndex, StoreError> {
    match backend {
        Backend::Sqlite => Ok(&Fts5),
        Backend::Postgres => Err(StoreError::NoSearch(backend)),
    }
}

/// SQLite's FTS5. A match in the name weighs ten times one in the description.
struct Fts5;

impl TextIndex for Fts5 {
    fn join(&self) -> &'static str {
        " JOIN products_fts ON products_fts.rowid = p.id"
    }

    fn condition(&self, parameter: &str) -> String {
        format!("products_fts MATCH {parameter}")
    }

    fn best_first(&self) -> &'static str {
        "bm25(products_fts, 10.0, 1.0)"
    }

    /// FTS5 takes anything between double quotes as text, a quote inside being
    /// doubled, and joins what stands side by side with AND. A word of mere
    /// punctuation has no token, and FTS5 leaves it out.
    fn pattern(&self, words: &[String]) -> String {
        let quoted: Vec<String> = words
            .iter()
            .map(|w| format!("\"{}\"*", w.replace('"', "\"\"")))
            .collect();
        quoted.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_so_that_none_is_an_operator() {
        let words = ["red", "AND", "a\"b", "name:x*"].map(str::to_owned);
        assert_eq!(Fts5.pattern(&words), r#""red"* "AND"* "a""b"* "name:x*"*"#);
    }
}
