//! How long something takes: a constant or a distribution.

use std::{f64::consts::TAU, time::Duration};

use serde_json::Value;

use super::{
    draw::Draw,
    fields::{Fields, Read, duration},
};

/// No drawn time is longer.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// `"800ms"`, `{"uniform": ["1ms", "2ms"]}`, `{"normal": ["800ms", "200ms"]}` (mean and standard
/// deviation, cut at 0), or `{"pareto": ["10ms", 1.5]}` (scale and shape).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Dist {
    Constant(Duration),
    Uniform(Duration, Duration),
    Normal(Duration, Duration),
    Pareto(Duration, f64),
}

impl Dist {
    pub(super) fn read(path: &str, value: &Value) -> Read<Self> {
        if value.is_string() {
            return limited(path, value).map(Self::Constant);
        }
        let fields = Fields::new(path, value, &["uniform", "normal", "pareto"])?;
        let read = [
            fields.optional("uniform", uniform)?,
            fields.optional("normal", normal)?,
            fields.optional("pareto", pareto)?,
        ];
        match read.into_iter().flatten().collect::<Vec<_>>()[..] {
            [one] => Ok(one),
            _ => Err(format!(
                "`{path}` must be a time such as \"800ms\", or one of uniform, normal, pareto"
            )),
        }
    }

    /// The time of that draw; it is always the same.
    pub(super) fn draw(self, draw: Draw) -> Duration {
        let (a, b) = (draw.unit(1), draw.unit(2));
        let seconds = match self {
            Self::Constant(time) => return time,
            Self::Uniform(low, high) => {
                low.as_secs_f64() + a * (high.as_secs_f64() - low.as_secs_f64())
            }
            // Box and Muller (1958); 1 - a is never 0.
            Self::Normal(mean, sd) => {
                let standard = (-2.0 * (1.0 - a).ln()).sqrt() * (TAU * b).cos();
                mean.as_secs_f64() + sd.as_secs_f64() * standard
            }
            Self::Pareto(scale, shape) => scale.as_secs_f64() * (1.0 - a).powf(-1.0 / shape),
        };
        Duration::from_secs_f64(seconds.clamp(0.0, LONGEST.as_secs_f64()))
    }
}

/// A time of at most [`LONGEST`].
fn limited(path: &str, value: &Value) -> Read<Duration> {
    let time = duration(path, value)?;
    if time > LONGEST {
        return Err(format!("`{path}` must be at most 60s"));
    }
    Ok(time)
}

fn pair<'a>(path: &str, value: &'a Value, what: &str) -> Read<(&'a Value, &'a Value)> {
    match value.as_array().map(Vec::as_slice) {
        Some([first, second]) => Ok((first, second)),
        _ => Err(format!("`{path}` must be a list of {what}")),
    }
}

fn uniform(path: &str, value: &Value) -> Read<Dist> {
    let (low, high) = pair(path, value, "the shortest and the longest time")?;
    let (low, high) = (limited(path, low)?, limited(path, high)?);
    if low > high {
        return Err(format!("`{path}` must name the shorter time first"));
    }
    Ok(Dist::Uniform(low, high))
}

fn normal(path: &str, value: &Value) -> Read<Dist> {
    let (mean, sd) = pair(path, value, "mean and standard deviation")?;
    Ok(Dist::Normal(limited(path, mean)?, limited(path, sd)?))
}

fn pareto(path: &str, value: &Value) -> Read<Dist> {
    let (scale, shape) = pair(path, value, "scale and shape, such as [\"10ms\", 1.5]")?;
    let scale = limited(path, scale)?;
    let shape = shape.as_f64().filter(|shape| *shape > 0.0);
    let shape = shape.ok_or_else(|| format!("`{path}`: the shape must be more than 0"))?;
    Ok(Dist::Pareto(scale, shape))
}

/// A time that takes some: for what stands for work.
pub(super) fn some_time(path: &str, value: &Value) -> Read<Dist> {
    match Dist::read(path, value)? {
        Dist::Constant(Duration::ZERO) => Err(format!("`{path}` must be more than 0")),
        dist => Ok(dist),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::draw::Of, *};

    fn read(value: Value) -> Read<Dist> {
        Dist::read("time", &value)
    }

    fn draws(dist: Dist) -> Vec<f64> {
        let draw = |n: u32| {
            Draw::new(Of {
                seed: 5,
                fault: "f",
                request_id: &format!("r{n}"),
                link: "a-b",
                method: "M",
                attempt: 1,
            })
        };
        (0..40_000)
            .map(|n| dist.draw(draw(n)).as_secs_f64())
            .collect()
    }

    fn mean_and_sd(values: &[f64]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, variance.sqrt())
    }

    #[test]
    fn times_follow_their_distribution() {
        let constant = draws(read(json!("800ms")).unwrap());
        assert!(constant.iter().all(|time| (time - 0.8).abs() < 1e-9));
        let uniform = draws(read(json!({"uniform": ["1s", "3s"]})).unwrap());
        let (mean, sd) = mean_and_sd(&uniform);
        assert!((mean - 2.0).abs() < 4.0 * 0.577 / 200.0, "{mean}");
        assert!((sd - 1.0 / 3_f64.sqrt()).abs() < 0.01, "{sd}");
        let normal = draws(read(json!({"normal": ["800ms", "200ms"]})).unwrap());
        let (mean, sd) = mean_and_sd(&normal);
        assert!((mean - 0.8).abs() < 4.0 * 0.2 / 200.0, "{mean}");
        assert!((sd - 0.2).abs() < 0.005, "{sd}");
    }

    #[test]
    fn pareto_has_its_median_and_its_tail() {
        let mut times = draws(read(json!({"pareto": ["10ms", 1.5]})).unwrap());
        times.sort_by(f64::total_cmp);
        assert!(times[0] >= 0.01);
        // F(x) = 1 - (scale / x)^shape
        for (share, tolerance) in [(0.5, 0.03), (0.99, 0.1)] {
            let expected = 0.01 * (1.0_f64 - share).powf(-1.0 / 1.5);
            let measured = times[(share * times.len() as f64) as usize];
            assert!(
                (measured / expected - 1.0).abs() < tolerance,
                "{share}: {measured}, {expected}"
            );
        }
        let heavy = draws(read(json!({"pareto": ["10s", 0.1]})).unwrap());
        assert!(heavy.iter().all(|time| *time <= 60.0), "capped");
        let low = draws(read(json!({"normal": ["1ms", "1s"]})).unwrap());
        assert!(low.contains(&0.0), "cut at 0");
    }

    #[test]
    fn what_is_no_distribution_is_named() {
        for (wrong, told) in [
            (json!("800"), "`time`"),
            (json!("2m"), "60s"),
            (json!(7), "`time`"),
            (json!({"unifrom": ["1ms", "2ms"]}), "did you mean `uniform`"),
            (json!({"uniform": ["2ms", "1ms"]}), "shorter time first"),
            (json!({"uniform": ["2ms"]}), "time.uniform"),
            (json!({"pareto": ["1ms", 0]}), "shape"),
            (
                json!({"normal": ["1ms", "1ms"], "uniform": ["1ms", "1ms"]}),
                "one of",
            ),
            (json!({}), "one of"),
        ] {
            let error = read(wrong.clone()).unwrap_err();
            assert!(error.contains(told), "{wrong}: {error}");
        }
    }
}
