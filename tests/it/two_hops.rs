//! Two services in a chain: `Controller` calls `Pricing`, in one process and over sockets.

use std::time::Instant;

use rpc_runtime::prelude::*;
use rpc_tests::Running;

/// A price list.
#[rpc_service(package = "test.v1")]
trait Pricing {
    /// Takes payments.
    async fn pay(&self, user: &str, n: u64) -> Result<u64, PricingError>;
    async fn tenant(&self) -> Result<String>;
}

/// A service that calls [`Pricing`].
#[rpc_service(package = "test.v1")]
trait Controller {
    async fn generate(&self, user: &str, n: u64) -> Result<String>;
    async fn generate_typed(&self, user: &str, n: u64) -> Result<String, ControllerError>;
    async fn generate_mapped(&self, user: &str, n: u64) -> Result<String>;
    async fn other_typed(&self, n: u64) -> Result<u64, OtherError>;
    /// Calls itself without end.
    async fn round(&self) -> Result<u32>;
    /// Sends a value that cannot be encoded.
    async fn bad_header(&self) -> Result<u64>;
    async fn who(&self, ctx: &Context) -> Result<(String, String, u32)>;
    async fn tenant(&self) -> Result<String>;
}

#[derive(Debug, thiserror::Error, RpcError)]
enum PricingError {
    #[error("fib({n}) costs {cost}, user {user} has insufficient credit({credit})")]
    #[rpc(code = "failed_precondition")]
    InsufficientCredit {
        n: u64,
        cost: u64,
        user: String,
        credit: i64,
    },
    #[error("the bank is busy")]
    #[rpc(code = "resource_exhausted")]
    Busy,
    #[error("the table of prices is gone")]
    #[rpc(code = "internal")]
    NoTable(#[rpc(skip)] Option<std::io::Error>),
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}

#[derive(Debug, thiserror::Error, RpcError)]
enum ControllerError {
    /// Has the name and the code of a variant of the dependency.
    #[error("the controller is busy")]
    #[rpc(code = "resource_exhausted")]
    Busy,
    #[error("{0}")]
    #[rpc(from)]
    Pricing(PricingError),
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}

/// Without `#[rpc(from)]`, and with a variant that the dependency has as well.
#[derive(Debug, thiserror::Error, RpcError)]
enum OtherError {
    #[error("busy ourselves")]
    #[rpc(code = "resource_exhausted")]
    Busy,
    #[error("{n} is too dear")]
    #[rpc(code = "out_of_range")]
    TooDear { n: u64 },
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}

struct Prices;

impl Pricing for Prices {
    async fn pay(&self, user: &str, n: u64) -> Result<u64, PricingError> {
        match n {
            3 => Err(PricingError::InsufficientCredit {
                n,
                cost: 1,
                user: user.to_owned(),
                credit: 0,
            }),
            4 => Err(PricingError::NoTable(Some(std::io::Error::other("canary")))),
            6 => Err(PricingError::Busy),
            5 => fail!(Code::Unavailable, "the bank is closed"),
            _ => Ok(n),
        }
    }

    async fn tenant(&self) -> Result<String> {
        let context = Context::current();
        let source = context.source().map(|source| source.server().to_owned());
        Ok(format!(
            "{:?} {:?} {}",
            context.baggage().get("tenant"),
            source,
            context.hops()
        ))
    }
}

struct Controls(PricingClient);

#[rpc_service]
impl Controller for Controls {
    async fn generate(&self, user: &str, n: u64) -> Result<String> {
        let paid = self.0.pay(user, n).await?;
        Ok(format!("{paid} paid"))
    }

    /// Passes functions as values, which the standard library calls.
    async fn generate_mapped(&self, user: &str, n: u64) -> Result<String> {
        let paid = self.0.pay(user, n).await.map_err(Error::from)?;
        let text = (paid != 7).then_some("paid").ok_or_else(unlucky)?;
        Ok(text.to_owned())
    }

    async fn other_typed(&self, n: u64) -> Result<u64, OtherError> {
        let paid = self.0.pay("ada", n).await;
        paid.map_err(|error| match *error {
            PricingError::InsufficientCredit { n, .. } => {
                error.replaced_by(OtherError::TooDear { n })
            }
            _ => OtherError::from(error),
        })
    }

    async fn round(&self) -> Result<u32> {
        let own = ControllerClient::local(Controls(self.0.clone()));
        Ok(own.round().await? + 1)
    }

    async fn bad_header(&self) -> Result<u64> {
        Ok(self.0.pay("ada", 1).header("x-a", "two\nlines").await?)
    }

    async fn tenant(&self) -> Result<String> {
        // A method with `Result<_, Error>` propagates a remote error by `?`.
        Ok(self.0.tenant().await?)
    }

    async fn generate_typed(&self, user: &str, n: u64) -> Result<String, ControllerError> {
        Ok(self.0.pay(user, n).await?.to_string())
    }

