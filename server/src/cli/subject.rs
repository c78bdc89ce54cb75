//! `duynhat subject erase`.

use std::path::PathBuf;

use super::upkeep::{open, runtime};
use super::{BadInput, grouped, print_json};
use crate::service::{CarriedOut, EraseRequest, EraseTarget, ErasureDocument};

/// What a data folder holds of one person.
#[derive(clap::Args, Debug)]
pub struct SubjectArgs {
    #[command(subcommand)]
    command: SubjectCommand,
}

#[derive(clap::Subcommand, Debug)]
enum SubjectCommand {
    /// Erases subjects, or single applications: at once from every search, and within a day from every file.
    Erase(EraseArgs),
}

#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("whom").required(true).multiple(true).args(["subjects", "application"]))]
struct EraseArgs {
    /// The data folder; a running server is asked with DELETE /v1/subjects/{subject} instead.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The subjects.
    #[arg(value_name = "SUBJECT")]
    subjects: Vec<String>,
    /// An application that left no reference, or one encounter of many; may be given more than once.
    #[arg(long, value_name = "CODE")]
    application: Vec<String>,
    /// Who orders it; stays in the log.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    operator: String,
    /// Why, in a word; stays in the log.
    #[arg(long, value_name = "WORD", default_value = "request", value_parser = parse_name)]
    reason: String,
    /// Take it out of the files now, not with the next round.
    #[arg(long)]
    now: bool,
    /// Print one JSON document instead of words.
    #[arg(long)]
    json: bool,
}

fn parse_name(text: &str) -> Result<String, String> {
    let ok = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if ok { Ok(text.to_owned()) } else { Err("1 to 64 printable ASCII characters without spaces".to_owned()) }
}

#[derive(serde::Serialize)]
struct Report {
    ordered: Vec<ErasureDocument>,
    carried_out: Option<CarriedOut>,
}

/// Runs the subcommand.
///
/// # Errors
/// No such subject or data folder (exit code 2), another process writes it, I/O.
pub fn run(args: &SubjectArgs) -> anyhow::Result<()> {
    let SubjectCommand::Erase(args) = &args.command;
    let service = open(&args.data)?;
    let subjects = args.subjects.iter().cloned().map(EraseTarget::Subject);
    let targets: Vec<EraseTarget> =
        subjects.chain(args.application.iter().cloned().map(EraseTarget::Application)).collect();
    let report = runtime()?.block_on(async {
        let mut report = Report { ordered: Vec::new(), carried_out: None };
        let work = async {
            for target in targets {
                let named = match &target {
                    EraseTarget::Subject(name) => format!("subject {name}"),
                    EraseTarget::Application(code) => format!("application {code}"),
                };
                let (operator, reason) = (args.operator.clone(), args.reason.clone());
                let ordered = service.erase(EraseRequest { target, operator, reason }).await;
                report.ordered.push(ordered.map_err(|e| match e {
                    crate::service::ServiceError::NotFound { .. } => BadInput::error(format!("{named}: not found")),
                    e => e.into(),
                })?);
            }
            if args.now {
                report.carried_out = Some(service.carry_out_erasures().await?);
            }
            anyhow::Ok(())
        };
        let done = work.await;
        service.close().await;
        done.map(|()| report)
    })?;
    if args.json {
        return print_json(&report);
    }
    for order in &report.ordered {
        println!("{} records erased by the order at position {}", order.records, grouped(order.erasure));
    }
    match &report.carried_out {
        Some(c) => println!("gone from the files: {} journal records, {} stripes", c.records, c.stripes),
        None => println!("the files follow with the server's next round, or with gallery erase --now"),
    }
    Ok(())
}
