//! All flags that are linked into this process. The index of a flag is that of its value in each
//! server.

use std::sync::LazyLock;

use super::NAME_LIMIT;
use super::cell::FlagEntry;
use super::declare::{AnyFlag, Registration};
use crate::error::{Code, Error, Result};
use crate::text::{EscapeControl, suggest, truncate_str};

inventory::collect!(Registration);

/// A registered flag and its default.
pub(super) struct RegisteredFlag {
    pub(super) flag: &'static dyn AnyFlag,
    pub(super) default: FlagEntry,
}

/// Sorted by name.
static TABLE: LazyLock<Vec<RegisteredFlag>> = LazyLock::new(|| {
    let mut table: Vec<_> = inventory::iter::<Registration>()
        .map(|entry| RegisteredFlag {
            flag: entry.0,
            default: entry.0.default_entry(),
        })
        .collect();
    table.sort_by_key(|known| (known.flag.meta().name, known.flag.meta().module));
    // After the defaults were evaluated: they are code of the application and may read flags.
    for (index, known) in table.iter().enumerate() {
        known.flag.set_index(index);
    }
    table
});

pub(super) fn all() -> &'static [RegisteredFlag] {
    &TABLE
}

/// Returns the index of the flag with this name.
///
/// # Errors
///
/// `not_found` for an unknown name, with a suggestion.
pub(super) fn find(name: &str) -> Result<usize> {
    let table = all();
    let start = table.partition_point(|known| known.flag.meta().name < name);
    match table.get(start) {
        Some(known) if known.flag.meta().name == name => Ok(start),
        _ => Err(Error::without_location(Code::NotFound, unknown(name))),
    }
}

fn unknown(name: &str) -> String {
    let shown = EscapeControl(truncate_str(name, NAME_LIMIT));
    let names = || all().iter().map(|known| known.flag.meta().name);
    // Names are often written as in the environment.
    let normalize = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let nearest = (name.len() <= NAME_LIMIT)
        .then(|| suggest(name, names(), normalize))
        .flatten();
    match nearest {
        Some(nearest) => format!("unknown flag {shown}; did you mean {nearest}?"),
        None => format!(
            "unknown flag {shown}; known flags: {}",
            names().collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Validates the declarations. Called at the start of a server.
///
/// # Errors
///
/// `failed_precondition` for two flags with the same name, and for a default that its validator
/// rejects.
pub(crate) fn check() -> Result<()> {
    let table = all();
    for pair in table.windows(2) {
        let (a, b) = (pair[0].flag.meta(), pair[1].flag.meta());
        if a.name == b.name {
            let text = format!(
                "duplicate flag {}: declared in {} and in {}; give one of them another `name`",
                a.name, a.module, b.module
            );
            return Err(Error::without_location(Code::FailedPrecondition, text));
        }
    }
    for known in table {
        if let Err(reason) = known.flag.check_value(&known.default.value) {
            let meta = known.flag.meta();
            let text = format!(
                "invalid default of the flag {} in {}: {reason}",
                meta.name, meta.module
            );
            return Err(Error::without_location(Code::FailedPrecondition, text));
        }
    }
    Ok(())
}
