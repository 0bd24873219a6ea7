//! One service that an error passed.

use std::fmt;

use super::Code;
use crate::text::{EscapeControl, truncate_str};

/// A service that an error passed or originated in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hop {
    /// The server: `server@environment/instance`, see [`Source`](crate::Source).
    pub source: String,
    /// The full name of the failed method, such as `fibpro.v1.Pricing/Pay`.
    pub method: String,
    /// The file and line that created the error, or whose `?` passed it on. `None` for most typed
    /// errors.
    pub location: Option<(String, u32)>,
    /// The code that this service returned.
    pub code: Code,
    /// The public message of this service.
    pub message: String,
    /// The machine-readable reason.
    pub reason: Option<String>,
}

impl Hop {
    /// Returns the service without its package and the wire name, such as `Pricing.Pay`.
    fn short_method(&self) -> String {
        let (service, method) = self.method.split_once('/').unwrap_or((&self.method, ""));
        format!("{}.{method}", service.rsplit('.').next().unwrap_or(service))
    }

    /// Returns the size in memory, in bytes.
    #[cfg(feature = "server")]
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.text_size()
    }

    /// Returns the size of its texts, in bytes.
    pub(super) fn text_size(&self) -> usize {
        self.source.len()
            + self.method.len()
            + self.message.len()
            + self.location.as_ref().map_or(0, |at| at.0.len())
            + self.reason.as_ref().map_or(0, String::len)
    }

    /// Truncates each text to `limit` bytes.
    pub(super) fn truncate(&mut self, limit: usize) {
        let file = self.location.as_mut().map(|(file, _)| file);
        let texts = [&mut self.source, &mut self.method, &mut self.message];
        for text in texts.into_iter().chain(file).chain(self.reason.as_mut()) {
            text.truncate(truncate_str(text, limit).len());
        }
    }

    pub(super) fn write_line(
        &self,
        f: &mut fmt::Formatter<'_>,
        word: &str,
        top: (Code, &str),
    ) -> fmt::Result {
        let origin = match &self.location {
            Some((file, line)) => format!("{file}:{line}"),
            None => self
                .reason
                .as_ref()
                .map(|reason| format!("reason {reason}"))
                .unwrap_or_default(),
        };
        let (server, instance) = self.source.split_once('/').unwrap_or((&self.source, ""));
        let line = format!(
            "{word:<4} {:<24} {origin:<40} {server} {instance}",
            self.short_method()
        );
        // All of it was received from another process.
        write!(f, "\n  {}", EscapeControl(line.trim_end()))?;
        if (self.code, self.message.as_str()) != top {
            write!(
                f,
                "\n       {}: {}",
                self.code,
                EscapeControl(&self.message)
            )?;
        }
        Ok(())
    }
}
