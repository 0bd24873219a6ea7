//! Buyers: each places orders one after the other, under a key for each order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fibpro::fibonacci;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// The number of users, `u0` and so on, each with the password `p`.
pub(super) const USERS: u64 = 4;

/// Orders are for F(0) to F(LARGEST - 1).
const LARGEST: u64 = 60;

/// Timeout of one request, longer than the gatekeeper's own.
const TIMEOUT: Duration = Duration::from_secs(40);

/// Delay between two requests of a buyer, so that rejected buyers do not spin.
const PACE: Duration = Duration::from_millis(20);

/// Maximum size of a response.
const RESPONSE: u64 = 64 << 10;

/// One purchase under one key.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) user: u64,
    n: u64,
    key: String,
    /// Whether the number was received.
    filled: bool,
}

impl Order {
    /// Returns the price in credits, by the price list of FibPro.
    pub(super) fn price(&self) -> u64 {
        if self.n < 10 { 1 } else { 2 }
    }

    /// Sends the order once. Returns whether the number was received.
    ///
    /// # Errors
    ///
    /// A finding: a wrong number, or a response that is neither a number nor a temporary failure.
    async fn place(&self, gatekeeper: &str) -> Result<bool, String> {
        let Ok(Ok((status, body))) = timeout(TIMEOUT, self.request(gatekeeper)).await else {
            // The gatekeeper is being restarted, or was killed during the request.
            return Ok(false);
        };
        match status {
            200 => {
                let right = fibonacci::decimal(self.n, || true).map_err(|e| e.to_string())?;
                if body == right {
                    return Ok(true);
                }
                Err(format!("{self:?} received a wrong number: {body:?}"))
            }
            429 | 500 | 502 | 503 | 504 => Ok(false),
            _ => Err(format!("{self:?} was rejected with {status}: {body:?}")),
        }
    }

    async fn request(&self, gatekeeper: &str) -> std::io::Result<(u16, String)> {
        let address = gatekeeper.strip_prefix("http://").unwrap_or(gatekeeper);
        let login = STANDARD.encode(format!("u{}:p", self.user));
        let mut stream = TcpStream::connect(address).await?;
        let request = format!(
            "GET /{} HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic {login}\r\n\
             idempotency-key: {}\r\nconnection: close\r\n\r\n",
            self.n, self.key
        );
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.take(RESPONSE).read_to_string(&mut response).await?;
        parse(&response).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }
}

/// Returns status and body of a response; `None` if it was cut off.
fn parse(response: &str) -> Option<(u16, String)> {
    let (head, body) = response.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if let Some((_, length)) = length {
        let length: usize = length.trim().parse().ok()?;
        return (body.len() == length).then(|| (status, body.to_owned()));
    }
    Some((status, body.to_owned()))
}

/// Buyers at work.
pub(super) struct Buyers {
    gatekeeper: Arc<str>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<(Vec<Order>, Vec<String>)>,
}

impl Buyers {
    pub(super) fn start(gatekeeper: &str, seed: u64, count: u16) -> Result<Self, String> {
        if !gatekeeper.starts_with("http://") {
            return Err(format!("cannot buy at {gatekeeper}: expected an HTTP URL"));
        }
        let gatekeeper: Arc<str> = gatekeeper.into();
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for buyer in 0..count {
            let rng = fastrand::Rng::with_seed(seed ^ u64::from(buyer).rotate_left(32));
            tasks.spawn(buy(gatekeeper.clone(), buyer, rng, stop.clone()));
        }
        Ok(Self {
            gatekeeper,
            stop,
            tasks,
        })
    }

    /// Waits for the requests that are under way, and returns all orders.
    pub(super) async fn stop(self) -> Orders {
        self.stop.store(true, Ordering::Relaxed);
        let (mut orders, mut findings) = (Vec::new(), Vec::new());
        for (placed, found) in self.tasks.join_all().await {
            orders.extend(placed);
            findings.extend(found);
        }
        let at_once = orders.iter().filter(|order| order.filled).count();
        Orders {
            gatekeeper: self.gatekeeper,
            orders,
            findings,
            at_once,
        }
    }
}

async fn buy(
    gatekeeper: Arc<str>,
    buyer: u16,
    mut rng: fastrand::Rng,
    stop: Arc<AtomicBool>,
) -> (Vec<Order>, Vec<String>) {
    let (mut orders, mut findings) = (Vec::new(), Vec::new());
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let mut order = Order {
            user: rng.u64(..USERS),
            n: rng.u64(..LARGEST),
            key: format!("chaos-{buyer}-{}", orders.len()),
            filled: false,
        };
        match order.place(&gatekeeper).await {
            Ok(filled) => order.filled = filled,
            Err(finding) => findings.push(finding),
        }
        orders.push(order);
    }
    (orders, findings)
}

/// The orders of a run.
pub(super) struct Orders {
    gatekeeper: Arc<str>,
    orders: Vec<Order>,
    findings: Vec<String>,
    at_once: usize,
}

impl Orders {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Order> {
        self.orders.iter()
    }

    pub(super) fn count(&self) -> usize {
        self.orders.len()
    }

    /// Returns how many orders had their number at the first request.
    pub(super) fn filled_at_once(&self) -> usize {
        self.at_once
    }

    /// Returns how many orders have no number.
    pub(super) fn open(&self) -> usize {
        self.orders.iter().filter(|order| !order.filled).count()
    }

    pub(super) fn take_findings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.findings)
    }

    /// Repeats each order until its number is received, those that have it once more: a repeat pays
    /// nothing. Returns false if no order succeeds for the time `limit`.
    pub(super) async fn settle(&mut self, limit: Duration) -> bool {
        for order in &mut self.orders {
            order.filled = false;
        }
        let turns = Arc::new(Semaphore::new(16));
        let mut tasks = JoinSet::new();
        for (index, order) in self.orders.iter().cloned().enumerate() {
            let (turns, gatekeeper) = (turns.clone(), self.gatekeeper.clone());
            tasks.spawn(async move {
                // The semaphore is never closed.
                let _turn = turns.acquire().await;
                let mut pace = interval(PACE * 5);
                loop {
                    pace.tick().await;
                    match order.place(&gatekeeper).await {
                        Ok(false) => {}
                        Ok(true) => return (index, Ok(())),
                        Err(finding) => return (index, Err(finding)),
                    }
                }
            });
        }
        loop {
            match timeout(limit, tasks.join_next()).await {
                Ok(Some(Ok((index, Ok(()))))) => self.orders[index].filled = true,
                Ok(Some(Ok((_, Err(finding))))) => self.findings.push(finding),
                Ok(Some(Err(error))) => self.findings.push(format!("a buyer failed: {error}")),
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_off_responses_are_no_responses() {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n55";
        assert_eq!(parse(whole), Some((200, "55".to_owned())));
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), None, "{end}");
        }
    }
}
