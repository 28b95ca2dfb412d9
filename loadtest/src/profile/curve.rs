//! Rates as straight lines, the area under them, and its inverse.
//!
//! A Poisson process with any rate λ(t) is one of rate 1 whose clock runs by the area
//! Λ(t) = ∫λ: its arrivals are at Λ⁻¹ of sums of exponential gaps (Çinlar, "Introduction to
//! Stochastic Processes", 1975, chapter 4.7). Constant arrivals are at Λ⁻¹ of 0, 1, 2, … Both are
//! exact, since the inverse of a straight line's area is the root of a quadratic.

/// Rates over the seconds of a load.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    pieces: Vec<Piece>,
    end: f64,
}

/// A straight line.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Where it begins, in seconds.
    at: f64,
    length: f64,
    first: f64,
    last: f64,
    /// The area under all pieces before it.
    before: f64,
}

impl Piece {
    fn area(&self) -> f64 {
        (self.first + self.last) / 2.0 * self.length
    }

    /// Seconds from its beginning up to which the area is `area`.
    fn inverse(&self, area: f64) -> f64 {
        let slope = (self.last - self.first) / self.length;
        let root = (self.first * self.first + 2.0 * area * slope)
            .max(0.0)
            .sqrt();
        // The form of the root that loses no digits when the line is nearly level.
        let below = self.first + root;
        if below > 0.0 { 2.0 * area / below } else { 0.0 }
    }
}

impl Curve {
    /// Nothing yet; what is added is cut at `end`.
    pub(crate) const fn up_to(end: f64) -> Self {
        Self {
            pieces: Vec::new(),
            end,
        }
    }

    /// Where it ends.
    pub(crate) const fn end(&self) -> f64 {
        self.end
    }

    /// Adds a level line up to `until`.
    pub(crate) fn hold(&mut self, rate: f64, until: f64) {
        self.slope(rate, rate, until);
    }

    /// Adds a line that would reach `to` at `until`.
    pub(crate) fn slope(&mut self, from: f64, to: f64, until: f64) {
        let at = self.pieces.last().map_or(0.0, |p| p.at + p.length);
        let cut = until.min(self.end);
        // Also when there is nothing to add, or no number to add.
        let valid = from.is_finite() && to.is_finite() && from >= 0.0 && to >= 0.0;
        if !valid || cut.partial_cmp(&at) != Some(std::cmp::Ordering::Greater) {
            return;
        }
        let share = if until.is_finite() {
            (cut - at) / (until - at)
        } else {
            0.0
        };
        let before = self.total();
        self.pieces.push(Piece {
            at,
            length: cut - at,
            first: from,
            last: from + (to - from) * share,
            before,
        });
    }

    /// The area under all of it: arrivals expected.
    pub(crate) fn total(&self) -> f64 {
        self.pieces.last().map_or(0.0, |p| p.before + p.area())
    }

    /// The latest second up to which the area is `area`; none if that is not before the end. The
    /// latest, so that an arrival that falls due with the last of a rate comes with the next one, and
    /// not before a silence but after it.
    pub(crate) fn when(&self, area: f64) -> Option<f64> {
        let passed = self.pieces.partition_point(|p| p.before + p.area() <= area);
        let piece = self.pieces.get(passed)?;
        let at = piece.at + piece.inverse(area - piece.before);
        (at < self.end).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_level_line_is_met_at_even_times_exactly() {
        let mut curve = Curve::up_to(30.0);
        curve.hold(20.0, f64::INFINITY);
        for k in 0..600_u32 {
            assert_eq!(curve.when(f64::from(k)), Some(f64::from(k) / 20.0));
        }
        assert_eq!(curve.when(600.0), None);
    }

    #[test]
    fn an_arrival_due_at_the_edge_of_a_silence_comes_after_it() {
        let mut curve = Curve::up_to(30.0);
        curve.hold(1.0, 10.0);
        curve.hold(0.0, 20.0);
        curve.hold(1.0, 30.0);
        assert_eq!(curve.when(9.5), Some(9.5));
        assert_eq!(curve.when(10.0), Some(20.0));
        let mut late = Curve::up_to(4.0);
        late.slope(0.0, 2.0, 2.0);
        assert_eq!(late.when(0.0), Some(0.0));
        assert!((late.when(1.0).unwrap() - 2.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(late.when(2.0), None, "no rate, no arrival");
    }

    proptest! {
        #[test]
        fn the_inverse_undoes_the_area(
            lines in prop::collection::vec((0.0_f64..500.0, 0.0_f64..500.0, 0.1_f64..20.0), 1..6),
            share in 0.0_f64..1.0,
        ) {
            let end: f64 = lines.iter().map(|(_, _, length)| length).sum();
            let mut curve = Curve::up_to(end);
            let mut until = 0.0;
            for (from, to, length) in &lines {
                until += length;
                curve.slope(*from, *to, until);
            }
            let area = curve.total() * share;
            let Some(at) = curve.when(area) else {
                prop_assert!(share > 0.999_999);
                return Ok(());
            };
            prop_assert!((0.0..end).contains(&at));
            // The area by hand, a thousand strips a line.
            let mut by_hand = 0.0;
            let mut begin = 0.0;
            for (from, to, length) in &lines {
                let strip = length / 1_000.0;
                for n in 0..1_000 {
                    let middle = (f64::from(n) + 0.5) * strip;
                    let width = (at - begin - f64::from(n) * strip).clamp(0.0, strip);
                    by_hand += width * (from + (to - from) * middle / length);
                }
                begin += length;
            }
            prop_assert!((by_hand - area).abs() <= 1e-3 * curve.total() + 1e-6, "{} {}", by_hand, area);
        }
    }
}
