//! Buyers: each places orders one after the other. Some orders have a key of the buyer, and others
//! that of the first response to them.

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

/// One order in this many is placed without a key.
const WITHOUT_KEY: u64 = 3;

/// One purchase under one key.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) user: u64,
    n: u64,
    key: Key,
    /// Whether the number was received.
    filled: bool,
}

/// The key of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    /// Sent with each request: that of the buyer, or of a response.
    Known(String),
    /// To be taken from the response to the next request.
    Awaited,
    /// The response was lost, and the key with it: the number cannot be asked for again.
    Lost,
}

/// A response of the gatekeeper.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Response {
    status: u16,
    key: Option<String>,
    body: String,
}

impl Order {
    /// Returns the price in credits, by the price list of FibPro.
    pub(super) fn price(&self) -> u64 {
        if self.n < 10 { 1 } else { 2 }
    }

    /// Returns whether it is not known if the order was paid, and cannot be.
    pub(super) fn is_lost(&self) -> bool {
        self.key == Key::Lost
    }

    /// Sends the order once. Returns whether it is done: its number was received, or its key is
    /// lost.
    ///
    /// # Errors
    ///
    /// A finding: a wrong number, another key than that of the order, or a response that is neither
    /// a number nor a temporary failure.
    async fn place(&mut self, gatekeeper: &str) -> Result<bool, String> {
        if self.is_lost() {
            return Ok(true);
        }
        let Ok(stream) = TcpStream::connect(address(gatekeeper)).await else {
            // The gatekeeper is being restarted.
            return Ok(false);
        };
        let Ok(Ok(response)) = timeout(TIMEOUT, self.request(stream, gatekeeper)).await else {
            // The gatekeeper was killed during the request.
            if self.key == Key::Awaited {
                self.key = Key::Lost;
            }
            return Ok(self.is_lost());
        };
        self.received(&response)?;
        match response.status {
            200 => {
                let right = fibonacci::decimal(self.n, || true).map_err(|e| e.to_string())?;
                if response.body == right {
                    return Ok(true);
                }
                Err(format!("{self:?} received a wrong number: {response:?}"))
            }
            429 | 500 | 502 | 503 | 504 => Ok(false),
            _ => Err(format!("{self:?} was rejected: {response:?}")),
        }
    }

    /// Takes the key of a response. One without a key states that nothing was bought, so the order
    /// can be placed again.
    fn received(&mut self, response: &Response) -> Result<(), String> {
        match (&self.key, &response.key) {
            (Key::Known(own), Some(key)) if own != key => {
                Err(format!("{self:?} received another key: {response:?}"))
            }
            (Key::Awaited, Some(key)) => {
                self.key = Key::Known(key.clone());
                Ok(())
            }
            (_, None) if response.status == 200 => {
                Err(format!("{self:?} received no key: {response:?}"))
            }
            _ => Ok(()),
        }
    }

    async fn request(&self, mut stream: TcpStream, gatekeeper: &str) -> std::io::Result<Response> {
        let address = address(gatekeeper);
        let login = STANDARD.encode(format!("u{}:p", self.user));
        let key = match &self.key {
            Key::Known(key) => format!("idempotency-key: {key}\r\n"),
            Key::Awaited | Key::Lost => String::new(),
        };
        let request = format!(
            "GET /{} HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic {login}\r\n\
             {key}connection: close\r\n\r\n",
            self.n
        );
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.take(RESPONSE).read_to_string(&mut response).await?;
        parse(&response).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }
}

fn address(gatekeeper: &str) -> &str {
    gatekeeper.strip_prefix("http://").unwrap_or(gatekeeper)
}

/// Parses a response; `None` if it was cut off.
fn parse(response: &str) -> Option<Response> {
    let (head, body) = response.split_once("\r\n\r\n")?;
    let header = |wanted: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.trim())
    };
    if let Some(length) = header("content-length")
        && length.parse() != Ok(body.len())
    {
        return None;
    }
    Some(Response {
        status: head.split(' ').nth(1)?.parse().ok()?,
        key: header("idempotency-key").map(str::to_owned),
        body: body.to_owned(),
    })
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
            key: match rng.u64(..WITHOUT_KEY) {
                0 => Key::Awaited,
                _ => Key::Known(format!("chaos-{buyer}-{}", orders.len())),
            },
            filled: false,
        };
        match order.place(&gatekeeper).await {
            Ok(done) => order.filled = done && !order.is_lost(),
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
    /// nothing. Orders whose key is lost are left as they are. Returns false if no order succeeds
    /// for the time `limit`.
    pub(super) async fn settle(&mut self, limit: Duration) -> bool {
        for order in &mut self.orders {
            order.filled = false;
        }
        let turns = Arc::new(Semaphore::new(16));
        let mut tasks = JoinSet::new();
        for (index, mut order) in self.orders.iter().cloned().enumerate() {
            let (turns, gatekeeper) = (turns.clone(), self.gatekeeper.clone());
            tasks.spawn(async move {
                // The semaphore is never closed.
                let _turn = turns.acquire().await;
                let mut pace = interval(PACE * 5);
                loop {
                    pace.tick().await;
                    match order.place(&gatekeeper).await {
                        Ok(false) => {}
                        Ok(true) => return (index, Ok(order)),
                        Err(finding) => return (index, Err(finding)),
                    }
                }
            });
        }
        loop {
            match timeout(limit, tasks.join_next()).await {
                Ok(Some(Ok((index, Ok(mut order))))) => {
                    order.filled = true;
                    self.orders[index] = order;
                }
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
        let response = Response {
            status: 200,
            key: None,
            body: "55".to_owned(),
        };
        assert_eq!(parse(whole), Some(response));
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), None, "{end}");
        }
    }

    #[test]
    fn an_order_without_a_key_takes_that_of_its_response() {
        let order = |key| Order {
            user: 0,
            n: 10,
            key,
            filled: false,
        };
        let known = |key: &str| Key::Known(key.to_owned());
        let parsed = |head: &str| parse(&format!("HTTP/1.1 {head}\r\n\r\n")).unwrap();
        for (before, head, after) in [
            (
                Key::Awaited,
                "503 x\r\nIdempotency-Key: k",
                Some(known("k")),
            ),
            (
                Key::Awaited,
                "200 OK\r\nidempotency-key: k",
                Some(known("k")),
            ),
            // The login failed.
            (Key::Awaited, "503 x", Some(Key::Awaited)),
            (known("k"), "503 x", Some(known("k"))),
            (known("k"), "200 OK\r\nidempotency-key: k", Some(known("k"))),
            (known("k"), "200 OK\r\nidempotency-key: l", None),
            (known("k"), "200 OK", None),
            (Key::Awaited, "200 OK", None),
        ] {
            let mut order = order(before);
            let outcome = order.received(&parsed(head));
            assert_eq!(outcome.is_ok(), after.is_some(), "{head}");
            assert!(after.is_none_or(|after| order.key == after), "{order:?}");
        }
    }
}
