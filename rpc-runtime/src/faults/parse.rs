//! Parsing a plan. A misspelled rule is an error, because it would silently have no effect.

use std::str::FromStr;

use super::{Effect, FAULTS_LIMIT, FaultPlan, FaultRules, Rule, RuleTarget};
use crate::duration;
use crate::error::{Code, Error};

/// The maximum length of a quoted part in an error, in characters.
const QUOTED: usize = 64;

/// Fails with `invalid_argument` and names the invalid part.
impl FromStr for FaultPlan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > FAULTS_LIMIT {
            return Err(invalid(format!(
                "the plan is longer than {FAULTS_LIMIT} bytes"
            )));
        }
        if !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return Err(invalid("invalid character: use visible ASCII and spaces"));
        }
        let rules = text.split(',').map(|rule| read_rule(rule.trim()));
        let plan = FaultRules {
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
        invalid(format!(
            "invalid rule {}: expected `TARGET=EFFECT`, such as `pricing.pay=unavailable`",
            quoted(first)
        ))
    })?;
    let mut rule = Rule {
        target: read_target(target.trim())?,
        effect: read_effect(effect.trim())?,
        probability: 1.0,
        seed: None,
    };
    let mut seen = Vec::new();
    for option in parts {
        let name = option.split('=').next().unwrap_or_default().trim();
        if seen.contains(&name) {
            return Err(invalid(format!(
                "duplicate option {} in a rule",
                quoted(name)
            )));
        }
        seen.push(name);
        let invalid_option = || {
            invalid(format!(
                "invalid option {}: expected `p=` with a number from 0 to 1, or `seed=` with a whole number",
                quoted(option)
            ))
        };
        match option
            .split_once('=')
            .map(|(name, value)| (name.trim(), value.trim()))
        {
            Some(("p", value)) => {
                let p: f64 = value.parse().map_err(|_| invalid_option())?;
                // NaN is not in the range.
                if !(0.0..=1.0).contains(&p) {
                    return Err(invalid_option());
                }
                rule.probability = p;
            }
            Some(("seed", value)) => rule.seed = Some(value.parse().map_err(|_| invalid_option())?),
            _ => return Err(invalid_option()),
        }
    }
    Ok(rule)
}

fn read_target(target: &str) -> Result<RuleTarget, Error> {
    if target == "*" {
        return Ok(RuleTarget::All);
    }
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    };
    match target.rsplit_once('.') {
        Some((service, method)) if is_name(service) && (method == "*" || is_name(method)) => {
            Ok(RuleTarget::Service {
                service: service.into(),
                method: (method != "*").then(|| method.into()),
            })
        }
        _ => Err(invalid(format!(
            "invalid target {}: expected a method such as `pricing.pay`, `fibpro.v1.Pricing.Pay`, `pricing.*` or `*`",
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
            invalid(format!(
                "invalid delay {}: expected a whole number and a unit, such as `delay:200ms`, `delay:5s` or `delay:1m`",
                quoted(time)
            ))
        });
    }
    effect.parse().map(Effect::Error).map_err(|_| {
        invalid(format!(
            "invalid effect {}: expected an error code such as `unavailable`, `delay:200ms`, `drop` or `lose`",
            quoted(effect)
        ))
    })
}

fn invalid(what: impl AsRef<str>) -> Error {
    let text = format!("x-rpc-fault: {}", what.as_ref());
    Error::without_location(Code::InvalidArgument, text)
}

fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(QUOTED).collect();
    format!("`{cut}`")
}
