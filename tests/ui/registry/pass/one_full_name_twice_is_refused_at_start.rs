//! Two traits with one full name compile, since they may come from two crates; a server of either refuses to start.

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
    // In process a client is made for one implementation, so there is nobody to confuse.
    assert_eq!(two::SameClient::local(Both).second().await.unwrap(), 2);
}
