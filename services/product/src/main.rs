//! The product service's process.

fn main() -> std::process::ExitCode {
    kit::cli::main::<product_service::App>()
}
