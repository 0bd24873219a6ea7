//! Sinks and spools that are unavailable, slow, full or removed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rpc_runtime::logs::Level;
use rpc_runtime::prelude::*;
use rpc_runtime::testing::{NetworkFault, Proxy};
use rpc_tests::wait::until;

use super::{Sink, SpoolFolder, TIMEOUT, builder, start, start_unreachable, ten_calls, ten_texts};

#[tokio::test]
async fn a_sink_that_was_away_gets_all_records_in_order() {
    let (sink, _there, mut proxy) = start_unreachable().await;
    let folder = SpoolFolder::new();
    let (exporter, _guard) = start(builder(&proxy.url()).spool(folder.path()));
    // Unavailable at the start …
    ten_calls().await;
    until(async || folder.lines() == 10).await;
    until(async || !exporter.status().sink_up).await;
    assert_eq!(exporter.status().queued, 0, "the record is in the spool");
    assert_eq!(sink.records().len(), 0);
    ten_calls().await;
    proxy.accept().await.unwrap();
    sink.has(20).await;
    // … and later.
    proxy.refuse().await;
    ten_calls().await;
    until(async || folder.lines() == 10).await;
    proxy.accept().await.unwrap();
    sink.has(30).await;
    let status = exporter.shutdown(TIMEOUT).await;
    assert_eq!(sink.texts(), ten_texts(3));
    assert_eq!(
        (status.sent, status.spooled_bytes, status.sink_up),
        (30, 0, true)
    );
    assert_eq!((folder.lines(), status.dropped.total()), (0, 0));
}

#[tokio::test]
async fn a_batch_with_a_lost_response_is_sent_again() {
    let sink = Sink::default();
    let there = sink.start().await;
    let proxy = Proxy::start(there.address()).await.unwrap();
    let folder = SpoolFolder::new();
    for spool in [true, false] {
        proxy.set(NetworkFault::CutResponses { after: 0 });
        let mut builder = builder(&proxy.url());
        if spool {
            builder = builder.spool(folder.path());
        }
        let repeated = &sink.0.repeated;
        repeated.store(0, Ordering::SeqCst);
        let (exporter, _guard) = start(builder);
        ten_calls().await;
        until(async || repeated.load(Ordering::SeqCst) > 0).await;
        proxy.set(NetworkFault::None);
        until(async || exporter.status().sent == 10).await;
        let status = exporter.shutdown(TIMEOUT).await;
        assert_eq!((status.sent, status.dropped.total()), (10, 0));
    }
    assert_eq!(sink.texts(), ten_texts(2));
}

#[tokio::test]
async fn a_silent_sink_delays_no_call_and_no_shutdown() {
    let sink = Sink::default();
    let there = sink.start().await;
    let proxy = Proxy::start(there.address()).await.unwrap();
    proxy.set(NetworkFault::BlackHole);
    let folder = SpoolFolder::new();
    {
        let (exporter, _guard) = start(builder(&proxy.url()).spool(folder.path()));
        ten_calls().await;
        // Long before the timeout of the call, so that killing the process loses nothing.
        until(async || folder.lines() == 10).await;
        let timeout = Duration::from_millis(300);
        let status = tokio::time::timeout(TIMEOUT, exporter.shutdown(timeout)).await;
        let status = status.unwrap();
        assert_eq!(
            (status.sent, status.queued, status.dropped.total()),
            (0, 0, 0)
        );
        assert_eq!(folder.lines(), 10);
    }
    proxy.set(NetworkFault::None);
    // The next session sends the records left by the last one, with their numbers, and then new
    // ones.
    let (exporter, _guard) = start(builder(&proxy.url()).spool(folder.path()));
    ten_calls().await;
    let records = sink.has(20).await;
    let status = exporter.shutdown(TIMEOUT).await;
    assert_eq!(status.sent, 20);
    assert_eq!(sink.texts(), ten_texts(2));
    let epochs: Vec<_> = records.iter().map(|record| record.epoch.unwrap()).collect();
    assert!(epochs[0] < epochs[19], "{epochs:?}");
    assert!(epochs[..10].iter().all(|epoch| *epoch == epochs[0]));
    assert!(epochs[10..].iter().all(|epoch| *epoch == epochs[19]));
}

