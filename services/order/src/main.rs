//! The order service: see the library of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    kit::cli::main::<order_service::App>()
}
