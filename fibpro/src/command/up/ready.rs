//! Waits for the readiness that a service reports at `/readyz`.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

/// Timeout for a service to become ready.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Timeout of one request. The server limits its checks to one second.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Delay between two requests.
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until the service at a URL is ready.
pub(super) async fn wait(service: &str, url: &str) -> Result<(), String> {
    let mut last = "no response".to_owned();
    let waiting = async {
        loop {
            match timeout(RESPONSE_TIMEOUT, ask(url)).await {
                Ok(Ok(response)) if response.starts_with("HTTP/1.1 200 ") => return,
                Ok(Ok(response)) => {
                    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
                    let body = body.trim();
                    last = if body.is_empty() { head } else { body }.to_owned();
                }
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = "no response".to_owned(),
            }
            sleep(PAUSE).await;
        }
    };
    timeout(TIMEOUT, waiting).await.map_err(|_| {
        format!(
            "{service} is not ready after {} s: {}",
            TIMEOUT.as_secs(),
            last.escape_debug()
        )
    })
}

async fn ask(url: &str) -> std::io::Result<String> {
    match url.strip_prefix("unix:") {
        Some(path) => ask_on(UnixStream::connect(path).await?, "localhost").await,
        None => {
            let address = url.strip_prefix("http://").unwrap_or(url);
            ask_on(TcpStream::connect(address).await?, address).await
        }
    }
}

async fn ask_on(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
) -> std::io::Result<String> {
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.take(4096).read_to_string(&mut response).await?;
    Ok(response)
}
