//! From a method's settings to its policy, with every part checked by the crate whose it is.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use seawall_breaker::Breaker;
use seawall_retry::{Allowance, AllowanceConfig, HedgePolicy, Idempotency, RetryPolicy};

use crate::draft::{BreakerKind, Bucket, Draft};
use crate::method_policy::MethodPolicy;
use crate::mistake::{Mistake, Mistakes};
use crate::settings::{Scope, Setting, Settings, Source};

/// What a setting needs to have an effect: another one, beside it or before it.
struct Need {
    /// The first part of the keys' names, or all of one.
    keys: &'static [&'static str],
    /// The setting that they need.
    switch: &'static str,
    is_met: fn(&Draft) -> bool,
    advice: &'static str,
}

const NEEDS: &[Need] = &[
    Need {
        keys: &["retry."],
        switch: "retry.attempts_max",
        is_met: |draft| draft.retry().is_some(),
        advice: "set retry.attempts_max to 2 to 5, on an idempotent method",
    },
    Need {
        keys: &["hedge."],
        switch: "hedge.attempts_max",
        is_met: |draft| draft.hedge().is_some(),
        advice: "set hedge.attempts_max to 2 to 5, on an idempotent method",
    },
    Need {
        keys: &["hedge.fixed_delay"],
        switch: "hedge.kind",
        is_met: |draft| draft.hedge.is_fixed,
        advice: "set hedge.kind = \"fixed\"",
    },
    Need {
        keys: &["hedge.percentile", "hedge.initial_delay", "hedge.min_delay", "hedge.max_delay"],
        switch: "hedge.kind",
        is_met: |draft| !draft.hedge.is_fixed,
        advice: "set hedge.kind = \"observed\"",
    },
    Need {
        keys: &["breaker.window", "breaker.buckets"],
        switch: "breaker.kind",
        is_met: |draft| draft.breaker.kind != BreakerKind::Off,
        advice: "set breaker.kind to \"adaptive\" or \"three_state\"",
    },
    Need {
        keys: &["breaker.k", "breaker.k_min", "breaker.protection", "breaker.force_pass_after"],
        switch: "breaker.kind",
        is_met: |draft| draft.breaker.kind == BreakerKind::Adaptive,
        advice: "set breaker.kind = \"adaptive\"",
    },
    Need {
        keys: &[
            "breaker.calls_min",
            "breaker.failure_rate",
            "breaker.slow_call",
            "breaker.slow_call_rate",
            "breaker.consecutive_failures",
            "breaker.open_time",
            "breaker.open_time_max",
            "breaker.jitter",
            "breaker.probes",
            "breaker.probe_timeout",
        ],
        switch: "breaker.kind",
        is_met: |draft| draft.breaker.kind == BreakerKind::ThreeState,
        advice: "set breaker.kind = \"three_state\"",
    },
    Need {
        keys: &["rate.burst", "rate.key", "rate.keys_max", "rate.shared", "rate.grace"],
        switch: "rate.per_second",
        is_met: |draft| draft.rate().is_some(),
        advice: "set rate.per_second",
    },
    Need {
        keys: &["rate.queue_max"],
        switch: "rate.kind",
        is_met: |draft| draft.rate.kind == Bucket::Leaky,
        advice: "set rate.kind = \"leaky_bucket\"",
    },
];

/// What settings have done so far, over all methods: one that has no effect on any is a mistake. A
/// setting is known by its key and where it stands.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    some: HashSet<(&'static str, Source)>,
    /// In the order found.
    none: Vec<(&'static str, Setting, &'static str)>,
    in_none: HashSet<(&'static str, Source)>,
}

impl Effects {
    fn count(&mut self, key: &'static str, setting: &Setting, lacking: Option<&'static str>) {
        let id = (key, setting.source.clone());
        match lacking {
            None => {
                self.some.insert(id);
            }
            Some(advice) if self.in_none.insert(id) => self.none.push((key, setting.clone(), advice)),
            Some(_) => {}
        }
    }

    /// A setting that another one takes the place of has done what it is for.
    pub(crate) fn count_overruled(&mut self, settings: &Settings, upper: &Settings) {
        for (key, setting) in settings.iter().filter(|(key, _)| upper.get(key.name).is_some()) {
            self.count(key.name, setting, None);
        }
    }

    /// Tells which settings have had no effect.
    pub(crate) fn finish(self, mistakes: &mut Mistakes) {
        for (key, setting, advice) in self.none {
            if !self.some.contains(&(key, setting.source.clone())) {
                let problem = format!("{key} = {} has no effect; {advice}", setting.value);
                mistakes.add(Mistake::setting(&setting.source, &problem));
            }
        }
    }
}

/// The settings of one method in the making: of which method, and where mistakes go.
pub(crate) struct Finish<'a> {
    pub(crate) name: &'a str,
    pub(crate) idempotency: Idempotency,
    pub(crate) effects: &'a mut Effects,
    pub(crate) mistakes: &'a mut Mistakes,
}