    async fn who(&self, ctx: &Context) -> Result<(String, String, u32)> {
        let same = Context::current();
        assert_eq!(same.request_id(), ctx.request_id());
        Ok((
            ctx.request_id().to_owned(),
            ctx.server().map(ToString::to_string).unwrap_or_default(),
            ctx.hops(),
        ))
    }
}

#[track_caller]
fn unlucky() -> Error {
    Error::new(Code::FailedPrecondition, "7 is not sold")
}

/// The two services, with the values that keep them alive.
struct TwoServices {
    controller: ControllerClient,
    _running: Vec<Running>,
}

async fn over_sockets() -> TwoServices {
    let pricing = Running::start(Server::new("pricing").add(PricingServer::new(Prices))).await;
    let controls = Controls(PricingClient::connect(&pricing.url()).unwrap());
    let controller =
        Running::start(Server::new("controller").add(ControllerServer::new(controls))).await;
    TwoServices {
        controller: ControllerClient::connect(&controller.url()).unwrap(),
        _running: vec![pricing, controller],
    }
}

fn in_process() -> TwoServices {
    TwoServices {
        controller: ControllerClient::local(Controls(PricingClient::local(Prices))),
        _running: Vec::new(),
    }
}

/// Runs a test of the chain in process and over sockets.
async fn on_both_transports<F: AsyncFn(&ControllerClient)>(test: F) {
    test(&in_process().controller).await;
    test(&over_sockets().await.controller).await;
}

#[tokio::test]
async fn a_value_comes_back() {
    on_both_transports(async |controller| {
        assert_eq!(controller.generate("ada", 7).await.unwrap(), "7 paid");
        assert_eq!(controller.generate_typed("ada", 8).await.unwrap(), "8");
    })
    .await;
}

#[tokio::test]
async fn a_forwarded_typed_error_keeps_its_chain() {
    on_both_transports(async |controller| {
        let error = controller.generate_typed("ada", 3).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert_eq!(
            error.message(),
            "fib(3) costs 1, user ada has insufficient credit(0)"
        );
        match &*error {
            ControllerError::Pricing(PricingError::InsufficientCredit {
                n: 3,
                cost: 1,
                user,
                credit: 0,
            }) => {
                assert_eq!(user, "ada");
            }
            other => panic!("{other:?}"),
        }
        let hops = error.hops();
        assert_eq!(hops.len(), 2, "{error:?}");
        assert_eq!(
            (&*hops[0].method, &*hops[1].method),
            ("test.v1.Controller/GenerateTyped", "test.v1.Pricing/Pay")
        );
        let (file, line) = hops[0].location.clone().expect("the line of the `?`");
        assert!(file.ends_with("two_hops.rs"), "{file}:{line}");
        assert_eq!(hops[1].reason.as_deref(), Some("INSUFFICIENT_CREDIT"));
    })
    .await;
}

#[tokio::test]
async fn an_unmapped_error_is_internal_with_a_full_chain() {
    on_both_transports(async |controller| {
        let error = controller.generate("ada", 3).await.unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::Internal, "internal error")
        );
        let hops = error.hops();
        assert_eq!(hops.len(), 2, "{error:?}");
        assert_eq!(hops[1].code, Code::FailedPrecondition);
        assert_eq!(
            hops[1].message,
            "fib(3) costs 1, user ada has insufficient credit(0)"
        );
        let text = format!("{error:#}");
        assert!(
            text.contains("at   Controller.Generate ") && text.contains("two_hops.rs:"),
            "{text}"
        );
        assert!(
            text.contains("from Pricing.Pay ") && text.contains("reason INSUFFICIENT_CREDIT"),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn no_hop_names_a_line_of_the_library() {
    on_both_transports(async |controller| {
        for n in [3, 4, 5, 7] {
            let error = controller.generate_mapped("ada", n).await.unwrap_err();
            assert!(!error.hops().is_empty(), "{error:?}");
            let (file, line) = error.hops()[0]
                .location
                .clone()
                .expect("the line of the `?`");
            assert!(file.ends_with("two_hops.rs"), "{n}: {file}:{line}");
            let text = format!("{error:#}");
            assert!(!text.contains("library/"), "{n}: {text}");
        }
    })
    .await;
}

#[tokio::test]
async fn unavailable_stays_unavailable_and_names_both_lines() {
    on_both_transports(async |controller| {
        let error = controller.generate("ada", 5).await.unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::Unavailable, "the bank is closed")
        );
        for hop in error.hops() {
            let (file, line) = hop.location.clone().expect("a line");
            assert!(file.ends_with("two_hops.rs") && line > 0);
        }
    })
    .await;
}

#[tokio::test]
async fn a_dependencys_variant_is_never_taken_for_our_own() {
    on_both_transports(async |controller| {
        let error = controller.other_typed(6).await.unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::ResourceExhausted, "the bank is busy")
        );
        assert!(matches!(&*error, OtherError::Other(_)), "{error:?}");
        // Propagated by `?`, it stays the variant of the dependency, not the local one of the same
        // name.
        let error = controller.generate_typed("ada", 6).await.unwrap_err();
        assert!(
            matches!(&*error, ControllerError::Pricing(PricingError::Busy)),
            "{error:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_error_in_place_of_a_dependencys_has_its_way() {
    on_both_transports(async |controller| {
        let error = controller.other_typed(3).await.unwrap_err();
        assert!(matches!(&*error, OtherError::TooDear { n: 3 }), "{error:?}");
        assert_eq!(
            (error.code(), error.message()),
            (Code::OutOfRange, "3 is too dear")
        );
        let [own, theirs] = error.hops() else {
            panic!("{error:?}")
        };
        assert_eq!(
            (&*own.method, own.code),
            ("test.v1.Controller/OtherTyped", Code::OutOfRange)
        );
        let (file, line) = own.location.clone().expect("the line that replaced it");
        assert!(file.ends_with("two_hops.rs") && line > 0, "{error:?}");
        assert_eq!(
            (&*theirs.method, theirs.code),
            ("test.v1.Pricing/Pay", Code::FailedPrecondition)
        );
    })
    .await;
}

#[tokio::test]
async fn a_converted_variant_has_the_line_of_its_operator() {
    on_both_transports(async |controller| {
        let error = controller.generate_typed("ada", 5).await.unwrap_err();
        assert_eq!(error.hops().len(), 2, "{error:?}");
        for hop in error.hops() {
            let (file, line) = hop.location.clone().expect("a line");
            assert!(file.ends_with("two_hops.rs") && line > 0, "{error:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_error_of_our_client_is_in_the_chain() {
    on_both_transports(async |controller| {
        let error = controller.bad_header().await.unwrap_err();
        assert_eq!(error.code(), Code::Internal);
        let origin = error.hops().last().unwrap();
        assert_eq!(
            (&*origin.method, origin.code),
            ("test.v1.Pricing/Pay", Code::InvalidArgument)
        );
        assert!(origin.message.contains("x-a"), "{error:?}");

        let error = controller.round().await.unwrap_err();
        let origin = error.hops().last().unwrap();
        assert_eq!(origin.code, Code::FailedPrecondition);
        assert!(origin.message.contains("loop detected"), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_skipped_source_and_an_internal_text_stay_at_home() {
    on_both_transports(async |controller| {
        let error = controller.generate_typed("ada", 4).await.unwrap_err();
        assert!(!format!("{error:#}").contains("canary"), "{error:?}");
        assert_eq!(
            (error.code(), error.message()),
            (Code::Internal, "internal error")
        );
        assert!(
            matches!(
                &*error,
                ControllerError::Pricing(PricingError::NoTable(None))
            ),
            "{error:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn one_request_id_from_end_to_end() {
    on_both_transports(async |controller| {
        let (id, server, hops) = controller.who().await.unwrap();
        assert_eq!(id.len(), 16);
        assert!(server.starts_with("controller@prod/"), "{server}");
        assert_eq!(hops, 1);
        let error = controller.generate("ada", 5).await.unwrap_err();
        assert_eq!(error.request_id().len(), 16);
        assert!(error.as_error().to_string().contains("unavailable"));
    })
    .await;
}

#[tokio::test]
async fn baggage_and_source_travel_by_themselves() {
    on_both_transports(async |controller| {
        let context = Context::current()
            .with_baggage("tenant", "blue, \"green\" é")
            .unwrap();
        let seen = context.enter(|| controller.tenant()).await.unwrap();
        assert_eq!(seen, r#"Some("blue, \"green\" é") Some("controller") 2"#);
    })
    .await;
}

#[tokio::test]
async fn ping_names_the_instance() {
    let start = Instant::now();
    on_both_transports(async |controller| {
        let pong = controller.ping().await.unwrap();
        assert_eq!(pong.service, "test.v1.Controller");
        assert_eq!(pong.version, env!("CARGO_PKG_VERSION"));
        assert!(!pong.instance.is_empty() && start.elapsed() >= pong.uptime);
    })
    .await;
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unavailable_at_once() {
    // Bound and closed again, so no server listens there.
    let address = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let error = PricingClient::connect(&format!("http://{address}"))
        .unwrap()
        .pay("ada", 1)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        error.message().contains(&address.to_string()) && error.message().contains("refused"),
        "{error}"
    );
    assert!(error.hops().is_empty());
}

#[tokio::test]
async fn generic_code_accepts_the_client() {
    async fn buy(pricing: &impl Pricing) -> Result<u64, PricingError> {
        pricing.pay("ada", 9).await
    }
    assert_eq!(buy(&PricingClient::local(Prices)).await.unwrap(), 9);
    assert_eq!(buy(&Prices).await.unwrap(), 9);
}
