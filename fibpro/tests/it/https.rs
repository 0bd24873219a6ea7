use std::fs;
use std::path::PathBuf;

use rpc_runtime::status::StatusClient;
use rpc_runtime::{Client, ClientTlsConfig, Code};

use crate::process::{Ended, Folder, command, fibpro, output, program};
use crate::programs::{PROGRAMS, Program};

/// A certificate of 127.0.0.1 that is its own authority, in files.
struct Certificate(Folder);

impl Certificate {
    fn new() -> Self {
        let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let folder = Folder::new();
        fs::write(folder.file("tls.crt"), pair.cert.pem()).unwrap();
        fs::write(folder.file("tls.key"), pair.signing_key.serialize_pem()).unwrap();
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.file("tls.crt")
    }

    fn text(&self) -> String {
        self.file().into_os_string().into_string().unwrap()
    }

    /// Starts a service with the certificate.
    fn start(&self, name: &str, program: &str, arguments: &[&str]) -> Program {
        let key = self.0.file("tls.key").into_os_string();
        let (certificate, key) = (self.text(), key.into_string().unwrap());
        let files = ["--tls-cert", &certificate, "--tls-key", &key];
        Program::of_scheme("https", name, program, &[&files, arguments].concat())
    }
}

/// The response of a controller with these options to a purchase.
fn buy(options: &[&str]) -> String {
    let controller = Program::of_scheme("http", "controller", PROGRAMS[2].1, options);
    let body = r#"{"username":"a","n":1,"key":"k"}"#;
    controller.post("/fibpro.v1.Controller/Generate", body)
}

#[test]
fn services_call_each_other_over_https() {
    let (certificate, other) = (Certificate::new(), Certificate::new());
    // Pricing is reached, and its user store is not.
    let nowhere = ["--endpoint", "userstore=http://127.0.0.1:1"];
    let pricing = certificate.start("pricing", PROGRAMS[1].1, &nowhere);
    let endpoint = format!("pricing=https://{}", pricing.address);
    let trusting = |file: &str| buy(&["--endpoint", &endpoint, "--endpoint-ca", file]);
    let reached = trusting(&certificate.text());
    assert!(reached.starts_with("HTTP/1.1 503 "), "{reached}");
    assert!(reached.contains("fibpro.v1.Pricing/Pay"), "{reached}");
    for untrusted in [trusting(&other.text()), buy(&["--endpoint", &endpoint])] {
        assert!(untrusted.starts_with("HTTP/1.1 503 "), "{untrusted}");
        assert!(!untrusted.contains("fibpro.v1.Pricing/Pay"), "{untrusted}");
        let texts = ["authority that this client trusts", "no root certificates"];
        assert!(
            texts.iter().any(|text| untrusted.contains(text)),
            "{untrusted}"
        );
    }
    // Tools trust the same file, which may be named by its variable.
    let endpoints = ["--endpoint", &endpoint, "--timeout", "20"];
    let monitor = |file: &str| {
        let arguments = [&["monitor", "--json"], &endpoints[..]].concat();
        let mut monitor = command(&program("fibpro"), &arguments);
        let ended: Ended = output(monitor.env("FIBPRO_ENDPOINT_CA", file)).into();
        let reports: Vec<serde_json::Value> = serde_json::from_str(&ended.stdout).unwrap();
        let pricing = reports.iter().find(|report| report["service"] == "pricing");
        pricing.unwrap()["up"].as_bool().unwrap()
    };
    assert!(monitor(&certificate.text()));
    assert!(!monitor(&other.text()));
}

#[tokio::test]
async fn the_shop_is_served_over_https() {
    let certificate = Certificate::new();
    let nowhere = ["--endpoint", "userstore=http://127.0.0.1:1"];
    let gatekeeper = certificate.start("gatekeeper", PROGRAMS[3].1, &nowhere);
    let url = format!("https://{}", gatekeeper.address);
    let tls = ClientTlsConfig::new().root_certificates(certificate.file());
    let client = Client::builder().url(&url).tls(tls).build().unwrap();
    // It is an edge.
    let error = StatusClient::with_client(client).get().await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented, "{error}");
    // Plain HTTP is told so.
    let plain = gatekeeper.post("/1", "");
    assert!(plain.starts_with("HTTP/1.1 400 "), "{plain}");
    assert!(plain.contains("https://"), "{plain}");
}

#[test]
fn authorities_that_cannot_be_used_end_the_start() {
    let folder = Folder::new();
    let garbage = folder.file("garbage.crt");
    fs::write(&garbage, "canary").unwrap();
    let garbage = garbage.to_str().unwrap();
    for file in ["/missing/ca.crt", garbage] {
        let options = ["--listen", "127.0.0.1:0", "--endpoint-ca", file];
        let ended: Ended = output(&mut command(PROGRAMS[2].1, &options)).into();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(file), "{ended:?}");
        assert!(!ended.stderr.contains("canary"), "{ended:?}");
        let ended = fibpro(&["monitor", "--endpoint-ca", file]);
        assert_ne!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stderr.contains(file), "{ended:?}");
    }
}
