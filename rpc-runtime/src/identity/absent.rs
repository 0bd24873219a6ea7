//! Takes the place of `identity` in a build with neither side, which signs and checks nothing.

/// The keys of a server. There are none without the features `client` and `server`.
#[derive(Debug, Clone)]
pub(crate) enum IdentityKeys {}
