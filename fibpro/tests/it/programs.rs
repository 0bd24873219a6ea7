//! Each service in its own process: options, listen addresses, exit.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use crate::process::{Ended, command, output, spawn};

pub(crate) const PROGRAMS: [(&str, &str); 4] = [
    ("compute_worker", env!("CARGO_BIN_EXE_compute_worker")),
    ("pricing", env!("CARGO_BIN_EXE_pricing")),
    ("controller", env!("CARGO_BIN_EXE_controller")),
    ("gatekeeper", env!("CARGO_BIN_EXE_gatekeeper")),
];

/// A service on a free port. Killed by process id on drop.
pub(crate) struct Program {
    child: Child,
    pub(crate) address: String,
}

impl Program {
    fn start(name: &str, program: &str, arguments: &[&str]) -> Self {
        Self::of_scheme("http", name, program, arguments)
    }

    /// Starts a service whose first listener has URLs of this scheme.
    pub(crate) fn of_scheme(scheme: &str, name: &str, program: &str, arguments: &[&str]) -> Self {
        let arguments = [&["--listen", "127.0.0.1:0"], arguments].concat();
        let mut command = command(program, &arguments);
        let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let begin = format!("{name} listening on {scheme}://");
        let address = line.trim_end().strip_prefix(&begin).expect(&line);
        let address = address.trim_end_matches(" (edge)");
        Self {
            child,
            address: address.to_owned(),
        }
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "{request}").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> String {
        let length = body.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nx-rpc-accept: error-chain\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        ))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn each_service_runs_alone_and_stops_on_sigterm() {
    for (name, program) in PROGRAMS {
        let mut running = Program::start(name, program, &[]);
        let health = running.ask("GET /healthz HTTP/1.0\r\n\r\n");
        assert!(health.starts_with("HTTP/1.0 200 "), "{name}: {health}");
        let id = running.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(told.success());
        assert_eq!(running.child.wait().unwrap().code(), Some(0), "{name}");
    }
}

#[test]
fn what_is_not_understood_ends_with_2() {
    for (name, program) in PROGRAMS {
        let help: Ended = output(&mut command(program, &["--help"])).into();
        assert_eq!(help.code, Some(0), "{name}: {help:?}");
        let mut bad = vec![&["--nonsense"][..]];
        match name {
            "compute_worker" => bad.push(&["--largest-n", "20000001"]),
            "gatekeeper" => bad.extend([&["--largest-n", "-1"][..], &["--endpoint", "x=http://a"]]),
            _ => bad.push(&["--endpoint", "pricing=nowhere"]),
        }
        for arguments in bad {
            let ended: Ended = output(&mut command(program, arguments)).into();
            assert_eq!(ended.code, Some(2), "{name}: {ended:?}");
        }
    }
}

#[test]
fn a_variable_that_is_no_address_is_named() {
    let mut controller = command(PROGRAMS[2].1, &["--listen", "127.0.0.1:0"]);
    controller.env("FIBPRO_ENDPOINT_PRICING", "nowhere");
    let ended: Ended = output(&mut controller).into();
    assert_eq!(ended.code, Some(1));
    let words = "error: the address of pricing (FIBPRO_ENDPOINT_PRICING): ";
    assert!(ended.stderr.starts_with(words), "{ended:?}");
}

#[test]
fn services_find_each_other_by_their_options() {
    // The user store is down: methods that depend on it report that, the others work.
    let nowhere = "userstore=http://127.0.0.1:1";
    let pricing = Program::start("pricing", PROGRAMS[1].1, &["--endpoint", nowhere]);
    let url = format!("pricing=http://{}", pricing.address);
    let controller = Program::start("controller", PROGRAMS[2].1, &["--endpoint", &url]);
    let price = pricing.post("/fibpro.v1.Pricing/Price", r#"{"n":1000}"#);
    assert!(price.ends_with(r#"{"result":4}"#), "{price}");
    let body = r#"{"username":"a","n":1,"key":"k"}"#;
    let sale = controller.post("/fibpro.v1.Controller/Generate", body);
    assert!(sale.starts_with("HTTP/1.1 503 "), "{sale}");
    assert!(sale.contains("fibpro.v1.Pricing/Pay"), "{sale}");
}

#[test]
fn every_gatekeeper_listener_is_an_edge() {
    let (name, program) = PROGRAMS[3];
    let gatekeeper = Program::start(
        name,
        program,
        &["--endpoint", "userstore=http://127.0.0.1:1"],
    );
    let response = gatekeeper.post("/rpc.v1.Status/Get", "{}");
    assert!(response.starts_with("HTTP/1.1 404 "), "{response}");
    let response = gatekeeper.ask("GET /1 HTTP/1.0\r\nauthorization: Basic YTpi\r\n\r\n");
    assert!(response.starts_with("HTTP/1.0 503 "), "{response}");
    assert!(!response.contains("127.0.0.1"), "{response}");
}
