//! The flags of one server: their values, and the one way to change them.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use super::cell::{FlagEntry, FlagSlot};
use super::declare::{AnyFlag, Flag};
use super::file::FlagsFile;
use super::info::{FlagInfo, Origin};
use super::notify::{Change, Notifier, WatchGuard};
use super::registry;
use crate::error::{Code, Error, Result};
use crate::sync::MutexExt as _;
use crate::text::{EscapeControl, truncate_str};

/// How much of a value stands in the log and in an error, in bytes.
const SHOWN: usize = 200;

/// What stands for the value of a secret flag.
const MASK: &str = "***";

/// The flags of one server, to be read and changed by whoever has this. Cloning is cheap, and clones are the same set.
///
/// A handler reads by [`Flag::get`]; this is for what runs outside of calls. [`Server::flags`](crate::Server::flags) and
/// [`Context::flags`](crate::Context::flags) give one.
#[derive(Clone)]
pub struct Flags(Arc<Set>);

struct Set {
    slots: Box<[FlagSlot]>,
    writer: Mutex<WriterState>,
    notifier: Arc<Notifier>,
    /// Whose flags they are; known from the start of the server.
    server: OnceLock<Box<str>>,
    file: OnceLock<FlagsFile>,
}

/// Locked by whoever changes something, so that changes and what is said of them come in one order.
#[derive(Default)]
struct WriterState {
    started: bool,
}

/// What one source says of one flag, from now on.
struct LayerUpdate {
    index: usize,
    origin: Origin,
    entry: Option<FlagEntry>,
}

impl Flags {
    /// The flags of nobody, with their defaults: for tests of what takes a `Flags`.
    #[must_use]
    pub fn new() -> Self {
        let slots = registry::all()
            .iter()
            .map(|known| FlagSlot::new(known.default.clone()));
        Self(Arc::new(Set {
            slots: slots.collect(),
            writer: Mutex::default(),
            notifier: Arc::default(),
            server: OnceLock::new(),
            file: OnceLock::new(),
        }))
    }

    /// The value of a flag. As cheap as [`Flag::get`].
    #[must_use]
    pub fn get<T: Copy + Send + Sync + 'static>(&self, flag: &Flag<T>) -> T {
        flag.of(self)
    }

    /// The value of a flag whose type is not `Copy`.
    #[must_use]
    pub fn load<T: Send + Sync + 'static>(&self, flag: &Flag<T>) -> Arc<T> {
        flag.load_from(self)
    }

    /// Sets a flag at run time. `by` is who wants it so, for the audit line.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for a value that the flag does not take, `failed_precondition` for a flag that is not dynamic
    /// in a server that has started. The old value stays, and a warning says so.
    pub fn set<T: Send + Sync + 'static>(&self, flag: &Flag<T>, value: T, by: &str) -> Result<()> {
        let index = flag.index();
        // Its text is not asked for: it may be what cannot be made.
        let outcome = flag
            .take(value)
            .map_err(|reason| refused(flag, None, &reason));
        self.audited(
            flag.name(),
            by,
            outcome.and_then(|entry| self.commit_one(index, Origin::RunTime, Some(entry), by)),
        )
    }

    /// Sets a flag at run time, by name and as a text.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set), and `not_found` for a name that no flag has.
    pub fn set_text(&self, name: &str, text: &str, by: &str) -> Result<()> {
        self.audited(name, by, self.put_text(Origin::RunTime, name, text, by))
    }

    /// Takes back what was set at run time: the value is that of the next source again.
    ///
    /// # Errors
    ///
    /// `not_found` for a name that no flag has, `failed_precondition` as [`set`](Self::set).
    pub fn reset(&self, name: &str, by: &str) -> Result<()> {
        let outcome = registry::find(name)
            .and_then(|index| self.commit_one(index, Origin::RunTime, None, by));
        self.audited(name, by, outcome)
    }

    /// All flags, by name.
    #[must_use]
    pub fn list(&self) -> Vec<FlagInfo> {
        (0..self.0.slots.len())
            .filter_map(|index| self.state(index))
            .collect()
    }

    /// One flag.
    ///
    /// # Errors
    ///
    /// `not_found` for a name that no flag has.
    pub fn describe(&self, name: &str) -> Result<FlagInfo> {
        let index = registry::find(name)?;
        self.state(index)
            .ok_or_else(|| Error::without_location(Code::Internal, "a set without this flag"))
    }

    /// Has a function called after each change of a flag in this server, with the old and the new value, until the answer
    /// is dropped.
    ///
    /// Changes are told in their order, one after the other, by whoever makes one of them: the function must be short,
    /// and may change flags itself. If it panics, an error in the log says so.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use std::sync::Arc;
    ///
    /// rpc_runtime::flag! {
    ///     /// How many entries are kept.
    ///     static ENTRIES: u64 = 100, dynamic;
    /// }
    ///
    /// let flags = rpc_runtime::Server::new("cache").flags();
    /// let capacity = Arc::new(AtomicU64::new(flags.get(&ENTRIES)));
    /// let seen = capacity.clone();
    /// let watching = flags.watch(&ENTRIES, move |_, new| seen.store(*new, Ordering::Relaxed));
    /// flags.set(&ENTRIES, 500, "the docs")?;
    /// assert_eq!(capacity.load(Ordering::Relaxed), 500);
    /// # drop(watching);
    /// # Ok::<(), rpc_runtime::Error>(())
    /// ```
    pub fn watch<T: Send + Sync + 'static>(
        &self,
        flag: &Flag<T>,
        listener: impl Fn(&T, &T) + Send + Sync + 'static,
    ) -> WatchGuard {
        let listener = move |old: &super::cell::Value, new: &super::cell::Value| {
            if let (Some(old), Some(new)) = (old.downcast_ref(), new.downcast_ref()) {
                listener(old, new);
            }
        };
        self.0.notifier.listen(flag.index(), Arc::new(listener))
    }
}

