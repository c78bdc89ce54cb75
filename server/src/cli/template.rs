//! `duynhat template show | convert`: what a template file is, and the same template in another format.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use duynhat_engine::template::codec::{Foreign, RECORD_LENGTH_MAX, Resolution};
use duynhat_engine::template::{
    DecodeError, DecodeOptions, Detection, Extractor, FingerRecord, Format, MinutiaKind, RecordView, XytImage, decode,
    decode_face_npy, detect, encode_iso_2005, encode_json, encode_xyt,
};
use serde::Serialize;

use super::BadInput;

/// Look into template files and convert them.
#[derive(Debug, Args)]
pub struct TemplateArgs {
    #[command(subcommand)]
    command: TemplateCommand,
}

#[derive(Debug, Subcommand)]
enum TemplateCommand {
    /// Say what files are (format, edition, views, positions, minutiae, resolution), or why they are refused.
    Show(ShowArgs),
    /// Write a template in another format, normalised to 500 dpi.
    Convert(ConvertArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Files: ISO/IEC 19794-2, ANSI INCITS 378, .xyt, JSON, or .npy of face embeddings.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    input: InputArgs,
    /// One JSON line a file.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ConvertArgs {
    /// The template to read.
    input_file: PathBuf,
    /// Where to write; replaced in one step, its folder is created.
    output_file: PathBuf,
    /// The format to write.
    #[arg(long)]
    to: Target,
    /// Take only this view, counted from 1.
    #[arg(long)]
    view: Option<usize>,
    #[command(flatten)]
    input: InputArgs,
    /// Say what was done as JSON.
    #[arg(long)]
    json: bool,
}

/// What the files do not say themselves.
#[derive(Debug, Args)]
struct InputArgs {
    /// Program that extracted the minutiae, e.g. mindtct; unknown if not told.
    #[arg(long)]
    extractor: Option<String>,
    /// Read as this format instead of recognising it.
    #[arg(long)]
    from: Option<Source>,
    /// Image size of an .xyt file in pixels, e.g. 388x374.
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    xyt_size: Option<(u16, u16)>,
    /// Resolution of an .xyt file, px/cm.
    #[arg(long, value_name = "PX_CM", default_value_t = 197)]
    xyt_resolution: u16,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Target {
    #[value(name = "iso-2005")]
    Iso2005,
    Json,
    Xyt,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Source {
    #[value(name = "iso-2005")]
    Iso2005,
    #[value(name = "iso-2011")]
    Iso2011,
    #[value(name = "ansi-2004")]
    Ansi2004,
    #[value(name = "ansi-2009")]
    Ansi2009,
    Xyt,
    Json,
}

impl From<Source> for Format {
    fn from(source: Source) -> Self {
        match source {
            Source::Iso2005 => Self::Iso2005,
            Source::Iso2011 => Self::Iso2011,
            Source::Ansi2004 => Self::Ansi2004,
            Source::Ansi2009 => Self::Ansi2009,
            Source::Xyt => Self::Xyt,
            Source::Json => Self::Json,
        }
    }
}

fn parse_size(text: &str) -> Result<(u16, u16), String> {
    let parsed = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    parsed.filter(|&(w, h)| w > 0 && h > 0).ok_or_else(|| format!("expected WIDTHxHEIGHT, e.g. 388x374, found {text}"))
}

impl InputArgs {
    fn options(&self) -> Result<DecodeOptions, BadInput> {
        let extractor = Extractor::new(self.extractor.as_deref().unwrap_or_default())
            .map_err(|error| BadInput(format!("--extractor: {error}")))?;
        let xyt = XytImage { size_px: self.xyt_size, resolution_px_cm: self.xyt_resolution };
        Ok(DecodeOptions { extractor, format: self.from.map(Format::from), xyt })
    }
}

/// Runs `duynhat template …`.
///
/// # Errors
/// [`BadInput`] when a file can't be read or is refused (`show` says why for each first); else an I/O error.
pub fn run(args: &TemplateArgs) -> anyhow::Result<()> {
    match &args.command {
        TemplateCommand::Show(args) => show(args),
        TemplateCommand::Convert(args) => convert(args),
    }
}

/// What a file turned out to be.
enum Content {
    Finger(FingerRecord),
    Faces { rows: usize, dimension: usize },
    Refused { looked_like: Option<&'static str>, offset: Option<usize>, reason: String },
}

fn look(path: &Path, options: &DecodeOptions) -> Content {
    let refused = |reason| Content::Refused { looked_like: None, offset: None, reason };
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(error) => return refused(error.to_string()),
    };
    if options.format.is_none() && detect(&bytes) == Detection::Foreign(Foreign::Npy) {
        return match fs::read(path)
            .map_err(|e| e.to_string())
            .and_then(|all| decode_face_npy(&all).map_err(|e| e.to_string()))
        {
            Ok(rows) => Content::Faces { rows: rows.len(), dimension: rows.dimension() },
            Err(reason) => Content::Refused { looked_like: Some(Foreign::Npy.name()), offset: None, reason },
        };
    }
    match decode(&bytes, options) {
        Ok(record) => Content::Finger(record),
        Err(error) => {
            let reason = error.to_string();
            Content::Refused { looked_like: error.looked_like(), offset: error.offset(), reason }
        }
    }
}

/// One byte more than a record may have is enough to refuse it.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(RECORD_LENGTH_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let options = args.input.options()?;
    let mut refused = 0;
    let mut out = std::io::stdout().lock();
    let table = args.files.len() > 1 && !args.json;
    if table {
        writeln!(out, "{}", row(["format", "image", "dpi", "views", "positions", "minutiae"], "file"))?;
    }
    for path in &args.files {
        let content = look(path, &options);
        refused += usize::from(matches!(content, Content::Refused { .. }));
        if args.json {
            writeln!(out, "{}", json(path, &content)?)?;
        } else if table {
            writeln!(out, "{}", table_row(path, &content))?;
        } else {
            write!(out, "{}", sheet(path, &content))?;
        }
    }
    if refused > 0 {
        return Err(BadInput(format!("{refused} of {} files refused", args.files.len())).into());
    }
    Ok(())
}

fn row(columns: [&str; 6], file: &str) -> String {
    let [format, image, dpi, views, positions, minutiae] = columns;
    format!("{format:<21}  {image:>11}  {dpi:>5}  {views:>5}  {positions:<12}  {minutiae:>8}  {file}")
}

fn table_row(path: &Path, content: &Content) -> String {
    let file = path.display().to_string();
    match content {
        Content::Finger(r) => {
            let positions: Vec<String> = r.views.iter().map(|v| v.position().code().to_string()).collect();
            let counts: Vec<String> = r.views.iter().map(|v| v.template.minutiae().len().to_string()).collect();
            let image = format!("{} x {}", r.width_px, r.height_px);
            let dpi = format!("{:.0}", r.resolution.dpi().0);
            let (views, positions, counts) = (r.views.len().to_string(), positions.join(","), counts.join(","));
            let mut out = row([r.format.name(), &image, &dpi, &views, &positions, &counts], &file);
            for warning in &r.warnings {
                out.push_str(&format!("\n    warning: {warning}"));
            }
            out
        }
        Content::Faces { rows, dimension } => {
            row(["face embeddings .npy", &format!("{rows} x {dimension}"), "-", "-", "-", "-"], &file)
        }
        Content::Refused { reason, .. } => format!("{:<21}  {file}\n    {reason}", "refused"),
    }
}

fn sheet(path: &Path, content: &Content) -> String {
    let mut out = format!("file         {}\n", path.display());
    let mut line = |name: &str, value: String| out.push_str(&format!("{name:<11}  {value}\n"));
    match content {
        Content::Finger(record) => {
            line("format", record.format.name().to_owned());
            line("image", format!("{} x {} px", record.width_px, record.height_px));
            line("resolution", resolution(record.resolution));
            line("extractor", record.views.first().map_or("", |v| v.template.extractor.as_str()).to_owned());
            line("views", record.views.len().to_string());
            for (index, view) in record.views.iter().enumerate() {
                line(&format!("view {}", index + 1), view_line(view));
            }
            for warning in &record.warnings {
                line("warning", warning.to_string());
            }
        }
        Content::Faces { rows, dimension } => {
            line("format", format!("face embeddings, {}", Foreign::Npy.name()));
            line("embeddings", rows.to_string());
            line("dimensions", dimension.to_string());
        }
        Content::Refused { reason, .. } => line("refused", reason.clone()),
    }
    out
}

fn resolution(resolution: Resolution) -> String {
    let ((x_dpi, y_dpi), Resolution { x_px_cm, y_px_cm }) = (resolution.dpi(), resolution);
    if x_px_cm == y_px_cm {
        format!("{x_px_cm:.1} px/cm ({x_dpi:.0} dpi)")
    } else {
        format!("{x_px_cm:.1} x {y_px_cm:.1} px/cm ({x_dpi:.0} x {y_dpi:.0} dpi)")
    }
}

fn kinds(view: &RecordView) -> [usize; 3] {
    [MinutiaKind::Ending, MinutiaKind::Bifurcation, MinutiaKind::Other]
        .map(|kind| view.template.minutiae().iter().filter(|m| m.kind() == kind).count())
}

fn view_line(view: &RecordView) -> String {
    let [endings, bifurcations, others] = kinds(view);
    let quality = match view.quality() {
        0 => "quality unknown".to_owned(),
        quality => format!("quality {quality}"),
    };
    let impression = match view.impression_type {
        0 => "live-scan plain",
        1 => "live-scan rolled",
        2 => "non-live plain",
        3 => "non-live rolled",
        4..=7 => "latent",
        8 => "swipe",
        _ => "other impression",
    };
    let position = match view.position().code() {
        0 => "finger unknown".to_owned(),
        _ => view.position().to_string(),
    };
    format!(
        "{position}, {impression}, {quality}; {} minutiae ({endings} endings, {bifurcations} bifurcations, {others} other)",
        view.template.minutiae().len()
    )
}

#[derive(Serialize)]
struct FileJson<'a> {
    file: String,
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finger: Option<FingerJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    face: Option<FaceJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct FingerJson {
    width_px: u32,
    height_px: u32,
    resolution_px_cm: [f64; 2],
    resolution_dpi: [f64; 2],
    views: Vec<ViewJson>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct ViewJson {
    position: u8,
    position_name: &'static str,
    impression_type: u8,
    quality: u8,
    extractor: String,
    minutiae_declared: usize,
    minutiae: usize,
    endings: usize,
    bifurcations: usize,
}

#[derive(Serialize)]
struct FaceJson {
    embeddings: usize,
    dimensions: usize,
}

fn finger_json(record: &FingerRecord) -> FingerJson {
    let view = |v: &RecordView| {
        let [endings, bifurcations, _] = kinds(v);
        ViewJson {
            position: v.position().code(),
            position_name: v.position().name(),
            impression_type: v.impression_type,
            quality: v.quality(),
            extractor: v.template.extractor.as_str().to_owned(),
            minutiae_declared: v.minutiae_declared,
            minutiae: v.template.minutiae().len(),
            endings,
            bifurcations,
        }
    };
    let rounded = |v: f64| (v * 100.0).round() / 100.0;
    let Resolution { x_px_cm, y_px_cm } = record.resolution;
    let (x_dpi, y_dpi) = record.resolution.dpi();
    FingerJson {
        width_px: record.width_px,
        height_px: record.height_px,
        resolution_px_cm: [rounded(x_px_cm), rounded(y_px_cm)],
        resolution_dpi: [rounded(x_dpi), rounded(y_dpi)],
        views: record.views.iter().map(view).collect(),
        warnings: record.warnings.iter().map(ToString::to_string).collect(),
    }
}

fn json(path: &Path, content: &Content) -> anyhow::Result<String> {
    let mut out = FileJson {
        file: path.display().to_string(),
        accepted: true,
        format: None,
        format_name: None,
        finger: None,
        face: None,
        offset: None,
        error: None,
    };
    match content {
        Content::Finger(record) => {
            out.format = Some(record.format.key());
            out.format_name = Some(record.format.name());
            out.finger = Some(finger_json(record));
        }
        &Content::Faces { rows, dimension } => {
            out.format = Some("npy");
            out.format_name = Some(Foreign::Npy.name());
            out.face = Some(FaceJson { embeddings: rows, dimensions: dimension });
        }
        Content::Refused { looked_like, offset, reason } => {
            out.accepted = false;
            (out.format_name, out.offset, out.error) = (*looked_like, *offset, Some(reason.as_str()));
        }
    }
    Ok(simd_json::serde::to_string(&out)?)
}

fn convert(args: &ConvertArgs) -> anyhow::Result<()> {
    let input = args.input_file.display();
    let options = args.input.options()?;
    let bytes = read(&args.input_file).map_err(|error| BadInput(format!("{input}: {error}")))?;
    let mut record = decode(&bytes, &options).map_err(|error: DecodeError| BadInput(format!("{input}: {error}")))?;
    if let Some(number) = args.view {
        let count = record.views.len();
        if !(1..=count).contains(&number) {
            return Err(BadInput(format!("--view {number}: {input} has {count} views")).into());
        }
        record.views = vec![record.views.swap_remove(number - 1)];
    }
    let (name, written) = match args.to {
        Target::Iso2005 => {
            let bytes = encode_iso_2005(&record.views).map_err(|error| BadInput(format!("{input}: {error}")))?;
            (Format::Iso2005.name(), bytes)
        }
        Target::Json => (Format::Json.name(), (encode_json(&record.views) + "\n").into_bytes()),
        Target::Xyt => {
            let [view] = record.views.as_slice() else {
                let count = record.views.len();
                return Err(
                    BadInput(format!("{input}: .xyt holds one view, this has {count}: choose with --view")).into()
                );
            };
            (Format::Xyt.name(), encode_xyt(view).into_bytes())
        }
    };
    write_atomically(&args.output_file, &written)?;
    let minutiae: usize = record.views.iter().map(|v| v.template.minutiae().len()).sum();
    let (output, views) = (args.output_file.display(), record.views.len());
    if args.json {
        let done = ConvertedJson {
            file: output.to_string(),
            format_name: name,
            bytes: written.len(),
            views,
            minutiae,
            warnings: record.warnings.iter().map(ToString::to_string).collect(),
        };
        println!("{}", simd_json::serde::to_string(&done)?);
    } else {
        for warning in &record.warnings {
            eprintln!("warning: {warning}");
        }
        println!("{output}: {name}, {views} views, {minutiae} minutiae, {} bytes, 500 dpi", written.len());
    }
    Ok(())
}

#[derive(Serialize)]
struct ConvertedJson {
    file: String,
    format_name: &'static str,
    bytes: usize,
    views: usize,
    minutiae: usize,
    warnings: Vec<String>,
}

/// Writes beside the target and renames, so that nobody sees half a file.
fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let name = path.file_name().ok_or_else(|| BadInput(format!("{}: not a file name", path.display())))?;
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let temporary = folder.join(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary))).with_context(|| format!("writing {}", path.display()))
}
