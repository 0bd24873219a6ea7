//! Searching the log sink in process: filters, pages, and waiting for new records.

use fibpro::api::logsink::{Level, LogSinkClient, Page, Query, Record, TARGET_LIMIT, TEXT_LIMIT};
use fibpro::service::logsink::{LogStore, LogStoreOptions, PrintQueue, Sink, WriterHandle};
use rpc_runtime::{Code, RequestId};

use crate::process::Folder;

struct Searched {
    sink: LogSinkClient,
    store: LogStore,
    _writing: WriterHandle,
    _folder: Folder,
}

impl Searched {
    async fn start() -> Self {
        let folder = Folder::new();
        let (store, intake) = LogStore::start(LogStoreOptions {
            path: folder.file("logs.sqlite"),
            bytes: 32 << 20,
        })
        .await;
        let (printer, writing) = PrintQueue::start(std::io::sink(), Some(intake)).unwrap();
        Self {
            sink: LogSinkClient::local(Sink::new(printer, Some(store.clone()))),
            store,
            _writing: writing,
            _folder: folder,
        }
    }

    async fn find(&self, query: Query) -> String {
        let page = self.sink.query(&query).await.unwrap();
        texts(&page)
    }

    async fn refused(&self, query: Query) -> String {
        let error = self.sink.query(&query).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        error.message().to_owned()
    }
}

fn texts(page: &Page) -> String {
    let texts: Vec<_> = page
        .records
        .iter()
        .map(|logged| logged.record.text.as_str())
        .collect();
    texts.join(" ")
}

fn record(source: &str, request: &str, time: &str, level: Level, text: &str) -> Record {
    let time = format!("2026-11-22T12:25:{time}Z").parse().unwrap();
    let mut record = Record::new(source.parse().unwrap(), time, level, text);
    record.request_id = RequestId::parse(request);
    record.target = "fibpro::test".to_owned();
    record
}

fn query() -> Query {
    Query::default()
}

#[tokio::test]
async fn all_conditions_hold_at_once() {
    let searched = Searched::start().await;
    let records = [
        record("userstore@prod/a1", "r1", "01", Level::Debug, "a"),
        record("userstore@prod/a2", "r2", "02", Level::Info, "b"),
        record("userstore@dev/a1", "r1", "03.5", Level::Warn, "c"),
        record("pricing@prod/a1", "r1", "04", Level::Error, "d"),
        record("userstorey@prod/a1", "", "00", Level::Error, "e"),
    ];
    assert_eq!(searched.sink.recv_logs(&records).await.unwrap(), 5);
    let text = |text: &str| Some(text.to_owned());
    let time = |time: &str| Some(format!("2026-11-22T12:25:{time}Z").parse().unwrap());
    let id = RequestId::parse;
    for (expected, query) in [
        ("a b c d e", query()),
        (
            "a c d",
            Query {
                request_id: id("r1"),
                ..query()
            },
        ),
        (
            "",
            Query {
                request_id: id("r"),
                ..query()
            },
        ),
        (
            "a b c",
            Query {
                source: text("userstore"),
                ..query()
            },
        ),
        (
            "a b",
            Query {
                source: text("userstore@prod"),
                ..query()
            },
        ),
        (
            "b",
            Query {
                source: text("userstore@prod/a2"),
                ..query()
            },
        ),
        (
            "",
            Query {
                source: text("USERSTORE"),
                ..query()
            },
        ),
        (
            "a b c d e",
            Query {
                level: Some(Level::Debug),
                ..query()
            },
        ),
        (
            "b c d e",
            Query {
                level: Some(Level::Info),
                ..query()
            },
        ),
        (
            "c d e",
            Query {
                level: Some(Level::Warn),
                ..query()
            },
        ),
        (
            "d e",
            Query {
                level: Some(Level::Error),
                ..query()
            },
        ),
        (
            "c d",
            Query {
                since: time("03.5"),
                ..query()
            },
        ),
        (
            "d",
            Query {
                since: time("03.500000001"),
                ..query()
            },
        ),
        (
            "a b e",
            Query {
                until: time("03.5"),
                ..query()
            },
        ),
        (
            "a b c e",
            Query {
                until: time("03.500000001"),
                ..query()
            },
        ),
        (
            "b c",
            Query {
                since: time("02"),
                until: time("04"),
                ..query()
            },
        ),
        (
            "c",
            Query {
                request_id: id("r1"),
                source: text("userstore"),
                level: Some(Level::Info),
                since: time("02"),
                text: text("C"),
                ..query()
            },
        ),
    ] {
        assert_eq!(searched.find(query.clone()).await, expected, "{query:?}");
    }
    // A record is returned as it was sent.
    let page = searched.sink.query(&query()).await.unwrap();
    let back: Vec<_> = page
        .records
        .iter()
        .map(|logged| logged.record.clone())
        .collect();
    assert_eq!(back, records);
    assert!(page.records.is_sorted_by(|a, b| a.id < b.id));
    assert!(!page.more);
}

