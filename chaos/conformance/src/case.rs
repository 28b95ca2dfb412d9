//! What is claimed of both servers, and what a run sees of it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use crate::{Running, Server, left_out, on_path};

/// One behaviour that both servers share.
pub struct Case {
    /// The name of its function, under which it is tested.
    pub name: &'static str,
    /// The behaviour in words, for the table.
    pub says: &'static str,
    /// A program that it takes beside the server.
    pub needs: Option<&'static str>,
    /// Panics if the server doesn't have it.
    pub check: fn(&Running),
    /// By server; each is looked at once, whoever asks.
    pub seen: [OnceLock<Outcome>; 2],
}

/// What a run saw.
#[derive(Debug)]
pub enum Outcome {
    /// The behaviour is there.
    Holds,
    /// It is not, because of this.
    Fails(String),
    /// A program that it takes is not installed.
    LeftOut,
}

impl Case {
    /// Looks whether the server has it.
    pub fn outcome(&self, server: Server) -> &Outcome {
        self.seen[server as usize].get_or_init(|| self.look(server))
    }

    fn look(&self, server: Server) -> Outcome {
        if let Some(program) = self.needs.filter(|program| on_path(program).is_none()) {
            left_out(program, self.name);
            return Outcome::LeftOut;
        }
        let looked = catch_unwind(AssertUnwindSafe(|| {
            let running = server.start(self.name, &[])?;
            (self.check)(&running);
            Some(())
        }));
        match looked {
            Ok(Some(())) => Outcome::Holds,
            Ok(None) => Outcome::LeftOut,
            Err(panic) => Outcome::Fails(message(panic.as_ref())),
        }
    }
}

/// The test of the case of that name against one server.
///
/// # Panics
/// If the server doesn't have the behaviour.
pub fn assert_holds(cases: &[Case], name: &str, server: Server) {
    let case = cases.iter().find(|case| case.name == name);
    if let Outcome::Fails(why) = case.expect("a case of that name").outcome(server) {
        panic!("{server:?}: {why}");
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

/// Makes each `fn(&Running)` a case in words, and a test of it against ours and
/// one against the real one.
#[macro_export]
macro_rules! cases {
    (needs $program:literal; $($rest:tt)+) => {
        $crate::cases!(@ Some($program); $($rest)+);
    };
    (@ $needs:expr; $($test:ident: $says:literal),+ $(,)?) => {
        /// The behaviours of this file.
        pub static CASES: [$crate::Case; [$(stringify!($test)),+].len()] = [$($crate::Case {
            name: stringify!($test),
            says: $says,
            needs: $needs,
            check: $test,
            seen: [const { std::sync::OnceLock::new() }; 2],
        }),+];

        mod ours {
            $(#[test] fn $test() {
                $crate::assert_holds(&super::CASES, stringify!($test), $crate::Server::Ours);
            })+
        }
        mod real {
            $(#[test] fn $test() {
                $crate::assert_holds(&super::CASES, stringify!($test), $crate::Server::Real);
            })+
        }
    };
    ($($rest:tt)+) => {
        $crate::cases!(@ None; $($rest)+);
    };
}
