//! `duynhat cases` and `duynhat frauds`: what people judge, on a data folder.

use std::path::{Path, PathBuf};

use duynhat_engine::log::{CaseVerdict, Role};
use duynhat_engine::template::{Biometrics, Extractor};

use super::inputs::{parse_extractor, read_file};
use super::{BadInput, print_json, print_table};
use crate::service::{
    CaseDocument, FolderError, FraudRequest, FraudSource, Models, Service, ServiceError, ServiceOptions, VerdictRequest,
};

/// Look at cases and judge them.
#[derive(clap::Args, Debug)]
pub struct CasesArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Open cases, or all.
    List(ListArgs),
    /// One case with its evidence.
    Show(CaseArgs),
    /// Give a verdict.
    Judge(JudgeArgs),
    /// Merge the applicant's subject into the one that the case found.
    Merge(MergeArgs),
    /// Undo a merger.
    Unmerge(MergeArgs),
}

#[derive(clap::Args, Debug)]
struct ListArgs {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Closed cases too.
    #[arg(long)]
    all: bool,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    max: u64,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
struct CaseArgs {
    /// The application's code.
    #[arg(value_name = "APPLICATION")]
    application: String,
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

#[derive(clap::Args, Debug)]
struct JudgeArgs {
    #[command(flatten)]
    case: CaseArgs,
    /// Who judges; not whoever captured the applicant.
    #[arg(long, value_name = "CODE")]
    adjudicator: String,
    /// As supervisor, who ends a disagreement.
    #[arg(long)]
    supervisor: bool,
    /// What they find.
    #[arg(long, value_parser = ["same_person", "different_people", "bad_capture"])]
    verdict: String,
    /// Of `same_person`: which candidate's subject.
    #[arg(long)]
    subject: Option<String>,
    /// In their own words.
    #[arg(long, default_value = "")]
    note: String,
}

#[derive(clap::Args, Debug)]
struct MergeArgs {
    #[command(flatten)]
    case: CaseArgs,
    /// Who does it.
    #[arg(long, value_name = "CODE")]
    operator: String,
}

/// The list of confirmed frauds: searched, never enrolled.
#[derive(clap::Args, Debug)]
pub struct FraudsArgs {
    #[command(subcommand)]
    what: FraudsWhat,
}

#[derive(clap::Subcommand, Debug)]
enum FraudsWhat {
    /// The entries.
    List {
        /// The data folder.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// A new entry: an application's capture, or finger templates.
    Add(FraudArgs),
}

#[derive(clap::Args, Debug)]
struct FraudArgs {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The entry's name: 1 to 56 of `A-Z a-z 0-9 . _ -`.
    #[arg(long)]
    name: String,
    /// Why it is on the list.
    #[arg(long)]
    reason: String,
    /// Who puts it there.
    #[arg(long, value_name = "CODE")]
    operator: String,
    /// The application whose capture it is.
    #[arg(long, value_name = "CODE", conflicts_with = "files", required_unless_present = "files")]
    application: Option<String>,
    /// Finger templates.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Who extracted the minutiae, e.g. mindtct; unknown by default.
    #[arg(long, value_parser = parse_extractor, default_value = "unknown")]
    extractor: Extractor,
}

/// Runs `duynhat cases`.
///
/// # Errors
/// No such case, something that is not possible now (exit code 2), or a data folder that can't be written.
pub fn run(args: &CasesArgs) -> anyhow::Result<()> {
    match &args.what {
        What::List(args) => list(args),
        What::Show(case) => {
            with(&case.data, async |service| service.case(&case.application)).and_then(|c| print_json(&c))
        }
        What::Judge(args) => {
            let verdict = match args.verdict.as_str() {
                "same_person" => CaseVerdict::SamePerson,
                "different_people" => CaseVerdict::DifferentPeople,
                _ => CaseVerdict::BadCapture,
            };
            let request = VerdictRequest {
                adjudicator: code("adjudicator", &args.adjudicator)?,
                role: if args.supervisor { Role::Supervisor } else { Role::Adjudicator },
                verdict,
                subject: args.subject.clone(),
                note: short("note", &args.note)?,
            };
            told(with(&args.case.data, async |service| service.adjudicate(&args.case.application, request).await)?);
            Ok(())
        }
        What::Merge(args) => {
            let operator = code("operator", &args.operator)?;
            told(with(&args.case.data, async |service| service.merge(&args.case.application, operator).await)?);
            Ok(())
        }
        What::Unmerge(args) => {
            let operator = code("operator", &args.operator)?;
            told(with(&args.case.data, async |service| service.unmerge(&args.case.application, operator).await)?);
            Ok(())
        }
    }
}

/// Runs `duynhat frauds`.
///
/// # Errors
/// As [`run`].
pub fn run_frauds(args: &FraudsArgs) -> anyhow::Result<()> {
    match &args.what {
        FraudsWhat::List { data } => print_json(&with(data, async |service| service.frauds())?),
        FraudsWhat::Add(args) => {
            let source = match &args.application {
                Some(application) => FraudSource::Application(application.clone()),
                None => {
                    let mut prints = Vec::new();
                    for file in &args.files {
                        prints.extend(read_file(file, &args.extractor)?);
                    }
                    let captured = Biometrics::new(prints, Vec::new(), Vec::new());
                    FraudSource::Captured(captured.map_err(|e| BadInput::error(e.to_string()))?)
                }
            };
            let name = code("name", &args.name)?;
            if name.len() > 56 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
                return Err(BadInput::error("--name: expected 1 to 56 characters from A-Z a-z 0-9 . _ -"));
            }
            let reason = short("reason", &args.reason)?;
            let request = FraudRequest { name, reason, operator: code("operator", &args.operator)?, source };
            let listed = with(&args.data, async |service| service.list_fraud(request).await)?;
            println!("{} is on the list, at log position {}", listed.name, listed.position);
            Ok(())
        }
    }
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let max = usize::try_from(args.max)?;
    let found = with(&args.data, async |service| service.cases(!args.all, max))?;
    if args.json {
        return print_json(&found);
    }
    let mut table = vec![["application", "purpose", "decision", "waits for", "outcome", ""].map(String::from).to_vec()];
    table.extend(found.cases.iter().map(|case| {
        vec![
            case.application.clone(),
            case.purpose.as_str().to_owned(),
            case.decision.map_or("", |d| d.as_str()).to_owned(),
            waits_for(case),
            case.outcome.map_or("", |o| o.as_str()).to_owned(),
            if case.overdue { "overdue" } else { "" }.to_owned(),
        ]
    }));
    print_table(&table);
    println!("{} open", found.open);
    Ok(())
}

fn waits_for(case: &CaseDocument) -> String {
    // The word of the API.
    let word = case.waits_for.and_then(|w| simd_json::serde::to_string(&w).ok());
    word.map_or_else(String::new, |w| w.trim_matches('"').to_owned())
}

fn told(case: CaseDocument) {
    match case.outcome {
        Some(outcome) => println!("{}: closed, {}", case.application, outcome.as_str()),
        None => println!("{}: waits for {}", case.application, waits_for(&case)),
    }
}

fn code(option: &str, text: &str) -> anyhow::Result<String> {
    if (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(BadInput::error(format!("--{option}: expected 1 to 64 printable ASCII characters without spaces")))
}

fn short(option: &str, text: &str) -> anyhow::Result<String> {
    if text.len() <= crate::service::NOTE_LENGTH_MAX {
        return Ok(text.to_owned());
    }
    Err(BadInput::error(format!("--{option}: at most {} bytes", crate::service::NOTE_LENGTH_MAX)))
}

/// Opens the folder for writing, asks, and closes it again.
fn with<T>(data: &Path, ask: impl AsyncFnOnce(&Service) -> Result<T, ServiceError>) -> anyhow::Result<T> {
    if !crate::service::log_dir(data).exists() {
        return Err(BadInput::error(format!("{}: no journal there; is it a data folder?", data.display())));
    }
    let models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    let service: Service = Service::open(data, models, ServiceOptions::default()).map_err(|e: FolderError| e)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let answer = ask(&service).await;
        service.close().await;
        match answer {
            Ok(answer) => Ok(answer),
            Err(error @ (ServiceError::NotFound { .. } | ServiceError::State(_) | ServiceError::Unusable(_))) => {
                Err(BadInput::error(error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    })
}
