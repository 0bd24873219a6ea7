//! The authorization policy of a server.

use crate::context::{Context, Principal, Source};
use crate::error::{Code, Error};
use crate::text::EscapeControl;

/// Specifies which callers may call which methods. A method without a rule is denied, so a method
/// that is added later stays closed until a rule names it.
///
/// Callers are identified by their trusted source: with identity keys ([`Server::identity`]) the
/// source signed with a key, without keys the source that a process on this host states, at an edge
/// none. A rule may also name roles of the user of a call; see [`Callers::roles`]. `Ping` and the
/// other built-in methods are open unless a rule names them.
///
/// A plain HTTP route ([`Server::http`]) is named by `http` and its path as in the router, such as
/// `http /metrics`. A rule for `http` alone is for all others, nested services and the fallback
/// included. Without a rule they are denied as methods are.
///
/// ```
/// use rpc_runtime::prelude::*;
/// use rpc_runtime::{Callers, Policy};
///
/// #[rpc_service(package = "bank.v1")]
/// trait Ledger {
///     async fn balance(&self, user: &str) -> Result<u64>;
///     async fn debit(&self, user: &str, amount: u64) -> Result<u64>;
///     async fn wipe(&self) -> Result<()>;
/// }
///
/// # struct Book;
/// # impl Ledger for Book {
/// #     async fn balance(&self, user: &str) -> Result<u64> { Ok(user.len() as u64) }
/// #     async fn debit(&self, user: &str, amount: u64) -> Result<u64> { Ok(user.len() as u64 - amount) }
/// #     async fn wipe(&self) -> Result<()> { Ok(()) }
/// # }
/// // A group of callers is an ordinary value.
/// let frontends = Callers::servers(["web", "mobile"]).in_environment("prod");
/// let policy = Policy::new()
///     .allow("bank.v1.Ledger/Balance", Callers::anyone())
///     .allow("bank.v1.Ledger/Debit", frontends)
///     .deny("bank.v1.Ledger/Wipe");
/// let server = Server::new("ledger").add(LedgerServer::new(Book)).policy(policy);
/// # server.into_local_client()?;
/// # Ok::<(), rpc_runtime::Error>(())
/// ```
///
/// A denied call fails with `permission_denied`; the text names the method and the caller. A server
/// does not start if its policy names an unknown method or route, or one of them twice. Methods
/// without a rule are logged at the start.
///
/// [`Server::http`]: crate::Server::http
/// [`Server::identity`]: crate::Server::identity
#[derive(Debug, Clone, Default)]
#[must_use = "a policy has no effect until it is set on a server"]
pub struct Policy(Vec<(String, Callers)>);

impl Policy {
    /// Creates a policy without rules: only built-in methods can be called.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows these callers to call a method, given by its full name, such as
    /// `fibpro.v1.Pricing/Pay`, or plain HTTP routes, such as `http /metrics`.
    pub fn allow(mut self, method: impl Into<String>, callers: impl Into<Callers>) -> Self {
        self.0.push((method.into(), callers.into()));
        self
    }

    pub(crate) fn into_rules(self) -> Vec<(String, Callers)> {
        self.0
    }

    /// Denies a method to all callers, explicitly; a method without a rule is denied too, but
    /// logged at the start.
    pub fn deny(self, method: impl Into<String>) -> Self {
        self.allow(method, Callers::servers(Vec::<String>::new()))
    }
}

/// A group of callers, by their server, environment and user. A caller belongs to it if all that is
/// set applies.
///
/// ```
/// use rpc_runtime::Callers;
///
/// // Operators, whichever service calls for them.
/// let operators = Callers::roles(["operator"]);
/// // Any user, by the gatekeeper of the environment `prod`.
/// let buyers = Callers::servers(["gatekeeper"]).in_environment("prod").with_user();
/// # drop((operators, buyers));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callers {
    /// The names of servers; any if `None`.
    servers: Option<Vec<String>>,
    environment: Option<String>,
    users: Users,
}

/// The users of a group of callers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Users {
    /// Any user, and calls without one.
    #[default]
    Any,
    Authenticated,
    /// Users with one of these roles.
    Roles(Vec<String>),
}

impl Callers {
    /// Returns the group of all callers, including those without a trusted source.
    #[must_use]
    pub fn anyone() -> Self {
        Self::default()
    }

