//! `duynhat exceptions`.

use std::path::PathBuf;

use super::{BadInput, print_json, print_table};
use crate::registry::Registry;
use crate::service::{Models, registry_path};

/// Counts missing fingers by station and operator, those with the highest rate first.
#[derive(clap::Args, Debug)]
pub struct ExceptionsArgs {
    /// The data folder; its server may run.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Prints the rates.
///
/// # Errors
/// No data folder there.
pub fn run(args: &ExceptionsArgs) -> anyhow::Result<()> {
    let path = registry_path(&args.data);
    if !path.exists() {
        return Err(BadInput::error(format!("{}: no registry there; is it a data folder?", path.display())));
    }
    let mut models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    let policy = super::policy::adopted(&args.data, &mut models)?;
    let rates = Registry::open_read_only(&path)?.exceptions(policy.missing_max)?;
    if args.json {
        return print_json(&rates);
    }
    let head = ["station", "operator", "checks", "with missing", "rate %", "over limit", "fingers missing"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for rate in &rates {
        rows.push(vec![
            rate.station.clone(),
            rate.operator.clone(),
            rate.checks.to_string(),
            rate.with_missing.to_string(),
            format!("{:.2}", 100.0 * rate.rate),
            rate.over_limit.to_string(),
            rate.missing_fingers.to_string(),
        ]);
    }
    print_table(&rows);
    Ok(())
}
