//! The person who runs the command, by the account of the process.
//!
//! Variables as `LOGNAME` and `USER` are no evidence: each caller may set them. `SUDO_USER` is
//! evidence as good as the word of root, who may act as anybody.

use std::env;

use fibpro::terminal;
use nix::unistd::{Uid, User, geteuid};
use rpc_runtime::Principal;

/// Maximum length of a name, in bytes.
const NAME_LIMIT: usize = 64;

/// Returns the user of the calls of this process: `os:NAME` with the name of its account, and
/// `os:root(sudo=NAME)` behind `sudo`.
pub(super) fn current() -> Principal {
    let uid = geteuid();
    // An account without an entry, or whose directory cannot be asked, has its number.
    let account = User::from_uid(uid).ok().flatten();
    let account = account.map(|user| user.name);
    Principal::new(subject(uid, account, env::var("SUDO_USER").ok()))
}

fn subject(uid: Uid, account: Option<String>, sudo_user: Option<String>) -> String {
    let account = account.filter(|name| fits(name));
    let account = account.unwrap_or_else(|| format!("uid-{uid}"));
    match sudo_user.filter(|name| uid.is_root() && fits(name) && *name != account) {
        Some(person) => format!("os:{account}(sudo={person})"),
        None => format!("os:{account}"),
    }
}

/// Returns whether a name can be printed beside others. The characters that mark a person behind
/// `sudo` are not part of one.
fn fits(name: &str) -> bool {
    (1..=NAME_LIMIT).contains(&name.len())
        && !name.contains(|c: char| terminal::is_unsafe(c) || "()=".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uid: u32, account: &str, sudo_user: &str) -> String {
        let name = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        subject(Uid::from_raw(uid), name(account), name(sudo_user))
    }

    #[test]
    fn only_root_names_the_person_behind_sudo() {
        let long = "x".repeat(NAME_LIMIT + 1);
        for (uid, account, sudo_user, expected) in [
            (1000, "carla", "", "os:carla"),
            (1000, "carla", "ada", "os:carla"),
            (1000, "carla", "root", "os:carla"),
            (1000, "", "ada", "os:uid-1000"),
            (1000, "EXAMPLE\\carla", "", "os:EXAMPLE\\carla"),
            (0, "root", "", "os:root"),
            (0, "root", "ada", "os:root(sudo=ada)"),
            (0, "root", "root", "os:root"),
            (0, "", "ada", "os:uid-0(sudo=ada)"),
            (0, "root", "a\nb", "os:root"),
            (0, "root", "ada)(sudo=bob", "os:root"),
            (0, "root", &long, "os:root"),
            (1000, &long, "", "os:uid-1000"),
            (1000, "root(sudo=ada)", "", "os:uid-1000"),
        ] {
            assert_eq!(
                of(uid, account, sudo_user),
                expected,
                "{account} {sudo_user}"
            );
        }
    }
}
