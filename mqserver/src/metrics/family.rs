//! A metric as it is told: a name, what it means, and a value for each set of labels.

use mqlib::histogram::Histogram;

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows. Its name is told with `_total` behind it.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many were how large. The names of its parts are told with `_bucket`, `_sum`, `_count`.
    Histogram,
}

/// A value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Whole(u64),
    Real(f64),
    /// With how many of what is counted are one of the unit: 10⁹ nanoseconds are a second.
    Sizes(Box<Histogram>, f64),
}

/// A label's name and value; the values are few, and none is anybody's name.
pub(crate) type Label = (&'static str, &'static str);

/// A metric with its values.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    /// Without a suffix that its kind gives it.
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) kind: Kind,
    pub(crate) values: Vec<(Vec<Label>, Value)>,
}

/// Nanoseconds in a second.
pub(crate) const NANOS: f64 = 1e9;

impl Family {
    /// One that only grows, without labels.
    pub(crate) fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self::of(name, help, Kind::Counter, [(vec![], Value::Whole(value))])
    }

    /// One that goes up and down, without labels.
    pub(crate) fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self::of(name, help, Kind::Gauge, [(vec![], Value::Whole(value))])
    }

    /// The same of a real number.
    pub(crate) fn real(name: &'static str, help: &'static str, value: f64) -> Self {
        Self::of(name, help, Kind::Gauge, [(vec![], Value::Real(value))])
    }

    /// A histogram of which so many are one of the unit.
    pub(crate) fn sizes(
        name: &'static str,
        help: &'static str,
        sizes: Histogram,
        per_unit: f64,
    ) -> Self {
        let value = Value::Sizes(Box::new(sizes), per_unit);
        Self::of(name, help, Kind::Histogram, [(vec![], value)])
    }

    /// One with a value for each of a label's.
    pub(crate) fn by(
        name: &'static str,
        help: &'static str,
        kind: Kind,
        label: &'static str,
        values: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> Self {
        let value = |(of, value)| (vec![(label, of)], Value::Whole(value));
        Self::of(name, help, kind, values.into_iter().map(value))
    }

    /// One with these values.
    pub(crate) fn of(
        name: &'static str,
        help: &'static str,
        kind: Kind,
        values: impl IntoIterator<Item = (Vec<Label>, Value)>,
    ) -> Self {
        Self { name, help, kind, values: values.into_iter().collect() }
    }
}
