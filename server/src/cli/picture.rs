//! The picture of a comparison: both prints side by side, matched minutiae joined. For people who adjudicate.

use std::f32::consts::TAU;
use std::fmt::Write as _;

use duynhat_engine::template::{FingerTemplate, Minutia, MinutiaKind};

/// Height of the taller print in the picture, in picture units.
const PRINT_HEIGHT: f32 = 640.0;
const MARGIN: f32 = 28.0;
const GAP: f32 = 72.0;
const HEAD: f32 = 84.0;
const FOOT: f32 = 56.0;
const TICK: f32 = 15.0;
/// Narrowest picture that holds the legend.
const WIDTH_MIN: f32 = 880.0;

/// Colours of matched pairs, told apart also by colour-blind eyes (Okabe and Ito), dark enough for white paper.
const PAIR_COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#b04a8a", "#a67c00", "#3a8fc7"];
const UNMATCHED: &str = "#9a9a94";

/// Where one print stands in the picture.
struct Panel<'a> {
    template: &'a FingerTemplate,
    left: f32,
    top: f32,
    width: f32,
    height: f32,
    scale: f32,
}

impl Panel<'_> {
    fn place(&self, m: &Minutia) -> (f32, f32) {
        (self.left + m.x_px() * self.scale, self.top + m.y_px() * self.scale)
    }
}

/// An SVG 1.1 document: `probe` left, `reference` right, at one scale; every minutia with its direction, endings as
/// dots, bifurcations as diamonds, others as rings; matched `pairs` (indices into the templates' minutiae; one out of
/// range is left out) in colour and joined by lines. `titles` name the probe and the reference; `score` is the
/// comparison score as [`f32`] with one decimal.
pub fn comparison_svg(
    probe: &FingerTemplate,
    reference: &FingerTemplate,
    pairs: &[(u16, u16)],
    score: f32,
    titles: (&str, &str),
) -> String {
    let sides = [probe, reference].map(|t| (f32::from(t.width.max(4)) * 0.25, f32::from(t.height.max(4)) * 0.25));
    let tallest = sides[0].1.max(sides[1].1);
    // One scale for both, so that distances can be compared by eye; wide prints do not make the picture endless.
    let scale = (PRINT_HEIGHT / tallest).min(1400.0 / (sides[0].0 + sides[1].0));
    let [(w1, h1), (w2, h2)] = sides.map(|(w, h)| (w * scale, h * scale));
    let content = w1 + GAP + w2;
    let width = (content + 2.0 * MARGIN).max(WIDTH_MIN);
    let height = HEAD + h1.max(h2) + FOOT;
    let left = (width - content) / 2.0;
    let panels = [
        Panel { template: probe, left, top: HEAD, width: w1, height: h1, scale },
        Panel { template: reference, left: left + w1 + GAP, top: HEAD, width: w2, height: h2, scale },
    ];
    let pairs: Vec<(usize, usize)> = pairs
        .iter()
        .map(|&(p, r)| (usize::from(p), usize::from(r)))
        .filter(|&(p, r)| p < probe.minutiae().len() && r < reference.minutiae().len())
        .collect();

    let mut out = String::with_capacity(64 * 1024);
    let _ = writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" font-family="DejaVu Sans, Arial, sans-serif">"#
    );
    let _ = writeln!(out, r##"<rect width="100%" height="100%" fill="#ffffff"/>"##);
    head(&mut out, &panels, titles, pairs.len(), score, width);
    for panel in &panels {
        let Panel { left, top, width, height, .. } = panel;
        let _ = writeln!(
            out,
            r##"<rect x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}" rx="6" fill="#f6f6f2" stroke="#d0d0c8"/>"##
        );
    }
    // Lines below the marks, unmatched marks below the matched.
    for (number, &(p, r)) in pairs.iter().enumerate() {
        let (x1, y1) = panels[0].place(&probe.minutiae()[p]);
        let (x2, y2) = panels[1].place(&reference.minutiae()[r]);
        let _ = writeln!(
            out,
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{}" stroke-width="1.2" stroke-opacity="0.55"/>"#,
            colour(number)
        );
    }
    for (side, panel) in panels.iter().enumerate() {
        let mut colours = vec![None; panel.template.minutiae().len()];
        for (number, &(p, r)) in pairs.iter().enumerate() {
            colours[if side == 0 { p } else { r }] = Some(colour(number));
        }
        for matched in [false, true] {
            for (m, colour) in panel.template.minutiae().iter().zip(&colours) {
                if colour.is_some() == matched {
                    let (x, y) = panel.place(m);
                    mark(&mut out, x, y, m.angle_rad(), m.kind(), colour.unwrap_or(UNMATCHED));
                }
            }
        }
    }
    legend(&mut out, left, height - FOOT + 34.0);
    out.push_str("</svg>\n");
    out
}

fn colour(number: usize) -> &'static str {
    PAIR_COLOURS[number % PAIR_COLOURS.len()]
}

