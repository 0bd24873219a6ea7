//! The layer of `tracing` that takes the events of servers, and the filter in front of it.

use std::cell::Cell;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::{Context as LayerContext, Filter, Layer};

use super::queue;
use super::shared::ExporterState;
use super::{Level, format};
use crate::context::Context;

/// The target of this crate's own events, such as the line of a call.
pub(super) const OWN_TARGET: &str = "rpc";

thread_local! {
    static IS_EXPORTER_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Marks the thread as one that ships: what happens on it, down to the HTTP below the calls, is not shipped, since each
/// such call would bring the next one forth.
pub(super) fn mark_exporter_thread() {
    IS_EXPORTER_THREAD.set(true);
}

/// See [`LogExporter::layer`](super::LogExporter::layer).
#[derive(Debug)]
pub(super) struct ExportLayer(pub(super) Arc<ExporterState>);

impl<S: Subscriber> Layer<S> for ExportLayer {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        if IS_EXPORTER_THREAD.get() {
            return;
        }
        let place = Context::with_current(|context| {
            let home = context.home();
            let takes_logs = home.is_some_and(|home| home.takes_logs());
            let source = home.map(|home| Arc::clone(home.source()));
            (!takes_logs).then(|| (source, context.id().copied()))
        });
        // A sink that sent itself what it has to say of each delivery would never be done.
        let Some((source, request_id)) = place else {
            return;
        };
        let metadata = event.metadata();
        // Before anything is formatted: the closer to the event, the truer.
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

/// Which events are shipped.
#[derive(Debug, Clone, Default)]
pub(super) enum ExportFilter {
    /// Information and what is worse; of the target `rpc` what is worse than information, since that has a line for
    /// each call, and the numbers of all calls are there without them.
    ///
    /// Not `info,rpc=warn`: that would be meant for every crate whose name begins with `rpc`.
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
        // Spans are none of its business: a record knows its request by the context.
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
    fn the_default_filter_ships_information_and_of_calls_only_failures() {
        let allowed = |filter: &ExportFilter| {
            let allowed = std::sync::Mutex::new(Vec::new());
            macro_rules! ask {
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
            ask!(DEBUG, "shop");
            ask!(INFO, "shop");
            ask!(INFO, "rpc");
            ask!(WARN, "rpc");
            ask!(INFO, "rpc_shop::orders");
            ask!(ERROR, "rpc");
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
