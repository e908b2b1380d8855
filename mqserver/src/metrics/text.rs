//! The text that Prometheus reads: OpenMetrics 1.0, as the official library writes it.

use super::family::{Family, Kind, Value};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;

/// The content type of what [`write`] writes.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics with their values, as text.
pub(crate) fn write(families: Vec<Family>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families)));
    let mut text = String::with_capacity(16 << 10);
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for Family { name, help, kind, values } in &self.0 {
            let kind = match kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for (labels, value) in values {
                match labels.as_slice() {
                    [] => one(&mut metric, kind, value)?,
                    labels => one(&mut metric.encode_family(&labels)?, kind, value)?,
                }
            }
        }
        Ok(())
    }
}

fn one(metric: &mut MetricEncoder<'_>, kind: MetricType, value: &Value) -> fmt::Result {
    match (value, kind) {
        (Value::Whole(value), MetricType::Counter) => {
            metric.encode_counter::<NoLabelSet, u64, u64>(value, None)
        }
        (Value::Real(value), MetricType::Counter) => {
            metric.encode_counter::<NoLabelSet, f64, f64>(value, None)
        }
        // The library writes a gauge as a signed number.
        (Value::Whole(value), _) => metric.encode_gauge(&i64::try_from(*value).unwrap_or(i64::MAX)),
        (Value::Real(value), _) => metric.encode_gauge(value),
        (Value::Sizes(sizes, per_unit), _) => {
            // Its word for no bound is the largest number.
            let bound = |bound: Option<u64>| bound.map_or(f64::MAX, |at| at as f64 / per_unit);
            let buckets: Vec<_> =
                sizes.buckets().map(|(upper, count)| (bound(upper), count)).collect();
            let sum = sizes.sum() as f64 / per_unit;
            metric.encode_histogram::<NoLabelSet>(sum, sizes.count(), &buckets, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::family::NANOS;
    use super::*;
    use mqlib::histogram::Histogram;

    #[test]
    fn each_kind_is_written_as_prometheus_reads_it() {
        let mut sizes = Histogram::new(&[500_000_000, 2_000_000_000]);
        for size in [1_000_000_000, 1_000_000_000, 9_000_000_000] {
            sizes.add(size);
        }
        let families = vec![
            Family::by("a", "How many a", Kind::Counter, "of", [("x", 1), ("y", 2)]),
            Family::gauge("b", "b", 7),
            Family::real("c_seconds", "c", 0.5),
            Family::sizes("d_seconds", "d", sizes, NANOS),
        ];
        assert_eq!(
            write(families).unwrap(),
            "# HELP a How many a\n# TYPE a counter\na_total{of=\"x\"} 1\na_total{of=\"y\"} 2\n\
             # HELP b b\n# TYPE b gauge\nb 7\n\
             # HELP c_seconds c\n# TYPE c_seconds gauge\nc_seconds 0.5\n\
             # HELP d_seconds d\n# TYPE d_seconds histogram\n\
             d_seconds_sum 11.0\nd_seconds_count 3\n\
             d_seconds_bucket{le=\"0.5\"} 0\nd_seconds_bucket{le=\"2.0\"} 2\n\
             d_seconds_bucket{le=\"+Inf\"} 3\n# EOF\n"
        );
    }
}
