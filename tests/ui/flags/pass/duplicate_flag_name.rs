//! Two flags with the same name compile, since they may be in different crates. A server of the
//! program does not start.

use rpc_runtime::prelude::*;

mod one {
    rpc_runtime::flag! {
        /// Of one.
        pub static SAME: bool = false;
    }
}

mod two {
    rpc_runtime::flag! {
        /// Of two.
        pub static OTHER: u8 = 1, name = "same";
    }
}

#[tokio::main]
async fn main() {
    let server = Server::new("both").listen("127.0.0.1:0");
    let error = server.bind().await.expect_err("a name that stands twice");
    assert_eq!(error.code(), Code::FailedPrecondition);
    for part in ["duplicate flag same", "::one", "::two", "another `name`"] {
        assert!(error.message().contains(part), "{error}");
    }
    assert_eq!((one::SAME.get(), two::OTHER.get()), (false, 1));
}
