//! The user service's process.

fn main() -> std::process::ExitCode {
    kit::cli::main::<user_service::App>()
}
