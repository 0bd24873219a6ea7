//! E01 and E03: an unknown log level, an unknown method, a wrong argument. The original found them
//! at run time, on the server.

use rpc_runtime::prelude::*;

#[rpc_service]
trait LogSink {
    async fn info(&self, message: &str) -> Result<bool>;
}

async fn log(logsink: LogSinkClient) -> Result<()> {
    logsink.severe("the disk is full").await?;
    logsink.info("the disk is full", "severe").await?;
    logsink.info(42).await?;
    Ok(())
}

fn main() {}
