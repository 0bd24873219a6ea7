//! Authorities of a client that change while it calls.

use std::fs;

use rpc_tests::captured::capture_log;
use rpc_tests::wait::until;

use super::kit::{Authority, TlsClient};
use super::kit_servers::{Load, secure, secure_edge, trusting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_roots_are_used_without_a_lost_call() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (server, files) = secure_edge(&old).await;
    let ((of_old, _), (of_new, _)) = (secure_edge(&old).await, secure_edge(&new).await);
    let tls = trusting(&files, &old);
    let (of_old, of_new) = (
        secure(&of_old.url, tls.clone()),
        secure(&of_new.url, tls.clone()),
    );
    assert!(of_old.am_i().await.is_ok());
    assert!(of_new.am_i().await.is_err());
    let load = Load::start(&secure(&server.url, tls), |_| true);
    load.go_on().await;
    // Both authorities, then a server of the new one, then the new one only.
    files.write("roots.crt", &format!("{}{}", old.pem(), new.pem()));
    until(async || of_new.am_i().await.is_ok()).await;
    assert!(of_old.am_i().await.is_ok());
    load.go_on().await;
    files.replace(&new.issue("who.test"));
    let probe = TlsClient::new(&new);
    until(async || probe.call(server.address, "").await.is_ok()).await;
    load.go_on().await;
    files.write("roots.crt", new.pem());
    until(async || of_old.am_i().await.is_err()).await;
    let error = of_old.am_i().await.unwrap_err();
    assert!(error.is_not_executed(), "{error}");
    let text = "is not issued by an authority that this client trusts";
    assert!(error.message().contains(text), "{error}");
    load.go_on().await;
    load.stop().await;
}

#[tokio::test]
async fn unusable_roots_keep_the_old_ones() {
    let (log, _guard) = capture_log();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (server, files) = secure_edge(&old).await;
    let (of_new, _files) = secure_edge(&new).await;
    let tls = trusting(&files, &old);
    let client = secure(&server.url, tls.clone());
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let kept = || log.text().matches("the old ones stay in use").count();
    // Each has another problem, and a problem is logged once.
    for (seen, content) in ["garbage", broken].into_iter().enumerate() {
        files.write("roots.crt", content);
        until(async || client.am_i().await.is_ok() && kept() > seen).await;
    }
    fs::remove_file(files.path("roots.crt")).unwrap();
    until(async || client.am_i().await.is_ok() && kept() > 2).await;
    assert!(log.text().contains("roots.crt"), "{}", log.text());
    // A usable file counts again.
    files.write("roots.crt", new.pem());
    let of_new = secure(&of_new.url, tls);
    until(async || of_new.am_i().await.is_ok()).await;
}
