use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lease_core::metrics::FacadeMetrics;
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit, with_local_recorder,
};

/// What is counted through the facade `metrics`, by a recorder of its own.
pub(super) struct Facade {
    pub(super) metrics: FacadeMetrics,
    samples: Arc<Samples>,
}

type Samples = Mutex<BTreeMap<String, f64>>;

impl Facade {
    pub(super) fn new() -> Self {
        let samples = Arc::default();
        let recorder = Samplers(Arc::clone(&samples));
        Self {
            metrics: with_local_recorder(&recorder, FacadeMetrics::new),
            samples,
        }
    }

    /// The counters, and of each histogram the number of values and their sum.
    pub(super) fn samples(&self) -> BTreeMap<String, f64> {
        let samples = self.samples.lock();
        samples.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Samplers(Arc<Samples>);

impl Samplers {
    fn sampler(&self, key: &Key) -> Arc<Sampler> {
        Arc::new(Sampler {
            name: key.name().to_owned(),
            samples: Arc::clone(&self.0),
        })
    }
}

struct Sampler {
    name: String,
    samples: Arc<Samples>,
}

impl Sampler {
    fn add(&self, suffix: &str, value: f64) {
        let samples = self.samples.lock();
        let mut samples = samples.unwrap_or_else(PoisonError::into_inner);
        *samples.entry(format!("{}{suffix}", self.name)).or_default() += value;
    }
}

impl CounterFn for Sampler {
    fn increment(&self, value: u64) {
        self.add("", value as f64);
    }

    fn absolute(&self, _: u64) {
        unreachable!("nothing of a lessor is counted elsewhere");
    }
}

impl HistogramFn for Sampler {
    fn record(&self, value: f64) {
        self.add("_count", 1.0);
        self.add("_sum", value);
    }
}

impl Recorder for Samplers {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.sampler(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.sampler(key))
    }
}