#[tokio::test]
async fn records_over_the_limit_are_dropped_and_counted() {
    let (sink, _there, mut proxy) = start_unreachable().await;
    let (exporter, _guard) = start(builder(&proxy.url()).memory_limit(20_000));
    for n in 0..1000 {
        tracing::info!("{n}");
    }
    let status = exporter.status();
    let dropped = usize::try_from(status.dropped.queue_full).unwrap();
    assert!(dropped > 500, "{status:?}");
    assert_eq!(status.queued + dropped, 1000);
    assert!(rpc_runtime::logs::dropped() >= status.dropped.queue_full);
    proxy.accept().await.unwrap();
    let records = sink.has(status.queued + 1).await;
    let status = exporter.shutdown(TIMEOUT).await;
    assert_eq!(usize::try_from(status.dropped.total()).unwrap(), dropped);
    let (last, kept) = records.split_last().unwrap();
    assert_eq!(
        last.text,
        format!(
            "{dropped} log records were dropped: {dropped} queue full ({dropped} since the start)"
        )
    );
    assert_eq!(last.level, Level::Warn);
    // The gap in the numbers equals the count.
    assert!(
        kept.iter()
            .enumerate()
            .all(|(n, record)| record.text == n.to_string())
    );
    assert_eq!(last.sequence, Some(1001));
}

#[tokio::test]
async fn a_full_spool_drops_the_oldest() {
    let (sink, _there, mut proxy) = start_unreachable().await;
    let folder = SpoolFolder::new();
    let (exporter, _guard) = start(
        builder(&proxy.url())
            .spool(folder.path())
            .spool_limit(20_000),
    );
    tracing::info!("first");
    until(async || !exporter.status().sink_up).await;
    for n in 0..1000 {
        tracing::info!("{n}");
    }
    // The first record is in flight. It returns to memory once it is evicted; all others are then
    // on disk or dropped.
    let is_settled = || {
        let status = exporter.status();
        let dropped = usize::try_from(status.dropped.spool_full).unwrap();
        status.queued == 1 && folder.lines() + dropped == 1000
    };
    until(async || is_settled()).await;
    let status = exporter.status();
    let dropped = usize::try_from(status.dropped.spool_full).unwrap();
    assert!(dropped > 500, "{status:?}");
    assert!(status.spooled_bytes <= 20_000, "{status:?}");
    proxy.accept().await.unwrap();
    sink.has(1001 - dropped + 1).await;
    exporter.shutdown(TIMEOUT).await;
    let said = format!("{dropped} log records were dropped: {dropped} spool full");
    let (about, texts): (Vec<_>, Vec<_>) = sink
        .texts()
        .into_iter()
        .partition(|text| text.starts_with(&said));
    assert_eq!(about.len(), 1, "{texts:?}");
    assert_eq!(texts[0], "first");
    let newest = (dropped..1000).map(|n| n.to_string());
    assert!(texts[1..].iter().cloned().eq(newest), "{texts:?}");
}

#[tokio::test]
async fn a_record_rejected_by_the_sink_is_dropped_alone() {
    let sink = Sink::default();
    let there = sink.start().await;
    let (exporter, _guard) = start(builder(&there.url()));
    for n in 0..500 {
        tracing::info!("{n}");
        if n == 321 {
            tracing::info!("poison");
        }
    }
    let records = sink.has(501).await;
    let status = exporter.shutdown(TIMEOUT).await;
    assert_eq!(
        (status.dropped.refused, status.dropped.total(), status.sent),
        (1, 1, 501)
    );
    assert_eq!(
        records[500].text,
        "1 log record was dropped: 1 refused (1 since the start)"
    );
    let expected = (0..500).map(|n| n.to_string());
    assert!(
        records[..500]
            .iter()
            .map(|record| record.text.clone())
            .eq(expected)
    );
}

