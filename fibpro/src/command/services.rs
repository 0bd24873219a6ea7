//! `fibpro services`: lists the registry.

use std::io::{self, Write};

use rpc_runtime::descriptor::{
    ArgumentDescriptor, Idempotency, MessageStyle, MethodDescriptor, ServiceDescriptor,
};
use rpc_runtime::registry;
use serde::Serialize;

use super::CommandError;

/// List the services with their methods
#[derive(Debug, clap::Args)]
pub(crate) struct ServicesOptions {
    /// Print a JSON array, for programs
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &ServicesOptions, out: &mut impl Write) -> Result<(), CommandError> {
    let written = if options.json {
        write_json(out)
    } else {
        write_text(out)
    };
    written.map_err(CommandError::Output)
}

fn write_text(out: &mut impl Write) -> io::Result<()> {
    for (index, service) in registry::services().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}   endpoint {}", service.full_name, service.endpoint)?;
        write_docs(out, "  ", service.docs)?;
        for method in service.methods {
            let arguments: Vec<_> = method.arguments.iter().map(argument_text).collect();
            writeln!(
                out,
                "\n  {}({}) -> {}",
                method.name,
                arguments.join(", "),
                method.returns
            )?;
            writeln!(out, "      POST {}", method.path)?;
            for (verb, path) in [("GET", method.http_get), ("POST", method.http_post)] {
                if let Some(path) = path {
                    writeln!(out, "      {verb} {path}")?;
                }
            }
            if let Idempotency::Keyed { argument } = method.idempotency {
                writeln!(out, "      repeats with one `{argument}` run once")?;
            }
            write_docs(out, "      ", method.docs)?;
        }
    }
    Ok(())
}

fn argument_text(argument: &ArgumentDescriptor) -> String {
    let optional = if argument.has_default {
        " (optional)"
    } else {
        ""
    };
    format!("{}: {}{optional}", argument.name, argument.type_name)
}

fn write_docs(out: &mut impl Write, indent: &str, docs: &str) -> io::Result<()> {
    docs.lines().try_for_each(|line| {
        writeln!(
            out,
            "{}",
            format_args!("{indent}{line}").to_string().trim_end()
        )
    })
}

fn write_json(out: &mut impl Write) -> io::Result<()> {
    let services: Vec<_> = registry::services().map(ServiceJson::from).collect();
    serde_json::to_writer_pretty(&mut *out, &services)?;
    writeln!(out)
}

/// The JSON form of a service, kept stable for programs; the descriptor itself may grow.
#[derive(Serialize)]
struct ServiceJson {
    name: &'static str,
    endpoint: &'static str,
    version: &'static str,
    docs: &'static str,
    methods: Vec<MethodJson>,
}

#[derive(Serialize)]
struct MethodJson {
    name: &'static str,
    path: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_get: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_post: Option<&'static str>,
    docs: &'static str,
    arguments: Vec<ArgumentJson>,
    returns: &'static str,
    idempotency: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u128>,
    message_style: bool,
    detached: bool,
    deprecated: bool,
}

#[derive(Serialize)]
struct ArgumentJson {
    name: &'static str,
    #[serde(rename = "type")]
    type_name: &'static str,
    optional: bool,
    secret: bool,
}

impl From<&'static ServiceDescriptor> for ServiceJson {
    fn from(service: &'static ServiceDescriptor) -> Self {
        Self {
            name: service.full_name,
            endpoint: service.endpoint,
            version: service.version,
            docs: service.docs,
            methods: service.methods.iter().map(MethodJson::from).collect(),
        }
    }
}

impl From<&'static MethodDescriptor> for MethodJson {
    fn from(method: &'static MethodDescriptor) -> Self {
        Self {
            name: method.name,
            path: method.path,
            http_get: method.http_get,
            http_post: method.http_post,
            docs: method.docs,
            arguments: method.arguments.iter().map(ArgumentJson::from).collect(),
            returns: method.returns,
            idempotency: match method.idempotency {
                Idempotency::Idempotent => "idempotent",
                Idempotency::Keyed { .. } => "keyed",
                Idempotency::NoSideEffects => "no_side_effects",
                _ => "unknown",
            },
            idempotency_key: match method.idempotency {
                Idempotency::Keyed { argument } => Some(argument),
                _ => None,
            },
            timeout_ms: method.timeout.map(|timeout| timeout.as_millis()),
            message_style: method.style == MessageStyle::Message,
            detached: method.detached,
            deprecated: method.deprecated,
        }
    }
}

impl From<&'static ArgumentDescriptor> for ArgumentJson {
    fn from(argument: &'static ArgumentDescriptor) -> Self {
        Self {
            name: argument.name,
            type_name: argument.type_name,
            optional: argument.has_default,
            secret: argument.secret,
        }
    }
}

#[cfg(test)]
mod tests {
    use rpc_runtime::prelude::*;

    use super::*;

    #[rpc_service(package = "services_test.v1")]
    trait Users {
        #[rpc(no_side_effects, get = "/users/{id}", post = "/users/find")]
        async fn find(&self, id: u64) -> Result<String>;
    }

    #[test]
    fn http_paths_are_listed() {
        let mut text = Vec::new();
        write_text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines = "      POST /services_test.v1.Users/Find\n      GET /users/{id}\n      POST /users/find\n";
        assert!(text.contains(lines), "{text}");
        let mut json = Vec::new();
        write_json(&mut json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let services = json.as_array().unwrap();
        let users = services
            .iter()
            .find(|service| service["endpoint"] == "users")
            .unwrap();
        assert_eq!(users["methods"][0]["http_get"], "/users/{id}");
        assert_eq!(users["methods"][1].get("http_get"), None);
    }
}
