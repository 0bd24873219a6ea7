//! Addresses from a file, from a host name and from a service name.

mod srv;

use std::fs;
use std::path::Path;
use std::time::Duration;

use rpc_runtime::Client;
use rpc_runtime::discovery::{Discover as _, DnsAddresses, FileAddresses};
use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::folder::Folder;
use rpc_tests::wait::until;

#[rpc_service(package = "discovery.v1")]
trait Which {
    #[rpc(idempotent)]
    async fn which(&self) -> Result<u32>;
}

struct Number(u32);

impl Which for Number {
    async fn which(&self) -> Result<u32> {
        Ok(self.0)
    }
}

async fn start(number: u32) -> Running {
    Running::start(Server::new("which").add(WhichServer::new(Number(number)))).await
}

/// Replaces the file as a tool does: by renaming another one.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

const OFTEN: Duration = Duration::from_millis(5);

#[tokio::test]
async fn a_client_follows_a_file() {
    let folder = Folder::new();
    let file = folder.file("addresses");
    let (one, two) = (start(1).await, start(2).await);
    replace(
        &file,
        &format!("\u{feff}# the first\n\n  {}  \n", one.url()),
    );
    let list = FileAddresses::watch_every(&file, OFTEN).await.unwrap();
    let which = WhichClient::with_client(Client::discover(list.clone()));
    assert_eq!(which.which().await.unwrap(), 1);
    replace(&file, &format!("{}\n", two.url()));
    until(async || which.which().await.unwrap() == 2).await;
    // No file keeps the list.
    fs::remove_file(&file).unwrap();
    assert_eq!(which.which().await.unwrap(), 2);
    replace(&file, &format!("{}\n{}\n", one.url(), two.url()));
    until(async || list.addresses().len() == 2).await;
    assert_eq!(list.name(), file.display().to_string());
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_an_error_at_first() {
    let folder = Folder::new();
    let file = folder.file("addresses");
    let refused = async || {
        let error = FileAddresses::watch(&file).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(error.message().contains("addresses"), "{error}");
        error.message().to_owned()
    };
    refused().await;
    fs::write(&file, "").unwrap();
    assert!(refused().await.contains("no addresses"));
    fs::write(&file, "http://a:1\n\nhttp://ada:secret@b c\n").unwrap();
    let text = refused().await;
    assert!(text.contains("line 3: "), "{text}");
    assert!(!text.contains("secret"), "{text}");
    fs::write(&file, b"http://\xff:1\n").unwrap();
    refused().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_of_others_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::new();
    let file = folder.file("addresses");
    fs::write(&file, "http://127.0.0.1:1\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let error = FileAddresses::watch(&file).await.unwrap_err();
    assert!(error.message().contains("666"), "{error}");
}

#[tokio::test]
async fn a_client_resolves_a_host_name() {
    let running = start(7).await;
    let url = format!("http://localhost:{}", running.address().port());
    let list = DnsAddresses::resolve(&url).await.unwrap();
    let which = WhichClient::with_client(Client::discover(list));
    assert_eq!(which.which().await.unwrap(), 7);
    let missing = DnsAddresses::resolve("http://nothing.invalid:1").await;
    let which = WhichClient::with_client(Client::discover(missing.unwrap()));
    let error = which.which().await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("nothing.invalid:1"), "{error}");
}
