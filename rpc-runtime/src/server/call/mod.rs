//! One call on the server: from an HTTP request to the handler and back.

pub(crate) mod access;
pub(crate) mod body;
pub(crate) mod discard;
pub(crate) mod dispatch;
pub(crate) mod envelope_body;
pub(crate) mod exposure;
pub(crate) mod faults;
pub(crate) mod guard;
pub(crate) mod layers;
pub(crate) mod lingering_body;
pub(crate) mod method_name;
pub(crate) mod parameters;
pub(crate) mod peer_origin;
pub(crate) mod prepared;
pub(crate) mod proxies;
pub(crate) mod refusals;
pub(crate) mod request_stream;
pub(crate) mod response_stream;
pub(crate) mod service;
pub(crate) mod stack;
pub(crate) mod trust;
pub(crate) mod waiting_body;
pub(crate) mod web_page;