    /// Returns the group of the servers with these names, such as `controller`, with all their
    /// instances.
    #[must_use]
    pub fn servers(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            servers: Some(names.into_iter().map(Into::into).collect()),
            ..Self::default()
        }
    }

    /// Returns the group of the calls that run for an authenticated user; see
    /// [`Context::principal`](crate::Context::principal).
    #[must_use]
    pub fn users() -> Self {
        Self::anyone().with_user()
    }

    /// Returns the group of the calls that run for a user with one of these roles.
    #[must_use]
    pub fn roles(roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::anyone().with_roles(roles)
    }

    /// Restricts the group to one environment. A caller without a trusted source is in none.
    #[must_use]
    pub fn in_environment(mut self, environment: impl Into<String>) -> Self {
        self.environment = Some(environment.into());
        self
    }

    /// Restricts the group to calls that run for an authenticated user.
    #[must_use]
    pub fn with_user(mut self) -> Self {
        self.users = Users::Authenticated;
        self
    }

    /// Restricts the group to calls that run for a user with one of these roles.
    #[must_use]
    pub fn with_roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.users = Users::Roles(roles.into_iter().map(Into::into).collect());
        self
    }

    pub(super) fn include(
        &self,
        caller: Option<&Source>,
        user: impl FnOnce() -> Option<Principal>,
    ) -> bool {
        let named = |names: &Vec<String>| {
            caller.is_some_and(|caller| names.iter().any(|name| name == caller.server()))
        };
        let is_in =
            |environment: &String| caller.is_some_and(|caller| environment == caller.environment());
        self.servers.as_ref().is_none_or(named)
            && self.environment.as_ref().is_none_or(is_in)
            && match &self.users {
                Users::Any => true,
                Users::Authenticated => user().is_some(),
                Users::Roles(roles) => {
                    user().is_some_and(|user| roles.iter().any(|role| user.has_role(role)))
                }
            }
    }
}

/// A group of one server.
impl From<&str> for Callers {
    fn from(server: &str) -> Self {
        Self::servers([server])
    }
}

/// A group of several servers.
impl<const N: usize> From<[&str; N]> for Callers {
    fn from(servers: [&str; N]) -> Self {
        Self::servers(servers)
    }
}

/// The access rule of one method, or of plain HTTP routes.
#[derive(Debug, Default)]
pub(crate) enum Access {
    /// No policy applies: the server has none, or the method is built in and not named.
    #[default]
    Unrestricted,
    AllowList(Callers),
    /// The server has a policy that does not name the method or route.
    Undeclared,
}

impl Access {
    /// Returns whether a rule allows all callers.
    pub(crate) fn is_for_anyone(&self) -> bool {
        matches!(self, Self::AllowList(callers) if *callers == Callers::anyone())
    }

    /// # Errors
    ///
    /// `permission_denied` for a caller that the rule does not include.
    pub(crate) fn check(&self, name: &str, context: &Context) -> Result<(), Error> {
        let why = match self {
            Self::Unrestricted => return Ok(()),
            Self::AllowList(callers)
                if callers.include(context.source(), || context.principal()) =>
            {
                return Ok(());
            }
            Self::AllowList(_) => "",
            // Only callers of the same system can add a rule.
            Self::Undeclared if context.source().is_some() => {
                ": no rule of the server's policy allows that; add one"
            }
            Self::Undeclared => ": no rule of the server's policy allows that",
        };
        let user = context.principal();
        let user = user.as_ref().map(|user| EscapeControl(user.subject()));
        let text = match (context.source(), user) {
            (Some(server), Some(user)) => {
                format!("{server} may not call {name} for the user {user}{why}")
            }
            (Some(server), None) => format!("{server} may not call {name}{why}"),
            (None, Some(user)) => format!("the user {user} may not call {name}{why}"),
            (None, None) => format!("an unknown caller may not call {name}{why}"),
        };
        Err(Error::without_location(Code::PermissionDenied, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_those_that_it_names() {
        let source = |text: &str| Some(text.parse::<Source>().unwrap());
        let (web, dev, batch) = (
            source("web@prod/1"),
            source("web@dev/1"),
            source("batch@prod/1"),
        );
        let no_server = Callers::servers(Vec::<String>::new());
        for (callers, expected) in [
            (Callers::anyone(), [true, true, true, true]),
            (
                Callers::anyone().in_environment("prod"),
                [false, true, false, true],
            ),
            ("web".into(), [false, true, true, false]),
            (
                Callers::from("web").in_environment("dev"),
                [false, false, true, false],
            ),
            (["web", "batch"].into(), [false, true, true, true]),
            (no_server, [false; 4]),
            ("we".into(), [false; 4]),
        ] {
            let seen =
                [&None, &web, &dev, &batch].map(|caller| callers.include(caller.as_ref(), || None));
            assert_eq!(seen, expected, "{callers:?}");
        }
    }
}
