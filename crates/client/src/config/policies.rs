//! The settings of what is decided for a peer as a whole: ejections and retries.

use std::time::Duration;

use seawall_balance::OutlierConfig;
use seawall_config::Section;
use seawall_retry::{AllowanceConfig, BudgetConfig, ThrottleConfig};

/// The longest time that a balancer takes.
const TIME_MAX: Duration = Duration::from_secs(24 * 3_600);

/// When endpoints are ejected. The rest of what can be said is as in gRFC A50.
pub(super) fn outlier(section: &mut Section<'_>) -> OutlierConfig {
    let is_time = |time: &Duration| !time.is_zero() && *time <= TIME_MAX;
    let mut time = |key, default, help| section.checked(key, default, help, "more than 0s and at most 1day", is_time);
    let (interval, base_ejection_time) = (
        time("ejection_interval", "10s", "how often endpoints that fail more than others are looked for"),
        time("ejection_time", "30s", "how long an endpoint that fails is left alone, times how often it was"),
    );
    let max_ejection_percent = section.checked(
        "ejection_percent_max",
        "10",
        "how many endpoints in a hundred may be left alone at a time; one always may be",
        "0 to 100",
        |percent| *percent <= 100,
    );
    let failures: u32 = section.get(
        "ejection_failures",
        "5",
        "after how many failures in a row an endpoint is left alone at once; 0 for never",
    );
    OutlierConfig {
        interval,
        base_ejection_time,
        max_ejection_percent,
        consecutive_failures: (failures > 0).then_some(failures),
        ..OutlierConfig::default()
    }
}

/// What all methods of a peer may retry together.
pub(super) fn allowance(section: &mut Section<'_>) -> AllowanceConfig {
    let ratio = section.checked(
        "retry_budget",
        "0.2",
        "what share of the calls may be made again, beside ten a second",
        "0 to 1",
        |ratio| (0.0..=1.0).contains(ratio),
    );
    let tokens_max = section.checked(
        "retry_tokens",
        "10",
        "how many failures in a row, twice, stop retries until calls succeed again",
        "1 to 1000",
        |tokens| (1..=1_000).contains(tokens),
    );
    AllowanceConfig {
        throttle: ThrottleConfig { tokens_max, ..ThrottleConfig::default() },
        budget: BudgetConfig { ratio, ..BudgetConfig::default() },
        ..AllowanceConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use seawall_balance::outlier::Outlier;
    use seawall_config::Reader;
    use seawall_retry::Allowance;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<(OutlierConfig, AllowanceConfig), String> {
        let mut reader = Reader::new("", "", variables.iter().copied());
        let mut section = reader.section("user");
        let both = (outlier(&mut section), allowance(&mut section));
        reader.finish().map(|()| both).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_policies() {
        assert_eq!(read(&[]), Ok((OutlierConfig::default(), AllowanceConfig::default())));
    }

    /// Whoever makes them takes every value for one that was checked.
    #[test]
    fn whatever_is_read_is_allowed() {
        let values = ["0", "1", "100", "1000", "0.5", "1ns", "1day"];
        let keys = ["INTERVAL", "TIME", "PERCENT_MAX", "FAILURES"].map(|key| format!("SEAWALL_USER_EJECTION_{key}"));
        let retries = ["SEAWALL_USER_RETRY_BUDGET", "SEAWALL_USER_RETRY_TOKENS"].map(str::to_owned);
        let mut allowed = 0;
        for key in keys.iter().chain(&retries) {
            for value in values {
                let Ok((outlier, allowance)) = read(&[(key, value)]) else { continue };
                allowed += 1;
                Outlier::try_new(outlier).unwrap();
                Allowance::try_new("user", &allowance, std::time::Instant::now()).unwrap();
            }
        }
        assert!(allowed >= 12, "{allowed}");
        let said = read(&[("SEAWALL_USER_EJECTION_PERCENT_MAX", "101")]).unwrap_err();
        assert!(said.contains("user.ejection_percent_max = \"101\"") && said.contains("must be 0 to 100"), "{said}");
        let said = read(&[("SEAWALL_USER_RETRY_TOKENS", "0")]).unwrap_err();
        assert!(said.contains("must be 1 to 1000"), "{said}");
    }

    #[test]
    fn no_failures_in_a_row_are_too_many_where_that_is_off() {
        assert_eq!(read(&[("SEAWALL_USER_EJECTION_FAILURES", "0")]).unwrap().0.consecutive_failures, None);
    }
}
