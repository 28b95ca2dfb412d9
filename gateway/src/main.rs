//! The embedded gateway's binary.

fn main() -> std::process::ExitCode {
    kit::cli::main::<gateway::App>()
}