#[tokio::test]
async fn a_text_is_searched_for_as_it_is_written() {
    let searched = Searched::start().await;
    let texts = [
        "100% of_it",
        r"C:\new",
        "1000 ofXit",
        "it's \"quoted\"; DROP TABLE records",
        "Größe ß",
    ];
    for text in texts {
        assert!(searched.sink.info(text).await.unwrap());
    }
    for (text, found) in [
        ("0%", 0..1),
        ("OF_IT", 0..1),
        (r":\N", 1..2),
        ("'s \"QUOTED\"; drop", 3..4),
        ("größe", 4..5),
        ("", 0..5),
        ("%", 0..1),
        ("nothing", 0..0),
    ] {
        let query = Query {
            text: Some(text.to_owned()),
            ..query()
        };
        assert_eq!(searched.find(query).await, texts[found].join(" "), "{text}");
    }
}

/// `LIKE` of SQLite ends at a NUL.
#[tokio::test]
async fn a_text_after_a_nul_is_found() {
    let searched = Searched::start().await;
    for text in ["before\0After", "\0", "other"] {
        assert!(searched.sink.info(text).await.unwrap());
    }
    for (text, found) in [
        ("after", 1),
        ("BEFORE\0AFT", 1),
        ("e\0a", 1),
        ("\0", 2),
        ("r\0", 0),
        ("before\0other", 0),
        ("other", 1),
    ] {
        let query = Query {
            text: Some(text.to_owned()),
            ..query()
        };
        let page = searched.sink.query(&query).await.unwrap();
        assert_eq!(page.records.len(), found, "{text:?}");
    }
}

