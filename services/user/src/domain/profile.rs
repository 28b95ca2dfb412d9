//! Rules for usernames, e-mail addresses and names.

/// Longest username, in characters.
pub const USERNAME_MAX: usize = 150;
/// Longest e-mail address, in characters (RFC 5321 section 4.5.3.1.3, less the
/// angle brackets).
pub const EMAIL_MAX: usize = 254;
/// Longest first or last name, in characters.
pub const NAME_MAX: usize = 150;

/// Why a username is refused, or `None`. Allowed are letters and digits of any
/// script and `@.+-_`; combining marks are not, so that every allowed username
/// has one spelling per script. Letters that only look alike stay different,
/// and compatibility forms (full-width, mathematical and enclosed letters),
/// which Unicode maps to plain ones, are refused.
pub fn username_problem(username: &str) -> Option<&'static str> {
    if username.chars().count() > USERNAME_MAX {
        return Some("Ensure this field has no more than 150 characters.");
    }
    let allowed = |c: char| matches!(c, '@' | '.' | '+' | '-' | '_') || is_letter_or_digit(c);
    (username.is_empty() || !username.chars().all(allowed)).then_some(
        "Enter a valid username. It may contain letters, digits and the characters @.+-_ only.",
    )
}

fn is_letter_or_digit(c: char) -> bool {
    let compatibility_form = matches!(u32::from(c),
        0x2070..=0x218F | 0x2460..=0x24FF | 0x3200..=0x33FF | 0xFB00..=0xFB4F | 0xFB50..=0xFDFF
        | 0xFE70..=0xFEFF | 0xFF00..=0xFFEF | 0x1_D400..=0x1_D7FF | 0x1_F100..=0x1_F1FF);
    c.is_alphanumeric() && !compatibility_form
}

/// Why an e-mail address is refused, or `None`. Looser than RFC 5321, whose
/// quoted forms nobody uses: one `@`, no white space or control characters, a
/// domain of at least two labels. Only a mail that arrives proves an address.
pub fn email_problem(email: &str) -> Option<&'static str> {
    const INVALID: &str = "Enter a valid email address.";
    if email.chars().count() > EMAIL_MAX {
        return Some("Ensure this field has no more than 254 characters.");
    }
    let Some((local, domain)) = email.split_once('@') else {
        return Some(INVALID);
    };
    let local_fits = !local.is_empty()
        && local.len() <= 64
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local
            .chars()
            .all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c));
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let fits = local_fits && domain.contains('.') && domain.split('.').all(label_fits);
    (!fits).then_some(INVALID)
}

/// Why a first or last name is refused, or `None`: anything but control
/// characters, which have no place in a name and a lot of places in attacks.
pub fn name_problem(name: &str) -> Option<&'static str> {
    if name.chars().count() > NAME_MAX {
        return Some("Ensure this field has no more than 150 characters.");
    }
    name.chars()
        .any(char::is_control)
        .then_some("Control characters are not allowed.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames() {
        for good in ["ann", "Ann.B+c-d_e@f", "zoë", "Ж1", "0", &"x".repeat(150)] {
            assert_eq!(username_problem(good), None, "{good}");
        }
        let long = "x".repeat(151);
        let bad = [
            "",
            "a b",
            "a/b",
            "a\u{301}",
            "a\0",
            "\u{ff41}dmin",
            "\u{1d41a}dmin",
            "a:b",
            &long,
        ];
        for bad in bad {
            assert!(username_problem(bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn emails() {
        for good in [
            "a@b.c",
            "first.last+tag@sub.example.com",
            "x@xn--bcher-kva.example",
        ] {
            assert_eq!(email_problem(good), None, "{good}");
        }
        let long = format!("{}@example.com", "x".repeat(65));
        let bad = [
            "", "a", "a@b", "@b.c", "a@.c", "a@b..c", "a b@c.d", "a@b.c\n", ".a@b.c", "a.@b.c",
            "a..b@c.d", "a@-b.c", "a@@b.c", "a@b@c.d", &long,
        ];
        for bad in bad {
            assert!(email_problem(bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(name_problem("Ludwig van d'Œuvre"), None);
        assert_eq!(name_problem(""), None);
        assert!(name_problem("a\u{0}b").is_some());
        assert!(name_problem(&"é".repeat(151)).is_some());
    }
}
