//! Money: what a price must be, and the sum over the lines of an order.

use seawall_error::Violations;
use seawall_proto::seawall::order::v1::{Money, OrderLine};

const NANOS_PER_UNIT: i128 = 1_000_000_000;

/// Notes what is wrong with a price. It must not be negative, so that the signs of its two parts
/// cannot differ.
pub(crate) fn check_price(field: &str, price: Option<&Money>, violations: &mut Violations) {
    let Some(price) = price else { return violations.add(field, "must be given") };
    let is_code = price.currency_code.len() == 3 && price.currency_code.bytes().all(|byte| byte.is_ascii_uppercase());
    let nanos_max = 999_999_999;
    violations.check(is_code, &format!("{field}.currency_code"), "must be three capital letters, such as EUR");
    violations.check(price.units >= 0, &format!("{field}.units"), "must not be negative");
    violations.check((0..=nanos_max).contains(&price.nanos), &format!("{field}.nanos"), "must be 0 to 999999999");
}

/// The sum of quantity times price, in the currency of the first line; `None` if it is too large for
/// the contract. Exact: 100 lines of 10,000 at the largest price are far below the end of an `i128`.
pub(crate) fn total(lines: &[OrderLine]) -> Option<Money> {
    let prices = || lines.iter().filter_map(|line| Some((line.quantity, line.unit_price.as_ref()?)));
    let sum: i128 = prices().map(|(quantity, price)| i128::from(quantity) * nanos(price)).sum();
    let (_, first) = prices().next()?;
    Some(Money {
        currency_code: first.currency_code.clone(),
        units: i64::try_from(sum / NANOS_PER_UNIT).ok()?,
        nanos: i32::try_from(sum % NANOS_PER_UNIT).ok()?,
    })
}

fn nanos(money: &Money) -> i128 {
    i128::from(money.units) * NANOS_PER_UNIT + i128::from(money.nanos)
}

#[cfg(test)]
mod tests;
