//! Systems without owners and modes.

use std::fs::{DirBuilder, Metadata};

use super::UntrustedOwner;

pub(crate) fn private_folder() -> DirBuilder {
    DirBuilder::new()
}

pub(super) fn check_owner(_: &Metadata) -> Result<(), UntrustedOwner> {
    Ok(())
}

pub(super) fn check_shared(_: &Metadata) -> Result<(), UntrustedOwner> {
    Ok(())
}

pub(super) fn check_link(_: &Metadata) -> Result<(), UntrustedOwner> {
    Ok(())
}

pub(super) fn open_mode(_: &Metadata) -> Option<u32> {
    None
}

pub(super) fn special_kind(_: &Metadata) -> &'static str {
    "a special file"
}
