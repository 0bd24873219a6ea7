/// Collects log lines from every service.
#[rpc_service(package = "fibpro.v1", endpoint = "logsink")]
pub trait LogSink {
    /// Appends one record.
    #[rpc(idempotent, timeout = "2s")]
    async fn recv_log(&self, message: &str, #[rpc(default)] level: Level) -> Result<bool>;

    async fn recv_logs(&self, ctx: &Context, records: &[Record]) -> Result<u32, SinkError>;
}
