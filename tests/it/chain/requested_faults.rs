use super::*;

fn with(plan: &str) -> Context {
    Context::current().with_faults(plan.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_code_can_be_asked_for_at_the_end_of_the_chain() {
    let chain = Chain::start_with(&[ALLOW_FAULTS]).await;
    for code in Code::all() {
        let call = with(&format!("back.add={code}")).enter(|| chain.client().add());
        let error = error_of(call).await;
        let due = if code.is_propagated() {
            code
        } else {
            Code::Internal
        };
        assert_eq!(error.code(), due, "{code}: {error:#}");
        let origin = error.hops().last().unwrap();
        assert_eq!((&*origin.method, origin.code), ("chain.v1.Back/Add", code));
        assert!(origin.message.contains("fault injected"), "{error:#}");
    }
    assert_eq!(chain.added().await, 0);
    chain.works_again().await;
    let log = chain.back.stderr();
    // The mark of an injected fault occurs only in the hop that made it.
    let marks = |process: &Process| process.stderr().matches("fault injected effect=").count();
    assert_eq!(marks(&chain.back), Code::all().count(), "{log}");
    assert_eq!((marks(&chain.middle), marks(&chain.front)), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_direct_caller_retries_within_its_budget() {
    const CALLS: u64 = 100;
    let chain = Chain::start_with(&[ALLOW_FAULTS]).await;
    let client = chain.client();
    for _ in 0..CALLS {
        let error = error_of(with("back.put=unavailable").enter(|| client.put())).await;
        assert_eq!(error.code(), Code::Unavailable, "{error:#}");
    }
    let (front, _) = numbers(&chain.front, "chain.v1.Front/Put").await;
    let (middle, _) = numbers(&chain.middle, "chain.v1.Middle/Put").await;
    let (back, _) = numbers(&chain.back, "chain.v1.Back/Put").await;
    println!("{CALLS} calls: front {front}, middle {middle}, back {back}");
    assert_eq!(
        (front, middle),
        (CALLS, CALLS),
        "only the layer above the fault retries"
    );
    // The retry budget: a fifth of the calls plus ten initially.
    assert!(back <= CALLS + CALLS / 5 + 10, "{back} attempts");
    chain.works_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_a_lost_response_ran_once() {
    let chain = Chain::start_with(&[ALLOW_FAULTS]).await;
    for (plan, added) in [("back.add=drop", 0), ("back.add=lose", 1)] {
        let error = error_of(with(plan).enter(|| chain.client().add())).await;
        assert_eq!(error.code(), Code::Unavailable, "{error:#}");
        assert!(
            error.message().contains("may have been executed"),
            "{error:#}"
        );
        assert_eq!(chain.added().await, added, "{plan}");
    }
    let call = with("middle.*=delay:1m").enter(|| chain.client().read().timeout(SHORT));
    assert_eq!(error_of(call).await.code(), Code::DeadlineExceeded);
    chain.works_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_without_faults_forwards_the_plan() {
    let back = service("back", &[], &[ALLOW_FAULTS]);
    let middle = service("middle", &[back.url()], &[]);
    let front = service("front", &[middle.url()], &[]);
    let client = FrontClient::connect(front.url()).unwrap();
    let error = error_of(with("back.add=aborted").enter(|| client.add())).await;
    assert!(
        format!("{error:#}").contains("aborted: fault injected"),
        "{error:#}"
    );
    let error = error_of(with("middle.add=aborted").enter(|| client.add())).await;
    assert!(
        format!("{error:#}").contains("start it with `--allow-faults`"),
        "{error:#}"
    );
    client.add().await.unwrap();
}
