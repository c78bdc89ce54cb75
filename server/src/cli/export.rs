//! `duynhat gallery export`: every live reference as one JSON line, to leave with.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use duynhat_engine::log::{Event, JournalReader};
use duynhat_engine::storage::key_in_use;
use duynhat_engine::template::{FingerTemplate, MissingFinger, encode_iso_2005};
use serde::Serialize;

use super::{BadInput, grouped, open_folder, print_json, progress};
use crate::sealed_file::SealedWriter;
use crate::service::{Models, log_dir};

/// Writes every live reference as one JSON document a line. The format is in reference/file-formats.
#[derive(clap::Args, Debug)]
pub struct ExportArgs {
    /// The data folder; may have a server.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The file; must not be there. With a key file it is encrypted: `duynhat key open` reads it.
    #[arg(long, value_name = "FILE.ndjson")]
    out: PathBuf,
    /// Print one JSON document instead of words.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    subject: &'a str,
    position: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity_pseudonym: Option<String>,
    fingers: Vec<Finger>,
    faces: Vec<Face<'a>>,
    missing: &'a [MissingFinger],
}

#[derive(Serialize)]
struct Finger {
    position: u8,
    quality: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    extractor: Option<String>,
    /// ISO/IEC 19794-2:2005, base64.
    iso_19794_2_2005: String,
    /// As it is stored: quarter pixels at 500 dpi, 65,536ths of a turn.
    width: u16,
    height: u16,
    minutiae: Vec<(u16, u16, u16, u8, u8)>,
}

#[derive(Serialize)]
struct Face<'a> {
    model: &'a str,
    quality: u8,
    /// Little-endian 32-bit floats, base64.
    embedding: String,
}

#[derive(Serialize)]
struct Exported {
    references: u64,
    bytes: u64,
    encrypted: bool,
}

/// Exports.
///
/// # Errors
/// No data folder there, the file is there already (exit code 2); damage, I/O.
pub fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    let gallery = open_folder(&args.data, &models)?;
    let snapshot = &gallery.snapshot;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&args.out);
    let file = file.map_err(|e| BadInput::error(format!("{}: {e}", args.out.display())))?;
    let mut out = SealedWriter::new(BufWriter::new(file), key_in_use())?;
    let bar = progress(snapshot.live(), "exporting");
    let mut exported = Exported { references: 0, bytes: 0, encrypted: key_in_use().is_some() };
    for record in JournalReader::open(&log_dir(&args.data), 1)? {
        let record = record?;
        let position = record.position;
        if position > gallery.position {
            break;
        }
        let (stored, identity, application, time_ms) = match &record.event {
            Event::Enrolled(e) => (&e.biometrics, e.identity, None, None),
            Event::Submitted(s) => (&s.biometrics, s.identity, Some(s.application.as_str()), Some(s.time_ms)),
            _ => continue,
        };
        let Some(row) = snapshot.row_of(position)?.filter(|row| snapshot.is_live(*row)) else { continue };
        let subject = snapshot.subject(row)?;
        let biometrics = stored.restore().with_context(|| format!("position {position}"))?;
        let line = Line {
            subject: &subject,
            position,
            application,
            time_ms,
            identity_pseudonym: identity.map(|i| i.iter().map(|b| format!("{b:02x}")).collect()),
            fingers: biometrics.fingers.iter().map(finger).collect::<Result<_, _>>()?,
            faces: biometrics
                .faces
                .iter()
                .map(|f| Face {
                    model: f.model(),
                    quality: f.quality,
                    embedding: BASE64_STANDARD
                        .encode(f.values().iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()),
                })
                .collect(),
            missing: &biometrics.missing,
        };
        let mut text = simd_json::serde::to_vec(&line)?;
        text.push(b'\n');
        out.write_all(&text).with_context(|| args.out.display().to_string())?;
        exported.references += 1;
        exported.bytes += text.len() as u64;
        bar.inc(1);
    }
    let mut file = out.finish().with_context(|| args.out.display().to_string())?;
    file.flush().and_then(|()| file.get_ref().sync_all()).with_context(|| args.out.display().to_string())?;
    bar.finish_and_clear();
    if args.json {
        return print_json(&exported);
    }
    println!("{} references, {} bytes", grouped(exported.references), grouped(exported.bytes));
    if !exported.encrypted {
        println!("not encrypted: it holds every template; give --key-file for a file that may leave the house");
    }
    Ok(())
}

fn finger(template: &FingerTemplate) -> anyhow::Result<Finger> {
    let record = encode_iso_2005(&[template.clone().into()])?;
    let minutiae = template.minutiae().iter().map(|m| (m.x, m.y, m.angle, m.kind_code, m.quality)).collect();
    Ok(Finger {
        position: template.position.code(),
        quality: template.quality,
        extractor: (!template.extractor.is_unknown()).then(|| template.extractor.as_str().to_owned()),
        iso_19794_2_2005: BASE64_STANDARD.encode(record),
        width: template.width,
        height: template.height,
        minutiae,
    })
}
