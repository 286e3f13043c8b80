//! What the bank does about a sample that it did not expect, and how it forgets.

use super::filter::{CORE, Filter};
use super::{Bank, JUMP_MARGIN, MAX_RATE, Verdict};

impl Bank {
    /// What an outlier means: a jump of the clock is seen by most sources, a change of one path or server by that one only.
    pub(super) fn suspect(&mut self, member: usize, above: f64, delay: f64, secs: f64) -> Verdict {
        let sign = if above > 0.0 { 1 } else { -1 };
        let alone = self.paths.len() == 1;
        let path = &mut self.paths[member];
        path.outliers = if path.outliers * sign >= 0 { (path.outliers + sign).clamp(-8, 8) } else { sign };
        let twice = path.outliers.abs() >= 2;
        let agree = self.paths.iter().filter(|path| path.outliers * sign > 0).count();
        let (jump, change) = (above * above, above * above / (secs * secs));
        if alone && above.abs() > delay / 2.0 + JUMP_MARGIN {
            self.widen(jump, change.min(1e-10));
            Verdict::Jumped
        } else if twice && agree * 2 > self.paths.len() {
            self.paths.iter_mut().for_each(|path| path.outliers = 0);
            self.widen(0.5 * jump, 0.25 * change);
            Verdict::Taken
        } else if twice && self.biased {
            self.paths[member].outliers = 0;
            self.paths[member].shifted += jump;
            self.filters.iter_mut().for_each(|filter| filter.widen(CORE + member, jump));
            Verdict::Changed
        } else {
            Verdict::Suspected
        }
    }

    fn widen(&mut self, offset: f64, rate: f64) {
        for filter in &mut self.filters {
            filter.widen(0, offset);
            filter.widen(1, rate.min(MAX_RATE * MAX_RATE));
        }
    }

    /// `maxsamples`: what is older than that many samples fades away.
    pub(super) fn cut_memory(&mut self, z: f64) {
        let memory = self.memory();
        if memory == 0 {
            return;
        }
        if memory == 1 {
            let prior = self.prior;
            for filter in &mut self.filters {
                let noise = filter.cov[0];
                *filter = Filter::new(
                    filter.wander,
                    filter.trend,
                    filter.evidence,
                    [z, prior.0, 0.0],
                    [noise.sqrt(), prior.1, filter.trend.sd()],
                    &[],
                );
                (0..self.paths.len()).filter(|_| self.biased).for_each(|_| filter.insert(1e-18));
            }
            return;
        }
        let n = f64::from(memory);
        self.filters.iter_mut().for_each(|filter| filter.fade(n / (n - 1.0)));
    }
}
