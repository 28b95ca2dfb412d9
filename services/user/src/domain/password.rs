//! What a password must be: 8 to 128 characters of any kind, not among the
//! commonest 10 000, not too like the name or the e-mail address (NIST SP
//! 800-63B section 5.1.1.2, OWASP ASVS 2.1).

use std::collections::HashSet;
use std::sync::LazyLock;

/// Fewest characters of a password.
pub const MIN: usize = 8;
/// Most characters of a password.
pub const MAX: usize = 128;
/// From this likeness on (see [`likeness`]) a password is too like a text.
const TOO_LIKE: f64 = 0.7;

/// Commonest first, lower case; see `data/README.md`.
static COMMON: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    include_str!("../../data/common-passwords.txt")
        .lines()
        .collect()
});

/// What is wrong with a password, for people, or nothing. `texts` are the
/// account's username, e-mail address and names.
pub fn problems(password: &str, texts: &[&str]) -> Vec<&'static str> {
    let length = password.chars().count();
    if length > MAX {
        // Nothing else is looked at: the rest would be work for an attacker's text.
        return vec!["This password is too long. It must contain at most 128 characters."];
    }
    let mut problems = Vec::new();
    if length < MIN {
        problems.push("This password is too short. It must contain at least 8 characters.");
    }
    let lower = password.to_lowercase();
    if COMMON.contains(lower.as_str()) {
        problems.push("This password is too common.");
    }
    if texts
        .iter()
        .any(|text| is_like(&lower, &text.to_lowercase()))
    {
        problems.push("The password is too similar to the username, name or email.");
    }
    problems
}

/// Whether `password` is too like `text` or one of its words, both in lower
/// case. Words of one or two letters would be like everything.
fn is_like(password: &str, text: &str) -> bool {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words
        .chain([text])
        .filter(|word| word.chars().count() > 2)
        .any(|word| {
            let whole = word.chars().count() * 2 >= password.chars().count();
            (whole && password.contains(word)) || likeness(password, word) >= TOO_LIKE
        })
}

/// How alike two texts are, from 0 to 1: twice the characters they share,
/// counted with repetition, over all their characters. That is the upper bound
/// `quick_ratio` of Python's difflib, which the reference's rule uses; it
/// refuses reordered letters as well.
fn likeness(a: &str, b: &str) -> f64 {
    let mut rest: Vec<char> = b.chars().collect();
    let total = a.chars().count() + rest.len();
    let mut shared = 0usize;
    for c in a.chars() {
        if let Some(at) = rest.iter().position(|&other| other == c) {
            rest.swap_remove(at);
            shared += 1;
        }
    }
    // At most 128 + 254 characters: exact in a double.
    2.0 * shared as f64 / total.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_ten_thousand() {
        assert_eq!(COMMON.len(), 10_000);
    }

    #[test]
    fn good_ones() {
        for good in [
            "correct horse battery",
            "пароль-очень-длинный",
            "  spaces  ",
            &"é".repeat(128),
        ] {
            assert!(
                problems(good, &["ann", "ann@example.com"]).is_empty(),
                "{good}"
            );
        }
    }

    #[test]
    fn length_counts_characters() {
        assert_eq!(problems("short1!", &[]).len(), 1);
        assert!(problems("ééééééé8", &[]).is_empty());
        assert_eq!(problems(&"é".repeat(129), &[]).len(), 1);
    }

    #[test]
    fn common_ones_whatever_the_case() {
        for bad in ["password123", "PassWord123", "qwertyuiop", "12345678"] {
            assert!(!problems(bad, &[]).is_empty(), "{bad}");
        }
    }

    #[test]
    fn like_the_owner() {
        for (bad, text) in [
            ("margarethe", "Margarethe"),
            ("margarethe1", "margarethe"),
            ("xmargarethex", "margarethe"),
            ("annexample", "ann.example@mail.org"),
            ("grolsch-fan", "grolsch@example.com"),
            ("ehteragram", "margarethe"),
        ] {
            assert!(!problems(bad, &[text]).is_empty(), "{bad} {text}");
        }
        // A short name inside a long pass phrase is no likeness.
        assert!(problems("i saw ann swim across the lake", &["ann"]).is_empty());
    }
}
