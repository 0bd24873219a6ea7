//! The measured calls, one small and one large, with their data and handlers.

use rpc_runtime::prelude::*;
use serde::{Deserialize, Serialize};

/// The argument of the small call: 16 bytes.
pub const NAME: &str = "compute-worker-7";

/// The records of the large call.
pub const RECORDS: usize = 50;

/// A record of a log; about 340 bytes of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Microseconds since 1970.
    pub time_us: u64,
    /// From 0 to 4.
    pub level: u8,
    /// The program that wrote the record.
    pub source: String,
    /// Host of that program.
    pub host: String,
    /// The request it belongs to.
    pub request_id: String,
    /// The message.
    pub text: String,
    /// Duration in microseconds.
    pub duration_us: u64,
    /// HTTP status.
    pub status: u16,
    /// Additional fields.
    pub fields: Vec<Field>,
}

/// A name and a value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Field {
    /// The name.
    pub key: String,
    /// The value.
    pub value: String,
}

/// Returns the batch of the large call: about 17 KB of JSON.
#[must_use]
pub fn records() -> Vec<Record> {
    (0..RECORDS as u64).map(record).collect()
}

fn record(n: u64) -> Record {
    let field = |key: &str, value: String| Field {
        key: key.to_owned(),
        value,
    };
    Record {
        time_us: 1_700_000_000_000_000 + 137 * n,
        level: [1, 2, 3, 0, 4][(n % 5) as usize],
        source: "compute_worker@prod/127.0.0.1:9005".to_owned(),
        host: format!("node-{:02}.cluster.local", n % 7),
        request_id: format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        text: format!(
            "computed fib({}) for \"user{}\" in pool {}",
            1000 + n,
            n % 13,
            n % 3
        ),
        duration_us: 250 + 31 * n,
        status: if n.is_multiple_of(9) { 503 } else { 200 },
        fields: vec![
            field("customer", format!("customer-{:04}", 17 * n % 1000)),
            field("attempt", (n % 3).to_string()),
            field(
                "cache",
                if n.is_multiple_of(2) { "hit" } else { "miss" }.to_owned(),
            ),
        ],
    }
}

/// Does the work of the small call, the same in every server.
#[must_use]
pub fn greet(name: &str) -> String {
    format!("Hello, {name}!")
}

/// Does the work of the large call: counts the valid records.
#[must_use]
pub fn accepted(records: &[Record]) -> u32 {
    let good = |record: &&Record| record.level <= 4 && !record.text.is_empty();
    u32::try_from(records.iter().filter(good).count()).unwrap_or(u32::MAX)
}

/// The measured service.
#[rpc_service(package = "bench.v1")]
pub trait Echo {
    /// The small call.
    async fn greet(&self, name: &str) -> Result<String>;

    /// The large call.
    async fn log_batch(&self, records: &[Record]) -> Result<u32>;

    /// A call that fails.
    async fn refuse(&self, name: &str) -> Result<String>;
}

/// The implementation of [`Echo`].
#[derive(Debug, Clone, Copy)]
pub struct Handlers;

impl Echo for Handlers {
    async fn greet(&self, name: &str) -> Result<String> {
        Ok(greet(name))
    }

    async fn log_batch(&self, records: &[Record]) -> Result<u32> {
        Ok(accepted(records))
    }

    async fn refuse(&self, name: &str) -> Result<String> {
        fail!(Code::NotFound, "no user {name}")
    }
}
