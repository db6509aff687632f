//! What a price may be, and sums against a model that adds as on paper.

use proptest::prelude::*;

use super::*;

fn money(currency_code: &str, units: i64, nanos: i32) -> Money {
    Money { currency_code: currency_code.into(), units, nanos }
}

fn line(quantity: i32, unit_price: Money) -> OrderLine {
    OrderLine { sku: "a".into(), quantity, unit_price: Some(unit_price) }
}

fn wrong(price: Option<&Money>) -> Vec<String> {
    let mut violations = Violations::default();
    check_price("p", price, &mut violations);
    violations.iter().map(|(field, _)| field.to_owned()).collect()
}

#[test]
fn a_price_is_checked_part_by_part() {
    for good in [money("EUR", 0, 0), money("XXX", i64::MAX, 999_999_999), money("USD", 0, 1)] {
        assert!(wrong(Some(&good)).is_empty(), "{good:?}");
    }
    assert_eq!(wrong(None), ["p"]);
    for code in ["", "EU", "EURO", "eur", "ÄÖ", "E1R"] {
        assert_eq!(wrong(Some(&money(code, 1, 0))), ["p.currency_code"], "{code}");
    }
    assert_eq!(wrong(Some(&money("EUR", -1, 0))), ["p.units"]);
    assert_eq!(wrong(Some(&money("EUR", 1, -1))), ["p.nanos"]);
    assert_eq!(wrong(Some(&money("EUR", 0, 1_000_000_000))), ["p.nanos"]);
    assert_eq!(wrong(Some(&money("", i64::MIN, i32::MIN))), ["p.currency_code", "p.units", "p.nanos"]);
}

#[test]
fn nanos_carry_into_units() {
    let lines = [line(3, money("EUR", 19, 990_000_000)), line(1, money("EUR", 0, 40_000_000))];
    assert_eq!(total(&lines), Some(money("EUR", 60, 10_000_000)));
}

#[test]
fn a_sum_that_the_contract_cannot_carry_is_noticed() {
    assert_eq!(total(&[line(1, money("EUR", i64::MAX, 999_999_999))]), Some(money("EUR", i64::MAX, 999_999_999)));
    assert_eq!(total(&[line(1, money("EUR", i64::MAX, 999_999_999)), line(1, money("EUR", 0, 1))]), None);
    assert_eq!(total(&vec![line(10_000, money("EUR", i64::MAX, 999_999_999)); 100]), None);
}

/// Adds the way it is done on paper, with units and nanos apart and a carry, and knows no i128.
fn on_paper(lines: &[OrderLine]) -> Option<(i64, i32)> {
    let (mut units, mut nanos) = (0_i64, 0_i64);
    for line in lines {
        let price = line.unit_price.as_ref()?;
        let product = i64::from(price.nanos) * i64::from(line.quantity);
        nanos += product % 1_000_000_000;
        units = units.checked_add(price.units.checked_mul(line.quantity.into())?)?;
        units = units.checked_add(product / 1_000_000_000)?.checked_add(nanos / 1_000_000_000)?;
        nanos %= 1_000_000_000;
    }
    Some((units, i32::try_from(nanos).ok()?))
}

proptest! {
    #[test]
    fn the_total_is_what_paper_says(
        parts in prop::collection::vec(
            (1..=10_000_i32, prop_oneof![0..=1_000_i64, 0..=i64::MAX, i64::MAX / 10_000 - 1..=i64::MAX / 10_000], 0..=999_999_999_i32),
            1..=100,
        ),
    ) {
        let lines: Vec<_> = parts.iter().map(|(quantity, units, nanos)| line(*quantity, money("EUR", *units, *nanos))).collect();
        prop_assert_eq!(total(&lines).map(|total| (total.units, total.nanos)), on_paper(&lines));
    }
}
