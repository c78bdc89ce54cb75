//! Probes prepared for the kernels: codes, and for every prefix what the bound needs.

use super::FaceError;
use super::basis::{Basis, BasisId};
use super::encode::{Quantised, Rotator, scale8};
use super::layout::{FaceBlock, STEP};
use crate::kernel::Isa;
use crate::kernel::dot_f32;
use crate::kernel::dot_i8::{GROUP_STEP, PROBES, ROWS, TILE_STEP, narrow_pays};

/// What the exact arithmetic of the proof does not see: rounding of the normalised values, of the rotation, of the
/// bound itself and of the final score. The sum of those is below 3e-7.
const SLACK: f64 = 1e-6;

/// A probe's side of the bound at one step. A reference with figures *s*, *e*, *r*, *m* and integer product *D* may reach
/// the threshold *T* only if `s scale D + e error + r rest + m code_error >= T - base`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    pub scale: f64,
    pub error: f64,
    pub rest: f64,
    pub code_error: f64,
    pub base: f64,
    /// Sum of the probe's codes over the prefix.
    pub sum: i32,
}

/// One probe, prepared for blocks of one basis.
#[derive(Clone)]
pub struct FaceProbe {
    basis: BasisId,
    /// As given, followed by zeros up to a multiple of 16.
    pub(super) values: Vec<f32>,
    pub(super) norm_sq: f64,
    pub(super) codes8: Vec<i8>,
    pub(super) terms8: Vec<Terms>,
    pub(super) codes4: Vec<i8>,
    pub(super) terms4: Vec<Terms>,
    /// Where they pay.
    narrow: Option<(Vec<i8>, Vec<Terms>)>,
}

impl FaceProbe {
    /// Prepares an embedding; it need not be normalised.
    ///
    /// # Errors
    /// Another dimension than the basis', a value that is not finite, a norm out of `1e-15..=1e15`.
    pub fn new(isa: Isa, basis: &Basis, values: &[f32]) -> Result<Self, FaceError> {
        let mut rotator = Rotator::new(basis);
        rotator.rotate(isa, basis, &[values])?;
        Ok(Self::from_rotated(isa, basis, values, rotator.row(0)))
    }

    /// Prepares many at once, which costs less each.
    ///
    /// # Errors
    /// As [`FaceProbe::new`].
    pub fn new_all(isa: Isa, basis: &Basis, probes: &[&[f32]]) -> Result<Vec<Self>, FaceError> {
        let mut rotator = Rotator::new(basis);
        let mut all = Vec::with_capacity(probes.len());
        for chunk in probes.chunks(ROWS) {
            rotator.rotate(isa, basis, chunk)?;
            all.extend(chunk.iter().enumerate().map(|(r, v)| Self::from_rotated(isa, basis, v, rotator.row(r))));
        }
        Ok(all)
    }

    fn from_rotated(isa: Isa, basis: &Basis, values: &[f32], row: &[f64]) -> Self {
        let mut padded = values.to_vec();
        padded.resize(values.len().next_multiple_of(16), 0.0);
        let norm_sq = dot_f32::products(isa, &padded, &padded).1;
        let slack = slack(basis);
        let reach = 1.0 + slack;

        let mut q = Quantised::new(basis.padded());
        q.int8(row, scale8(row));
        let terms8 = terms_of(&q, reach, slack);
        let codes8 = std::mem::replace(&mut q.codes, vec![0; basis.padded()]);
        let narrow = narrow_pays(isa).then(|| {
            q.narrow(isa, row);
            let terms = terms_of(&q, reach, slack);
            (std::mem::replace(&mut q.codes, vec![0; basis.padded()]), terms)
        });

        let energies: Vec<f64> = q.code_norms.iter().zip(&q.errors).map(|(c, e)| c + e).collect();
        let rests = q.rests.clone();
        // The reference's weights are folded into the probe, which is then quantised to int8 like any other.
        let weighted: Vec<f64> = row.iter().zip(basis.weights()).map(|(y, &w)| y * f64::from(w)).collect();
        q.int8(&weighted, scale8(&weighted));
        let sums = prefix_sums(&q.codes);
        let terms4 = (0..q.errors.len())
            .map(|step| Terms {
                scale: f64::from(q.scale),
                error: energies[step],
                rest: rests[step],
                code_error: q.errors[step],
                base: slack,
                sum: sums[step],
            })
            .collect();
        let mut codes4 = q.codes;
        // Whole steps, as the reference's codes: what follows the last dimension counts nothing.
        codes4.resize(codes4.len().next_multiple_of(STEP), 0);
        Self { basis: basis.id(), values: padded, norm_sq, codes8, terms8, codes4, terms4, narrow }
    }

