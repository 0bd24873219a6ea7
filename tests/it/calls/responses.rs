//! Panics, errors that cannot be formatted, messages that are too large, metadata.

use super::deadlines::expires;
use super::*;

#[tokio::test]
async fn a_panic_is_internal_and_its_text_stays_private() {
    on_each_transport(async |mut test| {
        for after_await in [false, true] {
            let error = test.client.panics(after_await).await.unwrap_err();
            assert_eq!(
                (error.code(), error.message()),
                (Code::Internal, "internal error")
            );
            assert!(!format!("{error:?}").contains("canary"));
            let (what, code, text) = test.observed.recv().await.unwrap();
            assert_eq!((what, code), ("ended", Some(Code::Internal)));
            assert!(
                text.contains("the canary sings"),
                "the operator reads it: {text}"
            );
            test.client.ok().await.unwrap();
            assert_eq!(test.observed.recv().await.unwrap().1, None);
        }
    })
    .await;
}

#[tokio::test]
async fn a_panic_in_the_code_of_a_message_is_caught_as_well() {
    on_each_transport(async |mut test| {
        for mine in [Mine::PanicsOnRead, Mine::PanicsOnWrite] {
            let error = test.client.mine(mine).await.unwrap_err();
            assert_eq!(
                (error.code(), error.message()),
                (Code::Internal, "internal error")
            );
            let text = test.observed.recv().await.unwrap().2;
            assert!(text.contains("the canary sings"), "{text}");
        }
        assert!(matches!(
            test.client.mine(Mine::Fine).await.unwrap(),
            Mine::Fine
        ));
    })
    .await;
}

#[tokio::test]
async fn a_panic_while_a_handler_is_dropped_is_contained() {
    on_each_transport(async |mut test| {
        // The connection is open, and the timeout is long enough for the call to arrive on a busy
        // machine.
        test.client.ok().await.unwrap();
        assert_eq!(test.observed.recv().await.unwrap().1, None);
        expires(&mut test, WorkClient::panics_on_drop).await;
        let code = test.observed.recv().await.unwrap().1;
        // Over a network the server may observe the caller's disconnect first.
        assert!(
            matches!(code, Some(Code::DeadlineExceeded | Code::Canceled)),
            "{code:?}"
        );
        test.client.ok().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_error_whose_display_panics_is_still_sent() {
    on_each_transport(async |mut test| {
        let error = test.client.panics_on_display().await.unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::NotFound, "nothing here")
        );
        assert_eq!(
            test.observed.recv().await.unwrap().1,
            Some(Code::NotFound),
            "the other observer is notified"
        );
    })
    .await;
}

#[tokio::test]
async fn an_oversized_message_is_rejected_on_any_transport() {
    on_each_transport(async |test| {
        assert_eq!(
            test.client.takes(&"x".repeat(1 << 20)).await.unwrap(),
            1 << 20
        );
        let error = test.client.takes(&"x".repeat(5 << 20)).await.unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert!(error.message().contains("4194304"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn metadata_travels_both_ways() {
    on_each_transport(async |test| {
        let reply = test
            .client
            .headers(false)
            .header("x-sent", "a")
            .header("x-sent", "b")
            .with_response()
            .await
            .unwrap();
        assert_eq!(reply.value, "a,b");
        assert_eq!(reply.headers.get("x-leading"), Some("1"));
        assert_eq!(reply.trailers.get("x-trailing"), Some("2"));
        let reply = test
            .client
            .headers_detached()
            .with_response()
            .await
            .unwrap();
        assert_eq!(
            (
                reply.headers.get("x-leading"),
                reply.trailers.get("x-trailing")
            ),
            (Some("1"), Some("2"))
        );
        let error = test.client.headers(true).await.unwrap_err();
        let metadata: &Metadata = error.metadata();
        assert_eq!(metadata.get("x-beside"), Some("3"), "{metadata:?}");
        assert_eq!(
            (metadata.get("x-leading"), metadata.get("x-trailing")),
            (Some("1"), Some("2"))
        );
    })
    .await;
}

#[tokio::test]
async fn an_invalid_header_fails_the_call_before_sending() {
    on_each_transport(async |mut test| {
        for (name, value) in [
            ("x-a", "two\r\nlines"),
            ("two words", "1"),
            ("X-Request-Id", "1"),
            ("x-request-id", "1"),
            ("content-length", "0"),
        ] {
            let error = test.client.ok().header(name, value).await.unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{name}");
        }
        assert!(test.observed.try_recv().is_err(), "nothing arrived");
    })
    .await;
}
