//! Who may act for a user.
//!
//! A call that is made for a user ([`Context::principal`]) may be about this user only, unless the
//! user is an operator. A call without one is made by a service on its own behalf, and services are
//! trusted: an internal listener admits no others. Credit is changed without a purchase by services
//! and operators only: no user gives credit to itself. What only operators may do needs a user, so
//! that the log names a person.

use rpc_runtime::{Context, Principal, Source};

use super::normal::nfc;
use super::store::Actor;
use crate::api::userstore::{OPERATOR, UserStoreError};

/// The caller of the current request: a server, and the user on whose behalf it calls.
#[derive(Debug)]
pub(super) struct Caller {
    server: String,
    user: Option<Principal>,
}

impl Caller {
    /// Returns the caller of the current request.
    pub(super) fn current() -> Self {
        let context = Context::current();
        Self {
            server: context.source().map_or("-", Source::as_str).to_owned(),
            user: context.principal(),
        }
    }

    /// Returns the caller of the current request if it may act for a user.
    ///
    /// # Errors
    ///
    /// `OtherUser` for a user who is neither this one, in any spelling, nor an operator.
    pub(super) fn acting_for(username: &str) -> Result<Self, UserStoreError> {
        let caller = Self::current();
        caller.check(username)?;
        Ok(caller)
    }

    /// Returns the caller of the current request if it may change the credit of a user without a
    /// purchase: an operator, or a service on its own behalf.
    ///
    /// # Errors
    ///
    /// As [`acting_for`](Self::acting_for), and `OperatorRequired` for the user itself.
    pub(super) fn crediting(username: &str) -> Result<Self, UserStoreError> {
        let caller = Self::acting_for(username)?;
        let serves_all = caller.only_user().is_none();
        serves_all
            .then_some(caller)
            .ok_or(UserStoreError::OperatorRequired)
    }

    /// Returns the caller of the current request if it is an operator.
    ///
    /// # Errors
    ///
    /// `OperatorRequired` for every other user, and for a call without a user.
    pub(super) fn operator() -> Result<Self, UserStoreError> {
        let caller = Self::current();
        let is_operator = caller.user.as_ref().is_some_and(is_operator);
        is_operator
            .then_some(caller)
            .ok_or(UserStoreError::OperatorRequired)
    }

    /// Returns the caller of the current request if it is this user or an operator.
    ///
    /// # Errors
    ///
    /// As [`acting_for`](Self::acting_for), and `OperatorRequired` for a call without a user.
    pub(super) fn person_for(username: &str) -> Result<Self, UserStoreError> {
        let caller = Self::acting_for(username)?;
        let is_person = caller.user.is_some();
        is_person
            .then_some(caller)
            .ok_or(UserStoreError::OperatorRequired)
    }

    /// Checks that the caller may act for a user.
    ///
    /// # Errors
    ///
    /// As [`acting_for`](Self::acting_for).
    pub(super) fn check(&self, username: &str) -> Result<(), UserStoreError> {
        match self.only_user() {
            Some(own) if nfc(own) != nfc(username) => Err(UserStoreError::OtherUser {
                caller: own.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Returns the only user that the caller may act for; `None` if it may act for each.
    pub(super) fn only_user(&self) -> Option<&str> {
        let user = self.user.as_ref()?;
        (!is_operator(user)).then(|| user.subject())
    }

    /// Returns who is recorded with a change.
    pub(super) fn actor(&self) -> Actor {
        Actor {
            server: self.server.clone(),
            user: self.user.as_ref().map(|user| user.subject().to_owned()),
        }
    }
}

fn is_operator(user: &Principal) -> bool {
    user.has_role(OPERATOR)
}

#[cfg(test)]
mod tests {
    use rpc_runtime::RequestId;

    use super::*;

    /// Calls as this user, or as a service on its own behalf.
    fn call<T>(user: Option<Principal>, work: impl FnOnce() -> T) -> T {
        let context = Context::for_request(RequestId::random());
        match user {
            Some(user) => context.with_principal(user).unwrap().enter(work),
            None => context.enter(work),
        }
    }

    #[test]
    fn a_user_acts_for_itself_in_each_spelling() {
        let (composed, decomposed) = ("j\u{f6}rg", "jo\u{308}rg");
        for subject in [composed, decomposed] {
            for (username, may) in [
                (composed, true),
                (decomposed, true),
                ("jorg", false),
                ("J\u{f6}rg", false),
                ("j\u{f6}rg ", false),
                ("", false),
                ("operator", false),
            ] {
                let user = Principal::new(subject).with_role("operators");
                let checked = call(Some(user), || Caller::acting_for(username).map(drop));
                assert_eq!(checked.is_ok(), may, "{subject} for {username:?}");
            }
        }
    }

    #[test]
    fn operators_and_services_act_for_all() {
        let operator = Principal::new("ada").with_role(OPERATOR);
        for user in [Some(operator), None] {
            let caller = call(user, || Caller::acting_for("bob")).unwrap();
            assert_eq!(caller.only_user(), None);
        }
    }

    #[test]
    fn no_user_gives_credit_to_itself() {
        let refusal = |user, username| call(user, || Caller::crediting(username).err());
        for role in ["developer", "Operator", "operators"] {
            let user = || Principal::new("j\u{f6}rg").with_role(role);
            for own in ["j\u{f6}rg", "jo\u{308}rg"] {
                let refused = refusal(Some(user()), own);
                assert!(
                    matches!(refused, Some(UserStoreError::OperatorRequired)),
                    "{role}: {own:?}"
                );
            }
            let refused = refusal(Some(user()), "bob");
            assert!(matches!(refused, Some(UserStoreError::OtherUser { .. })));
        }
        let operator = || Principal::new("ada").with_role(OPERATOR);
        for (user, username) in [
            (Some(operator()), "ada"),
            (Some(operator()), "bob"),
            (None, "ada"),
        ] {
            assert!(refusal(user, username).is_none(), "{username}");
        }
    }

    #[test]
    fn only_an_operator_is_one() {
        let of = |user| call(user, || Caller::operator().is_ok());
        assert!(of(Some(Principal::new("ada").with_role(OPERATOR))));
        assert!(!of(Some(Principal::new(OPERATOR).with_role("developer"))));
        assert!(!of(Some(
            Principal::new("ada").with_claim("role", OPERATOR)
        )));
        assert!(!of(None));
    }
}
