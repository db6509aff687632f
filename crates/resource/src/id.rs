//! Ids: UUIDs of version 7, which sort by the time they were made.

use seawall_error::Violations;
use uuid::Uuid;

/// A new id.
pub fn new_id() -> String {
    Uuid::now_v7().to_string()
}

/// The id in the one spelling that tables have: lower case, with hyphens. A wrong one is noted against
/// `field` and answered with "".
pub fn check_id(field: &str, text: &str, violations: &mut Violations) -> String {
    match Uuid::try_parse(text) {
        // Only the form with hyphens: the others are for other systems.
        Ok(id) if text.len() == 36 => id.to_string(),
        _ => {
            violations.add(field, "must be a UUID");
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let mut violations = Violations::default();
        let id = new_id();
        assert_eq!(check_id("id", &id.to_uppercase(), &mut violations), id);
        assert_eq!(violations, Violations::default());
        for wrong in ["", "1", &id[1..], &format!("{{{id}}}"), &id.replace('-', "")] {
            let mut violations = Violations::default();
            assert_eq!(check_id("id", wrong, &mut violations), "");
            assert_eq!(violations.iter().collect::<Vec<_>>(), [("id", "must be a UUID")]);
        }
    }
}
