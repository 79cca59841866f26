//! The command line: one file a command.

mod accounts;
mod cleanup;
mod completions;
mod config;
mod doctor;
mod gc;
pub mod get;
mod login;
mod man;
mod migrate;
pub mod progress;
mod project;
pub mod put;
mod quickstart;
mod robot;
mod serve;
mod user;

use clap::{Parser, Subcommand};

use crate::config::LogConfig;
use crate::telemetry;

/// The upload control plane for S3-backed, content-addressed storage, and an OCI registry on top.
///
/// Clients get presigned URLs and send their bytes straight to the bucket; Overside keeps the upload's
/// session, proves the SHA-256, puts the blob in its content-addressed place and cleans up.
///
/// Try it: `overside quickstart`. Run it: `overside serve`. Its settings can come from the environment, as
/// `OVERSIDE_<FLAG>`.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: LogConfig,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    Serve(Box<serve::ServeArgs>),
    /// Serve on the embedded default and push one real file through it
    Quickstart(quickstart::QuickstartArgs),
    Cleanup(cleanup::CleanupArgs),
    Gc(gc::GcArgs),
    Config(Box<config::ConfigArgs>),
    /// Check the database and the store, and say what is wrong and how to mend it
    Doctor(doctor::DoctorArgs),
    /// Bring the database's schema up to date; `serve` does so as well
    Migrate(migrate::MigrateArgs),
    /// Users and their access tokens
    #[command(subcommand)]
    User(user::UserCommand),
    /// Projects, their members and limits
    #[command(subcommand)]
    Project(project::ProjectCommand),
    /// Accounts of programs
    #[command(subcommand)]
    Robot(robot::RobotCommand),
    /// Upload a file as a blob
    Put(put::PutArgs),
    /// Download a blob to a file
    Get(get::GetArgs),
    Login(login::LoginArgs),
    Logout(login::LogoutArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Bad usage: what clap answers, and what a setting that makes no sense gets.
const BAD_USAGE: u8 = 2;

/// Runs the command. Exit codes: 0 done, 1 failed, 2 bad usage.
pub async fn run() -> std::process::ExitCode {
    let cli = Cli::parse();
    let level = if matches!(cli.command, Command::Serve(_)) { "info,sqlx=warn" } else { "warn" };
    if let Err(error) = telemetry::init(&cli.log, level) {
        eprintln!("error: {error}");
        return BAD_USAGE.into();
    }
    let done = match cli.command {
        Command::Serve(args) => {
            if let Err(error) = args.config.check() {
                eprintln!("error: {error}");
                return BAD_USAGE.into();
            }
            serve::run(*args).await
        }
        Command::Quickstart(args) => quickstart::run(args).await,
        Command::Cleanup(args) => cleanup::run(args).await,
        Command::Gc(args) => gc::run(args).await,
        Command::Config(args) => {
            if let Err(error) = args.check() {
                eprintln!("error: {error}");
                return BAD_USAGE.into();
            }
            config::run(*args).await
        }
        Command::Doctor(args) => doctor::run(args).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::User(command) => user::run(command).await,
        Command::Project(command) => project::run(command).await,
        Command::Robot(command) => robot::run(command).await,
        Command::Put(args) => put::run(args).await,
        Command::Get(args) => get::run(args).await,
        Command::Login(args) => login::login(args).await,
        Command::Logout(args) => login::logout(args).await,
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    };
    match done {
        Ok(()) => 0.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            1.into()
        }
    }
}
