//! Money: integer cents inside, a string with two decimals on the wire.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An amount in cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cents(pub i64);

/// Why a text is no amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a decimal number.
    #[error("A valid number is required.")]
    NotANumber,
    /// More than two digits behind the point.
    #[error("Ensure that there are no more than 2 decimal places.")]
    TooPrecise,
    /// Too large to be held.
    #[error("Ensure that there are no more than 10 digits in total.")]
    TooLarge,
}

impl Cents {
    /// `self × quantity`, or `None` on overflow.
    pub fn checked_mul(self, quantity: i64) -> Option<Self> {
        self.0.checked_mul(quantity).map(Self)
    }

    /// `self + other`, or `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// From a JSON number or string.
    ///
    /// # Errors
    /// [`MoneyError`] when it is neither, or not an amount.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, MoneyError> {
        match value {
            serde_json::Value::String(text) => text.parse(),
            serde_json::Value::Number(number) => number.to_string().parse(),
            _ => Err(MoneyError::NotANumber),
        }
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let cents = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

impl FromStr for Cents {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let text = text.trim();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction)
        {
            return Err(MoneyError::NotANumber);
        }
        if fraction.trim_end_matches('0').len() > 2 {
            return Err(MoneyError::TooPrecise);
        }
        let whole = whole.trim_start_matches('0');
        if whole.len() > 15 {
            return Err(MoneyError::TooLarge);
        }
        let units: i64 = if whole.is_empty() {
            0
        } else {
            whole.parse().map_err(|_| MoneyError::TooLarge)?
        };
        let cents = fraction
            .bytes()
            .chain(*b"00")
            .take(2)
            .fold(0, |sum, b| sum * 10 + i64::from(b - b'0'));
        let amount = units * 100 + cents;
        Ok(Self(if negative { -amount } else { amount }))
    }
}

impl Serialize for Cents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Self::from_json(&value).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_again(cents in -1_000_000_000_000_i64..1_000_000_000_000) {
            prop_assert_eq!(Cents(cents).to_string().parse(), Ok(Cents(cents)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = text.parse::<Cents>();
        }
    }

    #[test]
    fn numbers_and_strings_are_taken() {
        for (text, cents) in [
            ("9.9", 990),
            ("9", 900),
            ("0.05", 5),
            (".5", 50),
            ("1.500", 150),
            ("-2.01", -201),
        ] {
            assert_eq!(text.parse(), Ok(Cents(cents)), "{text}");
        }
        assert_eq!(Cents::from_json(&serde_json::json!(12.3)), Ok(Cents(1230)));
        assert_eq!("1.005".parse::<Cents>(), Err(MoneyError::TooPrecise));
        assert_eq!("1e5".parse::<Cents>(), Err(MoneyError::NotANumber));
        assert_eq!("".parse::<Cents>(), Err(MoneyError::NotANumber));
        assert_eq!(
            "9999999999999999".parse::<Cents>(),
            Err(MoneyError::TooLarge)
        );
    }
}
