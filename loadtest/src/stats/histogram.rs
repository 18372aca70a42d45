//! Latency histograms: 1 µs to 60 s with three significant digits, of constant size.

use std::{io::Read, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::read::ZlibDecoder;
use hdrhistogram::{
    Histogram,
    serialization::{DeserializeError, Deserializer, Serializer, V2DeflateSerializer},
};

use crate::results::{Latency, PercentilePoint};

/// Largest latency that is told apart; longer ones count as this.
pub const HIGHEST_US: u64 = 60_000_000;

/// What the V2 form begins with; a length follows.
const PLAIN: [u8; 4] = [0x1c, 0x84, 0x93, 0x13];
/// What the compressed form begins with.
const COMPRESSED: [u8; 4] = [0x1c, 0x84, 0x93, 0x14];
/// No distribution of latencies is larger: 17 thousand counts of 9 bytes at most.
const MOST_BYTES: usize = 256 << 10;

/// A distribution of latencies in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyHistogram(Histogram<u64>);

/// A text is no histogram of latencies.
#[derive(Debug, thiserror::Error)]
pub enum HistogramError {
    /// It is not base64.
    #[error("the histogram is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// It is not HdrHistogram's V2 form, with or without compression.
    #[error("the histogram is not in HdrHistogram's V2 form: {0}")]
    Form(#[from] hdrhistogram::serialization::DeserializeError),
    /// Nothing that could be one is so large.
    #[error("the histogram is larger than {MOST_BYTES} bytes, or says that it is")]
    Size,
    /// It has values beyond [`HIGHEST_US`].
    #[error("the histogram is none of latencies up to {HIGHEST_US} µs: {0}")]
    Range(#[from] hdrhistogram::AdditionError),
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl LatencyHistogram {
    /// An empty distribution.
    #[must_use]
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, HIGHEST_US, 3).expect("the bounds are valid constants"))
    }

    /// Adds one latency.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(micros(latency));
    }

    /// Adds all that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("histograms with the same bounds can be added");
    }

    /// Values in the distribution.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency in µs that the share `quantile` (0 to 1) of the values does not exceed; 0 when
    /// there is none.
    #[must_use]
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        if self.0.is_empty() {
            return 0.0;
        }
        self.0.value_at_quantile(quantile) as f64
    }

    /// HdrHistogram's V2 form with compression, as base64: what its interval logs have, and what its
    /// tools in other languages read.
    #[must_use]
    pub fn to_v2(&self) -> String {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.0, &mut bytes)
            .expect("counts are below 2⁶³ and a vector takes what is written");
        BASE64_STANDARD.encode(bytes)
    }

    /// Reads what [`Self::to_v2`] wrote; nothing is lost on the way.
    ///
    /// # Errors
    ///
    /// The text is not base64, not a histogram, or has values that no latency has here.
    pub fn from_v2(text: &str) -> Result<Self, HistogramError> {
        let bytes = unpacked(BASE64_STANDARD.decode(text)?)?;
        let read: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice())?;
        let mut histogram = Self::new();
        histogram.0.add(read)?;
        Ok(histogram)
    }

    /// The figures of a report; with points for a plot when `plot` is set.
    #[must_use]
    pub fn summary(&self, plot: bool) -> Latency {
        if self.0.is_empty() {
            return Latency::default();
        }
        Latency {
            count: self.0.len(),
            mean_us: self.0.mean(),
            p50_us: self.quantile_us(0.5),
            p90_us: self.quantile_us(0.9),
            p99_us: self.quantile_us(0.99),
            p99_9_us: self.quantile_us(0.999),
            max_us: self.0.max() as f64,
            percentiles: if plot { self.points() } else { Vec::new() },
        }
    }

    /// Denser toward the tail, as far as there are values to support it.
    fn points(&self) -> Vec<PercentilePoint> {
        self.0
            .iter_quantiles(5)
            .map(|step| PercentilePoint {
                percentile: step.quantile_iterated_to() * 100.0,
                latency_us: step.value_iterated_to() as f64,
            })
            .collect()
    }
}

/// The plain V2 form, whose length is what it says: the library believes it, and makes room for it.
fn unpacked(bytes: Vec<u8>) -> Result<Vec<u8>, HistogramError> {
    let mut plain = bytes;
    if plain.starts_with(&COMPRESSED) {
        let mut whole = Vec::new();
        let packed = plain.get(8..).unwrap_or_default();
        let mut reader = ZlibDecoder::new(packed).take(MOST_BYTES as u64 + 1);
        let read = reader.read_to_end(&mut whole);
        read.map_err(DeserializeError::IoError)?;
        plain = whole;
    }
    let said = plain.strip_prefix(&PLAIN);
    let said = said.and_then(|rest| rest.first_chunk().copied());
    let said = said.map_or(0, u32::from_be_bytes) as usize;
    match plain.len() > MOST_BYTES || said > plain.len() {
        true => Err(HistogramError::Size),
        false => Ok(plain),
    }
}