#[tokio::test]
async fn without_a_spool_shutdown_counts_unsent_records() {
    let proxy = {
        let mut proxy = Proxy::start("127.0.0.1:1".parse().unwrap()).await.unwrap();
        proxy.refuse().await;
        proxy
    };
    let (exporter, _guard) = start(builder(&proxy.url()));
    for n in 0..7 {
        tracing::info!("{n}");
    }
    let status = exporter.shutdown(Duration::from_millis(100)).await;
    assert_eq!(
        (status.dropped.unsent, status.dropped.total(), status.queued),
        (7, 7, 0)
    );
}

/// Logs numbered events until the spool has at least so many lines; returns how many were logged.
async fn fill_spool(folder: &SpoolFolder, first: usize, lines: usize) -> usize {
    let mut count = 0;
    until(async || {
        tracing::info!("text {}", first + count);
        count += 1;
        folder.lines() >= lines
    })
    .await;
    count
}

#[tokio::test]
async fn records_of_a_removed_spool_are_counted() {
    let folder = SpoolFolder::new();
    let (sink, _there, mut proxy) = start_unreachable().await;
    let (exporter, _guard) = start(builder(&proxy.url()).spool(folder.path()));
    let mut logged = fill_spool(&folder, 0, 40).await;
    std::fs::remove_dir_all(folder.path()).unwrap();
    until(async || exporter.status().dropped.removed > 0).await;
    // The spool goes on in a new folder.
    logged += fill_spool(&folder, logged, 5).await;
    proxy.accept().await.unwrap();
    tracing::info!("the last one");
    until(async || sink.texts().contains(&"the last one".to_owned())).await;
    until(async || {
        sink.texts()
            .iter()
            .any(|text| text.contains("removed from the spool"))
    })
    .await;
    let dropped = exporter.status().dropped;
    assert_eq!(dropped.total(), dropped.removed, "{dropped}");
    let records = sink.records();
    let texts = records
        .iter()
        .filter(|record| record.text.starts_with("text "));
    let removed = usize::try_from(dropped.removed).unwrap();
    assert_eq!(texts.count() + removed, logged);
    exporter.shutdown(TIMEOUT).await;
}

#[tokio::test]
async fn a_spool_removed_before_the_end_is_counted() {
    let ways: [fn(&SpoolFolder, &SpoolFolder); 3] = [
        |folder, _| std::fs::remove_dir_all(folder.path()).unwrap(),
        |folder, elsewhere| std::fs::rename(folder.path(), elsewhere.path()).unwrap(),
        |folder, elsewhere| {
            let mut entries = std::fs::read_dir(folder.path()).unwrap();
            let session = entries.find(|entry| entry.as_ref().unwrap().path().is_dir());
            std::fs::rename(session.unwrap().unwrap().path(), elsewhere.path()).unwrap();
        },
    ];
    for lose in ways {
        let (folder, elsewhere) = (SpoolFolder::new(), SpoolFolder::new());
        let (_sink, _there, proxy) = start_unreachable().await;
        let (exporter, guard) = start(builder(&proxy.url()).spool(folder.path()));
        let logged = fill_spool(&folder, 0, 20).await;
        drop(guard);
        until(async || exporter.status().queued == 0).await;
        lose(&folder, &elsewhere);
        let status = exporter.shutdown(TIMEOUT).await;
        // Those that were being sent are still in memory, and are spooled again.
        let dropped = usize::try_from(status.dropped.total()).unwrap();
        assert_eq!(dropped + folder.lines(), logged, "{}", status.dropped);
    }
}

#[tokio::test]
async fn a_spool_that_cannot_be_used_ends_the_start() {
    let folder = SpoolFolder::new();
    std::fs::write(folder.path(), "a file").unwrap();
    let error = builder("http://127.0.0.1:1")
        .spool(folder.path().join("x"))
        .start()
        .unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(
        error
            .message()
            .starts_with("cannot open the log spool in /"),
        "{error}"
    );
    std::fs::remove_file(folder.path()).unwrap();
}