    /// What the probe was prepared with.
    pub fn basis(&self) -> BasisId {
        self.basis
    }
}

/// Never prints values: a template is sensitive personal data.
impl std::fmt::Debug for FaceProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaceProbe").field("codes", &self.codes8.len()).finish_non_exhaustive()
    }
}

/// A probe's side of the bound for int8 codes, step by step.
fn terms_of(q: &Quantised, reach: f64, slack: f64) -> Vec<Terms> {
    let sums = prefix_sums(&q.codes);
    (0..q.errors.len())
        .map(|step| Terms {
            scale: f64::from(q.scale),
            // |q_K| <= |codes| + |error|, and the product of both errors.
            error: q.code_norms[step] + 2.0 * q.errors[step],
            rest: q.rests[step],
            code_error: 0.0,
            base: q.errors[step] * reach + slack,
            sum: sums[step],
        })
        .collect()
}

/// The part of the bound that is the same for every pair.
fn slack(basis: &Basis) -> f64 {
    SLACK + basis.deviation() * (1.0 + 1e-6)
}

/// Sums of the codes over each prefix.
fn prefix_sums(codes: &[i8]) -> Vec<i32> {
    let mut sum = 0;
    codes
        .chunks(STEP)
        .map(|part| {
            sum += part.iter().map(|&c| i32::from(c)).sum::<i32>();
            sum
        })
        .collect()
}

/// What the first filter needs of the probes of a batch, figure by figure, so that the compiler makes vectors of it. Lanes
/// without a probe hold a base that no threshold comes near.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    pub base: Vec<f64>,
    pub error: Vec<f64>,
    pub rest: Vec<f64>,
    /// 1 / scale.
    pub reciprocal: Vec<f64>,
    pub sums: Vec<i32>,
}

impl Columns {
    /// Room for six probes more.
    fn grow(&mut self) {
        let length = self.base.len() + PROBES;
        self.base.resize(length, -1e9);
        self.error.resize(length, 0.0);
        self.rest.resize(length, 0.0);
        self.reciprocal.resize(length, 1e9);
        self.sums.resize(length, 0);
    }

    fn set(&mut self, probe: usize, terms: &Terms) {
        self.base[probe] = terms.base;
        self.error[probe] = terms.error;
        self.rest[probe] = terms.rest;
        self.reciprocal[probe] = 1.0 / terms.scale;
        self.sums[probe] = terms.sum;
    }
}

/// Probes' codes of one width, packed for the kernel, and what the filters need.
pub(super) struct Packed {
    padded: usize,
    count: usize,
    /// Six by six, in the order of [`crate::kernel::dot_i8`]; the last group is filled up with zeros.
    codes: Vec<i8>,
    /// Step by step, then probe by probe.
    pub(super) terms: Vec<Vec<Terms>>,
    /// The same for the first filter, up to whole groups of six.
    pub(super) columns: Vec<Columns>,
}

impl Packed {
    fn empty(padded: usize) -> Self {
        let steps = padded.div_ceil(STEP);
        let columns = vec![Columns::default(); steps];
        Self { padded, count: 0, codes: Vec::new(), terms: vec![Vec::new(); steps], columns }
    }

    fn push(&mut self, codes: &[i8], terms: &[Terms]) {
        let group_length = self.padded / 4 * GROUP_STEP;
        if self.count.is_multiple_of(PROBES) {
            self.codes.resize(self.codes.len() + group_length, 0);
        }
        let (group, p) = (self.count / PROBES, self.count % PROBES);
        let group = &mut self.codes[group * group_length..];
        for (part, four) in group.chunks_exact_mut(GROUP_STEP).zip(codes.as_chunks::<4>().0) {
            part[p * 4..p * 4 + 4].copy_from_slice(four);
        }
        for ((all, columns), &terms) in self.terms.iter_mut().zip(&mut self.columns).zip(terms) {
            all.push(terms);
            if p == 0 {
                columns.grow();
            }
            columns.set(self.count, &terms);
        }
        self.count += 1;
    }

    /// A group's codes over the first `prefix` dimensions.
    pub(super) fn group(&self, group: usize, prefix: usize) -> &[i8] {
        &self.codes[group * (self.padded / 4 * GROUP_STEP)..][..prefix / 4 * GROUP_STEP]
    }
}

