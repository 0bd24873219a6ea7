use std::fmt::Write as _;

use rpc_runtime::faults::FaultPlan;
use rpc_runtime::{IdentityKeys, RequestId, Server};

use super::expect;

rpc_runtime::flag! {
    /// A number.
    static PINNED_FILE_NUMBER: u64 = 100, dynamic;
    /// A text.
    static PINNED_FILE_TEXT: String = "first".to_owned();
}

/// Maximum length of a plan, in bytes.
const LIMIT: usize = 1024;

/// Formats one row for each text, with the result of parsing it.
fn table<'a>(texts: &[&'a str], mut read: impl FnMut(&'a str) -> String) -> String {
    let mut table = String::new();
    for text in texts {
        writeln!(table, "{text:?} => {}", read(text)).unwrap();
    }
    table
}

#[test]
fn fault_plans() {
    let plans = [
        "pricing.pay=unavailable",
        "pricing.Pay=unavailable",
        "fibpro.v1.Pricing.Pay=aborted;p=0.5;seed=7",
        "a.b=delay:200ms , *=drop;p=0.1",
        " a.b = lose ; p = 1 ",
        "a.*=delay:5s",
        "a.b=delay:1m",
        "a_1.b-2=data_loss",
        "a.b=drop;p=0",
        "a.b=drop;p=1e-3",
        "a.b=drop;seed=18446744073709551615",
        "",
        ",",
        "a.b",
        "a.b=",
        "=drop",
        "a=drop",
        ".b=drop",
        "a.=drop",
        "*.b=drop",
        "a.b=DROP",
        "a.b=ok",
        "a.b=Unavailable",
        "a.b=delay",
        "a.b=delay:",
        "a.b=delay:5",
        "a.b=delay:1.5s",
        "a.b=delay:-1s",
        "a.b=delay:1h",
        "a.b=drop;p=2",
        "a.b=drop;p=-1",
        "a.b=drop;p=NaN",
        "a.b=drop;p=",
        "a.b=drop;seed=-1",
        "a.b=drop;seed=1.5",
        "a.b=drop;p=1;p=1",
        "a.b=drop;q=1",
        "a.b=drop;",
        "a.b=drop,",
        "a b.c=drop",
        "a.b=drop\t",
        "ä.b=drop",
    ];
    let mut shown = table(&plans, |text| match text.parse::<FaultPlan>() {
        Ok(plan) => format!("plan {:?}", plan.to_string()),
        Err(error) => error.code().to_string(),
    });
    for bytes in [LIMIT, LIMIT + 1] {
        let text = format!("a.{}=drop", "b".repeat(bytes - "a.=drop".len()));
        let outcome = text.parse::<FaultPlan>().map_or("refused", |_| "plan");
        writeln!(shown, "{} bytes => {outcome}", text.len()).unwrap();
    }
    expect("fault_plans.txt", &shown);
}

/// A file that is deleted at the end of the test.
struct File(std::path::PathBuf);

