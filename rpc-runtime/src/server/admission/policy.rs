//! Who may call what.

use std::collections::HashMap;

use crate::context::{Context, Source};
use crate::error::{Code, Error};
use crate::server::call::method_name;
use crate::server::call::service::Route;

/// Who may call which method of a server. What no rule names nobody may call, so a method that is added later is closed
/// until somebody decides.
///
/// Callers are known by the source that they are believed: with identity keys ([`Server::identity`]) that of whoever has
/// the key, without keys what a process on this host says of itself, at an edge none. `Ping`, and what else is built in,
/// is open unless a rule names it.
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
/// // A group of callers is a value with a name.
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
/// A refused call ends in `permission_denied`, with a text that names the method and the caller. A server whose policy
/// names a method that no service of it has, or one method twice, does not start; what no rule names it logs at start.
///
/// [`Server::identity`]: crate::server::Server::identity
#[derive(Debug, Clone, Default)]
#[must_use = "a policy does nothing before a server has it"]
pub struct Policy(Vec<(String, Callers)>);

impl Policy {
    /// A policy without rules: only what is built in can be called.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets these callers call a method, which is named as on the wire: `fibpro.v1.Pricing/Pay`.
    pub fn allow(mut self, method: impl Into<String>, callers: impl Into<Callers>) -> Self {
        self.0.push((method.into(), callers.into()));
        self
    }

    /// Lets nobody call a method: a decision, and not an omission that stands in the log.
    pub fn deny(self, method: impl Into<String>) -> Self {
        self.allow(method, Callers(Some(Vec::new()), None))
    }
}

/// A group of callers: the servers that it names, or all; in one environment, or in any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callers(Option<Vec<String>>, Option<String>);

impl Callers {
    /// Everybody, whether they are known or not.
    #[must_use]
    pub fn anyone() -> Self {
        Self(None, None)
    }

    /// The servers of these names, such as `controller`, all instances of them.
    #[must_use]
    pub fn servers(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(Some(names.into_iter().map(Into::into).collect()), None)
    }

    /// Those of them that run in this environment. An unknown caller runs in none.
    #[must_use]
    pub fn in_environment(mut self, environment: impl Into<String>) -> Self {
        self.1 = Some(environment.into());
        self
    }

    fn include(&self, caller: Option<&Source>) -> bool {
        let Self(servers, environment) = self;
        match caller {
            None => servers.is_none() && environment.is_none(),
            Some(caller) => {
                let named = |names: &Vec<String>| names.iter().any(|name| name == caller.server());
                servers.as_ref().is_none_or(named)
                    && environment
                        .as_ref()
                        .is_none_or(|environment| environment == caller.environment())
            }
        }
    }
}

/// One server.
impl From<&str> for Callers {
    fn from(server: &str) -> Self {
        Self::servers([server])
    }
}

/// Several servers.
impl<const N: usize> From<[&str; N]> for Callers {
    fn from(servers: [&str; N]) -> Self {
        Self::servers(servers)
    }
}

/// Who may call one method of a server.
#[derive(Debug)]
pub(crate) enum Access {
    /// The server has no policy, or none that names what is built in.
    Unrestricted,
    AllowList(Callers),
    /// The server has a policy, and it does not name the method.
    Undeclared,
}

impl Access {
    /// # Errors
    ///
    /// `permission_denied` for a caller that may not.
    pub(crate) fn check(&self, route: &Route, context: &Context) -> Result<(), Error> {
        let why = match self {
            Self::Unrestricted => return Ok(()),
            Self::AllowList(callers) if callers.include(context.source()) => return Ok(()),
            Self::AllowList(_) => "",
            Self::Undeclared => ": no rule of the server's policy names the method",
        };
        let caller = context.source().map_or("an unknown caller", Source::as_str);
        let method = route.method().full_name();
        Err(Error::without_location(
            Code::PermissionDenied,
            format!("{caller} may not call {method}{why}"),
        ))
    }
}

/// Gives each route its rule.
///
/// # Errors
///
/// `failed_precondition` for a rule of a method that no route has, and for two rules of one method.
pub(crate) fn apply(
    policy: Policy,
    server: &str,
    routes: &mut HashMap<&'static str, Route>,
) -> Result<(), Error> {
    for route in routes.values_mut().filter(|route| !route.is_builtin()) {
        route.access = Access::Undeclared;
    }
    let mut declared = Vec::new();
    for (name, callers) in policy.0 {
        let path = method_name::resolve(routes, &name, &format!("the policy of {server}"))?;
        if declared.contains(&path) {
            let text = format!("the policy of {server} has two rules for {name}; make them one");
            return Err(Error::without_location(Code::FailedPrecondition, text));
        }
        declared.push(path);
        if let Some(route) = routes.get_mut(path) {
            route.access = Access::AllowList(callers);
        }
    }
    let mut undeclared: Vec<_> = routes
        .values()
        .filter(|route| matches!(route.access, Access::Undeclared))
        .map(|route| route.method().full_name())
        .collect();
    if !undeclared.is_empty() {
        undeclared.sort_unstable();
        tracing::warn!(
            target: "rpc",
            "nobody may call what no rule of the policy of {server} names: {}",
            undeclared.join(", ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::descriptor::MethodDescriptor;
    use crate::sync::MutexExt as _;

    /// What is logged, for a test to read.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut lines = self.0.lock_unpoisoned();
            lines.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_no_rule_names_stands_in_the_log_at_start() {
        static METHODS: [MethodDescriptor; 4] = [
            MethodDescriptor::new("a.B", "zap", "Zap", "/a.B/Zap"),
            MethodDescriptor::new("a.B", "get", "Get", "/a.B/Get"),
            MethodDescriptor::new("a.B", "put", "Put", "/a.B/Put"),
            MethodDescriptor::new("a.B", "ping", "Ping", "/a.B/Ping"),
        ];
        let answer = |_| -> crate::middleware::BoxFuture<_> {
            Box::pin(std::future::ready(
                Error::without_location(Code::Unimplemented, "").into(),
            ))
        };
        let mut routes: HashMap<_, _> = METHODS[..3]
            .iter()
            .map(|method| (method.path, Route::new(method, answer)))
            .collect();
        routes.insert("/a.B/Ping", Route::new(&METHODS[3], answer).into_builtin());
        let paper = Paper::default();
        let writer = paper.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        let policy = Policy::new().allow("a.B/Put", "web");
        tracing::subscriber::with_default(subscriber, || {
            apply(policy, "bank", &mut routes).unwrap();
        });
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert!(
            text.contains("policy of bank names: a.B/Get, a.B/Zap\n"),
            "{text}"
        );
        assert!(matches!(routes["/a.B/Ping"].access, Access::Unrestricted));
    }

    #[test]
    fn a_group_has_those_that_it_names() {
        let source = |text: &str| Some(text.parse::<Source>().unwrap());
        let (web, dev, batch) = (
            source("web@prod/1"),
            source("web@dev/1"),
            source("batch@prod/1"),
        );
        let nobody = Callers::servers(Vec::<String>::new());
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
            (nobody, [false; 4]),
            ("we".into(), [false; 4]),
        ] {
            let seen = [&None, &web, &dev, &batch].map(|caller| callers.include(caller.as_ref()));
            assert_eq!(seen, expected, "{callers:?}");
        }
    }
}
