//! The fate of a request: a pure function of the fault's seed and of who asks for what. So paired
//! arms meet the same fate request by request, and a run can be repeated.

/// Numbers that belong to one fault and one attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw(u64);

/// What a draw depends on, and nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of<'a> {
    pub(super) seed: u64,
    pub(super) fault: &'a str,
    pub(super) request_id: &'a str,
    pub(super) link: &'a str,
    pub(super) method: &'a str,
    pub(super) attempt: u32,
}

impl Draw {
    pub(super) fn new(of: Of<'_>) -> Self {
        let texts = [of.fault, of.request_id, of.link, of.method];
        let state = texts.into_iter().fold(mix(of.seed), absorb);
        Self(mix(state ^ u64::from(of.attempt)))
    }

    /// Whether it is one of the victims. The same number is held against every share, so a larger
    /// share only adds victims.
    pub(super) fn acts(self, share: f64) -> bool {
        self.unit(0) < share
    }

    /// The `n`th number of this draw, in [0, 1).
    pub(super) fn unit(self, n: u64) -> f64 {
        let bits = mix(self.0 ^ mix(n.wrapping_add(0x6a09_e667_f3bc_c908))) >> 11;
        // 53 bits: exact in a double.
        bits as f64 / (1_u64 << 53) as f64
    }
}

/// Takes in a text word by word, then its length, so that no two lists of texts run together.
fn absorb(state: u64, text: &str) -> u64 {
    let words = text.as_bytes().chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    let state = words.fold(state, |state, word| mix(state ^ word));
    mix(state ^ text.len() as u64 ^ 0xa5a5_5a5a_a5a5_5a5a)
}

/// SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA 2014): one-to-one on 64 bits.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draw(seed: u64, request_id: &str, attempt: u32) -> Draw {
        Draw::new(Of {
            seed,
            fault: "flaky",
            request_id,
            link: "order-product",
            method: "GetProducts",
            attempt,
        })
    }

    /// Four standard deviations of a binomial share.
    fn within(n: f64, share: f64) -> f64 {
        4.0 * (share * (1.0 - share) / n).sqrt()
    }

    proptest! {
        #[test]
        fn the_same_inputs_give_the_same_fate(seed: u64, id in "[ -~]{0,40}", attempt in 1u32..9) {
            let (a, b) = (draw(seed, &id, attempt), draw(seed, &id, attempt));
            for n in 0..4 {
                prop_assert_eq!(a.unit(n), b.unit(n));
                prop_assert!((0.0..1.0).contains(&a.unit(n)));
            }
        }

        #[test]
        fn a_larger_share_only_adds_victims(seed: u64, id in "[ -~]{0,40}", a in 0.0..1.0f64, b in 0.0..1.0f64) {
            let draw = draw(seed, &id, 1);
            let (small, large) = (a.min(b), a.max(b));
            prop_assert!(!draw.acts(small) || draw.acts(large));
            prop_assert!(draw.acts(1.0));
        }

        #[test]
        fn every_input_counts(seed: u64, id in "[a-z0-9-]{1,30}") {
            let base = Of { seed, fault: "f", request_id: &id, link: "a-b", method: "M", attempt: 1 };
            let longer = format!("{id}x");
            for other in [
                Of { seed: seed ^ 1, ..base },
                Of { fault: "g", ..base },
                Of { request_id: &longer, ..base },
                Of { link: "a-c", ..base },
                Of { method: "N", ..base },
                Of { attempt: 2, ..base },
                Of { link: "a-", method: "bM", ..base },
            ] {
                prop_assert_ne!(Draw::new(base).unit(0), Draw::new(other).unit(0), "{:?}", other);
            }
        }

        #[test]
        fn shares_come_out_right(seed: u64, share in 0.01..0.99f64) {
            let n = 4_000;
            let acted = (0..n).filter(|n| draw(seed, &format!("r-{n}"), 1).acts(share)).count();
            let measured = acted as f64 / f64::from(n);
            prop_assert!((measured - share).abs() < within(f64::from(n), share), "{measured} for {share}");
        }
    }

    #[test]
    fn attempts_of_one_request_fail_independently() {
        let n = 40_000;
        let both = (0..n)
            .filter(|n| {
                let id = format!("r-{n}");
                draw(1, &id, 1).acts(0.3) && draw(1, &id, 2).acts(0.3)
            })
            .count();
        let measured = both as f64 / f64::from(n);
        assert!(
            (measured - 0.09).abs() < within(f64::from(n), 0.09),
            "{measured}"
        );
    }

    #[test]
    fn whether_and_how_long_are_independent() {
        let n = 40_000;
        let slow = (0..n)
            .map(|n| draw(1, &format!("r-{n}"), 1))
            .filter(|draw| draw.acts(0.5) && draw.unit(1) < 0.5)
            .count();
        let measured = slow as f64 / f64::from(n);
        assert!(
            (measured - 0.25).abs() < within(f64::from(n), 0.25),
            "{measured}"
        );
    }
}
