//! `duynhat serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use duynhat_engine::face::FaceCalibration;

use crate::http::{self, HttpLimits};
use crate::service::{MaintenanceOptions, Models, Service, ServiceOptions};

/// Serves the API on a data folder.
#[derive(clap::Args, Debug)]
pub struct ServeArgs {
    /// The data folder; made when it is not there.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Address and port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Threads that extract, search and compare; default: all cores.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Checks that may wait for a decision; one more is answered 429.
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub pending_max: usize,
    /// Hours within which an erasure is carried out in the files; searches and answers leave it out at once.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u64).range(0..=8760))]
    pub erase_within_h: u64,
    /// A folder for backups, made by the server itself; with a key file they are encrypted.
    #[arg(long, value_name = "BACKUP")]
    pub backup: Option<PathBuf>,
    /// Hours between two backups; after a round of erasures there is one more.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=8760))]
    pub backup_every_h: u64,
    /// Megabytes a second that are read again in the background to verify their checksums; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub verify_mb_per_s: u64,
    /// The decision policy from now on (TOML); without it the one in force goes on. Goes into the log.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Face calibration from now on (JSON, of `duynhat calibrate --faces`); without it the one in force goes on.
    #[arg(long, value_name = "FILE")]
    pub face_calibration: Option<PathBuf>,
}

/// Runs until SIGINT or SIGTERM, then finishes what was accepted.
///
/// # Errors
/// The data folder or the address can't be opened.
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let mut options = ServiceOptions { pending_max: args.pending_max.clamp(1, 1 << 20), ..ServiceOptions::default() };
    if let Some(threads) = args.threads {
        options.threads = threads.clamp(1, 1024);
    }
    options.policy = args.policy.as_deref().map(super::policy::read).transpose()?;
    options.face_calibration = args.face_calibration.as_deref().map(read_face_calibration).transpose()?;
    let models = Models::shipped().map_err(|e| super::BadInput::error(e.to_string()))?;
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    let service = Service::open(&args.data, models, options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.listen).await.with_context(|| args.listen.to_string())?;
        let health = service.health();
        println!(
            "listening on http://{} ({} references, log position {}, kernel {}, policy {})",
            listener.local_addr()?,
            super::grouped(health.references),
            health.position,
            health.kernel,
            service.policy().version()
        );
        service.look_after(MaintenanceOptions {
            erase_within: Duration::from_secs(args.erase_within_h * 3600),
            verify_bytes_per_s: args.verify_mb_per_s.saturating_mul(1_000_000),
            backup: args.backup.clone(),
            backup_every: Duration::from_secs(args.backup_every_h * 3600),
        })?;
        http::serve(listener, Arc::new(service), HttpLimits::default(), stop_signal()).await?;
        println!("stopped; everything accepted is decided and written");
        Ok(())
    })
}

fn read_face_calibration(path: &Path) -> anyhow::Result<FaceCalibration> {
    let bytes = super::inputs::read_bytes(path, 16 << 20)?;
    FaceCalibration::from_json(&bytes).map_err(|e| super::BadInput::error(format!("{}: {e}", path.display())))
}

async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(_) => return drop(interrupt.await),
    };
    tokio::select! {
        _ = interrupt => {}
        _ = terminate.recv() => {}
    }
}
