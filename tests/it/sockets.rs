//! Unix sockets: the socket file, access to it, and the client's transport.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rpc_runtime::BoundServer;
use rpc_runtime::Client;
use rpc_runtime::prelude::*;
use rpc_tests::folder::Folder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

#[rpc_service(package = "sockets.v1")]
trait Host {
    async fn who(&self) -> Result<Option<String>>;
}

struct Inn;

impl Host for Inn {
    async fn who(&self) -> Result<Option<String>> {
        Ok(Context::current().source().map(ToString::to_string))
    }
}

/// A folder for the socket of a server.
struct SocketFolder(Folder);

impl SocketFolder {
    fn new() -> Self {
        Self(Folder::new())
    }

    fn url(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.0.file("a.sock")
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn server(url: &str) -> Server {
    Server::new("inn").listen(url).add(HostServer::new(Inn))
}

fn serve(bound: BoundServer) -> (oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(bound.serve(async {
        // Dropping the sender stops the server as well.
        let _ = stopped.await;
    }));
    (stop, task)
}

#[tokio::test]
async fn a_socket_is_trusted_and_removed_with_its_server() {
    let folder = SocketFolder::new();
    let bound = server(&folder.url()).bind().await.unwrap();
    assert_eq!((bound.url(), bound.addresses().len()), (folder.url(), 0));
    assert_eq!(folder.names(), ["a.sock", "a.sock.lock"]);
    let (stop, task) = serve(bound);
    for http2 in [false, true] {
        let client = Client::new(&folder.url()).unwrap().named("guest").unwrap();
        let client = if http2 { client.http2() } else { client };
        for _ in 0..2 {
            let who = HostClient::with_client(client.clone()).who().await.unwrap();
            assert!(who.unwrap().starts_with("guest@prod/"));
        }
    }
    drop(stop);
    task.await.unwrap();
    assert_eq!(folder.names(), ["a.sock.lock"]);
    let client = HostClient::connect(&folder.url()).unwrap();
    let error = client.who().await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        error
            .message()
            .contains(&format!("cannot connect to {}: ", folder.url())),
        "{error}"
    );
}

#[tokio::test]
async fn a_path_is_taken_as_it_is() {
    for (prefix, name) in [
        ("unix:", "my own.sock"),
        ("UNIX:", "a%20b.sock"),
        ("Unix://", "100%.sock"),
    ] {
        let folder = SocketFolder::new();
        let path = folder.0.file(name);
        let bound = server(&format!("{prefix}{}", path.display()))
            .bind()
            .await
            .unwrap();
        assert_eq!(folder.names(), [name.to_owned(), format!("{name}.lock")]);
        let url = bound.url();
        let _serving = serve(bound);
        for url in [url, format!("{prefix}{}", path.display())] {
            let client = Client::new(&url).unwrap();
            for client in [client.clone(), client.http2()] {
                HostClient::with_client(client).who().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_socket_speaks_http_and_an_edge_trusts_no_peer() {
    let folder = SocketFolder::new();
    let edge = Server::new("inn")
        .listen_edge(folder.url())
        .add(HostServer::new(Inn));
    let _serving = serve(edge.bind().await.unwrap());
    let mut stream = UnixStream::connect(folder.socket()).await.unwrap();
    stream
        .write_all(
            b"POST /sockets.v1.Host/Who HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
              x-rpc-source: guest@prod/1\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
        )
        .await
        .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
    assert!(response.ends_with("\r\n\r\n{}"), "{response}");
}

#[tokio::test]
async fn only_the_same_user_may_connect_by_default() {
    for (mode, expected) in [(None, 0o600), (Some(0o660), 0o660)] {
        let folder = SocketFolder::new();
        let mut server = server(&folder.url());
        if let Some(mode) = mode {
            server = server.socket_mode(mode);
        }
        let _bound = server.bind().await.unwrap();
        let permissions = fs::metadata(folder.socket()).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, expected);
    }
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_used_one_is_not() {
    let folder = SocketFolder::new();
    // As after a kill: the file exists, and no process listens.
    drop(std::os::unix::net::UnixListener::bind(folder.socket()).unwrap());
    let bound = server(&folder.url()).bind().await.unwrap();
    let error = server(&folder.url()).bind().await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        error.message().contains("another process listens there"),
        "{error}"
    );
    drop(bound);
    assert_eq!(folder.names(), ["a.sock.lock"]);
    // Another program, which does not use the lock file.
    let other = std::os::unix::net::UnixListener::bind(folder.socket()).unwrap();
    let error = server(&folder.url()).bind().await.unwrap_err();
    assert!(
        error.message().contains("another process listens there"),
        "{error}"
    );
    drop(other);
    assert!(folder.socket().exists());
}

#[tokio::test]
async fn a_file_that_is_not_a_socket_stays() {
    let folder = SocketFolder::new();
    fs::write(folder.socket(), "precious").unwrap();
    let error = server(&folder.url()).bind().await.unwrap_err();
    assert!(error.message().contains("not a socket"), "{error}");
    assert_eq!(fs::read_to_string(folder.socket()).unwrap(), "precious");
    assert_eq!(folder.names(), ["a.sock", "a.sock.lock"]);
}

#[tokio::test]
async fn a_server_does_not_remove_a_replaced_socket() {
    let folder = SocketFolder::new();
    let bound = server(&folder.url()).bind().await.unwrap();
    fs::remove_file(folder.socket()).unwrap();
    fs::write(folder.socket(), "another file").unwrap();
    drop(bound);
    assert!(folder.socket().exists());
}

#[tokio::test]
async fn a_path_that_cannot_be_is_refused() {
    let long = format!("unix:/run/{}", "x".repeat(200));
    for bad in ["unix:", "unix:relative.sock", "unix:/", &long] {
        let error = server(bad).bind().await.unwrap_err();
        assert!(
            matches!(error.code(), Code::InvalidArgument | Code::Unavailable),
            "{bad}: {error}"
        );
    }
    let error = server("unix:relative.sock").bind().await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    let error = HostClient::connect("unix:relative.sock").unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
}

#[tokio::test]
async fn a_server_listens_on_addresses_of_both_kinds() {
    let folder = SocketFolder::new();
    let bound = server(&folder.url())
        .listen("127.0.0.1:0")
        .bind()
        .await
        .unwrap();
    let urls = bound.urls();
    let _serving = serve(bound);
    assert_eq!(urls.len(), 2);
    for url in urls {
        let pong = HostClient::connect(&url).unwrap().ping().await.unwrap();
        assert!(pong.instance.starts_with("127.0.0.1:"), "{pong:?}");
    }
}