#[tokio::test]
async fn pages_continue_and_default_to_the_latest() {
    let searched = Searched::start().await;
    for text in ["a", "b", "c", "d", "e"] {
        assert!(searched.sink.info(text).await.unwrap());
    }
    let limited = |limit, after| Query {
        limit: Some(limit),
        after,
        ..query()
    };
    let last = searched.sink.query(&limited(2, None)).await.unwrap();
    assert_eq!((texts(&last).as_str(), last.more), ("d e", true));
    let five = searched.sink.query(&limited(5, None)).await.unwrap();
    assert_eq!((texts(&five).as_str(), five.more), ("a b c d e", false));
    let mut after = 0;
    for (expected, more) in [("a b", true), ("c d", true), ("e", false), ("", false)] {
        let page = searched.sink.query(&limited(2, Some(after))).await.unwrap();
        assert_eq!((texts(&page).as_str(), page.more), (expected, more));
        after = page.next;
    }
    assert_eq!(after, last.next);
    assert!(searched.sink.info("f").await.unwrap());
    assert_eq!(searched.find(limited(2, Some(after))).await, "f");
    // Records that were scanned are not scanned again, whether or not they matched.
    let other = Query {
        source: Some("nobody".to_owned()),
        after: Some(0),
        ..query()
    };
    assert!(searched.sink.query(&other).await.unwrap().next > after);
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes_and_nothing_is_skipped() {
    let searched = Searched::start().await;
    // The text takes three times its size as JSON.
    let text = "\u{1}".repeat(TEXT_LIMIT / 2);
    for index in 0..30 {
        assert!(
            searched
                .sink
                .info(&format!("{index:02}{text}"))
                .await
                .unwrap()
        );
    }
    let mut found = Vec::new();
    let (mut after, mut pages) = (0, 0);
    loop {
        let query = Query {
            after: Some(after),
            ..query()
        };
        let page = searched.sink.query(&query).await.unwrap();
        pages += 1;
        assert!(!page.records.is_empty() && pages < 30);
        found.extend(
            page.records
                .into_iter()
                .map(|logged| logged.record.text[..2].to_owned()),
        );
        after = page.next;
        if !page.more {
            break;
        }
    }
    let expected: Vec<_> = (0..30).map(|index| format!("{index:02}")).collect();
    assert_eq!(found, expected);
    assert!(pages > 1, "{pages}");
    let last = searched.sink.query(&query()).await.unwrap();
    assert!(last.more && last.records.last().unwrap().record.text.starts_with("29"));
}

#[tokio::test]
async fn an_invalid_query_is_rejected_with_a_reason() {
    let searched = Searched::start().await;
    let limit = |limit| Query {
        limit: Some(limit),
        ..query()
    };
    assert_eq!(
        searched.refused(limit(0)).await,
        "limit: must be 1 to 10000 records, not 0"
    );
    assert_eq!(
        searched.refused(limit(10_001)).await,
        "limit: must be 1 to 10000 records, not 10001"
    );
    let forms = "write `server`, `server@environment` or `server@environment/instance`";
    for source in ["", "a b", "a@", "a@/x", "@prod", "a@prod/", "a/b"] {
        let query = Query {
            source: Some(source.to_owned()),
            ..query()
        };
        assert_eq!(
            searched.refused(query).await,
            format!("source: {source:?}; {forms}")
        );
    }
    let text = Query {
        text: Some("x".repeat(1025)),
        ..query()
    };
    assert_eq!(
        searched.refused(text).await,
        "text: must have at most 1024 bytes, not 1025"
    );
    let after = Query {
        after: Some(u64::MAX),
        ..query()
    };
    assert_eq!(
        searched.refused(after).await,
        "after: is larger than any record ID"
    );
}

#[tokio::test]
async fn a_target_and_a_text_are_kept_within_their_bounds() {
    let searched = Searched::start().await;
    let mut long = record(
        "a@prod/1",
        "",
        "01",
        Level::Info,
        &"x".repeat(TEXT_LIMIT + 7),
    );
    long.target = "é".repeat(TARGET_LIMIT);
    assert_eq!(searched.sink.recv_logs(&[long]).await.unwrap(), 1);
    let page = searched.sink.query(&query()).await.unwrap();
    let kept = &page.records[0].record;
    assert_eq!(kept.target, "é".repeat(TARGET_LIMIT / 2));
    assert!(kept.text.ends_with("x… (7 more bytes)"));
}

#[tokio::test]
async fn a_search_waits_for_what_matches_and_no_longer() {
    let searched = Searched::start().await;
    assert!(searched.sink.info("old").await.unwrap());
    let next = searched.sink.query(&query()).await.unwrap().next;
    let waiting = Query {
        after: Some(next),
        text: Some("match".to_owned()),
        wait_ms: Some(20_000),
        ..query()
    };
    let waits = tokio::spawn(searched.sink.query(&waiting));
    // Several records that do not match, so that the waiting search scans past them.
    for _ in 0..5 {
        assert!(searched.sink.info("another").await.unwrap());
        assert!(!waits.is_finished());
    }
    assert!(searched.sink.info("a match").await.unwrap());
    assert_eq!(texts(&waits.await.unwrap().unwrap()), "a match");

    // At the end of the wait, the next page begins after all scanned records.
    let short = Query {
        wait_ms: Some(1),
        text: Some("no such text".to_owned()),
        ..waiting.clone()
    };
    let page = searched.sink.query(&short).await.unwrap();
    assert!(page.records.is_empty() && page.next > next);

    // The wait ends when the server stops.
    let after = Some(page.next);
    let long = Query { after, ..waiting };
    let waits = tokio::spawn(searched.sink.query(&long));
    searched.store.stop_waiting();
    assert_eq!(texts(&waits.await.unwrap().unwrap()), "");
}

#[tokio::test]
async fn a_sink_without_a_store_says_so() {
    let (printer, _writing) = PrintQueue::start(std::io::sink(), None).unwrap();
    let sink = LogSinkClient::local(Sink::new(printer, None));
    let error = sink.query(&query()).await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (
            Code::FailedPrecondition,
            "this log sink has no store; start it without `--store none`"
        )
    );
}
