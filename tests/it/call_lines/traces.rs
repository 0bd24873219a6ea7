use rpc_runtime::Trust;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post_with};

use super::shop;
use crate::flags::LogBuffer;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn a_line_has_the_trace_of_its_call() {
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let of_caller = [("traceparent", &*parent)];
    let invalid = [("traceparent", "00-x-00f067aa0ba902b7-01")];
    for (trust, lines, has_trace) in [
        (Trust::Internal, &of_caller[..], true),
        (Trust::Internal, &[], false),
        (Trust::Internal, &invalid, false),
        // The trace of a stranger is linked, and not continued.
        (Trust::Edge, &of_caller, false),
    ] {
        let back = Running::start(shop("back", None).trust(trust)).await;
        let (logs, _guard) = LogBuffer::start();
        let mut raw = Raw::connect(back.address()).await;
        let order = post_with("/lines.v1.Shop/Order", lines, "{}");
        assert_eq!(raw.ask(order).await.status, 400);
        let lines = logs.lines("rpc.method=");
        let [line] = &lines[..] else {
            panic!("{lines:?}");
        };
        let expected = format!(" trace_id=\"{TRACE}\" ");
        assert_eq!(line.contains(&expected), has_trace, "{line}");
        assert_eq!(line.contains("trace_id"), has_trace, "{line}");
    }
}
