//! The `overside` binary: everything is in the library.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    overside::cli::run().await
}
