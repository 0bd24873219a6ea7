//! `fibpro sign`: signs a request for `curl`.

use std::io::Write;

use fibpro::tool::keys::KeyOptions;

use super::CommandError;
use super::call::{header, usage};

/// Print the headers of a signed request, for `curl -H @-`
#[derive(Debug, clap::Args)]
pub(crate) struct SignOptions {
    /// URL of the request, as `curl` gets it
    url: String,

    /// HTTP method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "POST")]
    request: String,

    /// Body of the request, exactly as `curl` sends it
    #[arg(short, long, value_name = "BODY", default_value = "")]
    data: String,

    /// Header to send and to sign; may be repeated [default for POST: `content-type:
    /// application/json`]
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    #[command(flatten)]
    keys: KeyOptions,
}

pub(crate) fn run(options: &SignOptions, out: &mut impl Write) -> Result<(), CommandError> {
    let Some(keys) = options.keys.read()? else {
        return Err(usage(
            "no identity keys: pass '--identity-key-file <FILE>', for `fibpro up` that of its data folder",
        ));
    };
    let headers = options.headers.iter();
    let mut headers: Vec<_> = headers.map(|(name, value)| (&**name, &**value)).collect();
    if options.request == "POST" && headers.iter().all(|(name, _)| *name != "content-type") {
        headers.push(("content-type", "application/json"));
    }
    let signed = keys.sign_request(
        &options.request,
        &options.url,
        &headers,
        options.data.as_bytes(),
    );
    for (name, value) in signed.map_err(|error| usage(error.message()))? {
        writeln!(out, "{name}: {value}").map_err(CommandError::Output)?;
    }
    Ok(())
}
