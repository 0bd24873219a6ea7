//! Owners and modes.

use std::fs::{self, DirBuilder, Metadata};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::sync::OnceLock;

use super::UntrustedOwner;

/// The superuser, who can change every file anyway.
const ROOT: u32 = 0;

const GROUP_WRITE: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Returns a builder of a folder that only this user can use.
pub(crate) fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// Fails if another user owns the file or can write it.
pub(super) fn check_owner(metadata: &Metadata) -> Result<(), UntrustedOwner> {
    check(metadata, own_id(), false)
}

/// Like [`check_owner`], for a folder in which others may have files: in a sticky folder they can
/// neither rename nor remove those of this user.
pub(super) fn check_shared(metadata: &Metadata) -> Result<(), UntrustedOwner> {
    check(metadata, own_id(), true)
}

/// Fails if another user owns the symbolic link, whose mode says nothing.
pub(super) fn check_link(metadata: &Metadata) -> Result<(), UntrustedOwner> {
    check_user(metadata, own_id())
}

fn check_user(metadata: &Metadata, own: Option<u32>) -> Result<(), UntrustedOwner> {
    let owner = metadata.uid();
    match own {
        Some(own) if owner != own && owner != ROOT => Err(UntrustedOwner::Owner { owner, own }),
        _ => Ok(()),
    }
}

fn check(
    metadata: &Metadata,
    own: Option<u32>,
    sticky_suffices: bool,
) -> Result<(), UntrustedOwner> {
    check_user(metadata, own)?;
    let owner = metadata.uid();
    let mode = metadata.mode();
    if sticky_suffices && mode & STICKY != 0 {
        return Ok(());
    }
    // Systems that give each user a group of the same number also let the group write by default.
    let is_private_group = owner != ROOT && own == Some(owner) && metadata.gid() == owner;
    let untrusted = if is_private_group {
        OTHERS_WRITE
    } else {
        GROUP_WRITE | OTHERS_WRITE
    };
    if mode & untrusted != 0 {
        return Err(UntrustedOwner::Mode(mode & 0o7777));
    }
    Ok(())
}

/// Returns the mode of a file that others can read or write.
pub(super) fn open_mode(metadata: &Metadata) -> Option<u32> {
    let mode = metadata.mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Returns the kind of a file that is neither a regular one nor a directory.
pub(super) fn special_kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// Returns the effective user ID of this process; `None` if it cannot be told.
pub(super) fn own_id() -> Option<u32> {
    static OWN: OnceLock<Option<u32>> = OnceLock::new();
    *OWN.get_or_init(|| effective_id().or_else(owner_of_new_file))
}

/// Reads the ID from Linux. The owner of `/proc/self` is not it for some processes.
fn effective_id() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    // Real, effective, saved, and that of the file system.
    ids.split_whitespace().nth(1)?.parse().ok()
}

fn owner_of_new_file() -> Option<u32> {
    let name = format!("rpc-owner-{}-{:x}", std::process::id(), fastrand::u64(..));
    let path = std::env::temp_dir().join(name);
    let owner = fs::File::create_new(&path).ok()?.metadata().ok()?.uid();
    // An empty file that is left over is the operating system's to clean up.
    let _ = fs::remove_file(&path);
    Some(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_id_is_that_of_a_new_file() {
        assert!(own_id().is_some());
        assert_eq!(own_id(), owner_of_new_file());
    }

    /// Checks a file of the user `owner` and a group of the same number as if this process ran as
    /// `own`.
    #[test]
    fn owner_and_mode_decide() {
        let path = std::env::temp_dir().join(format!("rpc-modes-{:x}", fastrand::u64(..)));
        let file = fs::File::create_new(&path).unwrap();
        let set = |mode| {
            use std::os::unix::fs::PermissionsExt as _;
            file.set_permissions(fs::Permissions::from_mode(mode))
                .unwrap();
            file.metadata().unwrap()
        };
        let owner = file.metadata().unwrap().uid();
        for (mode, is_trusted) in [
            (0o600, true),
            (0o644, true),
            (0o400, true),
            (0o602, false),
            (0o666, false),
            (0o777, false),
        ] {
            let checked = check(&set(mode), Some(owner), false);
            assert_eq!(checked.is_ok(), is_trusted, "{mode:o}");
        }
        assert_eq!(
            check(&set(0o1777), Some(owner), false),
            Err(UntrustedOwner::Mode(0o1777))
        );
        assert_eq!(check(&set(0o1777), Some(owner), true), Ok(()));
        let other = owner + 1;
        let checked = check(&set(0o600), Some(other), false);
        if owner == ROOT {
            assert_eq!(checked, Ok(()));
            assert_eq!(
                check(&set(0o620), Some(owner), false),
                Err(UntrustedOwner::Mode(0o620))
            );
            // The private group of a user, and another one.
            for (group, is_trusted) in [(other, true), (other + 1, false)] {
                std::os::unix::fs::chown(&path, Some(other), Some(group)).unwrap();
                let checked = check(&set(0o664), Some(other), false);
                assert_eq!(checked.is_ok(), is_trusted, "{group}");
            }
        } else {
            assert_eq!(checked, Err(UntrustedOwner::Owner { owner, own: other }));
        }
        fs::remove_file(&path).unwrap();
    }
}
