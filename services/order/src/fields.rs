//! What the fields of a request must be.

use seawall_error::Violations;
use seawall_proto::seawall::order::v1::{Money, OrderLine};

use crate::money::check_price;

pub(crate) fn check_idempotency_key(key: &str, violations: &mut Violations) {
    violations.check(
        (1..=64).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()),
        "idempotency_key",
        "must be 1 to 64 visible ASCII characters",
    );
}

pub(crate) fn check_lines(lines: &[OrderLine], violations: &mut Violations) {
    violations.check((1..=LINES_MAX).contains(&lines.len()), "lines", "must be 1 to 100 lines");
    let first = lines.first().and_then(|line| line.unit_price.as_ref());
    for (i, line) in lines.iter().take(LINES_MAX).enumerate() {
        check_line(&format!("lines[{i}]"), line, first, violations);
    }
}

/// How many lines an order has at most.
pub(crate) const LINES_MAX: usize = 100;

fn check_line(field: &str, line: &OrderLine, first: Option<&Money>, violations: &mut Violations) {
    let is_clean = !line.sku.chars().any(char::is_control);
    violations.check(
        is_clean && (1..=64).contains(&line.sku.chars().count()),
        &format!("{field}.sku"),
        "must be 1 to 64 characters, none of them a control character",
    );
    violations.check((1..=10_000).contains(&line.quantity), &format!("{field}.quantity"), "must be 1 to 10000");

    let price = line.unit_price.as_ref();
    check_price(&format!("{field}.unit_price"), price, violations);
    if let (Some(price), Some(first)) = (price, first) {
        violations.check(
            price.currency_code == first.currency_code,
            &format!("{field}.unit_price.currency_code"),
            "must be the currency of the first line",
        );
    }
}

#[cfg(test)]
mod tests;
