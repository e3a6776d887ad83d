//! Prometheus' text format, read.

use std::collections::{BTreeMap, BTreeSet};

/// What a server tells of itself.
pub(crate) struct Exposition {
    /// As it came.
    pub(crate) text: String,
    samples: Vec<Sample>,
}

/// One line: a name, labels, a value.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Exposition {
    pub(crate) fn of(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self { text: text.to_owned(), samples: lines.map(Sample::of).collect() }
    }

    /// The names of all samples: of a histogram those that end in `_bucket`, `_sum` and `_count`.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.samples.iter().map(|sample| sample.name.as_str()).collect()
    }

    /// The names as they are declared, without those endings, each with its type.
    pub(crate) fn families(&self) -> BTreeMap<&str, &str> {
        self.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect()
    }

    /// The labels that samples of a name have.
    pub(crate) fn labels(&self, name: &str) -> BTreeSet<&str> {
        let of = self.samples.iter().filter(|sample| sample.name == name);
        of.flat_map(|sample| sample.labels.keys().map(String::as_str)).collect()
    }

    /// The value of the one sample with exactly these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut of = self.samples.iter().filter(|sample| sample.name == name && sample.has(labels));
        of.find(|sample| sample.labels.len() == labels.len()).map(|sample| sample.value)
    }

    /// Of all samples that have these labels, whatever others they have.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let of = self.samples.iter().filter(|sample| sample.name == name && sample.has(labels));
        of.map(|sample| sample.value).sum()
    }
}

impl Sample {
    fn of(line: &str) -> Self {
        let (what, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = what.split_once('{').unwrap_or((what, "}"));
        let labels = labels.strip_suffix('}').unwrap();
        // No value of a label has a quote or a comma in it here.
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(|label| {
            let (name, value) = label.split_once('=').unwrap();
            (name.to_owned(), value.trim_matches('"').to_owned())
        });
        Self { name: name.to_owned(), labels: labels.collect(), value: value.parse().unwrap() }
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.labels.get(*name).is_some_and(|found| found == value))
    }
}
