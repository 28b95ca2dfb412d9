//! What can be wrong with a simulation: its parameters, or its picture.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// Why a simulation can't be run or drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// A parameter lies outside of what makes sense.
    #[error("{flag} {value} {problem}")]
    Parameter {
        /// The flag it is given by.
        flag: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it, with the range where there is one.
        problem: String,
    },
    /// The picture could not be drawn.
    #[error("the picture could not be drawn: {0}")]
    Picture(String),
}

impl SimError {
    /// A parameter that is wrong for another reason than its range.
    pub fn parameter(flag: &'static str, value: impl Display, problem: impl Into<String>) -> Self {
        Self::Parameter {
            flag,
            value: value.to_string(),
            problem: problem.into(),
        }
    }
}

/// Checks that a parameter lies in its range; NaN lies in none.
///
/// # Errors
/// [`SimError::Parameter`] with flag, value and range.
pub fn within<T: PartialOrd + Display>(
    flag: &'static str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), SimError> {
    if range.contains(&value) {
        return Ok(());
    }
    let problem = format!("is not in {} to {}", range.start(), range.end());
    Err(SimError::parameter(flag, value, problem))
}

/// The same for each of a list, which must not be empty.
///
/// # Errors
/// [`SimError::Parameter`] about the first that is wrong.
pub fn all_within<T: PartialOrd + Display + Copy>(
    flag: &'static str,
    values: &[T],
    range: &RangeInclusive<T>,
) -> Result<(), SimError> {
    if values.is_empty() {
        return Err(SimError::parameter(flag, "", "needs at least one value"));
    }
    values
        .iter()
        .try_for_each(|value| within(flag, *value, range.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_flag_value_and_range() {
        let error = within("--failure", 1.5, 0.0..=1.0).unwrap_err();
        assert_eq!(error.to_string(), "--failure 1.5 is not in 0 to 1");
        assert!(within("--failure", f64::NAN, 0.0..=1.0).is_err());
        assert!(all_within("--clients", &[1_u32, 2], &(1..=2)).is_ok());
        assert!(all_within("--clients", &[1_u32, 3], &(1..=2)).is_err());
        assert!(all_within::<u32>("--clients", &[], &(1..=2)).is_err());
    }
}
