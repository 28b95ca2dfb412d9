//! How the command ends, for people's scripts and CI.

use std::process::ExitCode;

/// The exit statuses of every `lab` command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: all that was asked held.
    Held,
    /// 1: a check failed.
    Failed,
    /// 2: the measurements cannot decide.
    Inconclusive,
    /// 3: the lab itself could not run.
    CannotRun,
}

impl Exit {
    /// The status as a number.
    pub fn code(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Failed => 1,
            Self::Inconclusive => 2,
            Self::CannotRun => 3,
        }
    }

    /// The status that the number stands for; an unknown one is a lab that could not run.
    pub fn from_code(code: i32) -> Self {
        match code {
            0 => Self::Held,
            1 => Self::Failed,
            2 => Self::Inconclusive,
            _ => Self::CannotRun,
        }
    }

    /// The one that matters more when several runs end differently: could not run, then
    /// failed, then inconclusive.
    pub fn worse(self, other: Self) -> Self {
        if self.weight() >= other.weight() {
            self
        } else {
            other
        }
    }

    fn weight(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Inconclusive => 1,
            Self::Failed => 2,
            Self::CannotRun => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_outweighs_an_undecided_one() {
        assert_eq!(Exit::Inconclusive.worse(Exit::Failed), Exit::Failed);
        assert_eq!(Exit::Failed.worse(Exit::Inconclusive), Exit::Failed);
        assert_eq!(Exit::Failed.worse(Exit::CannotRun), Exit::CannotRun);
        assert_eq!(Exit::Held.worse(Exit::Held), Exit::Held);
    }

    #[test]
    fn codes_are_read_back() {
        for exit in [
            Exit::Held,
            Exit::Failed,
            Exit::Inconclusive,
            Exit::CannotRun,
        ] {
            assert_eq!(Exit::from_code(i32::from(exit.code())), exit);
        }
        assert_eq!(Exit::from_code(101), Exit::CannotRun);
    }
}
