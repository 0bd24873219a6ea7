//! The identity keys of tools.

use std::path::{Path, PathBuf};

use rpc_runtime::env_option::variable;
use rpc_runtime::{Client, IdentityKeys, Result};

use crate::process::caused_by;

/// The key file of `fibpro up` with its default folder.
const OF_UP: &str = "fibpro-data/identity.key";

/// The key option of a tool that calls services with signed identity.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct KeyOptions {
    /// Identity key file, for services that accept signed calls only [default:
    /// fibpro-data/identity.key if it exists]
    #[arg(long, env = variable("RPC_IDENTITY_KEY_FILE"), value_name = "FILE")]
    identity_key_file: Option<PathBuf>,
}

impl KeyOptions {
    /// Reads the keys, if there are any.
    ///
    /// # Errors
    ///
    /// As [`IdentityKeys::from_file`].
    pub fn read(&self) -> Result<Option<IdentityKeys>> {
        let of_up = Path::new(OF_UP);
        if let Some(file) = &self.identity_key_file {
            let keys = IdentityKeys::from_file(file);
            let option = "--identity-key-file (RPC_IDENTITY_KEY_FILE)";
            return keys.map(Some).map_err(|error| caused_by(option, &error));
        }
        // A server without keys ignores the signature.
        let file = of_up.exists().then_some(of_up);
        file.map(IdentityKeys::from_file).transpose()
    }

    /// Returns a client that signs its calls if there are keys.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn sign(&self, client: Client) -> Result<Client> {
        let client = client.named("fibpro")?;
        Ok(match self.read()? {
            Some(keys) => client.identity(keys),
            None => client,
        })
    }
}
