//! Two services with the same full name compile, since they may be in different crates. A server of
//! either does not start.

use rpc_runtime::prelude::*;

mod one {
    use rpc_runtime::prelude::*;

    #[rpc_service(package = "twice.v1")]
    pub trait Same {
        async fn first(&self) -> Result<u32>;
    }
}

mod two {
    use rpc_runtime::prelude::*;

    #[rpc_service(package = "twice.v1")]
    pub trait Same {
        async fn second(&self) -> Result<u32>;
    }
}

struct Both;

impl one::Same for Both {
    async fn first(&self) -> Result<u32> {
        Ok(1)
    }
}

impl two::Same for Both {
    async fn second(&self) -> Result<u32> {
        Ok(2)
    }
}

#[tokio::main]
async fn main() {
    let server = Server::new("both").listen("127.0.0.1:0").add(one::SameServer::new(Both));
    let error = server.bind().await.expect_err("a name that stands twice");
    assert_eq!(error.code(), Code::FailedPrecondition);
    for part in ["twice.v1.Same", "::one", "::two", "`package` or `name`"] {
        assert!(error.message().contains(part), "{error}");
    }
    // An in-process client is bound to one implementation, so the name need not be unique.
    assert_eq!(two::SameClient::local(Both).second().await.unwrap(), 2);
}
