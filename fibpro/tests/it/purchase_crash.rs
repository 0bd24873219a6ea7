//! FibPro under load, while the user store, pricing and the compute worker are killed repeatedly
//! and restarted on the same address and data.
//!
//! A buyer who received a number has paid for it exactly once. A buyer who received none retries
//! with the same key; this makes one purchase, whatever happened to the first request. The other
//! services reconnect without help.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fibpro::fibonacci;
use fibpro::service::userstore::Database;
use rpc_runtime::testing::Process;
use rpc_tests::raw::{Raw, Response, request};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::process::{command, starting};
use crate::userstore::fixture::{Folder, audit, count};
use crate::userstore_crash::Rng;

const ROUNDS: u64 = 8;
const BUYERS: u64 = 8;
const CREDIT: u64 = 1_000_000;

/// Printed with a failure. Change it to get a different run.
const SEED: u64 = 0x5eed_0404;

/// `u0` and `u1`, each with the password `p`.
const LOGINS: [&str; 2] = ["Basic dTA6cA==", "Basic dTE6cA=="];

/// A service in its own process, which keeps its address and its data across restarts.
struct Service {
    program: &'static str,
    arguments: Vec<String>,
    address: SocketAddr,
    process: Process,
}

impl Service {
    /// Starts the service on a free port.
    fn start(program: &'static str, folder: &Folder, arguments: &[String]) -> Self {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let arguments = arguments.to_vec();
        let (process, address) = run(program, folder, anywhere, &arguments);
        Self {
            program,
            arguments,
            address,
            process,
        }
    }

    /// Kills the process with SIGKILL.
    fn kill(&mut self) {
        self.process.kill9().unwrap();
    }

    /// Starts the service again on its address and data.
    fn restart(&mut self, folder: &Folder) {
        (self.process, _) = run(self.program, folder, self.address, &self.arguments);
    }

    /// Returns the option that points other services to this one.
    fn endpoint(&self, name: &str) -> [String; 2] {
        [
            "--endpoint".to_owned(),
            format!("{name}=http://{}", self.address),
        ]
    }
}

/// Runs a program until it prints the address that it listens on.
fn run(
    program: &str,
    folder: &Folder,
    address: SocketAddr,
    arguments: &[String],
) -> (Process, SocketAddr) {
    let mut command: Command = command(program, &["--listen", &address.to_string()]);
    command.args(arguments).current_dir(folder.path());
    let process = starting(|| Process::spawn(&mut command)).unwrap();
    let line = process.wait_for_stdout(" listening on http://").unwrap();
    let (_, address) = line.split_once("http://").unwrap();
    let address = address.trim_end_matches(" (edge)");
    (process, address.parse().unwrap())
}

/// A purchase under one key, and whether its number was received.
type Orders = BTreeMap<String, (Order, bool)>;

#[derive(Debug, Clone, Copy)]
struct Order {
    user: usize,
    n: u64,
}

impl Order {
    fn price(self) -> u64 {
        if self.n < 10 { 1 } else { 2 }
    }

    async fn place(self, gatekeeper: SocketAddr, key: &str) -> Response {
        let lines = [
            ("authorization", LOGINS[self.user]),
            ("idempotency-key", key),
        ];
        let mut raw = Raw::connect(gatekeeper).await;
        raw.ask(request("GET", &format!("/{}", self.n), &lines, b""))
            .await
    }

    /// Returns whether the response is the number. Any response but the number and "not now" fails
    /// the test.
    fn is_filled(self, response: &Response) -> bool {
        match response.status {
            200 => {
                let right = fibonacci::decimal(self.n, || true).unwrap();
                assert_eq!(response.body, right.as_bytes(), "{self:?}");
                true
            }
            503 | 504 => false,
            _ => panic!("{self:?}: {response:?} (seed {SEED:#x})"),
        }
    }
}

/// Numbers of orders that received their number and that did not.
#[derive(Debug, Default)]
struct Counts {
    filled: AtomicU64,
    open: AtomicU64,
}

