//! All flags that are linked into this process, each with its place in the set of a server.

use std::sync::LazyLock;

use super::cell::Entry;
use super::declare::{Declared, Registration};
use crate::error::{Code, Error, Result};

inventory::collect!(Registration);

/// How like a known name another one must be to be offered in its place; 1 is the same.
const LIKENESS: f64 = 0.6;

/// A flag, with what its declaration says.
pub(super) struct Known {
    pub(super) flag: &'static dyn Declared,
    pub(super) default: Entry,
}

/// By name.
static TABLE: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let mut table: Vec<_> = inventory::iter::<Registration>()
        .map(|entry| Known {
            flag: entry.0,
            default: entry.0.default_entry(),
        })
        .collect();
    table.sort_by_key(|known| (known.flag.head().name, known.flag.head().module));
    // Behind the defaults, which are the developer's code and may ask for flags.
    for (index, known) in table.iter().enumerate() {
        known.flag.set_index(index);
    }
    table
});

pub(super) fn all() -> &'static [Known] {
    &TABLE
}

/// The place of the flag of this name.
///
/// # Errors
///
/// `not_found` for a name that no flag has, with the one that was probably meant.
pub(super) fn find(name: &str) -> Result<usize> {
    let table = all();
    let start = table.partition_point(|known| known.flag.head().name < name);
    match table.get(start) {
        Some(known) if known.flag.head().name == name => Ok(start),
        _ => Err(Error::unlocated(Code::NotFound, unknown(name))),
    }
}

fn unknown(name: &str) -> String {
    let shown = crate::error::OneLine(crate::error::cut(name, super::NAME_LIMIT));
    let names = || all().iter().map(|known| known.flag.head().name);
    // Many write a name as in the environment.
    let like = name.to_ascii_lowercase().replace('-', "_");
    let nearest = names()
        .map(|known| (strsim::normalized_damerau_levenshtein(known, &like), known))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|nearest| name.len() <= super::NAME_LIMIT && nearest.0 >= LIKENESS);
    match nearest {
        Some((_, nearest)) => format!("there is no flag {shown}; did you mean {nearest}?"),
        None => format!(
            "there is no flag {shown}; there are {}",
            names().collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Looks at the declarations, where a server starts.
///
/// # Errors
///
/// `failed_precondition` for two flags of one name, and for a flag that does not take its own default.
pub(crate) fn check() -> Result<()> {
    let table = all();
    for pair in table.windows(2) {
        let (a, b) = (pair[0].flag.head(), pair[1].flag.head());
        if a.name == b.name {
            let text = format!(
                "two flags have the name {}: one in {} and one in {}; give one of them another `name`",
                a.name, a.module, b.module
            );
            return Err(Error::unlocated(Code::FailedPrecondition, text));
        }
    }
    for known in table {
        if let Err(reason) = known.flag.check_value(&known.default.value) {
            let head = known.flag.head();
            let text = format!(
                "the flag {} of {} does not take its own default: {reason}",
                head.name, head.module
            );
            return Err(Error::unlocated(Code::FailedPrecondition, text));
        }
    }
    Ok(())
}
