//! One place that an error passed.

use std::fmt;

use super::Code;
use crate::text::EscapeControl;

/// A service that an error passed or came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hop {
    /// Who it was: `server@environment/instance`, see [`Source`](crate::Source).
    pub source: String,
    /// The method that failed there: full name of the service and wire name, such as `fibpro.v1.Pricing/Pay`.
    pub method: String,
    /// The file and line that made the error, or whose `?` passed it on; unknown for most typed errors.
    pub location: Option<(String, u32)>,
    /// The code that this service answered.
    pub code: Code,
    /// The text that this service let out.
    pub message: String,
    /// The reason for programs.
    pub reason: Option<String>,
}

impl Hop {
    /// Service without its package, and wire name, such as `Pricing.Pay`.
    fn short_method(&self) -> String {
        let (service, method) = self.method.split_once('/').unwrap_or((&self.method, ""));
        format!("{}.{method}", service.rsplit('.').next().unwrap_or(service))
    }

    pub(super) fn write_line(
        &self,
        f: &mut fmt::Formatter<'_>,
        word: &str,
        top: (Code, &str),
    ) -> fmt::Result {
        let place = match &self.location {
            Some((file, line)) => format!("{file}:{line}"),
            None => self
                .reason
                .as_ref()
                .map(|reason| format!("reason {reason}"))
                .unwrap_or_default(),
        };
        let (server, instance) = self.source.split_once('/').unwrap_or((&self.source, ""));
        let line = format!(
            "{word:<4} {:<24} {place:<40} {server} {instance}",
            self.short_method()
        );
        // All of it came from somewhere else.
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
