//! The listening sockets that `fibpro up` holds for its services.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fibpro::api::pricing::PricingClient;
use fibpro::api::userstore::UserStoreClient;
use rpc_runtime::{Client, IdentityKeys};

use crate::process::{Ended, command, fibpro, output, signal_id, start};
use crate::up::{SERVICES, Up, until, up_in};

/// Number of times that each service is killed.
const KILLS: usize = 10;

/// A thread that does something again and again until it is stopped.
struct Repeated<T> {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Repeated<T> {
    fn start(run: impl FnOnce(&AtomicBool) -> T + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || run(&stopped));
        Self { stop, thread }
    }

    fn stop(self) -> T {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Tries to bind each address, and returns those that it got and the number of tries.
fn thief(addresses: Vec<SocketAddr>) -> Repeated<(Vec<SocketAddr>, u64)> {
    Repeated::start(move |stop| {
        let (mut stolen, mut tries) = (Vec::new(), 0);
        while !stop.load(Ordering::Relaxed) {
            for address in &addresses {
                let any = SocketAddr::from(([0, 0, 0, 0], address.port()));
                for target in [*address, any] {
                    tries += 1;
                    match TcpListener::bind(target) {
                        Ok(_) => stolen.push(target),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse, "{target}"),
                    }
                }
            }
            thread::yield_now();
        }
        (stolen, tries)
    })
}

/// Connects to each address, and returns the number of connections. Panics if one is refused.
#[allow(
    clippy::disallowed_methods,
    reason = "paces the load, so that the connections of this test do not fill the queues"
)]
fn connect_to(addresses: Vec<SocketAddr>) -> Repeated<u64> {
    Repeated::start(move |stop| {
        let mut connections = 0;
        while !stop.load(Ordering::Relaxed) {
            for address in &addresses {
                // Never refused: without a server it waits in the queue of the socket.
                TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
                connections += 1;
            }
            thread::sleep(Duration::from_millis(5));
        }
        connections
    })
}

/// Calls services that are killed meanwhile, and returns the number of calls. Panics if one fails.
fn call(up: &Up, done: &Arc<AtomicU64>) -> Repeated<()> {
    let keys = IdentityKeys::from_file(up.key()).unwrap();
    let client = |service: &str| Client::new(up.url(service)).unwrap().identity(keys.clone());
    let users = UserStoreClient::with_client(client("userstore"));
    let prices = PricingClient::with_client(client("pricing"));
    let done = done.clone();
    Repeated::start(move |stop| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            while !stop.load(Ordering::Relaxed) {
                let user = users.get_user("username").await;
                user.unwrap_or_else(|error| panic!("{error:#}"));
                let pong = prices.ping().await;
                pong.unwrap_or_else(|error| panic!("{error:#}"));
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    })
}

/// Returns the process of each service that came back, and how often it did.
fn returns(stderr: &str) -> BTreeMap<String, (usize, u32)> {
    let mut found: BTreeMap<String, (usize, u32)> = BTreeMap::new();
    for line in stderr.lines() {
        let Some((service, rest)) = line.split_once(" is back on ") else {
            continue;
        };
        let id = rest.split_once(", process ").unwrap().1.parse().unwrap();
        let entry = found.entry(service.to_owned()).or_default();
        *entry = (entry.0 + 1, id);
    }
    found
}

#[test]
fn no_port_can_be_taken_while_services_restart() {
    let up = Up::start(&["--processes"]);
    let addresses: Vec<SocketAddr> = SERVICES
        .iter()
        .map(|service| up.url(service))
        .chain([up.operator_url()])
        .map(|url| url.strip_prefix("http://").unwrap().parse().unwrap())
        .collect();
    let done = Arc::new(AtomicU64::new(0));
    let thief = thief(addresses.clone());
    let connecting = connect_to(addresses);
    let calling = call(&up, &done);
    let mut ids: BTreeMap<_, _> = SERVICES.map(|service| (service, up.id(service))).into();
    for round in 1..=KILLS {
        for id in ids.values() {
            signal_id("-KILL", *id);
        }
        until("all services are back", || {
            let back = returns(&up.process.stderr());
            let ready = back.values().filter(|(count, _)| *count == round).count();
            ids = SERVICES
                .into_iter()
                .filter_map(|service| Some((service, back.get(service)?.1)))
                .collect();
            ready == SERVICES.len()
        });
        let before = done.load(Ordering::Relaxed);
        until("calls succeed", || {
            done.load(Ordering::Relaxed) > before + 1
        });
    }
    calling.stop();
    let connections = connecting.stop();
    let (stolen, tries) = thief.stop();
    assert_eq!(stolen, [], "of {tries} tries");
    assert!(tries > 1000 && connections > 100, "{tries} {connections}");
    assert!(up.get("/10").ends_with("\r\n\r\n55"));
    let (ended, _folder) = up.stop();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[test]
fn a_purchase_waits_for_a_service_that_restarts() {
    let up = Up::start(&["--processes"]);
    let mut ids: BTreeMap<_, _> = SERVICES.map(|service| (service, up.id(service))).into();
    for (round, service) in (1..).zip(["compute_worker", "pricing", "controller"]) {
        signal_id("-KILL", ids[service]);
        // The restart takes at least its delay of 100 ms.
        let sold = up.get("/1");
        assert!(sold.ends_with("\r\n\r\n1"), "{round} {service}: {sold}");
        ids.remove(service);
    }
}

/// Returns the Unix sockets in the data folder.
fn sockets(up: &Up) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(up.data()).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.file_type().is_socket() {
            let name = entry.file_name().into_string().unwrap();
            found.insert(name, metadata.permissions().mode() & 0o7777);
        }
    }
    found
}

