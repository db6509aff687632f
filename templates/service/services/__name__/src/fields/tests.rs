//! The bounds of each field, on both sides.

use super::*;
//% if calls

const ID: &str = "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
//% end

/// A good item with this title.
fn item(title: &str) -> Item {
    Item {
        title: title.into(),
//% each calls
        __peer___id: ID.into(),
//% end
//% if sql
        ..Default::default()
//% end
    }
}

/// The fields that are found wrong.
fn wrong(mut item: Item) -> Vec<String> {
    let mut violations = Violations::default();
    check_item(&mut item, &mut violations);
    violations.iter().map(|(field, _)| field.to_owned()).collect()
}

#[test]
fn a_title_has_1_to_100_characters() {
    for good in ["A", "Ännchen", &"ß".repeat(100), &format!(" {}\n", "ß".repeat(100))] {
        assert!(wrong(item(good)).is_empty(), "{good:?}");
    }
    for bad in ["", " \t", "A\0", "A\tB", &"ß".repeat(101)] {
        assert_eq!(wrong(item(bad)), ["item.title"], "{bad:?}");
    }
}

#[test]
fn white_space_at_the_ends_is_taken_off() {
    let mut item = item("  a b ");
    check_item(&mut item, &mut Violations::default());
    assert_eq!(item.title, "a b");
}
//% each calls

#[test]
fn a___peer___id_is_a_uuid() {
    for bad in ["", "7", "' OR 1=1 --"] {
        assert_eq!(wrong(Item { __peer___id: bad.into(), ..item("A") }), ["item.__peer___id"], "{bad:?}");
    }
}
//% end
