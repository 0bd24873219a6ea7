//! Setup of the exporter of traces, and the handle of a running one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::processor::{QueueProcessor, SpanCounts};
use super::worker::Worker;
#[cfg(feature = "tls")]
use crate::client::ClientTlsConfig;
use crate::client::{Collector, CollectorConfig};
use crate::context::Source;
use crate::duration::saturating_deadline;
use crate::error::{Code, Error, Result};

/// The spans that wait for the exporter, at most.
const QUEUE_SPANS: usize = 2048;

/// Extra time that [`TraceExporter::shutdown`] waits for the worker.
const GRACE: Duration = Duration::from_secs(1);

/// Configures the export of traces to a collector over OTLP/HTTP; see [`crate::otel`]. Created by
/// [`TraceExporter::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing is exported before `start`"]
pub struct TraceExporterBuilder {
    collector: CollectorConfig,
    ratio: f64,
    queue: usize,
}

impl TraceExporterBuilder {
    /// Sets the share of sampled traces among those that start in this process, from 0 to 1; 1 by
    /// default. A call that belongs to a trace already follows its flag `sampled`.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for a number that is not from 0 to 1.
    pub fn ratio(mut self, ratio: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&ratio) {
            let text = format!("invalid sampling ratio {ratio}: expected a number from 0 to 1");
            return Err(Error::without_location(Code::InvalidArgument, text));
        }
        self.ratio = ratio;
        Ok(self)
    }

    /// Limits the spans that wait to be sent; 2,048 by default. Further spans are dropped and
    /// counted.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for 0.
    pub fn queue(mut self, spans: usize) -> Result<Self> {
        if spans == 0 {
            let text = "the queue of the trace exporter needs room for one span";
            return Err(Error::without_location(Code::InvalidArgument, text));
        }
        self.queue = spans;
        Ok(self)
    }

    /// Sends a header with each request, such as `authorization`, in place of an earlier one with
    /// its name. Values are in no log.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for a name or value that is not valid in HTTP, and for a header that the
    /// exporter sets itself, such as `content-type`.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self> {
        let set = self.collector.set_header(name, value.as_bytes());
        set.map_err(|problem| {
            let text = format!("invalid header of the trace exporter: {problem}");
            Error::without_location(Code::InvalidArgument, text)
        })?;
        Ok(self)
    }

    /// Sets the certificates of `https` URLs. By default the authorities of this system are
    /// trusted.
    ///
    /// Needs the feature `tls`.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: ClientTlsConfig) -> Self {
        self.collector.set_tls(tls);
        self
    }

    /// Exports to another collector, which gets none of the headers of the one before.
    pub(super) fn with_collector(mut self, collector: CollectorConfig) -> Self {
        self.collector = collector;
        self
    }

    pub(super) fn collector(&mut self) -> &mut CollectorConfig {
        &mut self.collector
    }

    /// Starts the exporter on its own thread. `service` is the name of this program in traces.
    /// Reads the files of the TLS settings.
    ///
    /// # Errors
    ///
    /// `resource_exhausted` if no thread can be started; for `https`, `failed_precondition` or
    /// `invalid_argument` for certificates that cannot be used.
    pub fn start(self, service: &str) -> Result<TraceExporter> {
        let resource = Resource::builder().with_service_name(service.to_owned());
        self.prepare()?.start_with(&resource.build())
    }

    /// Creates the queue. Spans are queued from here on and sent after the start.
    ///
    /// # Errors
    ///
    /// For certificates that cannot be used.
    pub(crate) fn prepare(self) -> Result<PreparedTraces> {
        let collector = self.collector.connect()?;
        let (sender, queue) = mpsc::channel(self.queue);
        let counts = Arc::new(SpanCounts::default());
        let sampler = Sampler::TraceIdRatioBased(self.ratio);
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_span_processor(QueueProcessor {
                queue: sender,
                counts: Arc::clone(&counts),
            })
            .with_resource(Resource::builder_empty().build())
            .build();
        super::trace_calls();
        Ok(PreparedTraces {
            collector,
            provider,
            queue,
            counts,
        })
    }
}

