//! Reading a plan. Whoever asks for a fault and misspells it is told, and not left to wonder why nothing happens.

use std::str::FromStr;

use super::{Effect, FAULTS_LIMIT, FaultPlan, Plan, Rule, Target};
use crate::duration;
use crate::error::{Code, Error};

/// How much of what is wrong an error repeats, in characters.
const QUOTED: usize = 64;

/// `invalid_argument` that says which part is wrong.
impl FromStr for FaultPlan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > FAULTS_LIMIT {
            return Err(wrong(format!("it has more than {FAULTS_LIMIT} bytes")));
        }
        if !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return Err(wrong("it is visible ASCII and spaces"));
        }
        let rules = text.split(',').map(|rule| read_rule(rule.trim()));
        let plan = Plan {
            rules: rules.collect::<Result<_, _>>()?,
            text: text.into(),
        };
        Ok(Self(plan.into()))
    }
}

fn read_rule(rule: &str) -> Result<Rule, Error> {
    let mut parts = rule.split(';').map(str::trim);
    let first = parts.next().unwrap_or_default();
    let (target, effect) = first.split_once('=').ok_or_else(|| {
        wrong(format!(
            "{} is no rule: write a method and what becomes of it, as in `pricing.pay=unavailable`",
            quoted(first)
        ))
    })?;
    let mut rule = Rule {
        target: read_target(target.trim())?,
        effect: read_effect(effect.trim())?,
        probability: 1.0,
        seed: None,
    };
    let mut named = Vec::new();
    for option in parts {
        let name = option.split('=').next().unwrap_or_default().trim();
        if named.contains(&name) {
            return Err(wrong(format!(
                "{} is given twice in one rule",
                quoted(name)
            )));
        }
        named.push(name);
        let wrong = || {
            wrong(format!(
                "{} is no option: there are `p=` with a number from 0 to 1, and `seed=` with a whole number",
                quoted(option)
            ))
        };
        match option
            .split_once('=')
            .map(|(name, value)| (name.trim(), value.trim()))
        {
            Some(("p", value)) => {
                let p: f64 = value.parse().map_err(|_| wrong())?;
                // Also what is no number.
                if !(0.0..=1.0).contains(&p) {
                    return Err(wrong());
                }
                rule.probability = p;
            }
            Some(("seed", value)) => rule.seed = Some(value.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        }
    }
    Ok(rule)
}

fn read_target(target: &str) -> Result<Target, Error> {
    if target == "*" {
        return Ok(Target::All);
    }
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    };
    match target.rsplit_once('.') {
        Some((service, method)) if is_name(service) && (method == "*" || is_name(method)) => {
            Ok(Target::Service {
                service: service.into(),
                method: (method != "*").then(|| method.into()),
            })
        }
        _ => Err(wrong(format!(
            "{} names no method: write `pricing.pay`, `fibpro.v1.Pricing.Pay`, `pricing.*` or `*`",
            quoted(target)
        ))),
    }
}

fn read_effect(effect: &str) -> Result<Effect, Error> {
    match effect {
        "drop" => return Ok(Effect::Drop),
        "lose" => return Ok(Effect::DropResponse),
        _ => {}
    }
    if let Some(time) = effect.strip_prefix("delay:") {
        return duration::parse(time).map(Effect::Delay).map_err(|_| {
            wrong(format!(
                "{} is no time: write a whole number and a unit, as in `delay:200ms`, `delay:5s` or `delay:1m`",
                quoted(time)
            ))
        });
    }
    effect.parse().map(Effect::Error).map_err(|_| {
        wrong(format!(
            "{} is no effect: there are the codes such as `unavailable`, `delay:200ms`, `drop` and `lose`",
            quoted(effect)
        ))
    })
}

fn wrong(what: impl AsRef<str>) -> Error {
    let text = format!("x-rpc-fault: {}", what.as_ref());
    Error::without_location(Code::InvalidArgument, text)
}

fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(QUOTED).collect();
    format!("`{cut}`")
}
