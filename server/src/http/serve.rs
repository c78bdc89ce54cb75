//! Accepts connections and ends in order.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::limits::HttpLimits;
use super::{observe, routes};
use crate::service::Service;

/// How often histogram samples are folded into buckets when nobody fetches `/metrics`.
const UPKEEP: Duration = Duration::from_secs(5);
/// Pause after a failed accept (no file descriptors left, usually).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` completes; then ends in order: no new connection, requests under way are answered, the
/// service finishes what it accepted and flushes.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] when the service did not finish within [`HttpLimits::shutdown_grace`]; what it had
/// accepted is in its log and is decided after the next start.
pub async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    limits: HttpLimits,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let app = routes::router(service.clone(), limits.clone());
    let connection = connection(&limits);
    let slots = Arc::new(Semaphore::new(limits.connections_max.clamp(1, Semaphore::MAX_PERMITS)));
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut upkeep = tokio::time::interval(UPKEEP);
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            _ = upkeep.tick() => observe::metrics().run_upkeep(),
            Some(_) = tasks.join_next() => {}
            accepted = accept(&listener, &slots) => match accepted {
                Ok((stream, slot)) => {
                    tasks.spawn(converse(connection.clone(), stream, app.clone(), stopping.clone(), slot));
                }
                Err(error) => {
                    tracing::warn!(target: "duynhat::http", %error, "connection not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    tracing::info!(target: "duynhat::http", connections = tasks.len(), "shutting down");
    stop.send_replace(true);
    let deadline = Instant::now() + limits.shutdown_grace;
    while let Ok(Some(_)) = timeout_at(deadline, tasks.join_next()).await {}
    if !tasks.is_empty() {
        tracing::warn!(target: "duynhat::http", connections = tasks.len(), "closing connections that did not end");
        tasks.shutdown().await;
    }
    timeout(limits.shutdown_grace, service.close())
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the service did not finish in time"))
}

/// Completes when the process is asked to end: SIGINT (Ctrl-C) or SIGTERM.
///
/// # Errors
/// The signal handlers can't be installed.
pub fn shutdown_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn connection(limits: &HttpLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(limits.headers_max)
        .max_header_size(limits.header_bytes_max);
    builder
}

/// A connection, once there is a slot for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

/// Completes when the server stops, or is gone.
async fn told(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// One connection to its end; told to stop, it answers the request under way and closes.
async fn converse(
    connection: http1::Builder,
    stream: TcpStream,
    app: Router,
    mut stopping: watch::Receiver<bool>,
    _slot: OwnedSemaphorePermit,
) {
    // Small answers must not wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let mut connection = pin!(connection.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(target: "duynhat::http", %error, "connection ended early");
    }
}