/// Buys numbers until the test sets the stop flag.
async fn buy(
    gatekeeper: SocketAddr,
    buyer: u64,
    orders: Arc<Mutex<Orders>>,
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
) {
    let mut rng = Rng(SEED ^ buyer);
    // Paced, so that a buyer who is rejected at once does not retry a thousand times.
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        pace.tick().await;
        let key = format!("{buyer}-{number}");
        let order = Order {
            user: usize::from(rng.roll(2) == 1),
            n: rng.roll(60),
        };
        orders.lock().unwrap().insert(key.clone(), (order, false));
        let response = order.place(gatekeeper, &key).await;
        if order.is_filled(&response) {
            orders.lock().unwrap().insert(key, (order, true));
            counts.filled.fetch_add(1, Ordering::Relaxed);
        } else {
            counts.open.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Waits until the count has reached `enough` while the buyers work.
async fn wait_for(count: &AtomicU64, enough: u64, buyers: &mut JoinSet<()>, round: u64) {
    let waiting = async {
        while count.load(Ordering::Relaxed) < enough {
            assert!(
                buyers.len() as u64 == BUYERS,
                "a buyer has given up (seed {SEED:#x})"
            );
            tokio::task::yield_now().await;
            if let Some(ended) = buyers.try_join_next() {
                ended.unwrap();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting)
        .await
        .unwrap_or_else(|_| panic!("round {round}: the count does not rise (seed {SEED:#x})"));
}

async fn settled(database: &Database) -> i64 {
    count(
        database,
        "SELECT COUNT(*) FROM purchases WHERE state = 'settled'",
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_services_never_lose_or_double_spend_credit() {
    let folder = Folder::new();
    let list = (0..LOGINS.len())
        .map(|n| format!(r#"{{"username": "u{n}", "password": "p", "credit": {CREDIT}}}"#));
    let list = list.collect::<Vec<_>>().join(",");
    std::fs::write(folder.file("users.json"), format!("[{list}]")).unwrap();
    let data = [
        "--database",
        "sqlite://users.sqlite",
        "--users",
        "users.json",
    ]
    .map(str::to_owned);
    let database = Database::file(folder.file("users.sqlite"));

    let userstore = Service::start(env!("CARGO_BIN_EXE_userstore"), &folder, &data);
    let users = userstore.endpoint("userstore");
    let pricing = Service::start(env!("CARGO_BIN_EXE_pricing"), &folder, &users);
    let worker = Service::start(env!("CARGO_BIN_EXE_compute_worker"), &folder, &[]);
    let sellers = [
        pricing.endpoint("pricing"),
        worker.endpoint("compute_worker"),
    ]
    .concat();
    let controller = Service::start(env!("CARGO_BIN_EXE_controller"), &folder, &sellers);
    let fronts = [users, controller.endpoint("controller")].concat();
    let gatekeeper = Service::start(env!("CARGO_BIN_EXE_gatekeeper"), &folder, &fronts);
    let address = gatekeeper.address;
    let mut victims = [userstore, pricing, worker];

    let (orders, counts) = (Arc::<Mutex<Orders>>::default(), Arc::<Counts>::default());
    let stop = Arc::new(AtomicBool::new(false));
    let mut buyers = JoinSet::new();
    for buyer in 0..BUYERS {
        let (orders, counts, stop) = (orders.clone(), counts.clone(), stop.clone());
        buyers.spawn(buy(address, buyer, orders, counts, stop));
    }
    let mut rng = Rng(SEED);
    for round in 0..ROUNDS {
        // The kill comes after a different count of numbers in each round, so at different moments
        // of the work; each service is killed at least twice.
        let enough = counts.filled.load(Ordering::Relaxed) + 20 + rng.roll(60);
        wait_for(&counts.filled, enough, &mut buyers, round).await;
        let victim = usize::try_from((round + rng.roll(2)) % 3).unwrap();
        victims[victim].kill();
        if round % 2 == 1 {
            // Calls survive a quick restart. An order stays open when the restart takes longer.
            let enough = counts.open.load(Ordering::Relaxed) + 1;
            wait_for(&counts.open, enough, &mut buyers, round).await;
        }
        victims[victim].restart(&folder);
        audit(&database).await;
    }
    stop.store(true, Ordering::Relaxed);
    buyers.join_all().await;
    let orders = std::mem::take(&mut *orders.lock().unwrap());
    let numbers = orders.values().filter(|(_, is_filled)| *is_filled).count();
    let open = orders.len() - numbers;
    assert!(
        numbers > 200 && open > 0,
        "{numbers} numbers and {open} open orders"
    );

    // Each received number is paid, and a retry pays nothing. Some of the open orders are paid as
    // well.
    let paid = settled(&database).await;
    assert!(
        (numbers..=orders.len()).contains(&usize::try_from(paid).unwrap()),
        "{paid} of {numbers}"
    );
    let (told, untold): (Orders, Orders) = orders
        .clone()
        .into_iter()
        .partition(|(_, (_, known))| *known);
    ask_again(address, told).await;
    assert_eq!(
        settled(&database).await,
        paid,
        "a number was not paid (seed {SEED:#x})"
    );
    // A retry turns an open order into one purchase.
    ask_again(address, untold).await;
    assert_eq!(
        settled(&database).await,
        i64::try_from(orders.len()).unwrap(),
        "seed {SEED:#x}"
    );
    let waiting = "SELECT COUNT(*) FROM purchases WHERE state = 'reserved'";
    assert_eq!(
        count(&database, waiting).await,
        0,
        "credit without a user (seed {SEED:#x})"
    );
    for user in 0..LOGINS.len() {
        let of_user = orders.values().filter(|(order, _)| order.user == user);
        let spent: u64 = of_user.map(|(order, _)| order.price()).sum();
        let sql = format!("SELECT credit FROM users WHERE username = 'u{user}'");
        let left = u64::try_from(count(&database, &sql).await).unwrap();
        assert_eq!(left, CREDIT - spent, "u{user} (seed {SEED:#x})");
    }
    audit(&database).await;
}

/// Retries each order with its key until its number is received.
async fn ask_again(gatekeeper: SocketAddr, orders: Orders) {
    let turns = Arc::new(Semaphore::new(16));
    let mut asking = JoinSet::new();
    for (key, (order, _)) in orders {
        let turns = Arc::clone(&turns);
        asking.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let mut pace = tokio::time::interval(Duration::from_millis(50));
            let filling = async {
                loop {
                    pace.tick().await;
                    if order.is_filled(&order.place(gatekeeper, &key).await) {
                        return;
                    }
                }
            };
            let filled = tokio::time::timeout(Duration::from_secs(60), filling).await;
            filled.unwrap_or_else(|_| panic!("{key} is never filled (seed {SEED:#x})"));
        });
    }
    asking.join_all().await;
}
