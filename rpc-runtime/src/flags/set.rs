//! The flags of one server: their values, and changing them.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use super::actor::Actor;
use super::cell::{FlagEntry, FlagSlot};
use super::declare::{AnyFlag, Flag};
use super::file::FlagsFile;
use super::info::{FlagInfo, FlagOrigin};
use super::notify::{Change, Notifier, WatchGuard};
use super::registry;
use crate::error::{Code, Error, Result};
use crate::sync::MutexExt as _;
use crate::text::{EscapeControl, truncate_str};

/// The maximum size of a value in logs and errors, in bytes.
const SHOWN: usize = 200;

/// The text that replaces the value of a secret flag.
const MASK: &str = "***";

/// A handle to the flags of one server, for reading and changing them. Cloning is cheap; clones
/// share the values.
///
/// Handlers read flags with [`Flag::get`]. A handle is for code outside calls. It is returned by
/// [`Server::flags`](crate::Server::flags) and [`Context::flags`](crate::Context::flags).
#[derive(Clone)]
pub struct Flags(Arc<FlagSet>);

struct FlagSet {
    slots: Box<[FlagSlot]>,
    writer: Mutex<WriterState>,
    notifier: Arc<Notifier>,
    /// The name of the server. Set when it starts.
    server: OnceLock<Box<str>>,
    file: OnceLock<FlagsFile>,
}

/// Locked during a change, so that changes and their log lines have the same order.
#[derive(Default)]
struct WriterState {
    started: bool,
}

/// A new value of one flag from one source. `None` removes the value.
struct LayerUpdate {
    index: usize,
    origin: FlagOrigin,
    entry: Option<FlagEntry>,
}

impl Flags {
    /// Creates flags with their defaults and without a server, for tests.
    #[must_use]
    pub fn new() -> Self {
        let slots = registry::all()
            .iter()
            .map(|known| FlagSlot::new(known.default.clone()));
        Self(Arc::new(FlagSet {
            slots: slots.collect(),
            writer: Mutex::default(),
            notifier: Arc::default(),
            server: OnceLock::new(),
            file: OnceLock::new(),
        }))
    }

    /// Returns the value of a flag. As cheap as [`Flag::get`].
    #[must_use]
    pub fn get<T: Copy + Send + Sync + 'static>(&self, flag: &Flag<T>) -> T {
        flag.of(self)
    }

    /// Returns the value of a flag whose type is not `Copy`.
    #[must_use]
    pub fn load<T: Send + Sync + 'static>(&self, flag: &Flag<T>) -> Arc<T> {
        flag.load_from(self)
    }

    /// Sets a flag at run time. `by` is the author of the change in the audit log.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for an invalid value, `failed_precondition` for a flag that is not
    /// dynamic in a running server. The value is then unchanged, and a warning is logged.
    pub fn set<T: Send + Sync + 'static>(
        &self,
        flag: &Flag<T>,
        value: T,
        by: &Actor,
    ) -> Result<()> {
        let by = by.as_str();
        let index = flag.index();
        // The error does not show the value: formatting it may be what failed.
        let outcome = flag
            .accept(value)
            .map_err(|reason| rejected(flag, None, &reason));
        self.audit_rejection(
            flag.name(),
            by,
            outcome.and_then(|entry| self.commit_one(index, FlagOrigin::RunTime, Some(entry), by)),
        )
    }

    /// Sets a flag at run time, by its name and the text of the value.
    ///
    /// # Errors
    ///
    /// See [`set`](Self::set). `not_found` for an unknown name.
    pub fn set_text(&self, name: &str, text: &str, by: &Actor) -> Result<()> {
        let by = by.as_str();
        self.audit_rejection(
            name,
            by,
            self.set_text_from(FlagOrigin::RunTime, name, text, by),
        )
    }

    /// Removes the value that was set at run time. The flag gets the value of the next lower
    /// source.
    ///
    /// # Errors
    ///
    /// `not_found` for an unknown name, `failed_precondition` as for [`set`](Self::set).
    pub fn reset(&self, name: &str, by: &Actor) -> Result<()> {
        let by = by.as_str();
        let outcome = registry::find(name)
            .and_then(|index| self.commit_one(index, FlagOrigin::RunTime, None, by));
        self.audit_rejection(name, by, outcome)
    }

    /// Returns all flags, sorted by name.
    #[must_use]
    pub fn list(&self) -> Vec<FlagInfo> {
        (0..self.0.slots.len())
            .filter_map(|index| self.state(index))
            .collect()
    }

    /// Returns one flag.
    ///
    /// # Errors
    ///
    /// `not_found` for an unknown name.
    pub fn describe(&self, name: &str) -> Result<FlagInfo> {
        let index = registry::find(name)?;
        self.state(index).ok_or_else(|| {
            Error::without_location(
                Code::Internal,
                "internal error: this server has no value for a registered flag",
            )
        })
    }

    /// Calls a function after each change of a flag in this server, with the old and the new value,
    /// until the returned guard is dropped.
    ///
    /// The function is called for one change at a time, in order, on a thread that changes a flag.
    /// It must return quickly and may change flags. A panic is caught and logged.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use std::sync::Arc;
    ///
    /// rpc_runtime::flag! {
    ///     /// The maximum number of entries.
    ///     static ENTRIES: u64 = 100, dynamic;
    /// }
    ///
    /// let flags = rpc_runtime::Server::new("cache").flags();
    /// let capacity = Arc::new(AtomicU64::new(flags.get(&ENTRIES)));
    /// let seen = capacity.clone();
    /// let guard = flags.watch(&ENTRIES, move |_, new| seen.store(*new, Ordering::Relaxed));
    /// flags.set(&ENTRIES, 500, &rpc_runtime::flags::Actor::new("the docs"))?;
    /// assert_eq!(capacity.load(Ordering::Relaxed), 500);
    /// # drop(guard);
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

