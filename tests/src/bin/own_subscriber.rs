//! A server whose program installs its own tracing subscriber:
//! `own_subscriber options --logsink http://… --listen 127.0.0.1:0`.

use clap::{Parser, ValueEnum};
use rpc_runtime::logs::{LogExporter, LogExporterBuilder};
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, ServerOptions};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Layer, Registry, fmt};

#[derive(Parser)]
struct Arguments {
    exporter: Exporter,
    #[command(flatten)]
    server: ServerOptions,
}

/// The exporter of the program.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Exporter {
    /// The exporter that the options describe.
    Options,
    /// The same, with its layer in a list.
    Boxed,
    /// The same, installed after `start_log`.
    Early,
    /// An exporter whose layer is not installed.
    WithoutLayer,
    /// An exporter to another sink.
    OtherSink,
    None,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { exporter, server } = Arguments::parse();
    let started = match exporter {
        Exporter::None => None,
        Exporter::OtherSink => {
            let sink = Client::new("http://127.0.0.1:2")?;
            Some(LogExporter::builder(sink).memory_only().start()?)
        }
        _ => {
            let builder = server.log_exporter()?;
            builder.map(LogExporterBuilder::start).transpose()?
        }
    };
    let layer = started
        .as_ref()
        .filter(|_| exporter != Exporter::WithoutLayer);
    match exporter {
        Exporter::Boxed => {
            let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> =
                vec![fmt::layer().with_writer(std::io::stderr).boxed()];
            layers.extend(layer.map(|exporter| exporter.layer().boxed()));
            tracing_subscriber::registry().with(layers).init();
        }
        _ => {
            let lines = fmt::layer().with_writer(std::io::stderr);
            let layer = layer.map(LogExporter::layer);
            tracing_subscriber::registry()
                .with(layer)
                .with(lines)
                .init();
        }
    }
    let mut server = Server::new("own").options(server);
    if exporter == Exporter::Early {
        server = server.start_log();
    }
    let served = server.run().await;
    if let Some(started) = started {
        started.shutdown(std::time::Duration::ZERO).await;
    }
    served
}
