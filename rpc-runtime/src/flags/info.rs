//! The state of a flag, for display.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The source of the value of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FlagOrigin {
    /// The declaration. Displayed and serialized as `default`.
    // Not `Default`: rustc would then print the trait `Default` with its full path in unrelated
    // error messages.
    #[serde(rename = "default")]
    Declaration,
    /// [`Server::flag`](crate::Server::flag).
    Program,
    /// The flags file.
    File,
    /// A variable `RPC_FLAG_…`.
    Environment,
    /// `--flag`.
    CommandLine,
    /// [`Flags::set`](super::Flags::set) and `rpc.v1.Flags`.
    RunTime,
    /// A source that this version does not know.
    #[serde(other)]
    Unknown,
}

impl FlagOrigin {
    /// The sources that set a value, in ascending order of precedence.
    pub(super) const LAYERS: [Self; 5] = [
        Self::Program,
        Self::File,
        Self::Environment,
        Self::CommandLine,
        Self::RunTime,
    ];

    /// Returns the name for display, such as `command line`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Declaration => "default",
            Self::Program => "program",
            Self::File => "file",
            Self::Environment => "environment",
            Self::CommandLine => "command line",
            Self::RunTime => "run time",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for FlagOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A flag of a server and its value. Values of secret flags are `***`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FlagInfo {
    /// The name, such as `log_rpc`.
    pub name: String,
    /// The doc comment.
    pub description: String,
    /// The type as declared, such as `u64`.
    pub type_name: String,
    /// The accepted values, such as `a whole number from 1 to 10`.
    pub accepts: String,
    /// The default.
    pub default: String,
    /// The effective value.
    pub value: String,
    /// The source of the effective value.
    pub origin: FlagOrigin,
    /// Whether the value differs from the default.
    pub changed: bool,
    /// Whether the flag can be changed while the server runs.
    pub dynamic: bool,
    /// Whether the value is never displayed.
    pub secret: bool,
    /// The module that declares the flag.
    pub module: String,
}
