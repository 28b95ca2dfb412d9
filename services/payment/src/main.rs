//! The payment service's process.

fn main() -> std::process::ExitCode {
    kit::cli::main::<payment_service::App>()
}
