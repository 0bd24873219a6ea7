//! The checks after a run: the credit of each user, and the stored logs.

use std::collections::{BTreeMap, BTreeSet};

use fibpro::api::logsink::{LogSinkClient, QUERY_LIMIT, Query};
use fibpro::api::userstore::UserStoreClient;
use rpc_runtime::{Client, IdentityKeys};

use super::buyers::{Order, Orders, USERS};
use super::system::{CREDIT, System, Urls};

/// Returns a client that signs its calls with the key of the services.
fn client(url: &str, system: &System) -> Result<Client, String> {
    let keys = IdentityKeys::from_file(system.data("identity.key"));
    let client = Client::new(url).and_then(|client| Ok(client.named("fibpro")?.identity(keys?)));
    client.map_err(|error| error.message().to_owned())
}

/// Returns what is wrong with the credit of the users. An order whose key was lost with its
/// response may be paid or not; all others are.
pub(super) async fn credit(
    urls: &Urls,
    system: &System,
    orders: &Orders,
) -> Result<Vec<String>, String> {
    let userstore = UserStoreClient::with_client(client(&urls.userstore, system)?);
    let mut findings = Vec::new();
    for user in 0..USERS {
        let of_user = || orders.iter().filter(|order| order.user == user);
        let all: u64 = of_user().map(Order::price).sum();
        let lost: u64 = of_user()
            .filter(|order| order.is_lost())
            .map(Order::price)
            .sum();
        let right = CREDIT - all..=CREDIT - all + lost;
        let name = format!("u{user}");
        let found = userstore.get_user(&name).await;
        let found = found.map_err(|error| format!("cannot read the credit of {name}: {error}"))?;
        let left = found.map(|user| user.credit);
        if !left.is_some_and(|left| right.contains(&left)) {
            findings.push(format!(
                "{name} has the credit {left:?} instead of {right:?}: {CREDIT} without {all}, of which {lost} may not \
                 be paid"
            ));
        }
    }
    Ok(findings)
}

/// The result of the check of the logs.
pub(super) struct StoredLogs {
    pub(super) stored: usize,
    pub(super) dropped: u64,
    pub(super) findings: Vec<String>,
}

/// The numbers of one session of a source.
#[derive(Default)]
struct SessionNumbers {
    numbers: BTreeSet<u64>,
    /// Records that the session reported as dropped.
    dropped: u64,
}

/// Reads all stored records. A number that is stored twice is a finding; so is a gap in the newest
/// session of a source that is larger than the drops it reported.
///
/// Older sessions were killed, and with them the report of their last drops.
pub(super) async fn logs(urls: &Urls, system: &System) -> Result<StoredLogs, String> {
    let logsink = LogSinkClient::with_client(client(&urls.logsink, system)?);
    let mut query = Query {
        after: Some(0),
        limit: Some(QUERY_LIMIT),
        ..Query::default()
    };
    let mut sources: BTreeMap<String, BTreeMap<u64, SessionNumbers>> = BTreeMap::new();
    let (mut stored, mut findings) = (0, Vec::new());
    loop {
        let page = logsink.query(&query).await;
        let page = page.map_err(|error| format!("cannot read the stored logs: {error}"))?;
        stored += page.records.len();
        for stored in page.records {
            let record = stored.record;
            let (Some(epoch), Some(number)) = (record.epoch, record.sequence) else {
                continue;
            };
            let source = record.source.to_string();
            let session = sources.entry(source.clone()).or_default();
            let session = session.entry(epoch).or_default();
            session.dropped += reported_drops(&record.text);
            if !session.numbers.insert(number) {
                findings.push(format!(
                    "record {number} of session {epoch} of {source} is stored twice"
                ));
            }
        }
        query.after = Some(page.next);
        if !page.more {
            break;
        }
    }
    for (source, sessions) in &sources {
        if let Some((epoch, session)) = sessions.last_key_value() {
            findings.extend(session.uncounted().map(|(missing, counted)| {
                format!(
                    "{missing} records of session {epoch} of {source} are missing, {counted} were reported as dropped"
                )
            }));
        }
    }
    let dropped = sources.values().flat_map(BTreeMap::values);
    Ok(StoredLogs {
        stored,
        dropped: dropped.map(|session| session.dropped).sum(),
        findings,
    })
}

impl SessionNumbers {
    /// Returns the numbers of missing and of reported records, if more are missing.
    fn uncounted(&self) -> Option<(u64, u64)> {
        let (first, last) = (self.numbers.first()?, self.numbers.last()?);
        let missing = last - first + 1 - self.numbers.len() as u64;
        (missing > self.dropped).then_some((missing, self.dropped))
    }
}

/// Returns the number in a record such as `3 log records were dropped: 3 queue full`.
fn reported_drops(text: &str) -> u64 {
    let before = text
        .split_once(" log records were dropped")
        .or_else(|| text.split_once(" log record was dropped"));
    let count = before.and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok());
    count.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_compared_with_reported_drops() {
        let mut session = SessionNumbers::default();
        session.numbers.extend([4, 5, 8, 9]);
        assert_eq!(session.uncounted(), Some((2, 0)));
        session.dropped +=
            reported_drops("2 log records were dropped: 2 queue full (2 since the start)");
        assert_eq!(session.uncounted(), None);
        assert_eq!(reported_drops("1 log record was dropped: 1 queue full"), 1);
        assert_eq!(reported_drops("nothing to report"), 0);
    }
}
