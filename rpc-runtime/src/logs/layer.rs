//! The `tracing` layer that receives events, and its filter.

use std::cell::Cell;
use std::str::FromStr;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::{Context as LayerContext, Filter, Layer};

use super::shared::ExporterState;
use super::{Level, Timestamp, format};
use super::{installed, queue};
use crate::context::Context;

/// Target of this crate's own events, such as the event of a finished call.
pub(super) const OWN_TARGET: &str = "rpc";

thread_local! {
    static IS_EXPORTER_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Excludes the events of this thread from the export. Otherwise each call to the sink would create
/// events that need the next call.
pub(super) fn mark_exporter_thread() {
    IS_EXPORTER_THREAD.set(true);
}

/// Pushes events into the queue; see [`LogExporter::layer`](super::LogExporter::layer).
#[derive(Debug)]
pub(super) struct ExportLayer(pub(super) Arc<ExporterState>);

impl<S: Subscriber> Layer<S> for ExportLayer {
    fn on_layer(&mut self, _: &mut S) {
        installed::add(&self.0);
    }

    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        if IS_EXPORTER_THREAD.get() {
            return;
        }
        let origin = Context::with_current(|context| {
            let server = context.server_info();
            let is_log_sink = server.is_some_and(|server| server.is_log_sink());
            let source = server.map(|server| Arc::clone(server.source()));
            (!is_log_sink).then(|| (source, context.id().copied()))
        });
        // Each delivery to a sink that exports its own events would create further deliveries.
        let Some((source, request_id)) = origin else {
            return;
        };
        let metadata = event.metadata();
        // Before the text is formatted, which takes time.
        let time = Timestamp::now();
        let (text, request_id) = format::format_event(event, request_id);
        self.0.push(queue::LogEvent {
            source,
            request_id,
            time,
            level: level(*metadata.level()),
            target: metadata.target(),
            text,
        });
    }
}

fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        _ => Level::Debug,
    }
}

/// Selects the events to export.
#[derive(Debug, Clone, Default)]
pub(super) enum ExportFilter {
    /// Level `info` and above; for the target `rpc`, `warn` and above, because it has an event for
    /// each call.
    ///
    /// The filter `info,rpc=warn` is different: it applies to every target that begins with `rpc`.
    #[default]
    Default,
    Targets(Targets),
}

impl FromStr for ExportFilter {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.parse().map(Self::Targets)
    }
}

impl ExportFilter {
    fn allows(&self, metadata: &Metadata<'_>) -> bool {
        match self {
            Self::Default if metadata.target() == OWN_TARGET => {
                *metadata.level() <= tracing::Level::WARN
            }
            Self::Default => *metadata.level() <= tracing::Level::INFO,
            Self::Targets(targets) => targets.would_enable(metadata.target(), metadata.level()),
        }
    }
}

impl<S> Filter<S> for ExportFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &LayerContext<'_, S>) -> bool {
        self.allows(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Spans are not needed: the request ID comes from the context.
        if metadata.is_event() && self.allows(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        match self {
            Self::Default => Some(LevelFilter::INFO),
            Self::Targets(targets) => Filter::<S>::max_level_hint(targets),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_filter_excludes_info_events_of_calls() {
        let allowed = |filter: &ExportFilter| {
            let allowed = std::sync::Mutex::new(Vec::new());
            macro_rules! check {
                ($level:ident, $target:expr) => {{
                    let callsite = tracing::callsite!(
                        name: "event",
                        kind: tracing::metadata::Kind::EVENT,
                        target: $target,
                        level: tracing::Level::$level,
                        fields:
                    );
                    use tracing::Callsite as _;
                    if filter.allows(callsite.metadata()) {
                        allowed.lock().unwrap().push(concat!($target, " ", stringify!($level)));
                    }
                }};
            }
            check!(DEBUG, "shop");
            check!(INFO, "shop");
            check!(INFO, "rpc");
            check!(WARN, "rpc");
            check!(INFO, "rpc_shop::orders");
            check!(ERROR, "rpc");
            allowed.into_inner().unwrap()
        };
        assert_eq!(
            allowed(&ExportFilter::default()),
            [
                "shop INFO",
                "rpc WARN",
                "rpc_shop::orders INFO",
                "rpc ERROR"
            ]
        );
        let filter = "warn,shop=debug".parse().unwrap();
        assert_eq!(
            allowed(&filter),
            ["shop DEBUG", "shop INFO", "rpc WARN", "rpc ERROR"]
        );
        assert!("shop=loud".parse::<ExportFilter>().is_err());
    }
}
