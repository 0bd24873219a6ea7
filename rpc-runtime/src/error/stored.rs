//! The parts of an error for a store of results, from which a repeat discloses what the first
//! response has.

use serde::{Deserialize, Serialize};

use super::origin::Birth;
use super::{Error, Origin};

/// The facts about an error that its JSON does not tell.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BirthRecord {
    /// `own`, `client`, `dependency` or `variant`.
    origin: String,
    /// Whether no caller receives the text.
    #[serde(default, skip_serializing_if = "is_false")]
    private: bool,
    /// Whether the error is of a call that was not made for a caller.
    #[serde(default, skip_serializing_if = "is_false")]
    outside: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    passed_on: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    retried: bool,
    /// The file and the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<(String, u32)>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl BirthRecord {
    /// Returns whether this version knows the origin.
    pub(crate) fn is_known(&self) -> bool {
        Origin::named(&self.origin).is_some()
    }

    /// Returns whether this is the record of an own and public error that was made nowhere, as a
    /// reader assumes without a record.
    pub(crate) fn is_default(&self) -> bool {
        let own = Self {
            origin: Origin::Own.name().to_owned(),
            private: false,
            outside: false,
            passed_on: false,
            retried: false,
            at: None,
        };
        *self == own
    }
}

impl Origin {
    const ALL: [Self; 4] = [
        Self::Own,
        Self::Client,
        Self::Dependency,
        Self::DependencyVariant,
    ];

    fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|origin| origin.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Client => "client",
            Self::Dependency => "dependency",
            Self::DependencyVariant => "variant",
        }
    }
}

impl Error {
    /// Returns the error without the text that no caller receives, and without its source.
    pub(crate) fn without_private_parts(&self) -> Self {
        let mut error = self.clone();
        error.0.message = error.trusted_message().to_owned().into();
        error.0.source = None;
        error
    }

    /// Returns the record of an error that a handler has returned.
    pub(crate) fn birth_record(&self) -> BirthRecord {
        BirthRecord {
            origin: self.origin().name().to_owned(),
            private: !self.0.public,
            outside: self.is_foreign() && !self.0.birth.for_caller,
            passed_on: self.0.passed_on,
            retried: self.0.retries_exhausted,
            at: self.location_text(),
        }
    }

    /// Returns the error as trusted callers receive it, and as untrusted ones do. Both have public
    /// texts, so that their JSON has all that such a caller gets.
    pub(crate) fn for_each_trust(&self) -> [Self; 2] {
        let mut trusted = self.without_private_parts();
        // Of this service already, unless it was stored by other code.
        trusted.remap_dependency_error("-");
        let mut untrusted = trusted.clone();
        untrusted.hide_variant("-");
        let untrusted = untrusted.take_own_parts("");
        [trusted.with_origin(Origin::Own), untrusted]
    }

    /// Restores an error from the JSON for trusted callers and its record. An unknown origin is
    /// taken for a dependency's, which discloses the least.
    pub(crate) fn with_birth(mut self, record: BirthRecord) -> Self {
        let origin = Origin::named(&record.origin).unwrap_or(Origin::Dependency);
        self.0.birth = Birth {
            origin,
            for_caller: origin != Origin::Own && !record.outside,
        };
        self.0.public = !record.private;
        self.0.passed_on = record.passed_on;
        self.0.retries_exhausted = record.retried;
        self.0.stored_location = record.at.map(Box::new);
        self.drop_empty_domain();
        self
    }

    /// Restores an error of unknown birth from the JSON for untrusted callers. Older versions wrote
    /// the details of an error without a public text into it, which only trusted callers receive.
    pub(crate) fn with_unknown_birth(mut self) -> Self {
        self.drop_empty_domain();
        if self.message().is_empty() || self.message() == self.trusted_message() {
            return self;
        }
        self.public()
    }

    /// Removes the domain that stands for none: it is that of the service that responds.
    fn drop_empty_domain(&mut self) {
        self.0.domain = self.0.domain.take().filter(|domain| !domain.is_empty());
    }
}
