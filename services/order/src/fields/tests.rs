//! The bounds of each field, on both sides.

use super::*;

/// The fields that `check` finds wrong.
fn wrong<T>(check: impl FnOnce(&mut Violations) -> T) -> Vec<String> {
    let mut violations = Violations::default();
    check(&mut violations);
    violations.iter().map(|(field, _)| field.to_owned()).collect()
}

fn line(sku: &str, quantity: i32, currency_code: &str) -> OrderLine {
    let unit_price = Money { currency_code: currency_code.into(), units: 1, nanos: 0 };
    OrderLine { sku: sku.into(), quantity, unit_price: Some(unit_price) }
}

#[test]
fn a_key_has_1_to_64_visible_characters() {
    for good in ["k", "!~", &"k".repeat(64)] {
        assert!(wrong(|v| check_idempotency_key(good, v)).is_empty(), "{good}");
    }
    for bad in ["", "a b", "k\n", "ключ", &"k".repeat(65)] {
        assert_eq!(wrong(|v| check_idempotency_key(bad, v)), ["idempotency_key"], "{bad:?}");
    }
}

#[test]
fn an_order_has_1_to_100_lines() {
    let lines = |count| vec![line("a", 1, "EUR"); count];
    assert!(wrong(|v| check_lines(&lines(1), v)).is_empty());
    assert!(wrong(|v| check_lines(&lines(100), v)).is_empty());
    assert_eq!(wrong(|v| check_lines(&lines(0), v)), ["lines"]);
    assert_eq!(wrong(|v| check_lines(&lines(101), v)), ["lines"]);
}

#[test]
fn each_line_is_checked_by_itself_and_against_the_first() {
    let good = [line("a", 1, "EUR"), line(&"ß".repeat(64), 10_000, "EUR")];
    assert!(wrong(|v| check_lines(&good, v)).is_empty());
    let bad = [
        line("a", 1, "EUR"),
        line("", 0, "EUR"),
        line(&"ß".repeat(65), 10_001, "USD"),
        line("a\0", -1, "EUR"),
        OrderLine { unit_price: None, ..line("a", 1, "") },
    ];
    assert_eq!(
        wrong(|v| check_lines(&bad, v)),
        [
            "lines[1].sku",
            "lines[1].quantity",
            "lines[2].sku",
            "lines[2].quantity",
            "lines[2].unit_price.currency_code",
            "lines[3].sku",
            "lines[3].quantity",
            "lines[4].unit_price",
        ]
    );
}
