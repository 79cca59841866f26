//! The command line: one file a command.

/// A line on standard output, as `println!`; but who listens to the first lines alone is no reason to panic.
macro_rules! say {
    ($($argument:tt)*) => { $crate::cli::print_line(format_args!($($argument)*)) };
}

/// A complaint or a remark on standard error.
macro_rules! complain {
    ($($argument:tt)*) => { $crate::cli::print_error(format_args!($($argument)*)) };
}

mod admin;
mod advice;
mod artifact;
mod cleanup;
mod completions;
mod config;
mod copy;
mod doctor;
mod gc;
mod get;
mod help;
mod lfs;
mod login;
mod looks;
mod ls;
mod man;
mod migrate;
mod operands;
mod output;
mod pipe;
mod progress;
mod project;
mod pull;
mod push;
mod put;
mod quickstart;
mod remote;
mod rm;
mod robot;
mod serve;
mod tag;
mod user;
mod verify;

use std::borrow::Cow;
use std::io::Write;

use clap::{FromArgMatches, Parser, Subcommand};
use overside_client::printable_lines;

use self::advice::Advised;
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
struct Cli {
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
    Verify(verify::VerifyArgs),
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
    Put(Box<put::PutArgs>),
    Get(Box<get::GetArgs>),
    Push(Box<push::PushArgs>),
    Pull(Box<pull::PullArgs>),
    Copy(Box<copy::CopyArgs>),
    Ls(ls::LsArgs),
    Tags(looks::TagsArgs),
    Inspect(Box<looks::InspectArgs>),
    Referrers(Box<looks::ReferrersArgs>),
    Tag(Box<tag::TagArgs>),
    Rm(Box<rm::RmArgs>),
    Login(Box<login::LoginArgs>),
    Logout(login::LogoutArgs),
    /// Git LFS with this program's help
    #[command(subcommand)]
    Lfs(lfs::LfsCommand),
    LfsAgent(lfs::agent::LfsAgentArgs),
    LfsAuthenticate(Box<lfs::authenticate::LfsAuthenticateArgs>),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Whatever is in it: names and titles are often a registry's, and a terminal obeys some of what it is shown.
fn print_line(line: std::fmt::Arguments<'_>) {
    // Nobody is left to tell that nobody listens.
    output::above_bars(|| {
        let _ = writeln!(std::io::stdout().lock(), "{}", printable_lines(&line.to_string()));
    });
}

/// As [`print_line`]: errors quote what registries say.
fn print_error(line: std::fmt::Arguments<'_>) {
    output::above_bars(|| {
        let _ = writeln!(std::io::stderr().lock(), "{}", printable_lines(&line.to_string()));
    });
}

/// Bad usage: what clap answers, and what a setting that makes no sense gets.
const BAD_USAGE: u8 = 2;

/// Arguments that make no sense together, whatever the server would say.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadUsage(Cow<'static, str>);

impl BadUsage {
    fn new(why: impl Into<Cow<'static, str>>) -> Self {
        Self(why.into())
    }
}

/// What shells tell of a program that Ctrl-C has ended: 128 and the signal's number, 2.
const INTERRUPTED: u8 = 130;

/// Somebody pressed Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; the same command goes on with what has arrived")]
struct Interrupted;

/// Runs the command. Exit codes: 0 done, 1 failed, 2 bad usage, 130 ended by Ctrl-C.
pub async fn run() -> std::process::ExitCode {
    let matches = help::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match Box::pin(execute(cli)).await {
        Ok(()) => 0.into(),
        Err(error) => {
            complain!("error: {}", Advised(&error));
            exit_code(&error).into()
        }
    }
}

async fn execute(cli: Cli) -> anyhow::Result<()> {
    let level = match cli.command {
        _ if cli.log.verbose => "info,overside=debug,sqlx=warn",
        Command::Serve(_) => "info,sqlx=warn",
        _ => "warn",
    };
    telemetry::init(cli.log.log_format, cli.log.log.as_deref().unwrap_or(level)).map_err(BadUsage::new)?;
    match cli.command {
        Command::Serve(args) => serve::run(*args).await,
        Command::Quickstart(args) => quickstart::run(args).await,
        Command::Cleanup(args) => cleanup::run(args).await,
        Command::Gc(args) => gc::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Config(args) => config::run(*args).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::User(command) => user::run(command).await,
        Command::Project(command) => project::run(command).await,
        Command::Robot(command) => robot::run(command).await,
        Command::Put(args) => put::run(*args).await,
        Command::Get(args) => get::run(*args).await,
        Command::Push(args) => push::run(*args).await,
        Command::Pull(args) => pull::run(*args).await,
        Command::Copy(args) => copy::run(*args).await,
        Command::Ls(args) => ls::run(args).await,
        Command::Tags(args) => looks::tags(args).await,
        Command::Inspect(args) => looks::inspect(*args).await,
        Command::Referrers(args) => looks::referrers(*args).await,
        Command::Tag(args) => tag::run(*args).await,
        Command::Rm(args) => rm::run(*args).await,
        Command::Login(args) => login::login(*args).await,
        Command::Logout(args) => login::logout(args).await,
        Command::Lfs(command) => lfs::run(command),
        Command::LfsAgent(args) => lfs::agent::run(args).await,
        Command::LfsAuthenticate(args) => lfs::authenticate::run(*args).await,
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// Of a command that has failed.
fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<BadUsage>() {
        BAD_USAGE
    } else if error.is::<Interrupted>() {
        INTERRUPTED
    } else {
        1
    }
}
