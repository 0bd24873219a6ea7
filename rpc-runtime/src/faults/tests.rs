use super::*;

const METHODS: &[MethodDescriptor] = &[
    MethodDescriptor::new(
        "fibpro.v1.Pricing",
        "pay_now",
        "PayNow",
        "/fibpro.v1.Pricing/PayNow",
    ),
    MethodDescriptor::new(
        "fibpro.v1.Pricing",
        "ping",
        "Ping",
        "/fibpro.v1.Pricing/Ping",
    ),
];
const SERVICE: ServiceDescriptor =
    ServiceDescriptor::new("fibpro.v1.Pricing", "fibpro.v1", "Pricing", "pricing").methods(METHODS);

/// Another service at the same endpoint.
const TWIN: ServiceDescriptor =
    ServiceDescriptor::new("fibpro.v1.Refunds", "fibpro.v1", "Refunds", "pricing").methods(&[
        MethodDescriptor::new(
            "fibpro.v1.Refunds",
            "back",
            "Back",
            "/fibpro.v1.Refunds/Back",
        ),
    ]);

fn subject(index: usize) -> Subject<'static> {
    Subject {
        service: &SERVICE,
        method: &METHODS[index],
        builtin: index == 1,
    }
}

fn decision(plan: &str, index: usize) -> FaultDecision {
    let plan: FaultPlan = plan.parse().unwrap();
    plan.decide(subject(index), "id", 1)
}

#[test]
fn a_rule_names_a_method_in_each_of_its_spellings() {
    for target in [
        "pricing.pay_now",
        "pricing.PayNow",
        "fibpro.v1.Pricing.pay_now",
        "fibpro.v1.Pricing.PayNow",
        "pricing.*",
        "fibpro.v1.Pricing.*",
        "*",
    ] {
        let hit = decision(&format!("a.b=drop , {target} = aborted"), 0);
        assert_eq!(hit.effect, Some(Effect::Error(Code::Aborted)), "{target}");
        let ping = decision(&format!("{target}=aborted"), 1);
        assert_eq!(
            ping,
            FaultDecision::default(),
            "{target} and what is built in"
        );
    }
    for target in [
        "pricing.pay",
        "Pricing.pay_now",
        "v1.Pricing.PayNow",
        "userstore.*",
    ] {
        assert_eq!(
            decision(&format!("{target}=drop"), 0),
            FaultDecision::default(),
            "{target}"
        );
    }
    assert_eq!(
        decision("pricing.ping=lose", 1).effect,
        Some(Effect::DropResponse)
    );
}

#[test]
fn every_code_is_an_effect_and_round_trips() {
    let codes = Code::all().map(Effect::Error);
    let others = [
        Effect::Drop,
        Effect::DropResponse,
        Effect::Delay(Duration::from_secs(90)),
    ];
    for effect in codes.chain(others) {
        let hit = decision(&format!("*={effect}"), 0);
        match effect {
            Effect::Delay(time) => assert_eq!(hit.delay, Some(time)),
            _ => assert_eq!(hit.effect, Some(effect)),
        }
    }
}

#[test]
fn the_first_effect_applies_after_all_delays() {
    let hit = decision("*=delay:1s,*=lose,*=drop,*=delay:20ms", 0);
    assert_eq!(hit.effect, Some(Effect::DropResponse));
    assert_eq!(hit.delay, Some(Duration::from_millis(1020)));
}

#[test]
fn a_seed_is_repeatable_per_request_and_attempt() {
    let plan: FaultPlan = "*=drop;p=0.3;seed=42".parse().unwrap();
    let hits = |attempt| -> Vec<bool> {
        let ids = (0..300).map(|index| format!("request-{index}"));
        ids.map(|id| plan.decide(subject(0), &id, attempt).effect.is_some())
            .collect()
    };
    assert_eq!(hits(1), hits(1));
    assert_ne!(hits(1), hits(2), "each attempt has a new draw");
    let count = hits(1).iter().filter(|hit| **hit).count();
    assert!((60..=120).contains(&count), "{count} of 300 at 0.3");
    for _ in 0..100 {
        assert_eq!(decision("*=drop;p=0", 0), FaultDecision::default());
        assert!(decision("*=drop;p=1", 0).effect.is_some());
    }
}

#[test]
fn an_invalid_plan_is_explained() {
    let long = format!("*={}", "x".repeat(FAULTS_LIMIT));
    for (plan, part) in [
        ("", "invalid rule ``"),
        ("pricing.pay", "invalid rule `pricing.pay`"),
        ("*=drop,", "invalid rule ``"),
        ("pricing=drop", "invalid target `pricing`"),
        (".pay=drop", "invalid target `.pay`"),
        ("a b.c=drop", "invalid target `a b.c`"),
        ("*=", "invalid effect ``"),
        ("*=Unavailable", "invalid effect `Unavailable`"),
        ("*=ok", "invalid effect `ok`"),
        ("*=delay:5", "invalid delay `5`"),
        ("*=delay:99999999999999999999s", "invalid delay"),
        ("*=drop;p=1.01", "invalid option `p=1.01`"),
        ("*=drop;p=NaN", "invalid option `p=NaN`"),
        ("*=drop;p=-0.1", "invalid option `p=-0.1`"),
        ("*=drop;seed=-1", "invalid option `seed=-1`"),
        ("*=drop;often", "invalid option `often`"),
        ("*=drop;p=1;p=0", "duplicate option `p`"),
        ("*=dr\u{f6}p", "visible ASCII"),
        (&long, "longer than 1024 bytes"),
    ] {
        let error = plan.parse::<FaultPlan>().unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{plan}");
        assert!(error.message().contains(part), "{plan}: {error}");
        assert!(error.message().len() < 256, "{plan}");
    }
}

#[test]
fn an_unknown_method_of_a_service_is_found() {
    let unknown = |plan: &str| {
        let plan: FaultPlan = plan.parse().unwrap();
        plan.unknown_method(&[&SERVICE, &TWIN].into_iter())
            .map(str::to_owned)
    };
    assert_eq!(unknown("a.b=drop,pricing.pai=drop").as_deref(), Some("pai"));
    assert_eq!(
        unknown("a.b=drop,pricing.PayNow=drop,pricing.ping=drop,*=drop,pricing.back=drop"),
        None
    );
}
