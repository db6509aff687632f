//! The bounds of each field, on both sides.

use super::*;

/// The fields that `check` finds wrong.
fn wrong<T>(check: impl FnOnce(&mut Violations) -> T) -> Vec<String> {
    let mut violations = Violations::default();
    check(&mut violations);
    violations.iter().map(|(field, _)| field.to_owned()).collect()
}

#[test]
fn an_email_has_3_to_254_characters_and_two_sides() {
    let longest = format!("{}@example.com", "ä".repeat(242));
    assert_eq!(longest.chars().count(), 254);
    for good in ["a@b", "Ann@Example.com", longest.as_str()] {
        assert!(wrong(|v| check_email(good, v)).is_empty(), "{good}");
    }
    let too_long = format!("a{longest}");
    for bad in ["", "ab", "@b.c", "ann@", "ann.example.com", "a n@b.c", "ann@b\0c", "ann@b.c\n", &too_long] {
        assert_eq!(wrong(|v| check_email(bad, v)), ["user.email"], "{bad:?}");
    }
}

#[test]
fn a_display_name_has_1_to_100_characters() {
    for good in ["A", "Ann Ångström", &"ß".repeat(100)] {
        assert!(wrong(|v| check_display_name(good, v)).is_empty(), "{good}");
    }
    for bad in ["", "A\0", "A\tB", &"ß".repeat(101)] {
        assert_eq!(wrong(|v| check_display_name(bad, v)), ["user.display_name"], "{bad:?}");
    }
}

fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

#[test]
fn a_mask_names_the_fields_that_change() {
    let user = User { email: "a@b".into(), ..Default::default() };
    let cases = [
        (None, (true, false)),
        (mask(&[]), (true, false)),
        (mask(&["email"]), (true, false)),
        (mask(&["display_name"]), (false, true)),
        (mask(&["display_name", "email", "email"]), (true, true)),
        (mask(&["*"]), (true, true)),
    ];
    for (mask, (email, display_name)) in cases {
        let mut violations = Violations::default();
        assert_eq!(check_mask(mask, &user, &mut violations), Changed { email, display_name });
        assert_eq!(violations, Violations::default());
    }
}

#[test]
fn a_mask_that_names_nothing_or_something_else_is_wrong() {
    let nobody = User { user_id: "x".into(), ..Default::default() };
    assert_eq!(wrong(|v| check_mask(None, &nobody, v)), ["update_mask"]);
    let odd = mask(&["email", "user_id", "user.email"]);
    assert_eq!(wrong(|v| check_mask(odd, &nobody, v)), ["update_mask.paths[1]", "update_mask.paths[2]"]);
}