fn works_on_unix_sockets(arguments: &[&str]) {
    let up = Up::start(&[&["--unix"], arguments].concat());
    let expected = SERVICES.map(|service| (format!("{service}.sock"), 0o600));
    assert_eq!(sockets(&up), expected.into());
    for service in &SERVICES[..5] {
        let path = up.data().join(format!("{service}.sock"));
        assert_eq!(up.url(service), format!("unix:{}", path.display()));
    }
    // The shop is for other hosts.
    assert!(up.url("gatekeeper").starts_with("http://127.0.0.1:"));
    assert!(up.get("/10").ends_with("\r\n\r\n55"));
    let key = up.key();
    let mut monitor = vec!["monitor".to_owned(), "--identity-key-file".to_owned(), key];
    monitor.extend(up.endpoints());
    let monitor: Vec<_> = monitor.iter().map(String::as_str).collect();
    let shown = fibpro(&monitor);
    assert_eq!(
        (shown.code, shown.stdout.matches(" up ").count()),
        (Some(0), 6),
        "{shown:?}"
    );
    if arguments.contains(&"--processes") {
        let before = sockets(&up);
        signal_id("-KILL", up.id("userstore"));
        let path = up.data().join("userstore.sock");
        drop(UnixStream::connect(path).unwrap());
        assert!(up.get("/1").ends_with("\r\n\r\n1"));
        assert_eq!(sockets(&up), before);
    }
    let data = up.data();
    let (ended, _folder) = up.stop();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let left = fs::read_dir(data).unwrap().filter(|entry| {
        let kind = entry.as_ref().unwrap().file_type().unwrap();
        kind.is_socket()
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn unix_sockets_are_in_the_data_folder() {
    works_on_unix_sockets(&[]);
}

#[test]
fn unix_sockets_are_passed_to_processes() {
    works_on_unix_sockets(&["--processes"]);
}

#[test]
fn a_lost_socket_is_bound_again_at_a_restart() {
    type Loss = fn(&Path);
    let up = Up::start(&["--unix", "--processes"]);
    let losses: [(&str, Loss); 3] = [
        ("userstore", |path| fs::remove_file(path).unwrap()),
        ("pricing", |path| {
            fs::rename(path, path.with_extension("away")).unwrap();
        }),
        // A socket without a listener.
        ("controller", |path| {
            fs::remove_file(path).unwrap();
            drop(UnixListener::bind(path).unwrap());
        }),
    ];
    for (service, lose) in losses {
        let path = up.data().join(format!("{service}.sock"));
        lose(&path);
        signal_id("-KILL", up.id(service));
        until("the service is back", || {
            returns(&up.process.stderr()).contains_key(service)
        });
        let stderr = up.process.stderr();
        let note = format!("the socket file of {service} was removed or replaced; unix:");
        assert_eq!(stderr.matches(&note).count(), 1, "{stderr}");
        drop(UnixStream::connect(&path).unwrap());
        assert_eq!(sockets(&up)[&format!("{service}.sock")], 0o600);
        until("a purchase succeeds", || {
            up.get("/1").ends_with("\r\n\r\n1")
        });
    }
    let (ended, _folder) = up.stop();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[test]
fn a_data_folder_may_have_spaces_in_its_name() {
    for mode in [&["--unix"][..], &["--unix", "--processes"]] {
        let folder = crate::process::Folder::new();
        let mut up = start(&mut up_in(&folder.file("it's my data"), mode));
        up.wait_for_stdout("Ctrl-C stops all").unwrap();
        let banner = up.stdout();
        let monitor = banner.lines().find(|line| line.contains(" monitor "));
        // As a user would paste it.
        let shown: Ended = output(&mut command("sh", &["-c", monitor.unwrap()])).into();
        assert_eq!(
            (shown.code, shown.stdout.matches(" up ").count()),
            (Some(0), 6),
            "{shown:?}"
        );
        up.terminate().unwrap();
        assert_eq!(up.wait().unwrap().status.code(), Some(0));
    }
}

#[test]
fn a_folder_that_no_socket_fits_into_is_refused() {
    let folder = crate::process::Folder::new();
    let long = folder.file(&"f".repeat(100));
    let comma = folder.file("a,b");
    for mode in [&[][..], &["--processes"]] {
        for (data, text) in [
            (&long, "path must be shorter than SUN_LEN"),
            (
                &comma,
                "`--unix` needs a data folder (`--data-dir`) whose path is UTF-8 without commas",
            ),
        ] {
            let data = data.to_str().unwrap();
            let arguments = ["up", "--base-port", "0", "--unix", "--data-dir", data];
            let ended = fibpro(&[&arguments, mode].concat());
            assert_eq!(ended.code, Some(1), "{ended:?}");
            assert!(
                ended.stderr.starts_with("error: ") && ended.stderr.contains(text),
                "{ended:?}"
            );
            assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        }
    }
}
