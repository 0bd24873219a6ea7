//! Metadata in both directions: binary values, names in any case, errors. Over a socket, in
//! process, and as other clients send and see it.

use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post_with};

const BYTES: &[u8] = &[0, 255, 10, 13, 128];

#[rpc_service(package = "meta.v1")]
trait Meta {
    /// Returns the bytes of the caller's `x-bytes-bin`, in the response's metadata as well.
    async fn echo(&self) -> Result<Vec<Vec<u8>>>;
    /// Fails with binary metadata.
    async fn fail(&self) -> Result<()>;
    /// Sets metadata with an invalid name.
    async fn invalid(&self) -> Result<()>;
}

struct Echo;

impl Meta for Echo {
    async fn echo(&self) -> Result<Vec<Vec<u8>>> {
        let context = Context::current();
        let sent = context.metadata().get_all_bin("X-Bytes-Bin");
        let sent: Vec<Vec<u8>> = sent.flatten().collect();
        for bytes in &sent {
            context.response().header_bin("X-Header-Bin", bytes)?;
            context.response().trailer_bin("X-Trailer-Bin", bytes)?;
        }
        context.response().header("X-Cache", "hit")?;
        Ok(sent)
    }

    async fn fail(&self) -> Result<()> {
        Err(Error::new(Code::NotFound, "nothing here")
            .with_metadata_bin("X-Reason-Bin", BYTES)
            .with_metadata("X-Hint", " look elsewhere "))
    }

    async fn invalid(&self) -> Result<()> {
        Context::current().response().header_bin("x-bytes", BYTES)
    }
}

async fn start() -> Running {
    Running::start(Server::new("meta").add(MetaServer::new(Echo))).await
}

fn clients(running: &Running) -> [MetaClient; 2] {
    [
        MetaClient::connect(&running.url()).unwrap(),
        MetaClient::local(Echo),
    ]
}

#[tokio::test]
async fn bytes_travel_in_both_directions() {
    let running = start().await;
    for meta in clients(&running) {
        let response = meta
            .echo()
            .header_bin("X-Bytes-Bin", BYTES)
            .header_bin("x-bytes-bin", &[])
            .with_response()
            .await
            .unwrap();
        let expected = [BYTES.to_vec(), Vec::new()];
        assert_eq!(response.value, expected);
        let all = |metadata: &rpc_runtime::Metadata, name: &str| -> Vec<_> {
            metadata.get_all_bin(name).flatten().collect()
        };
        assert_eq!(all(&response.headers, "x-header-bin"), expected);
        assert_eq!(all(&response.trailers, "X-Trailer-Bin"), expected);
        assert_eq!(response.headers.get("x-cache"), Some("hit"));
    }
}

#[tokio::test]
async fn an_error_has_binary_metadata() {
    let running = start().await;
    for meta in clients(&running) {
        let error = meta.fail().await.unwrap_err();
        let bytes = error.metadata().get_bin("x-reason-bin");
        assert_eq!(bytes.as_deref(), Some(BYTES));
        assert_eq!(error.metadata().get("x-hint"), Some("look elsewhere"));
    }
}

#[tokio::test]
async fn invalid_metadata_fails_with_its_name() {
    let running = start().await;
    for meta in clients(&running) {
        for call in [
            meta.echo().header_bin("x-bytes", BYTES),
            meta.echo().header("x-bytes-bin", "not base64!"),
            meta.echo().header_bin("Content-Bin", BYTES),
            meta.echo().header("x bytes", "1"),
        ] {
            let error = call.await.unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.message().starts_with("metadata `"), "{error}");
        }
        assert_eq!(meta.invalid().await.unwrap_err().code(), Code::Internal);
    }
}

#[tokio::test]
async fn other_clients_send_and_see_base64() {
    let running = start().await;
    // Padded, unpadded, joined by a proxy, names in any case.
    for (lines, expected) in [
        (
            &[("X-Bytes-Bin", "AP8KDYA=")] as &[(&str, &str)],
            r#"["AP8KDYA="]"#,
        ),
        (
            &[("x-bytes-bin", "AP8KDYA"), ("X-BYTES-BIN", "AQ")],
            r#"["AP8KDYA=","AQ=="]"#,
        ),
        (&[("x-bytes-bin", "AP8KDYA=, AQ")], r#"["AP8KDYA=","AQ=="]"#),
    ] {
        let request = post_with("/meta.v1.Meta/Echo", lines, "{}");
        let response = Raw::connect(running.address()).await.ask(request).await;
        assert_eq!(
            String::from_utf8_lossy(&response.body),
            format!(r#"{{"result":{expected}}}"#)
        );
        if expected.len() < 15 {
            assert_eq!(response.header("x-header-bin"), Some("AP8KDYA"));
            assert_eq!(response.header("trailer-x-trailer-bin"), Some("AP8KDYA"));
        }
    }
}