/// Many probes packed for [`super::search_block`].
pub struct ProbeBatch<'a> {
    pub(super) basis: BasisId,
    count: usize,
    pub(super) wide: Packed,
    narrow: Packed,
    pub(super) values: Vec<(&'a [f32], f64)>,
}

impl<'a> ProbeBatch<'a> {
    /// Packs probes; about a thousand at a time keep a core's cache busy with the codes alone.
    ///
    /// # Errors
    /// [`FaceError::OtherBasis`] when they were not all prepared with this basis.
    pub fn new(basis: &Basis, probes: impl IntoIterator<Item = &'a FaceProbe>) -> Result<Self, FaceError> {
        let mut batch = Self::empty(basis);
        for probe in probes {
            if probe.basis != basis.id() {
                return Err(FaceError::OtherBasis);
            }
            batch.push(&probe.codes8, &probe.terms8, (&probe.values, probe.norm_sq));
            if let Some((codes, terms)) = &probe.narrow {
                batch.narrow.push(codes, terms);
            }
        }
        Ok(batch)
    }

    /// The references of a block as probes, from their stored codes, for all against all.
    ///
    /// # Errors
    /// [`FaceError::OtherBasis`].
    pub fn from_blocks(isa: Isa, basis: &Basis, blocks: &[FaceBlock<'a>]) -> Result<Self, FaceError> {
        let mut batch = Self::empty(basis);
        let slack = slack(basis);
        let mut codes = vec![0i8; basis.padded()];
        let mut terms = vec![Terms::default(); basis.padded().div_ceil(STEP)];
        let (mut row, mut narrow) = (vec![0f64; basis.padded()], Quantised::new(basis.padded()));
        for block in blocks {
            if block.basis != basis.id() {
                return Err(FaceError::OtherBasis);
            }
            let last = terms.len() - 1;
            for entry in 0..block.rows() {
                let tile = block.plane8.codes8(entry / ROWS, last);
                for (four, part) in codes.as_chunks_mut::<4>().0.iter_mut().zip(tile.chunks_exact(TILE_STEP)) {
                    for (d, code) in four.iter_mut().enumerate() {
                        *code = (part[entry % ROWS * 4 + d] ^ 0x80) as i8;
                    }
                }
                let sums = prefix_sums(&codes);
                let mut squares = 0i64;
                for (step, part) in codes.chunks(STEP).enumerate() {
                    squares += part.iter().map(|&c| i64::from(c) * i64::from(c)).sum::<i64>();
                    let figures = block.plane8.figures(entry, step);
                    let code_norm = (squares as f64).sqrt() * figures.scale * (1.0 + 1e-12);
                    terms[step] = Terms {
                        scale: figures.scale,
                        error: code_norm + 2.0 * figures.error,
                        rest: figures.rest,
                        code_error: 0.0,
                        base: figures.error * (1.0 + slack) + slack,
                        sum: sums[step],
                    };
                }
                let values = block.originals.row(entry);
                batch.push(&codes, &terms, (values, dot_f32::products(isa, values, values).1));
                if narrow_pays(isa) {
                    let scale = block.plane8.figures(entry, last).scale;
                    for (value, &code) in row.iter_mut().zip(&codes) {
                        *value = scale * f64::from(code);
                    }
                    narrow.narrow(isa, &row);
                    for (step, error) in narrow.errors.iter_mut().enumerate() {
                        let figures = block.plane8.figures(entry, step);
                        // What the stored codes leave out, and what the narrow ones leave out of those.
                        *error += figures.error;
                        narrow.rests[step] = figures.rest;
                    }
                    batch.narrow.push(&narrow.codes, &terms_of(&narrow, 1.0 + slack, slack));
                }
            }
        }
        Ok(batch)
    }

    fn empty(basis: &Basis) -> Self {
        let padded = basis.padded();
        Self {
            basis: basis.id(),
            count: 0,
            wide: Packed::empty(padded),
            narrow: Packed::empty(padded),
            values: Vec::new(),
        }
    }

    fn push(&mut self, codes: &[i8], terms: &[Terms], values: (&'a [f32], f64)) {
        self.wide.push(codes, terms);
        self.values.push(values);
        self.count += 1;
    }

    /// The narrow codes, when every probe has them.
    pub(super) fn narrow(&self) -> Option<&Packed> {
        (self.narrow.count == self.count).then_some(&self.narrow)
    }

    /// Probes.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}
