//! `fibpro call`: calls a method with a JSON message.

use std::io::{self, Read as _, Write};
use std::time::Duration;

use fibpro::endpoints::Endpoints;
use fibpro::terminal;
use fibpro::tool::keys::KeyOptions;
use rpc_runtime::descriptor::{MethodDescriptor, ServiceDescriptor};
use rpc_runtime::env_option::masked_url;
use rpc_runtime::{Client, JsonText, registry};
use serde_json::Value;

use super::CommandError;
use super::target::client;

/// Call a method with a JSON message, and print the response
#[derive(Debug, clap::Args)]
pub(crate) struct CallOptions {
    /// Method, such as `fibpro.v1.Pricing/Price`; for a service of FibPro also `Pricing.Price` or
    /// `pricing.price`
    #[arg(value_name = "SERVICE.METHOD", value_parser = MethodName::parse)]
    method: MethodName,

    /// Arguments as a JSON object, as on the wire, which is sent as it is; `@FILE` reads a file,
    /// `@-` standard input
    #[arg(short, long, value_name = "JSON", default_value = "{}")]
    data: String,

    /// URL of the server [default: the address of the service]
    #[arg(long, value_name = "URL", value_parser = masked_url(client))]
    to: Option<Client>,

    #[command(flatten)]
    endpoints: Endpoints,

    #[command(flatten)]
    keys: KeyOptions,

    /// Metadata to send; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    /// Time for the call, such as `2s` [default: that of the method, or 30s]
    #[arg(long, value_name = "TIME", value_parser = rpc_runtime::env_option::duration)]
    timeout: Option<Duration>,
}

pub(crate) async fn run(options: CallOptions, out: &mut impl Write) -> Result<(), CommandError> {
    let CallOptions {
        method,
        data,
        to,
        endpoints,
        keys,
        headers,
        timeout,
    } = options;
    let request = JsonText::parse(read(&data)?).map_err(|error| {
        let problem = terminal::one_line(error.message());
        usage(format!(
            "invalid value for '--data <JSON>': {problem}; expected a JSON object, such as {{\"n\": 10}}"
        ))
    })?;
    let client = match (to, method.endpoint) {
        (Some(client), _) => client,
        (None, Some(endpoint)) => endpoints.client(endpoint)?,
        (None, None) => {
            let text = format!(
                "{} is not a service of FibPro, so its address is needed: pass '--to <URL>'",
                method.service
            );
            return Err(usage(text));
        }
    };
    let client = keys.sign(client)?;
    let mut call = client.call_json_text(&method.service, &method.method, &request);
    for (name, value) in headers {
        call = call.header(name, value);
    }
    if let Some(timeout) = timeout {
        call = call.timeout(timeout);
    }
    let response = call.await.map_err(|error| {
        let fields = error.as_error().typed_fields();
        if let Some(fields) = fields.filter(|fields| !fields.is_empty()) {
            let fields = Value::Object(fields).to_string();
            fibpro::process::print_note(format_args!("fields: {}", terminal::one_line(&fields)));
        }
        CommandError::from(error)
    })?;
    let text = terminal::json_indented(response.as_str());
    writeln!(out, "{text}").map_err(CommandError::Output)
}

/// Returns the message: the text itself, or that of a file.
fn read(data: &str) -> Result<String, CommandError> {
    let Some(file) = data.strip_prefix('@') else {
        return Ok(data.to_owned());
    };
    let text = if file == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|error| usage(format!("failed to read '--data @{file}': {error}")))
}

pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("expected `NAME: VALUE`, such as `x-tenant: blue`")?;
    Ok((name.trim().to_lowercase(), value.trim().to_owned()))
}

/// An error of the command line, with exit code 2.
pub(super) fn usage(text: impl std::fmt::Display) -> CommandError {
    let error = clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{text}\n"));
    CommandError::Usage(Box::new(error), None)
}

/// The names of a method.
#[derive(Debug, Clone)]
struct MethodName {
    service: String,
    method: String,
    /// The endpoint of a service of FibPro.
    endpoint: Option<&'static str>,
}

impl MethodName {
    /// Parses `fibpro.v1.Pricing/Price`, `fibpro.v1.Pricing.Price`, `Pricing.Price` or
    /// `pricing.price`.
    fn parse(text: &str) -> Result<Self, String> {
        let separator = if text.contains('/') { '/' } else { '.' };
        let parts = text.trim_start_matches('/').rsplit_once(separator);
        let Some((service, method)) = parts.filter(|(service, method)| {
            !(service.is_empty() || method.is_empty() || service.contains('/'))
        }) else {
            return Err("expected SERVICE.METHOD, such as pricing.price".to_owned());
        };
        let known = registry::services().find(|known| is_named(known, service));
        let Some(known) = known else {
            return Ok(Self {
                service: service.to_owned(),
                method: method.to_owned(),
                endpoint: None,
            });
        };
        let named = |known: &&MethodDescriptor| [known.name, known.wire_name].contains(&method);
        let Some(found) = known.methods.iter().find(named) else {
            let names: Vec<_> = known.methods.iter().map(|known| known.wire_name).collect();
            let names = names.join(", ");
            return Err(format!(
                "{} has no method `{method}`; it has {names}",
                known.full_name
            ));
        };
        // The built-in services are on every server.
        let is_own = fibpro::endpoints::SERVICES
            .iter()
            .any(|own| own.name == known.endpoint);
        Ok(Self {
            service: known.full_name.to_owned(),
            method: found.wire_name.to_owned(),
            endpoint: is_own.then_some(known.endpoint),
        })
    }
}

fn is_named(service: &ServiceDescriptor, name: &str) -> bool {
    [service.full_name, service.name, service.endpoint].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_method_is_understood() {
        for text in [
            "fibpro.v1.Pricing/Price",
            "/fibpro.v1.Pricing/Price",
            "fibpro.v1.Pricing.Price",
            "Pricing.Price",
            "pricing.price",
            "pricing/Price",
        ] {
            let name = MethodName::parse(text).unwrap();
            assert_eq!(name.service, "fibpro.v1.Pricing", "{text}");
            assert_eq!((&*name.method, name.endpoint), ("Price", Some("pricing")));
        }
        let foreign = MethodName::parse("shop.v1.Orders/Place").unwrap();
        assert_eq!(
            (&*foreign.service, &*foreign.method),
            ("shop.v1.Orders", "Place")
        );
        assert_eq!(foreign.endpoint, None);
        let builtin = MethodName::parse("rpc.v1.Status/Get").unwrap();
        assert_eq!(builtin.endpoint, None);
        for bad in ["", "pricing", "pricing.", ".price", "a/b/c", "pricing.cost"] {
            assert!(MethodName::parse(bad).is_err(), "{bad}");
        }
        let error = MethodName::parse("pricing.cost").unwrap_err();
        assert!(
            error.contains("it has ") && error.contains("Price"),
            "{error}"
        );
    }

    #[test]
    fn a_header_has_a_name_and_a_value() {
        let parsed = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(header("X-Tenant: blue"), parsed("x-tenant", "blue"));
        assert_eq!(header("a:b:c"), parsed("a", "b:c"));
        assert!(header("blue").is_err());
    }
}