fn head(out: &mut String, panels: &[Panel<'_>; 2], titles: (&str, &str), pairs: usize, score: f32, width: f32) {
    let _ = writeln!(
        out,
        r##"<text x="{:.1}" y="30" font-size="19" font-weight="bold" text-anchor="middle" fill="#1c1c1a">comparison score {score:.1}, {pairs} matched minutiae</text>"##,
        width / 2.0
    );
    for (panel, (role, title)) in panels.iter().zip([("probe", titles.0), ("reference", titles.1)]) {
        let count = panel.template.minutiae().len();
        let centre = panel.left + panel.width / 2.0;
        let _ = writeln!(
            out,
            r##"<text x="{centre:.1}" y="56" font-size="14" text-anchor="middle" fill="#1c1c1a">{role}: {}</text>"##,
            escaped(&shortened(title, panel.width))
        );
        let _ = writeln!(
            out,
            r##"<text x="{centre:.1}" y="74" font-size="12" text-anchor="middle" fill="#6a6a64">{}, {count} minutiae</text>"##,
            match panel.template.position.code() {
                0 => "finger unknown",
                _ => panel.template.position.name(),
            }
        );
    }
}

/// Keeps the end of a title that is too long for its panel: of a path, that is what tells prints apart.
fn shortened(title: &str, width: f32) -> String {
    let room = ((width + GAP * 0.8) / 8.2) as usize;
    let room = room.saturating_sub("reference: ".len()).max(8);
    let length = title.chars().count();
    if length <= room {
        title.to_owned()
    } else {
        format!("…{}", title.chars().skip(length - room + 1).collect::<String>())
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn mark(out: &mut String, x: f32, y: f32, angle: f32, kind: MinutiaKind, colour: &str) {
    // Directions count counter-clockwise as seen on the page, whose y points down.
    let (dx, dy) = (angle.cos(), -angle.sin());
    let _ = writeln!(
        out,
        r#"<line x1="{x:.1}" y1="{y:.1}" x2="{:.1}" y2="{:.1}" stroke="{colour}" stroke-width="2" stroke-linecap="round"/>"#,
        x + TICK * dx,
        y + TICK * dy
    );
    let _ = match kind {
        MinutiaKind::Ending => writeln!(out, r#"<circle cx="{x:.1}" cy="{y:.1}" r="4.2" fill="{colour}"/>"#),
        MinutiaKind::Bifurcation => writeln!(
            out,
            r##"<path d="M{x:.1} {:.1}L{:.1} {y:.1}L{x:.1} {:.1}L{:.1} {y:.1}Z" fill="#ffffff" stroke="{colour}" stroke-width="2"/>"##,
            y - 5.4,
            x + 5.4,
            y + 5.4,
            x - 5.4
        ),
        MinutiaKind::Other => writeln!(
            out,
            r##"<circle cx="{x:.1}" cy="{y:.1}" r="4" fill="#ffffff" stroke="{colour}" stroke-width="2"/>"##
        ),
    };
}

fn legend(out: &mut String, left: f32, y: f32) {
    let mut x = left + 8.0;
    let entries = [
        (MinutiaKind::Ending, PAIR_COLOURS[0], "ending"),
        (MinutiaKind::Bifurcation, PAIR_COLOURS[0], "bifurcation"),
        (MinutiaKind::Other, PAIR_COLOURS[0], "kind not told"),
        (MinutiaKind::Ending, UNMATCHED, "not matched"),
    ];
    for (kind, colour, text) in entries {
        mark(out, x, y, TAU / 14.0, kind, colour);
        let _ = writeln!(
            out,
            r##"<text x="{:.1}" y="{:.1}" font-size="13" fill="#3a3a36">{text}</text>"##,
            x + 20.0,
            y + 5.0
        );
        x += 44.0 + 8.0 * text.len() as f32;
    }
    let _ = writeln!(
        out,
        r#"<line x1="{x:.1}" y1="{y:.1}" x2="{:.1}" y2="{y:.1}" stroke="{}" stroke-width="1.2" stroke-opacity="0.55"/>"#,
        x + 34.0,
        PAIR_COLOURS[0]
    );
    let _ = writeln!(
        out,
        r##"<text x="{:.1}" y="{:.1}" font-size="13" fill="#3a3a36">matched pair, one colour each</text>"##,
        x + 42.0,
        y + 5.0
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use duynhat_engine::template::{Extractor, FingerPosition};

    fn print(n: u16) -> FingerTemplate {
        let minutia = |i: u16| Minutia {
            x: 100 + i * 120,
            y: 200 + (i * 379) % 1000,
            angle: i.wrapping_mul(9000),
            kind_code: (i % 3) as u8,
            quality: 50,
        };
        let minutiae = (0..n).map(minutia).collect();
        FingerTemplate::new(FingerPosition::UNKNOWN, 0, 1552, 1496, Extractor::unknown(), minutiae).unwrap()
    }

    #[test]
    fn every_pair_is_a_line_every_minutia_a_mark_and_titles_are_escaped() {
        let (probe, reference) = (print(9), print(7));
        let svg = comparison_svg(&probe, &reference, &[(0, 1), (8, 6), (9, 0)], 42.25, ("a<b>&\"c\"", "r"));
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        // The pair that is out of range is left out; one line more stands in the legend.
        assert_eq!(svg.matches("stroke-opacity").count(), 2 + 1);
        assert_eq!(svg.matches("stroke-linecap").count(), 9 + 7 + 4);
        assert!(svg.contains("probe: a&lt;b&gt;&amp;&quot;c&quot;") && !svg.contains("a<b>"));
        assert!(svg.contains("comparison score 42.2, 2 matched minutiae"));
        assert_eq!(svg, comparison_svg(&probe, &reference, &[(0, 1), (8, 6)], 42.25, ("a<b>&\"c\"", "r")));
    }

    #[test]
    fn empty_and_huge_prints_still_give_a_picture() {
        let none = FingerTemplate::new(FingerPosition::UNKNOWN, 0, 0, 0, Extractor::unknown(), Vec::new()).unwrap();
        let huge =
            FingerTemplate::new(FingerPosition::UNKNOWN, 0, 65535, 65535, Extractor::unknown(), Vec::new()).unwrap();
        for (a, b) in [(&none, &huge), (&huge, &none), (&none, &none)] {
            let svg = comparison_svg(a, b, &[(0, 0)], 0.0, ("", ""));
            assert!(!svg.contains("NaN") && !svg.contains("inf"));
        }
    }
}
