//! Addresses from a service name, at a DNS server of the test.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use rpc_runtime::Client;
use rpc_runtime::discovery::{Discover as _, SrvAddresses};
use rpc_runtime::prelude::*;
use rpc_tests::wait::until;
use tokio::net::{TcpSocket, UdpSocket};
use tokio::task::JoinHandle;

use super::{WhichClient, start};

const NAME: &str = "_rpc._tcp.which.test.";

/// A record SRV: the priority, the port and the target.
#[derive(Clone)]
struct Target(u16, u16, &'static str);

/// The records of the server.
#[derive(Clone, Default)]
struct Zone {
    targets: Vec<Target>,
    /// Whether the addresses of the targets are sent along.
    sends_addresses: bool,
    /// Whether it sends bytes that are not DNS.
    is_broken: bool,
}

/// A DNS server, until it is dropped. Each target ending with `.here.` has the address 127.0.0.1.
struct NameServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    task: JoinHandle<()>,
}

impl NameServer {
    async fn start(zone: Zone) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(zone));
        let shared = Arc::clone(&zone);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((size, peer)) = socket.recv_from(&mut buffer).await {
                let zone = shared
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                let reply = if zone.is_broken {
                    b"not DNS".to_vec()
                } else {
                    reply(&Message::from_vec(&buffer[..size]).unwrap(), &zone)
                };
                socket.send_to(&reply, peer).await.unwrap();
            }
        });
        Self {
            address,
            zone,
            task,
        }
    }

    fn set(&self, zone: Zone) {
        *self.zone.lock().unwrap() = zone;
    }

    async fn resolve(&self) -> SrvAddresses {
        SrvAddresses::resolve_at(NAME, self.address).await.unwrap()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn reply(request: &Message, zone: &Zone) -> Vec<u8> {
    let query = &request.queries[0];
    let mut reply = Message::new(request.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.recursion_available = true;
    reply.add_query(query.clone());
    let address = |target: &Name| {
        let ip = RData::A(A(Ipv4Addr::LOCALHOST));
        Record::from_rdata(target.clone(), 1, ip)
    };
    let is_here = |target: &Name| target.to_ascii().ends_with(".here.");
    match query.query_type() {
        RecordType::SRV if *query.name() == name(NAME) && !zone.targets.is_empty() => {
            for Target(priority, port, target) in &zone.targets {
                let record = SRV::new(*priority, 0, *port, name(target));
                let owner = query.name().clone();
                reply.add_answer(Record::from_rdata(owner, 1, RData::SRV(record)));
                if zone.sends_addresses && is_here(&name(target)) {
                    reply.add_additional(address(&name(target)));
                }
            }
        }
        RecordType::A if is_here(query.name()) => {
            reply.add_answer(address(query.name()));
        }
        _ => reply.metadata.response_code = ResponseCode::NXDomain,
    }
    reply.to_vec().unwrap()
}

fn urls(list: &SrvAddresses) -> Vec<String> {
    list.addresses().iter().map(ToString::to_string).collect()
}

fn url(port: u16) -> String {
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    format!("http://{address}")
}

fn zone(targets: &[Target]) -> Zone {
    Zone {
        targets: targets.to_vec(),
        ..Zone::default()
    }
}

#[tokio::test]
async fn a_client_follows_a_service_name() {
    let (one, two) = (start(1).await, start(2).await);
    let ports = [one.address().port(), two.address().port()];
    let server = NameServer::start(zone(&[Target(0, ports[0], "a.here.")])).await;
    let list = server.resolve().await;
    assert_eq!(list.name(), NAME);
    let which = WhichClient::with_client(Client::discover(list.clone()));
    assert_eq!(which.which().await.unwrap(), 1);
    server.set(zone(&[Target(0, ports[1], "b.here.")]));
    until(async || which.which().await.unwrap() == 2).await;
    // A name that is gone and a reply that is no DNS keep the list.
    server.set(zone(&[]));
    assert_eq!(which.which().await.unwrap(), 2);
    server.set(Zone {
        is_broken: true,
        ..Zone::default()
    });
    assert_eq!(which.which().await.unwrap(), 2);
    assert_eq!(urls(&list), [url(ports[1])]);
}

#[tokio::test]
async fn the_lowest_priority_with_addresses_is_used() {
    let server = NameServer::start(zone(&[
        Target(20, 4, "d.here."),
        Target(10, 3, "c.here."),
        Target(10, 2, "b.here."),
        Target(1, 1, "nowhere.test."),
    ]))
    .await;
    assert_eq!(urls(&server.resolve().await), [url(2), url(3)]);
    // The same with addresses that the server sends along.
    server.set(Zone {
        targets: vec![Target(0, 7, "a.here."), Target(0, 7, "b.here.")],
        sends_addresses: true,
        is_broken: false,
    });
    assert_eq!(urls(&server.resolve().await), [url(7)]);
}

/// A closed port, which no other test opens while the socket is there.
fn closed() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

#[tokio::test]
async fn the_next_priority_is_used_while_one_is_away() {
    let (first, backup) = (start(1).await, start(2).await);
    let (open, spare) = (first.address().port(), backup.address().port());
    let (_socket, away) = closed();
    let server = NameServer::start(zone(&[
        Target(1, away, "a.here."),
        Target(2, spare, "b.here."),
        Target(3, open, "c.here."),
    ]))
    .await;
    let list = server.resolve().await;
    assert_eq!(urls(&list), [url(spare)]);
    let which = WhichClient::with_client(Client::discover(list.clone()));
    assert_eq!(which.which().await.unwrap(), 2);
    // One server of a priority is enough, and it has all of them.
    let mut ports = [away, open];
    ports.sort_unstable();
    server.set(zone(&[
        Target(1, away, "a.here."),
        Target(1, open, "c.here."),
        Target(2, spare, "b.here."),
    ]));
    until(async || urls(&list) == ports.map(url)).await;
    // It ends while the list is in use, and the calls go on.
    drop(first);
    until(async || urls(&list) == [url(spare)]).await;
    assert_eq!(which.which().await.unwrap(), 2);
    // Nothing can be reached: the lowest priority stays.
    drop(backup);
    until(async || urls(&list) == ports.map(url)).await;
    assert_eq!(which.which().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn one_priority_needs_no_connection() {
    let (_socket, away) = closed();
    let server = NameServer::start(zone(&[
        Target(7, away, "a.here."),
        Target(8, 1, "nowhere.test."),
    ]))
    .await;
    assert_eq!(urls(&server.resolve().await), [url(away)]);
}

#[tokio::test]
async fn a_name_without_addresses_makes_calls_unavailable() {
    for targets in [
        &[][..],
        &[Target(0, 1, "nowhere.test.")],
        // The root: the service is not offered.
        &[Target(0, 1, ".")],
    ] {
        let server = NameServer::start(zone(targets)).await;
        let list = server.resolve().await;
        assert!(list.addresses().is_empty());
        let which = WhichClient::with_client(Client::discover(list));
        let error = which.which().await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.message().contains(NAME), "{error}");
    }
}