impl File {
    fn new(text: &[u8]) -> Self {
        let name = format!("rpc-pinned-{}-{}", std::process::id(), RequestId::random());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn flags(text: &[u8]) -> String {
    let file = File::new(text);
    let server = Server::new("pinned").flags_file(&file.0);
    let flags = server.flags();
    match server.into_local_client() {
        Err(error) => error.code().to_string(),
        Ok(_client) => ["pinned_file_number", "pinned_file_text"]
            .map(|name| {
                let flag = flags.describe(name).unwrap();
                format!("{:?} from {}", flag.value, flag.origin)
            })
            .join(", "),
    }
}

#[test]
fn flags_files() {
    let files = [
        "",
        "\n",
        "# nothing\n",
        "pinned_file_number = 7\n",
        "pinned_file_number=7\npinned_file_text = a = b \n",
        "  pinned_file_text =\n\n  # a comment\n",
        "pinned_file_number = 7\r\n",
        "pinned_file_text = x # not a comment\n",
        "pinned_file_text = \"x\"\n",
        "pinned_file_number = 7",
        "pinned_file_number\n",
        "pinned_file_number = seven\n",
        "pinned_file_number = 1\npinned_file_number = 2\n",
        "pinned_unknown = 1\n",
        "PINNED_FILE_NUMBER = 1\n",
        " = 1\n",
    ];
    let mut shown = table(&files, |text| flags(text.as_bytes()));
    writeln!(
        shown,
        "not UTF-8 => {}",
        flags(b"pinned_file_text = \xff\n")
    )
    .unwrap();
    let comment = |bytes: usize| format!("#{}\n", "x".repeat(bytes - 2));
    writeln!(shown, "1 MiB => {}", flags(comment(1 << 20).as_bytes())).unwrap();
    let larger = flags(comment((1 << 20) + 1).as_bytes());
    writeln!(shown, "1 MiB and a byte => {larger}").unwrap();
    let missing = Server::new("pinned").flags_file("/nowhere/flags");
    let missing = missing.into_local_client().map_err(|error| error.code());
    writeln!(shown, "missing => {}", missing.unwrap_err()).unwrap();
    expect("flags_files.txt", &shown);
}

#[test]
fn identity_key_files() {
    const SECRET: &str = "pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=";
    const OTHER: &str = "Zk3v9c8x7z6Q5w4e3r2t1y0u9i8o7p6a5s4d3f2g1h0=";
    let id_64 = "k".repeat(64);
    let files = [
        ("one key", format!("2026-11 {SECRET}")),
        (
            "two keys",
            format!("# first\n2026-11 {SECRET}\n\n 2026_10\t{OTHER} \n"),
        ),
        ("CRLF", format!("a {SECRET}\r\nb {OTHER}\r\n")),
        ("the same secret twice", format!("a {SECRET}\nb {SECRET}\n")),
        ("32 bytes", format!("a {}\n", "x".repeat(32))),
        (
            "16 keys",
            (0..16).map(|n| format!("k{n} {SECRET}\n")).collect(),
        ),
        ("id of 64", format!("{id_64} {SECRET}\n")),
        ("empty", String::new()),
        ("comments", "# nothing\n".to_owned()),
        (
            "17 keys",
            (0..17).map(|n| format!("k{n} {SECRET}\n")).collect(),
        ),
        ("31 bytes", format!("a {}\n", "x".repeat(31))),
        ("an id twice", format!("a {SECRET}\na {OTHER}\n")),
        ("id of 65", format!("{id_64}k {SECRET}\n")),
        ("id with a dot", format!("2026.11 {SECRET}\n")),
        ("no id", format!("{SECRET}\n")),
        ("three words", format!("a {SECRET} x\n")),
        ("comment at the end", format!("a {SECRET} # x\n")),
    ];
    let mut shown = String::new();
    for (name, text) in files {
        let outcome = match IdentityKeys::parse(&text) {
            Ok(keys) => keys.ids().join(" "),
            Err(error) => error.code().to_string(),
        };
        writeln!(shown, "{name} => {outcome}").unwrap();
    }
    for (name, bytes) in [("64 KiB", 64 << 10), ("64 KiB and a byte", (64 << 10) + 1)] {
        let key = format!("a {SECRET}\n");
        let file = File::new(format!("{key}#{}", "x".repeat(bytes - key.len() - 1)).as_bytes());
        let outcome = match IdentityKeys::from_file(&file.0) {
            Ok(keys) => keys.ids().join(" "),
            Err(error) => error.code().to_string(),
        };
        writeln!(shown, "{name} => {outcome}").unwrap();
    }
    let missing = IdentityKeys::from_file("/nowhere/keys").unwrap_err();
    writeln!(shown, "missing => {}", missing.code()).unwrap();
    expect("identity_key_files.txt", &shown);
}
