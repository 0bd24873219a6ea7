//! Sockets that a service manager passes to a server: `LISTEN_FDS` and `LISTEN_PID`, as systemd
//! does for socket activation.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use command_fds::{CommandFdExt as _, FdMapping};
use rpc_runtime::testing::Process;
use rpc_tests::chain::BackClient;
use rpc_tests::folder::Folder;

/// Sets `LISTEN_PID` as a manager does that cannot know the process ID before the start.
const SET_PID: &str = r#"LISTEN_PID=$$ exec "$0" "$@""#;

/// Returns the command of a server that inherits sockets; `shell` is what starts it.
fn command(shell: &str, sockets: Vec<OwnedFd>, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", shell, env!("CARGO_BIN_EXE_chain_service"), "back"]);
    command.args(arguments);
    command.env_remove("RPC_LISTEN");
    command.env("LISTEN_FDS", sockets.len().to_string());
    let mappings = sockets.into_iter().zip(3..);
    let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping {
        parent_fd,
        child_fd,
    });
    command.fd_mappings(mappings.collect()).unwrap();
    command
}

fn start(sockets: Vec<OwnedFd>, arguments: &[&str]) -> Process {
    Process::start(&mut command(SET_PID, sockets, arguments)).unwrap()
}

/// Returns the error with which the server ends.
fn refused(sockets: Vec<OwnedFd>, arguments: &[&str]) -> String {
    ended(&mut command(SET_PID, sockets, arguments))
}

fn ended(command: &mut Command) -> String {
    let mut process = Process::spawn(command).unwrap();
    let ended = process.wait().unwrap();
    assert!(!ended.status.success(), "{ended:?}");
    assert!(!ended.stdout.contains("listening"), "{ended:?}");
    ended.stderr
}

fn bound() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn fd(socket: &TcpListener) -> OwnedFd {
    socket.try_clone().unwrap().into()
}

const PROBE: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

fn assert_alive(mut stream: impl std::io::Read) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inherited_socket_is_not_bound_again() {
    let (listener, address) = bound();
    let server = start(vec![fd(&listener)], &["--listen", &address]);
    assert_eq!(server.url(), format!("http://{address}"));
    let client = BackClient::connect(server.url()).unwrap();
    assert_eq!(client.add().await.unwrap(), 1);
}

#[test]
fn connections_wait_for_the_next_server() {
    let (listener, address) = bound();
    for _ in 0..3 {
        // No server runs: the connection is established all the same.
        let mut early = TcpStream::connect(&address).unwrap();
        early.write_all(PROBE).unwrap();
        let mut server = start(vec![fd(&listener)], &["--listen", &address]);
        assert_alive(early);
        server.kill9().unwrap();
        let taken = TcpListener::bind(&address).unwrap_err();
        assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    }
}