impl Finish<'_> {
    /// The policy that the settings make, and those of them that hold.
    pub(crate) fn policy(mut self, mut settings: Settings) -> (Settings, MethodPolicy) {
        self.leave_out(&mut settings);
        let draft = Draft::new(&settings);
        for (key, setting) in settings.iter() {
            self.effects.count(key.name, setting, lacking(key.name, setting, &settings, &draft));
        }
        let policy = MethodPolicy {
            budget: draft.budget,
            criticality: draft.criticality,
            idempotency: self.idempotency,
            retry: draft.retry(),
            hedge: draft.hedge(),
            breaker: draft.breaker(),
            rate: draft.rate(),
            outcomes: draft.outcomes,
        };
        self.check(&policy, &settings);
        (settings, policy)
    }

    /// What is said of a whole service, or of all methods, is meant for those that it suits: a retry
    /// is not for methods that cannot be called twice. And of retry and hedge, of which a method has
    /// one, that holds which is said with the greater rank.
    fn leave_out(&mut self, settings: &mut Settings) {
        const NOT_TWICE: &str = "no method that it is said for is idempotent";
        let can_repeat = self.idempotency != Idempotency::None;
        settings.retain(|key, setting| {
            let is_repeat = key.starts_with("retry.") || key.starts_with("hedge.");
            let keep = can_repeat || !is_repeat || setting.source.scope == Scope::Method;
            if !keep {
                self.effects.count(key, setting, Some(NOT_TWICE));
            }
            keep
        });
        let draft = Draft::new(settings);
        let (Some(retry), Some(hedge)) = (settings.get("retry.attempts_max"), settings.get("hedge.attempts_max"))
        else {
            return;
        };
        if draft.retry().is_none() || draft.hedge().is_none() {
            return;
        }
        let (retry_rank, hedge_rank) = (retry.source.rank(), hedge.source.rank());
        if retry_rank == hedge_rank {
            let problem = "retry and hedge together: a method has one of them; set the attempts_max of the other to 1";
            self.mistakes.add(Mistake::setting(&hedge.source, problem));
        }
        let loser = if retry_rank > hedge_rank { "hedge." } else { "retry." };
        settings.retain(|key, _| !key.starts_with(loser));
    }

    fn check(&mut self, policy: &MethodPolicy, settings: &Settings) {
        let now = Instant::now();
        if policy.budget == Some(Duration::ZERO) {
            self.add(settings, "", "budget = 0s: must be more than 0");
        }
        match Allowance::try_new("check", &AllowanceConfig::default(), now).map(Arc::new) {
            Ok(allowance) => {
                if let Some(retry) = &policy.retry {
                    let checked = RetryPolicy::try_new(self.name, retry, self.idempotency, allowance.clone());
                    checked.iter_err(|problem| self.add(settings, "retry.", &or_none(problem, "retry")));
                }
                if let Some(hedge) = &policy.hedge {
                    let checked = HedgePolicy::try_new(self.name, hedge, self.idempotency, allowance, now);
                    checked
                        .iter_err(|problem| self.add(settings, "hedge.", &or_none(&delays_by_key(problem), "hedge")));
                }
            }
            Err(error) => self.mistakes.add(Mistake::method(self.name, &error.to_string())),
        }
        if let Err(error) = Breaker::try_new("check", self.name, policy.breaker.clone(), now) {
            error.mistakes().iter().for_each(|problem| self.add(settings, "breaker.", problem));
        }
        if let Some(Err(error)) = policy.rate.as_ref().map(seawall_limit::RateConfig::check) {
            for problem in error.mistakes() {
                let problem = problem.to_string();
                let problem = problem.strip_prefix("rate_").or(problem.strip_prefix("kind.")).unwrap_or(&problem);
                self.add(settings, "rate.", problem);
            }
        }
    }

    /// Adds a mistake where its setting stands, or the one that switches it on. `problem` is `field = value: must be …`, or about no
    /// field in particular.
    fn add(&mut self, settings: &Settings, prefix: &str, problem: &str) {
        let field = problem.split_once(" = ").map_or("", |(field, _)| field);
        // What is about no field is about being switched on.
        let setting = |field: &str| settings.get(&format!("{prefix}{field}"));
        // Of what is wrong inside of a value, such as one of several, the setting is the first part.
        let of_field = setting(field).or_else(|| setting(field.split_once('.')?.0));
        let of_switch = settings.get(&format!("{prefix}attempts_max"));
        self.mistakes.add(match (of_field, of_switch) {
            (Some(setting), _) => Mistake::setting(&setting.source, &format!("{prefix}{problem}")),
            (None, Some(setting)) => Mistake::setting(&setting.source, problem),
            (None, None) => Mistake::method(self.name, problem),
        });
    }
}

/// The errors of hedges have other names for the delays than our keys.
fn delays_by_key(problem: &str) -> String {
    [("percentile", "percentile"), ("initial", "initial_delay"), ("min", "min_delay"), ("max", "max_delay")]
        .iter()
        .fold(problem.to_owned(), |text, (theirs, ours)| text.replace(&format!("hedge_delay.{theirs}"), ours))
        .replace("hedge_delay", "fixed_delay")
}

/// With us there may also be one attempt, which makes no policy.
fn or_none(problem: &str, of: &str) -> String {
    if !problem.starts_with("attempts_max = ") {
        return problem.to_owned();
    }
    problem.replace("must be 2 to 5", &format!("must be 1 to 5, where 1 is no {of}"))
}

/// What a setting lacks to have an effect, unless what switches it off was said later than it.
fn lacking(key: &str, setting: &Setting, settings: &Settings, draft: &Draft) -> Option<&'static str> {
    let unmet = NEEDS.iter().find(|need| {
        let is_for =
            key != need.switch && need.keys.iter().any(|it| *it == key || it.ends_with('.') && key.starts_with(it));
        is_for && !(need.is_met)(draft)
    })?;
    let is_overruled = settings.get(unmet.switch).is_some_and(|switch| switch.source.rank() > setting.source.rank());
    (!is_overruled).then_some(unmet.advice)
}

/// The mistakes of a policy that could not be made.
trait IterErr {
    fn iter_err(&self, each: impl FnMut(&str));
}

impl<T> IterErr for Result<T, seawall_retry::ConfigError> {
    fn iter_err(&self, each: impl FnMut(&str)) {
        self.as_ref().err().into_iter().flat_map(|error| error.mistakes()).for_each(each);
    }
}
