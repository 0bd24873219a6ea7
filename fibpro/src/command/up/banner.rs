//! The text printed after the start: addresses, and commands to try.

use std::borrow::Cow;
use std::env;
use std::fmt::Write as _;
use std::sync::Arc;

use super::plan::{OPERATOR, ServiceUrls, SystemPlan, start_order};

/// Returns the text that is printed when all services are ready.
pub(super) fn text(plan: &SystemPlan, urls: &ServiceUrls, processes: &[(Arc<str>, u32)]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, plan, urls, processes);
    text
}

fn write(
    out: &mut String,
    plan: &SystemPlan,
    urls: &ServiceUrls,
    processes: &[(Arc<str>, u32)],
) -> std::fmt::Result {
    writeln!(out, "\nFibPro is up.\n")?;
    write_services(out, plan, urls, processes)?;
    writeln!(out, "\nTry in another terminal:\n")?;
    write_purchases(out, plan, urls)?;
    writeln!(out)?;
    write_tools(out, plan, urls)?;
    writeln!(
        out,
        "\nCtrl-C stops all. From here on this is the log of all services.\n"
    )
}

/// Writes the addresses, processes and the data folder.
fn write_services(
    out: &mut String,
    plan: &SystemPlan,
    urls: &ServiceUrls,
    processes: &[(Arc<str>, u32)],
) -> std::fmt::Result {
    let replicas = start_order().rev().flat_map(|service| {
        let urls = plan.replicas(service).zip(urls.all(service));
        urls.map(move |(name, url)| (service, name, url))
    });
    for (service, name, url) in replicas {
        let process = processes.iter().find(|process| process.0 == name);
        let process = process.map_or_else(String::new, |(_, id)| format!("   process {id}"));
        let note = match service {
            "gatekeeper" => format!("   for operators {}", urls.of(OPERATOR)),
            _ => String::new(),
        };
        writeln!(out, "  {name:<15} {url}{process}{note}")?;
    }
    writeln!(out, "  {:<15} {}", "data", plan.data.folder().display())
}

/// Writes commands that buy numbers.
fn write_purchases(out: &mut String, plan: &SystemPlan, urls: &ServiceUrls) -> std::fmt::Result {
    let gate = urls.of("gatekeeper");
    // The tutorial's passwords are published. Those of a file are never printed; curl asks for
    // them.
    let user = match plan.users {
        None => "username:password",
        Some(_) => "USERNAME",
    };
    let lines = if plan.is_first_start() {
        [
            ("", "10", "55; costs 2 of 4 credits"),
            ("", "42", "267914296; costs the other 2 credits"),
            ("-i ", "7", "403; its x-request-id is the ID below"),
        ]
    } else {
        [
            ("", "10", "55; costs 2 credits"),
            ("", "42", "267914296; costs 2 credits"),
            (
                "-i ",
                "7",
                "13; costs 1 credit; without credit 403, whose x-request-id is the ID below",
            ),
        ]
    };
    for (option, n, what) in lines {
        let command = format!("curl {option}-u {user} {gate}/{n}");
        writeln!(out, "  {command:<58} # {what}")?;
    }
    Ok(())
}

/// Returns an argument as a shell reads it.
fn quoted(argument: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-=:@%+,".contains(c);
    if argument.chars().all(is_plain) {
        argument.into()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''")).into()
    }
}

/// Writes the commands of the tools, with the options that the plan requires.
fn write_tools(out: &mut String, plan: &SystemPlan, urls: &ServiceUrls) -> std::fmt::Result {
    let program = env::args_os().next().unwrap_or_else(|| "fibpro".into());
    let program = program.to_string_lossy();
    let program = quoted(&program);
    let key = plan.data.identity_key();
    let key = match key.to_str() {
        // Tools find the key of the default folder without an option.
        Some("fibpro-data/identity.key") => String::new(),
        _ => format!(" --identity-key-file {}", quoted(&key.to_string_lossy())),
    };
    let (mut to, mut endpoints) = (String::new(), String::new());
    if !plan.has_usual_addresses() {
        to = format!(" --to {}", quoted(urls.of("logsink")));
        for service in start_order() {
            let listener = match service {
                "gatekeeper" => OPERATOR,
                service => service,
            };
            for url in urls.all(listener) {
                let endpoint = format!("{service}={url}");
                write!(endpoints, " --endpoint {}", quoted(&endpoint))?;
            }
        }
    }
    writeln!(out, "  {program} logs{to}{key} --request ID")?;
    writeln!(out, "  {program} monitor{key}{endpoints}")
}
