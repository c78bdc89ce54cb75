//! Seeded prints for the screen bench.

use duynhat_engine::finger::{Code, FingerFeatures};
use duynhat_engine::template::Minutia;

use crate::faces::Random;

/// Independent directions behind a code: their number sets how far the distances of unrelated codes spread.
const LATENT: usize = 60;

/// Makes unrelated prints.
pub struct Prints {
    random: Random,
    planes: Vec<[f32; LATENT]>,
}

impl Prints {
    /// The prints of a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let planes = (0..256).map(|_| std::array::from_fn(|_| random.normals().0)).collect();
        Self { random, planes }
    }

    /// A print of `minutiae` minutiae, 30 % more or fewer.
    #[allow(clippy::should_implement_trait, reason = "there is always another one")]
    pub fn next(&mut self, minutiae: usize) -> FingerFeatures {
        let spread = (minutiae * 6 / 10).max(1) as u64;
        let count = minutiae * 7 / 10 + (self.random.bits() % (spread + 1)) as usize;
        let (minutiae, codes) = (0..count).map(|_| (self.minutia(), self.code())).unzip();
        FingerFeatures::new(minutiae, codes)
    }

    fn minutia(&mut self) -> Minutia {
        let bits = self.random.bits();
        Minutia {
            x: (bits & 1023) as u16,
            y: (bits >> 10 & 1023) as u16,
            angle: (bits >> 32) as u16,
            kind_code: (1 + (bits >> 48) % 2) as u8,
            quality: 50,
        }
    }

    fn code(&mut self) -> Code {
        let latent: [f32; LATENT] = std::array::from_fn(|_| self.random.normals().0);
        let mut code = [0; 4];
        for (bit, plane) in self.planes.iter().enumerate() {
            let side: f32 = plane.iter().zip(&latent).map(|(a, b)| a * b).sum();
            code[bit / 64] |= u64::from(side > 0.0) << (bit % 64);
        }
        code
    }
}