/// Access of the server to the values.
impl Flags {
    pub(super) fn slot(&self, index: usize) -> Option<&FlagSlot> {
        self.0.slots.get(index)
    }

    /// Sets the value of a flag from the program, before its server starts.
    pub(crate) fn set_from_program<T: Send + Sync + 'static>(
        &self,
        flag: &Flag<T>,
        value: T,
    ) -> Result<()> {
        let entry = flag
            .accept(value)
            .map_err(|reason| rejected(flag, None, &reason))?;
        self.commit_one(flag.index(), FlagOrigin::Program, Some(entry), "program")
    }

    /// Sets the value of a flag from a source, as text.
    pub(crate) fn set_text_from(
        &self,
        origin: FlagOrigin,
        name: &str,
        text: &str,
        by: &str,
    ) -> Result<()> {
        let index = registry::find(name)?;
        let flag = registry::all()[index].flag;
        let entry = flag
            .read(text)
            .map_err(|reason| rejected(flag, Some(text), &reason))?;
        self.commit_one(index, origin, Some(entry), by)
    }

    /// Reads and applies the flags file, which is then watched for changes.
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

    /// Applies all settings of a file, or none.
    ///
    /// # Errors
    ///
    /// `invalid_argument` with all invalid lines.
    pub(crate) fn apply_file(&self, file: &FlagsFile) -> Result<()> {
        let mut entries: Vec<Option<FlagEntry>> = vec![None; self.0.slots.len()];
        let mut problems = Vec::new();
        for (number, line) in file.lines() {
            let entry = line.and_then(|(name, text)| {
                let index = registry::find(name).map_err(|error| error.message().to_owned())?;
                if entries[index].is_some() {
                    return Err(format!("duplicate flag {name}"));
                }
                let flag = registry::all()[index].flag;
                let entry = flag
                    .read(text)
                    .map_err(|reason| reason_text(flag, Some(text), &reason))?;
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
                "invalid flags file {shown}, nothing applied: {}",
                problems.join("; ")
            );
            return Err(Error::without_location(Code::InvalidArgument, text));
        }
        let writes = entries
            .into_iter()
            .enumerate()
            .map(|(index, entry)| LayerUpdate {
                index,
                origin: FlagOrigin::File,
                entry,
            });
        self.commit(writes, &format!("file {shown}"))
    }

    /// Marks the server as started: only dynamic flags can change from now on. Logs the flags that
    /// differ from their default.
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
        origin: FlagOrigin,
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

    /// Applies changes of values. All changes use this method.
    ///
    /// # Errors
    ///
    /// `failed_precondition` for a flag that is not dynamic in a running server. A change in the
    /// flags file is not an error: it takes effect at the next start.
    fn commit(&self, writes: impl IntoIterator<Item = LayerUpdate>, by: &str) -> Result<()> {
        {
            let writer = self.lock();
            for write in writes {
                self.write(&writer, write, by)?;
            }
        }
        self.0.notifier.notify();
        Ok(())
    }

    fn write(&self, writer: &WriterState, write: LayerUpdate, by: &str) -> Result<()> {
        let LayerUpdate {
            index,
            origin,
            entry,
        } = write;
        let (Some(known), Some(slot)) = (registry::all().get(index), self.slot(index)) else {
            let text = "unregistered flag: declare it with `flag!`";
            return Err(Error::without_location(Code::Internal, text));
        };
        let (flag, meta) = (known.flag, known.flag.meta());
        let current = slot.layer(origin);
        let text_of =
            |entry: &Option<FlagEntry>| entry.as_ref().map(|entry| Arc::clone(&entry.text));
        if text_of(&current) == text_of(&entry) {
            return Ok(());
        }
        if writer.started && !meta.dynamic {
            if origin == FlagOrigin::File {
                tracing::warn!(
                    target: "rpc.audit", server = self.server(), flag = meta.name, by,
                    "flag is not dynamic; the new value takes effect at the next start"
                );
                return Ok(());
            }
            let text = format!(
                "flag {} not changed: it is not dynamic; set it before the server starts, on the command line, in the \
                 environment or in the flags file",
                meta.name
            );
            return Err(Error::without_location(Code::FailedPrecondition, text));
        }
        let (old, _) = slot.effective();
        slot.set_layer(origin, entry);
        let (new, winner) = slot.effective();
        if !writer.started {
            // `start` logs the values.
        } else if old.text != new.text {
            self.audit(flag, &old, &new, by);
        } else if winner != origin {
            tracing::info!(
                target: "rpc.audit", server = self.server(), flag = meta.name, by, wins = winner.as_str(),
                "flag not changed: a source with higher precedence sets it"
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

    /// Logs a rejected change. The text of the error never contains a secret value.
    fn audit_rejection(&self, name: &str, by: &str, outcome: Result<()>) -> Result<()> {
        if let Err(error) = &outcome {
            tracing::warn!(
                target: "rpc.audit", server = self.server(), flag = truncate_str(name, super::NAME_LIMIT), by,
                code = error.code().as_str(), reason = error.message(),
                "flag not changed"
            );
        }
        outcome
    }

    /// Returns the name of the server for logs, or `-` before it starts.
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

/// Removes the blank at the start of each line of a doc comment.
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

fn rejected(flag: &dyn AnyFlag, given: Option<&str>, reason: &str) -> Error {
    let name = flag.meta().name;
    let why = reason_text(flag, given, reason);
    Error::without_location(
        Code::InvalidArgument,
        format!("flag {name} not changed: {why}"),
    )
}

/// Describes an invalid value. For a secret flag only the accepted values are shown, since the
/// reason may quote it.
fn reason_text(flag: &dyn AnyFlag, given: Option<&str>, reason: &str) -> String {
    let accepts = flag.accepts();
    match given {
        _ if flag.meta().secret => {
            format!("invalid value (secret, not shown); expected {accepts}")
        }
        Some(given) => {
            let rest = if given.len() > SHOWN { "…" } else { "" };
            format!(
                "invalid value `{}{rest}`: {}; expected {accepts}",
                EscapeControl(truncate_str(given, SHOWN)),
                EscapeControl(truncate_str(reason, SHOWN)),
            )
        }
        None => format!(
            "invalid value: {}; expected {accepts}",
            EscapeControl(truncate_str(reason, SHOWN))
        ),
    }
}
