//! Names of the options of every server, in error messages.

/// Returns the name of an option of every server for a message, with its variable, such as
/// `--listen (RPC_LISTEN)`. With the prefix, `--rpc-listen (RPC_LISTEN)`.
macro_rules! option_name {
    ($prefixed:expr, $option:literal) => {
        if $prefixed {
            concat!("--rpc-", $option)
        } else {
            concat!("--", $option)
        }
    };
}

pub(crate) use option_name;
