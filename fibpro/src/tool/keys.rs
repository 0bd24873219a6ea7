//! The keys that tools sign with.

use std::path::{Path, PathBuf};

use rpc_runtime::{Client, IdentityKeys, Result};

/// What `fibpro up` makes where it is started.
const OF_UP: &str = "fibpro-data/identity.key";

/// The option of a tool that calls services which know each other by keys.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct KeyOptions {
    /// The keys by which services know each other, where they answer signed calls only [default: fibpro-data/identity.key
    /// where that is there]
    #[arg(long, env = "RPC_IDENTITY_KEY_FILE", value_name = "FILE")]
    identity_key_file: Option<PathBuf>,
}

impl KeyOptions {
    /// The keys, if there are some.
    ///
    /// # Errors
    ///
    /// As [`IdentityKeys::from_file`].
    pub fn read(&self) -> Result<Option<IdentityKeys>> {
        let of_up = Path::new(OF_UP);
        let file = self.identity_key_file.as_deref();
        // A server without keys does not mind a signature.
        let file = file.or_else(|| of_up.exists().then_some(of_up));
        file.map(IdentityKeys::from_file).transpose()
    }

    /// The client of this tool, which signs where there are keys.
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
