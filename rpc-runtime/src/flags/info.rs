//! A flag of a server as people see it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where the value of a flag comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// The declaration; on the wire and for people `default`.
    // Not `Default`: rustc would then write the trait of that name in full in the messages of everybody's mistakes.
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
    /// Something that this version does not know.
    #[serde(other)]
    Unknown,
}

impl Origin {
    /// The sources of a value, from the one that gives way to all others.
    pub(super) const GIVEN: [Self; 5] = [
        Self::Program,
        Self::File,
        Self::Environment,
        Self::CommandLine,
        Self::RunTime,
    ];

    /// For people, such as `command line`.
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

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A flag of a server, with its value. That of a secret one is `***`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FlagInfo {
    /// Such as `log_rpc`.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The type as declared, such as `u64`.
    pub type_name: String,
    /// What it takes, such as `a whole number from 1 to 10`.
    pub accepts: String,
    /// The value of the declaration.
    pub default: String,
    /// The value that counts.
    pub value: String,
    /// Where that comes from.
    pub origin: Origin,
    /// Whether it is another one than the default.
    pub changed: bool,
    /// Whether it can be changed while the server runs.
    pub dynamic: bool,
    /// Whether its value is shown to nobody.
    pub secret: bool,
    /// The module that declares it.
    pub module: String,
}
