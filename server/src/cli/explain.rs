//! `duynhat explain`.

use std::path::PathBuf;

use duynhat_engine::decision::Language;

use super::BadInput;
use crate::registry::Registry;
use crate::service::{explain, registry_path, rendered};

/// Says in words why a check was decided as it was. The server may run.
#[derive(clap::Args, Debug)]
pub struct ExplainArgs {
    /// The application's code.
    #[arg(value_name = "APPLICATION")]
    pub application: String,
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Vietnamese or English.
    #[arg(long, value_name = "vi|en", default_value = "vi", value_parser = parse_language)]
    pub language: Language,
}

/// For clap.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_language(text: &str) -> Result<Language, String> {
    Language::from_code(text).ok_or_else(|| format!("{text}: expected vi or en"))
}

/// Prints the explanation.
///
/// # Errors
/// No such data folder or application (exit code 2).
pub fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    let path = registry_path(&args.data);
    if !path.exists() {
        return Err(BadInput::error(format!("{}: no registry there; is it a data folder?", path.display())));
    }
    let found = Registry::open_read_only(&path)?.application(&args.application)?;
    let found = found.ok_or_else(|| BadInput::error(format!("application {}: not found", args.application)))?;
    print!("{}", explain(&rendered(&args.application, found)?, args.language));
    Ok(())
}
