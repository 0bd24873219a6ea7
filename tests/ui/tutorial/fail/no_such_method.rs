//! E01 and E03: a level that the log sink does not have, a method that nobody has, an argument under another name. The
//! original found them at run time, on the other side of the network.

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