/// Microseconds, rounded up: a latency below one microsecond is not none.
pub(crate) fn micros(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn quantiles_are_within_the_promised_precision() {
        let mut histogram = LatencyHistogram::new();
        for us in 1..=10_000u64 {
            histogram.record(Duration::from_micros(us));
        }
        for (quantile, truth) in [(0.5, 5_000.0), (0.9, 9_000.0), (0.99, 9_900.0)] {
            let found = histogram.quantile_us(quantile);
            assert!((found / truth - 1.0).abs() < 0.001, "{found} for {truth}");
        }
    }

    #[test]
    fn a_latency_beyond_the_range_counts_as_the_longest() {
        let mut histogram = LatencyHistogram::new();
        histogram.record(Duration::from_secs(3_600));
        assert_eq!(histogram.count(), 1);
        assert!(histogram.quantile_us(1.0) >= 60_000_000.0);
    }

    #[test]
    fn parts_that_were_written_and_read_are_the_whole_when_they_are_merged() {
        let mut whole = LatencyHistogram::new();
        let mut parts = [LatencyHistogram::new(), LatencyHistogram::new()];
        for us in (1..80_000_000u64).step_by(99_991) {
            let latency = Duration::from_micros(us);
            whole.record(latency);
            parts[(us % 2) as usize].record(latency);
        }
        let mut merged = LatencyHistogram::new();
        for part in parts {
            merged.merge(&LatencyHistogram::from_v2(&part.to_v2()).unwrap());
        }
        assert_eq!(merged, whole);
        assert_eq!(merged.summary(true), whole.summary(true));
        // The begin of every compressed V2 histogram in base64, in whatever language.
        assert!(whole.to_v2().starts_with("HISTFAAA"));
    }

    #[test]
    fn a_text_that_is_no_histogram_is_refused() {
        use HistogramError::{Base64, Form, Range};
        let refused = |text: &str| LatencyHistogram::from_v2(text).unwrap_err();
        assert!(matches!(refused("?"), Base64(_)));
        assert!(matches!(refused("c3RhdGV3aXNl"), Form(_)));
        let mut wide = Histogram::<u64>::new(3).unwrap();
        wide.record(1 << 40).unwrap();
        let mut bytes = Vec::new();
        let mut serializer = V2DeflateSerializer::new();
        serializer.serialize(&wide, &mut bytes).unwrap();
        assert!(matches!(refused(&BASE64_STANDARD.encode(bytes)), Range(_)));
    }

    #[test]
    fn a_histogram_that_is_or_says_to_be_larger_than_any_is_takes_no_memory() {
        let refused = |bytes: &[u8]| {
            let text = BASE64_STANDARD.encode(bytes);
            LatencyHistogram::from_v2(&text).unwrap_err()
        };
        let packed = |plain: &[u8]| {
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            zlib.write_all(plain).unwrap();
            let zlib = zlib.finish().unwrap();
            [&COMPRESSED[..], &(zlib.len() as u32).to_be_bytes(), &zlib].concat()
        };
        // A head without its 4 GiB.
        let mut head = PLAIN.to_vec();
        head.extend(u32::MAX.to_be_bytes());
        head.extend([0; 32]);
        assert!(matches!(refused(&head), HistogramError::Size));
        assert!(matches!(refused(&packed(&head)), HistogramError::Size));
        // 100 MB of nothing in 100 kB.
        let bomb = packed(&vec![0; 100 << 20]);
        assert!(matches!(refused(&bomb), HistogramError::Size));
        // Cut off anywhere, or with any byte another, it may be a histogram, and is no reason to panic.
        let mut histogram = LatencyHistogram::new();
        histogram.record(Duration::from_millis(3));
        let whole = BASE64_STANDARD.decode(histogram.to_v2()).unwrap();
        for length in 0..whole.len() {
            let _ = LatencyHistogram::from_v2(&BASE64_STANDARD.encode(&whole[..length]));
        }
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 0x55;
            let _ = LatencyHistogram::from_v2(&BASE64_STANDARD.encode(changed));
        }
    }

    #[test]
    fn an_empty_distribution_has_no_latency() {
        assert_eq!(LatencyHistogram::new().summary(true), Latency::default());
    }
}