/// For servers.
impl Flags {
    pub(super) fn slot(&self, index: usize) -> Option<&FlagSlot> {
        self.0.slots.get(index)
    }

    /// What a program says of a flag, before its server starts.
    pub(crate) fn put<T: Send + Sync + 'static>(&self, flag: &Flag<T>, value: T) -> Result<()> {
        let entry = flag
            .take(value)
            .map_err(|reason| refused(flag, None, &reason))?;
        self.commit_one(flag.index(), Origin::Program, Some(entry), "program")
    }

    /// What a source says of a flag.
    pub(crate) fn put_text(&self, origin: Origin, name: &str, text: &str, by: &str) -> Result<()> {
        let index = registry::find(name)?;
        let flag = registry::all()[index].flag;
        let entry = flag
            .read(text)
            .map_err(|reason| refused(flag, Some(text), &reason))?;
        self.commit_one(index, origin, Some(entry), by)
    }

    /// The file that it reads at start and whenever it changes.
    pub(crate) fn set_file(&self, path: PathBuf) -> Result<()> {
        let file = FlagsFile::read(path)?;
        self.apply_file(&file)?;
        // A server starts once.
        let _ = self.0.file.set(file);
        Ok(())
    }

    pub(crate) fn file(&self) -> Option<&FlagsFile> {
        self.0.file.get()
    }

    /// Takes over what a file says: all of it, or nothing.
    ///
    /// # Errors
    ///
    /// `invalid_argument` with all lines that are refused.
    pub(crate) fn apply_file(&self, file: &FlagsFile) -> Result<()> {
        let mut entries: Vec<Option<FlagEntry>> = vec![None; self.0.slots.len()];
        let mut problems = Vec::new();
        for (number, line) in file.lines() {
            let entry = line.and_then(|(name, text)| {
                let index = registry::find(name).map_err(|error| error.message().to_owned())?;
                if entries[index].is_some() {
                    return Err(format!("{name} is given twice"));
                }
                let flag = registry::all()[index].flag;
                let entry = flag
                    .read(text)
                    .map_err(|reason| why(flag, Some(text), &reason))?;
                entries[index] = Some(entry);
                Ok(())
            });
            if let Err(problem) = entry {
                problems.push(format!("line {number}: {problem}"));
            }
        }
        let shown = file.path().display();
        if !problems.is_empty() {
            let text = format!(
                "nothing of the flags file {shown} is taken: {}",
                problems.join("; ")
            );
            return Err(Error::without_location(Code::InvalidArgument, text));
        }
        let writes = entries
            .into_iter()
            .enumerate()
            .map(|(index, entry)| LayerUpdate {
                index,
                origin: Origin::File,
                entry,
            });
        self.commit(writes, &format!("file {shown}"))
    }

    /// From here on only dynamic flags can be changed. Says which flags have another value than their default.
    pub(crate) fn start(&self, server: &str) {
        let mut writer = self.lock();
        writer.started = true;
        // A server starts once.
        let _ = self.0.server.set(server.into());
        for (known, slot) in registry::all().iter().zip(&self.0.slots) {
            let (entry, origin) = slot.effective();
            if entry.text != known.default.text {
                self.audit(known.flag, &known.default, &entry, origin.as_str());
            }
        }
    }

    fn commit_one(
        &self,
        index: usize,
        origin: Origin,
        entry: Option<FlagEntry>,
        by: &str,
    ) -> Result<()> {
        let write = LayerUpdate {
            index,
            origin,
            entry,
        };
        self.commit([write], by)
    }

    /// The one place where values change.
    ///
    /// # Errors
    ///
    /// `failed_precondition` for a flag that is not dynamic in a server that has started; a file's is left for the next
    /// start instead.
    fn commit(&self, writes: impl IntoIterator<Item = LayerUpdate>, by: &str) -> Result<()> {
        {
            let writer = self.lock();
            for write in writes {
                self.write(&writer, write, by)?;
            }
        }
        self.0.notifier.tell();
        Ok(())
    }

    fn write(&self, writer: &WriterState, write: LayerUpdate, by: &str) -> Result<()> {
        let LayerUpdate {
            index,
            origin,
            entry,
        } = write;
        let (Some(known), Some(slot)) = (registry::all().get(index), self.slot(index)) else {
            let text = "this flag is in no registry; declare it by `flag!`";
            return Err(Error::without_location(Code::Internal, text));
        };
        let (flag, meta) = (known.flag, known.flag.meta());
        let said = slot.layer(origin);
        let text_of =
            |entry: &Option<FlagEntry>| entry.as_ref().map(|entry| Arc::clone(&entry.text));
        if text_of(&said) == text_of(&entry) {
            return Ok(());
        }
        if writer.started && !meta.dynamic {
            if origin == Origin::File {
                tracing::warn!(
                    target: "rpc.audit", server = self.server(), flag = meta.name, by,
                    "flag changes at the next start: it is not dynamic"
                );
                return Ok(());
            }
            let text = format!(
                "the flag {} stays as it is: it is not dynamic, so it is set before the server starts: on the command \
                 line, in the environment or in the flags file",
                meta.name
            );
            return Err(Error::without_location(Code::FailedPrecondition, text));
        }
        let (old, _) = slot.effective();
        slot.set_layer(origin, entry);
        let (new, winner) = slot.effective();
        if !writer.started {
            // What it is in the end is said at the start.
        } else if old.text != new.text {
            self.audit(flag, &old, &new, by);
        } else if winner != origin {
            tracing::info!(
                target: "rpc.audit", server = self.server(), flag = meta.name, by, wins = winner.as_str(),
                "flag stays as it is: another source wins"
            );
        }
        if old.text != new.text {
            let (old, new) = (old.value, new.value);
            self.0.notifier.push(Change { index, old, new });
        }
        Ok(())
    }

    fn audit(&self, flag: &dyn AnyFlag, old: &FlagEntry, new: &FlagEntry, by: &str) {
        tracing::info!(
            target: "rpc.audit", server = self.server(), flag = flag.meta().name,
            old = shown(flag, &old.text), new = shown(flag, &new.text), by,
            "flag changed"
        );
    }

    /// Says what was refused, which is never the value of a secret flag.
    fn audited(&self, name: &str, by: &str, outcome: Result<()>) -> Result<()> {
        if let Err(error) = &outcome {
            tracing::warn!(
                target: "rpc.audit", server = self.server(), flag = truncate_str(name, super::NAME_LIMIT), by,
                code = error.code().as_str(), reason = error.message(),
                "flag not changed"
            );
        }
        outcome
    }

    /// Whose flags they are, for the log.
    pub(crate) fn server(&self) -> &str {
        self.0.server.get().map_or("-", |server| server)
    }

    fn state(&self, index: usize) -> Option<FlagInfo> {
        let (known, slot) = (registry::all().get(index)?, self.slot(index)?);
        let (flag, meta) = (known.flag, known.flag.meta());
        let (entry, origin) = slot.effective();
        let text = |entry: &FlagEntry| {
            if meta.secret {
                MASK.to_owned()
            } else {
                entry.text.to_string()
            }
        };
        Some(FlagInfo {
            name: meta.name.to_owned(),
            description: description(meta.docs),
            type_name: meta.type_name.to_owned(),
            accepts: flag.accepts(),
            default: text(&known.default),
            value: text(&entry),
            origin,
            changed: entry.text != known.default.text,
            dynamic: meta.dynamic,
            secret: meta.secret,
            module: meta.module.to_owned(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, WriterState> {
        self.0.writer.lock_unpoisoned()
    }
}

impl Default for Flags {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flags")
            .field("server", &self.server())
            .field("flags", &self.0.slots.len())
            .finish_non_exhaustive()
    }
}

/// A doc comment has a blank before each line.
fn description(docs: &str) -> String {
    let lines: Vec<_> = docs.trim().lines().map(str::trim).collect();
    lines.join("\n")
}

fn shown<'t>(flag: &dyn AnyFlag, text: &'t str) -> &'t str {
    if flag.meta().secret {
        MASK
    } else {
        truncate_str(text, SHOWN)
    }
}

fn refused(flag: &dyn AnyFlag, given: Option<&str>, reason: &str) -> Error {
    let name = flag.meta().name;
    let why = why(flag, given, reason);
    Error::without_location(
        Code::InvalidArgument,
        format!("the flag {name} stays as it is: {why}"),
    )
}

/// What is wrong with a value. Of a secret flag it says no more than what the flag takes, since a reason may quote.
fn why(flag: &dyn AnyFlag, given: Option<&str>, reason: &str) -> String {
    let accepts = flag.accepts();
    match given {
        _ if flag.meta().secret => {
            format!("the value is refused and not shown; it takes {accepts}")
        }
        Some(given) => {
            let rest = if given.len() > SHOWN { "…" } else { "" };
            format!(
                "`{}{rest}` is refused: {}; it takes {accepts}",
                EscapeControl(truncate_str(given, SHOWN)),
                EscapeControl(truncate_str(reason, SHOWN)),
            )
        }
        None => format!(
            "the value is refused: {}; it takes {accepts}",
            EscapeControl(truncate_str(reason, SHOWN))
        ),
    }
}