#[test]
fn a_socket_replaces_addresses_of_its_trust() {
    let (listener, address) = bound();
    let url = format!("http://{address}");
    let server = start(vec![fd(&listener)], &["--listen", "127.0.0.1:0"]);
    assert_eq!(server.url(), url);
    // An edge does not serve what is for operators.
    let edge = start(vec![fd(&listener)], &["--listen-edge", "127.0.0.1:0"]);
    assert_eq!(edge.url(), url);
    assert_eq!(edge.edge_url().unwrap(), url);
    drop(server);
    let mut stream = TcpStream::connect(&address).unwrap();
    let get = "POST /rpc.v1.Status/Get HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
               connection: close\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(get.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[test]
fn a_socket_of_unknown_trust_ends_the_start() {
    let (listener, address) = bound();
    let both = ["--listen", "127.0.0.1:0", "--listen-edge", "127.0.0.1:0"];
    let error = refused(vec![fd(&listener)], &both);
    let expected = format!("back has inherited http://{address} (LISTEN_FDS)");
    assert!(error.contains(&expected), "{error}");
    assert!(
        error.contains("as an internal or an edge listener"),
        "{error}"
    );
    // With its address the trust is known.
    let both = ["--listen", "127.0.0.1:0", "--listen-edge", &address];
    let server = start(vec![fd(&listener)], &both);
    server
        .wait_for_stdout(&format!("listening on http://{address}"))
        .unwrap();
}

#[test]
fn several_sockets_are_found_by_address() {
    let ((first, a), (second, b)) = (bound(), bound());
    let arguments = ["--listen", &b, "--listen-edge", &a];
    let server = start(vec![fd(&first), fd(&second)], &arguments);
    server
        .wait_for_stdout(&format!("listening on http://{a}"))
        .unwrap();
    let lines = server.stdout();
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines[0], format!("back listening on http://{b}"));
    assert_eq!(server.edge_url().unwrap(), format!("http://{a}"));
    assert_eq!(lines[1], format!("back listening on http://{a} (edge)"));
}

#[test]
fn a_unix_socket_outlives_its_server() {
    let folder = Folder::new();
    let path = folder.file("a.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let url = format!("unix:{}", path.display());
    for _ in 0..2 {
        let mut early = UnixStream::connect(&path).unwrap();
        early.write_all(PROBE).unwrap();
        let socket = listener.try_clone().unwrap().into();
        let mut server = start(vec![socket], &["--listen", &url]);
        assert_eq!(server.url(), url);
        assert_alive(early);
        server.terminate().unwrap();
        assert!(server.wait().unwrap().status.success());
        assert!(
            path.exists(),
            "the file belongs to the process that has bound it"
        );
    }
}

#[test]
fn a_descriptor_that_is_no_listener_is_refused() {
    let (listener, address) = bound();
    let stream = TcpStream::connect(&address).unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let file = File::open(Path::new("/dev/null")).unwrap();
    let tcp = tokio::net::TcpSocket::new_v4().unwrap();
    tcp.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let tcp = tcp.as_fd().try_clone_to_owned().unwrap();
    let unbound = tokio::net::TcpSocket::new_v6().unwrap();
    let unbound = unbound.as_fd().try_clone_to_owned().unwrap();
    // A connection that its peer has reset has no peer any more.
    let (other, other_address) = bound();
    let reset = TcpStream::connect(other_address).unwrap();
    drop(other);
    for (descriptor, reason) in [
        (OwnedFd::from(stream), "it is a connection"),
        (
            OwnedFd::from(datagrams),
            "it is not a TCP or Unix stream socket",
        ),
        (OwnedFd::from(file), "it is not a TCP or Unix stream socket"),
        (tcp, "does not listen"),
        (unbound, "does not listen"),
        (OwnedFd::from(reset), "it is "),
    ] {
        let error = refused(vec![fd(&listener), descriptor], &["--listen", &address]);
        let expected = "cannot use the inherited descriptor 4 (LISTEN_FDS=2): ";
        assert!(
            error.contains(expected) && error.contains(reason),
            "{error}"
        );
    }
    // Announced, but not passed.
    let mut missing = command(SET_PID, vec![fd(&listener)], &["--listen", &address]);
    let error = ended(missing.env("LISTEN_FDS", "2"));
    assert!(error.contains("descriptor 4"), "{error}");
    let mut many = command(SET_PID, vec![fd(&listener)], &["--listen", &address]);
    let error = ended(many.env("LISTEN_FDS", "-1"));
    assert!(
        error.contains("invalid variable LISTEN_FDS `-1`"),
        "{error}"
    );
}

#[test]
fn variables_for_another_process_are_ignored() {
    let (listener, address) = bound();
    for shell in [
        r#"LISTEN_PID=1 exec "$0" "$@""#,
        r#"unset LISTEN_PID; exec "$0" "$@""#,
        r#"LISTEN_PID= exec "$0" "$@""#,
    ] {
        let arguments = ["--listen", "127.0.0.1:0"];
        let server = Process::start(&mut command(shell, vec![fd(&listener)], &arguments));
        assert_ne!(server.unwrap().url(), format!("http://{address}"));
    }
}

#[test]
fn systemd_activates_a_server() {
    let folder = Folder::new();
    let path = folder.file("a.sock");
    let mut command = Command::new("systemd-socket-activate");
    command.arg("--listen").arg(&path);
    command.args([env!("CARGO_BIN_EXE_chain_service"), "back", "--listen"]);
    command.arg(format!("unix:{}", path.display()));
    let Ok(mut server) = Process::spawn(&mut command) else {
        println!("skipped: install systemd, for systemd-socket-activate");
        return;
    };
    server.wait_for_stderr("Listening on").unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(PROBE).unwrap();
    assert_alive(stream);
    server.terminate().unwrap();
    assert!(server.wait().unwrap().status.success());
}
