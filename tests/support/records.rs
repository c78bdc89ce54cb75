//! Writers of every finger format, for tests only: they build the good records that the decoders are tested on, with
//! all that an edition allows (several views, quality blocks, certification, extended data).

use duynhat_engine::template::Format;

/// One minutia as test records hold it.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// 0 other, 1 ending, 2 bifurcation.
    pub kind: u8,
    /// Pixels from the left.
    pub x: u16,
    /// Pixels from the top.
    pub y: u16,
    /// Whole degrees, counter-clockwise; even, so that every edition can hold it or come within a step.
    pub degrees: u16,
    /// 0 to 100.
    pub quality: u8,
}

/// One view as test records hold it.
#[derive(Clone, Debug)]
pub struct View {
    /// 0 to 10.
    pub position: u8,
    /// 0 to 15.
    pub impression: u8,
    /// 0 to 100.
    pub quality: u8,
    /// Minutiae.
    pub points: Vec<Point>,
    /// Extended data blocks, already framed.
    pub extended: Vec<u8>,
}

/// A print to be written in any edition.
#[derive(Clone, Debug)]
pub struct Print {
    /// Image width.
    pub width: u16,
    /// Image height.
    pub height: u16,
    /// Pixels per centimetre, both ways.
    pub px_cm: u16,
    /// Views; `.xyt` takes the first only.
    pub views: Vec<View>,
}

impl Print {
    /// Two views with extended data in both framings, three minutiae each.
    pub fn sample(px_cm: u16) -> Self {
        let points = vec![
            Point { kind: 1, x: 100, y: 258, degrees: 90, quality: 50 },
            Point { kind: 2, x: 10, y: 20, degrees: 180, quality: 0 },
            Point { kind: 0, x: 199, y: 299, degrees: 270, quality: 100 },
        ];
        let view = View { position: 2, impression: 0, quality: 80, points, extended: vec![0, 1, 0, 2, 9, 9] };
        let other = View { position: 7, impression: 3, extended: vec![0, 1, 0, 6, 9, 9], ..view.clone() };
        Self { width: 200, height: 300, px_cm, views: vec![view, other] }
    }

    /// The record's bytes in one format.
    pub fn write(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Iso2005 => self.header_2004(&[], false),
            Format::Ansi2004 => self.header_2004(&[0, 51, 0, 7], true),
            Format::Iso2011 => self.iso_2011(),
            Format::Ansi2009 => self.ansi_2009(),
            Format::Xyt => self.xyt(),
            Format::Json => self.json(),
        }
    }

    fn points(view: &View, ansi: bool, with_quality: bool) -> Vec<u8> {
        let mut out = Vec::new();
        for p in &view.points {
            let angle = if ansi { p.degrees / 2 } else { (p.degrees * 32).div_ceil(45) };
            out.extend((u16::from(p.kind) << 14 | p.x).to_be_bytes());
            out.extend(p.y.to_be_bytes());
            out.push(angle as u8);
            if with_quality {
                out.push(p.quality);
            }
        }
        out
    }

    fn extended(view: &View) -> Vec<u8> {
        [&(view.extended.len() as u16).to_be_bytes()[..], &view.extended].concat()
    }

    fn header_2004(&self, product: &[u8], ansi: bool) -> Vec<u8> {
        let mut body = product.to_vec();
        body.extend([0, 0]);
        for field in [self.width, self.height, self.px_cm, self.px_cm] {
            body.extend(field.to_be_bytes());
        }
        body.extend([self.views.len() as u8, 0]);
        for view in &self.views {
            body.extend([view.position, view.impression, view.quality, view.points.len() as u8]);
            body.extend(Self::points(view, ansi, true));
            body.extend(Self::extended(view));
        }
        let mut out = b"FMR\0 20\0".to_vec();
        if ansi && body.len() + 10 < 65_536 {
            out.extend((body.len() as u16 + 10).to_be_bytes());
        } else if ansi {
            out.extend([0, 0]);
            out.extend((body.len() as u32 + 14).to_be_bytes());
        } else {
            out.extend((body.len() as u32 + 12).to_be_bytes());
        }
        out.extend(body);
        out
    }

    /// The first view has quality per minutia, two quality blocks and a certification block; the others none of it.
    fn iso_2011(&self) -> Vec<u8> {
        let mut views = Vec::new();
        for (index, view) in self.views.iter().enumerate() {
            let first = index == 0;
            let mut v = vec![7, 228, 1, 2, 3, 4, 5, 0, 6, 0, 0, 1, 0, 2];
            if first {
                v.extend([2, 255, 0, 1, 0, 2, view.quality, 0, 1, 0, 3]);
            } else {
                v.push(0);
            }
            v.extend(if first { &[1, 0, 3, 1][..] } else { &[0] });
            v.extend([view.position, index as u8]);
            v.extend([self.px_cm.to_be_bytes(), self.px_cm.to_be_bytes()].concat());
            v.push(view.impression);
            v.extend([self.width.to_be_bytes(), self.height.to_be_bytes()].concat());
            v.extend([if first { 0x60 } else { 0x50 }, view.points.len() as u8]);
            v.extend(Self::points(view, false, first));
            v.extend(Self::extended(view));
            views.extend((v.len() as u32 + 4).to_be_bytes());
            views.extend(v);
        }
        let mut out = b"FMR\x00030\0".to_vec();
        out.extend((views.len() as u32 + 15).to_be_bytes());
        out.extend((self.views.len() as u16).to_be_bytes());
        out.push(1);
        out.extend(views);
        out
    }

    fn ansi_2009(&self) -> Vec<u8> {
        let mut body = vec![0, 51, 0, 7, 0x80, 0, 1, self.views.len() as u8, 0];
        for (index, view) in self.views.iter().enumerate() {
            body.extend([view.position, index as u8, view.impression, view.quality, 0, 1, 0, 2]);
            for field in [self.width, self.height, self.px_cm, self.px_cm] {
                body.extend(field.to_be_bytes());
            }
            body.push(view.points.len() as u8);
            body.extend(Self::points(view, true, true));
            body.extend(Self::extended(view));
        }
        let mut out = b"FMR\x00030\0".to_vec();
        out.extend((body.len() as u32 + 12).to_be_bytes());
        out.extend(body);
        out
    }

    fn xyt(&self) -> Vec<u8> {
        let line = |p: &Point| format!("{} {} {} {}\n", p.x, self.height - p.y, (p.degrees + 180) % 360, p.quality);
        self.views[0].points.iter().map(line).collect::<String>().into_bytes()
    }

    fn json(&self) -> Vec<u8> {
        let point = |p: &Point| {
            let kind = ["other", "ending", "bifurcation"][usize::from(p.kind)];
            format!(
                r#"{{"x": {}, "y": {}.0, "angle": {}, "kind": "{kind}", "quality": {}}}"#,
                p.x, p.y, p.degrees, p.quality
            )
        };
        let view = |v: &View| {
            format!(
                r#"{{"format": "duynhat-finger-1", "position": {}, "impression_type": {}, "quality": {}, "width": {},
                    "height": {}, "resolution": {}, "extractor": "mindtct", "minutiae": [{}]}}"#,
                v.position,
                v.impression,
                v.quality,
                self.width,
                self.height,
                self.px_cm,
                v.points.iter().map(point).collect::<Vec<_>>().join(", ")
            )
        };
        format!("[{}]", self.views.iter().map(view).collect::<Vec<_>>().join(",\n")).into_bytes()
    }
}