/// An exporter that queues spans and sends none yet.
pub(crate) struct PreparedTraces {
    collector: Collector,
    provider: SdkTracerProvider,
    queue: mpsc::Receiver<SpanData>,
    counts: Arc<SpanCounts>,
}

impl PreparedTraces {
    /// Returns the layer; see [`TraceExporter::layer`].
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        layer(&self.provider)
    }

    /// Returns the collector in printable form.
    pub(crate) fn target(&self) -> String {
        self.collector.target()
    }

    /// Starts sending, as the server `source`.
    ///
    /// # Errors
    ///
    /// `resource_exhausted` if no thread can be started.
    pub(crate) fn start(self, source: &Source) -> Result<TraceExporter> {
        let of_source = [
            ("service.instance.id", source.instance()),
            ("deployment.environment.name", source.environment()),
        ];
        let of_source = of_source.map(|(name, value)| KeyValue::new(name, value.to_owned()));
        let resource = Resource::builder()
            .with_service_name(source.server().to_owned())
            .with_attributes(of_source);
        self.start_with(&resource.build())
    }

    fn start_with(self, resource: &Resource) -> Result<TraceExporter> {
        let (stop, stopped) = watch::channel(None);
        let (ended, end) = oneshot::channel();
        let worker = Worker::new(
            self.collector,
            self.queue,
            resource,
            Arc::clone(&self.counts),
            stopped,
        );
        let started = thread::Builder::new()
            .name("rpc-traces".to_owned())
            .spawn(move || {
                worker.run();
                // An error means that the handle was dropped.
                let _ = ended.send(());
            });
        started.map_err(|error| {
            let text = format!("cannot start the thread of the trace exporter: {error}");
            Error::without_location(Code::ResourceExhausted, text).with_source(error)
        })?;
        Ok(TraceExporter {
            provider: self.provider,
            counts: self.counts,
            stop,
            end,
        })
    }
}

/// Exports the traces of this process; see [`crate::otel`].
///
/// ```no_run
/// use std::time::Duration;
///
/// use rpc_runtime::otel::TraceExporter;
/// use tracing_subscriber::prelude::*;
///
/// # async fn example() -> rpc_runtime::Result<()> {
/// let exporter = TraceExporter::builder("http://127.0.0.1:4318")?.ratio(0.1)?.start("shop")?;
/// tracing_subscriber::registry()
///     .with(tracing_subscriber::fmt::layer())
///     .with(exporter.layer())
///     .init();
/// // … run any number of servers and clients …
/// exporter.shutdown(Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TraceExporter {
    provider: SdkTracerProvider,
    counts: Arc<SpanCounts>,
    stop: watch::Sender<Option<Instant>>,
    end: oneshot::Receiver<()>,
}

impl TraceExporter {
    /// Creates the configuration of an exporter to the collector at `url`, such as
    /// `http://127.0.0.1:4318`. Traces are sent to the path `/v1/traces` below it.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for an invalid URL, `unimplemented` for `https` without the feature
    /// `tls`.
    pub fn builder(url: &str) -> Result<TraceExporterBuilder> {
        Ok(Self::of(CollectorConfig::new(url)?))
    }

    pub(super) fn of(collector: CollectorConfig) -> TraceExporterBuilder {
        TraceExporterBuilder {
            collector,
            ratio: 1.0,
            queue: QUEUE_SPANS,
        }
    }

    /// Returns a layer that records spans of the level `info` and above, and the events in them.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        layer(&self.provider)
    }

    /// Returns the number of spans that the collector has accepted.
    #[must_use]
    pub fn exported(&self) -> u64 {
        self.counts.exported.load(Ordering::Relaxed)
    }

    /// Returns the number of spans that were lost: the queue was full, or the collector did not
    /// accept them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts.dropped()
    }

    /// Sends the spans that wait, for at most `timeout`. What is left then is lost, and counted in
    /// the log.
    pub async fn shutdown(self, timeout: Duration) {
        // An error means that the worker has ended.
        let _ = self
            .stop
            .send(Some(saturating_deadline(Instant::now(), timeout)));
        // The worker writes the log about what it has lost.
        let _ = tokio::time::timeout(timeout + GRACE, self.end).await;
    }
}

fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(env!("CARGO_PKG_NAME")))
        .with_location(false)
        .with_target(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(LevelFilter::INFO)
}
