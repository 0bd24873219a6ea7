#[cfg(feature = "batches")]
#[deprecated(note = "use `LogSink`")]
#[rpc_service(package = "shop.v1")]
pub trait Batches {
    /// Sends many at once.
    #[cfg(unix)]
    #[deprecated(since = "1.2.0", note = "use `stream`")]
    #[allow(clippy::needless_lifetimes)]
    async fn send(&self, records: &[Record]) -> Result<()>;

    #[cfg_attr(feature = "old", cfg(windows), deprecated, allow(unused))]
    async fn flush(&self) -> Result<()>;
}
