//! The parts of the `duynhat` binary.

pub mod backup;
pub mod cli;
pub mod http;
pub mod registry;
pub mod sealed_file;
pub mod service;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// One person, one identity: biometric deduplication.
#[derive(Parser)]
#[command(name = "duynhat", version, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 bad usage or bad input.\n\
    DUYNHAT_KERNEL=portable|avx2|avx512|neon forces a kernel; every kernel gives the same results.")]
struct Arguments {
    /// The key file of an encrypted journal, backup or export; the variable DUYNHAT_KEY_FILE names one as well.
    #[arg(long, global = true, value_name = "FILE")]
    key_file: Option<std::path::PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Enrol synthetic people, start a server on loopback and play stations against it.
    Demo(cli::demo::DemoArgs),
    /// Serve the HTTP API on a data folder.
    Serve(cli::serve::ServeArgs),
    /// Take finger templates or face embeddings over into a data folder.
    Import(cli::import::ImportArgs),
    /// Search a data folder (1:N).
    Identify(cli::identify::IdentifyArgs),
    /// Compare with one subject of a data folder (1:1).
    Verify(cli::verify::VerifyArgs),
    /// Look at cases and judge them.
    Cases(cli::cases::CasesArgs),
    /// The list of confirmed frauds: searched, never enrolled.
    Frauds(cli::cases::FraudsArgs),
    /// Make past decisions again and see that they are the same.
    Replay(cli::replay::ReplayArgs),
    /// Make past decisions again by another policy and list those that would change.
    Shadow(cli::replay::ShadowArgs),
    /// Measure this machine on synthetic people.
    Capacity(cli::capacity::CapacityArgs),
    /// Compare two finger templates.
    Compare(cli::compare::CompareArgs),
    /// Show or convert template files.
    Template(cli::template::TemplateArgs),
    /// Look at a data folder, and look after it.
    Gallery(cli::gallery::GalleryArgs),
    /// Erase subjects.
    Subject(cli::subject::SubjectArgs),
    /// Make the key file of journal, backups and exports; open what was sealed under it.
    Key(cli::key::KeyArgs),
    /// Make synthetic people: template files, embeddings, check requests.
    Synth(cli::synth::SynthArgs),
    /// Compare everyone of a data folder with everyone.
    Reverify(cli::reverify::ReverifyArgs),
    /// Measure error rates on labelled collections.
    Evaluate(cli::evaluate::EvaluateArgs),
    /// Fit likelihood ratios to labelled collections.
    Calibrate(cli::calibrate::CalibrateArgs),
    /// Learn the fingerprint model.
    Train(cli::train::TrainArgs),
    /// Show or check a decision policy.
    Policy(cli::policy::PolicyArgs),
    /// Say in words why a check was decided as it was.
    Explain(cli::explain::ExplainArgs),
    /// Count missing fingers by station and operator.
    Exceptions(cli::exceptions::ExceptionsArgs),
}

/// The command line's definition, for whoever checks or documents it.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Parses the command line, runs the command and reports its errors.
pub fn main() -> ExitCode {
    // Whoever reads our output may stop reading (`| head`): that ends us, and is no failure.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(0);
        }
        report(info);
    }));
    let arguments = Arguments::parse();
    no_core_dumps();
    let result = cli::key::take(arguments.key_file.as_deref()).and_then(|()| run(&arguments.command));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed pipe is the reader's choice, not a failure worth words.
            let pipe = error.chain().filter_map(|e| e.downcast_ref::<std::io::Error>());
            if pipe.into_iter().any(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
                return ExitCode::SUCCESS;
            }
            eprintln!("duynhat: {error:#}");
            let usage = error.chain().any(cli::is_bad_input);
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

/// A crash must not write templates and keys to a disk.
fn no_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Lowering a limit is always allowed.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => cli::demo::run(args),
        Command::Serve(args) => cli::serve::run(args),
        Command::Import(args) => cli::import::run(args),
        Command::Identify(args) => cli::identify::run(args),
        Command::Verify(args) => cli::verify::run(args),
        Command::Cases(args) => cli::cases::run(args),
        Command::Frauds(args) => cli::cases::run_frauds(args),
        Command::Replay(args) => cli::replay::run(args),
        Command::Shadow(args) => cli::replay::run_shadow(args),
        Command::Capacity(args) => cli::capacity::run(args),
        Command::Compare(args) => cli::compare::run(args),
        Command::Template(args) => cli::template::run(args),
        Command::Gallery(args) => cli::gallery::run(args),
        Command::Subject(args) => cli::subject::run(args),
        Command::Key(args) => cli::key::run(args),
        Command::Synth(args) => cli::synth::run(args),
        Command::Reverify(args) => cli::reverify::run(args),
        Command::Evaluate(args) => cli::evaluate::run(args),
        Command::Calibrate(args) => cli::calibrate::run(args),
        Command::Train(args) => cli::train::run(args),
        Command::Policy(args) => cli::policy::run(args),
        Command::Explain(args) => cli::explain::run(args),
        Command::Exceptions(args) => cli::exceptions::run(args),
    }
}
