//! A check's text in tokens, each with its place.

use std::ops::Range;

use super::Comparison;
use super::parser::Problem;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name; hyphens and dots inside belong to it (`full-jitter`, `product.server`).
    Name(String),
    /// A plain number.
    Number(f64),
    /// A percentage, as a share.
    Percent(f64),
    /// A duration, in seconds.
    Duration(f64),
    Compare(Comparison),
    Open,
    Close,
    Comma,
    Star,
    Plus,
    Slash,
    At,
    End,
}

impl Token {
    /// What it is, for "expected … but found …".
    pub(super) fn words(&self) -> String {
        match self {
            Self::Name(n) => format!("`{n}`"),
            Self::Number(_) => "a number".to_owned(),
            Self::Percent(_) => "a percentage".to_owned(),
            Self::Duration(_) => "a duration".to_owned(),
            Self::Compare(c) => format!("`{}`", c.sign()),
            Self::Open => "`(`".to_owned(),
            Self::Close => "`)`".to_owned(),
            Self::Comma => "`,`".to_owned(),
            Self::Star => "`*`".to_owned(),
            Self::Plus => "`+`".to_owned(),
            Self::Slash => "`/`".to_owned(),
            Self::At => "`@`".to_owned(),
            Self::End => "the end".to_owned(),
        }
    }
}

/// Units of durations, in seconds.
const UNITS: [(&str, f64); 6] = [
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// The tokens of `text`, ended by [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, Problem> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let at = text.len() - rest.len();
        let (token, length) = match first {
            c if c.is_ascii_digit() => quantity(rest, at)?,
            c if c.is_ascii_alphabetic() || c == '_' => name(rest),
            _ => sign(rest, at, first)?,
        };
        found.push((token, at..at + length));
        rest = rest[length..].trim_start();
    }
    found.push((Token::End, text.len()..text.len()));
    Ok(found)
}

fn length_while(text: &str, keep: impl Fn(char) -> bool) -> usize {
    text.find(|c| !keep(c)).unwrap_or(text.len())
}

fn name(rest: &str) -> (Token, usize) {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut length = length_while(rest, word);
    // A hyphen or a dot belongs to the name only when more of the name follows it.
    while rest[length..].starts_with(['-', '.']) && rest[length + 1..].starts_with(word) {
        length += 1 + length_while(&rest[length + 1..], word);
    }
    (Token::Name(rest[..length].to_owned()), length)
}

fn quantity(rest: &str, at: usize) -> Result<(Token, usize), Problem> {
    let digits = length_while(rest, |c| c.is_ascii_digit() || c == '.' || c == '_');
    let number = rest[..digits].replace('_', "");
    let Ok(value) = number.parse::<f64>() else {
        return Err(Problem::new(
            at..at + digits,
            format!("`{number}` is no number"),
        ));
    };
    if rest[digits..].starts_with('%') {
        return Ok((Token::Percent(value / 100.0), digits + 1));
    }
    let letters = length_while(&rest[digits..], char::is_alphabetic);
    if letters == 0 {
        return Ok((Token::Number(value), digits));
    }
    let unit = &rest[digits..digits + letters];
    match UNITS.iter().find(|(known, _)| *known == unit) {
        Some((_, seconds)) => Ok((Token::Duration(value * seconds), digits + letters)),
        None => {
            let span = at + digits..at + digits + letters;
            let message = format!("unknown unit `{unit}`; known are ms, s, m, h, us and %");
            Err(Problem::new(span, message))
        }
    }
}

fn sign(rest: &str, at: usize, first: char) -> Result<(Token, usize), Problem> {
    const SIGNS: [(&str, Token); 13] = [
        (">=", Token::Compare(Comparison::AtLeast)),
        ("<=", Token::Compare(Comparison::AtMost)),
        ("==", Token::Compare(Comparison::Equal)),
        ("!=", Token::Compare(Comparison::NotEqual)),
        (">", Token::Compare(Comparison::Above)),
        ("<", Token::Compare(Comparison::Below)),
        ("(", Token::Open),
        (")", Token::Close),
        (",", Token::Comma),
        ("*", Token::Star),
        ("+", Token::Plus),
        ("/", Token::Slash),
        ("@", Token::At),
    ];
    for (sign, token) in SIGNS {
        if rest.starts_with(sign) {
            return Ok((token, sign.len()));
        }
    }
    let span = at..at + first.len_utf8();
    let mut problem = Problem::new(span, format!("`{first}` is not part of a check"));
    if first == '=' {
        problem.suggestion = Some("==".to_owned());
    }
    Err(problem)
}
