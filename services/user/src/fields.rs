//! What the fields of a user must be.

use prost_types::FieldMask;
use seawall_error::Violations;
use seawall_proto::seawall::user::v1::User;

/// Both fields that a new user needs.
pub(crate) fn check_new(user: &User, violations: &mut Violations) {
    check_email(&user.email, violations);
    check_display_name(&user.display_name, violations);
}

pub(crate) fn check_email(email: &str, violations: &mut Violations) {
    // Whether mail arrives there is not ours to know; this finds what cannot be an address.
    let is_address = email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    let is_clean = !email.chars().any(|c| c.is_whitespace() || c.is_control());
    violations.check(
        is_address && is_clean && (3..=254).contains(&email.chars().count()),
        "user.email",
        "must be an address such as ann@example.com, of 3 to 254 characters",
    );
}

pub(crate) fn check_display_name(name: &str, violations: &mut Violations) {
    let is_clean = !name.chars().any(char::is_control);
    violations.check(
        is_clean && (1..=100).contains(&name.chars().count()),
        "user.display_name",
        "must be 1 to 100 characters, none of them a control character",
    );
}

/// The fields that an update changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) email: bool,
    pub(crate) display_name: bool,
}

/// What `mask` names; without a mask, the fields of `user` that are not empty.
pub(crate) fn check_mask(mask: Option<FieldMask>, user: &User, violations: &mut Violations) -> Changed {
    let paths = mask.unwrap_or_default().paths;
    if paths.is_empty() {
        let changed = Changed { email: !user.email.is_empty(), display_name: !user.display_name.is_empty() };
        violations.check(changed != Changed::default(), "update_mask", "must name a field: there is nothing to change");
        return changed;
    }
    let mut changed = Changed::default();
    for (i, path) in paths.iter().enumerate() {
        match path.as_str() {
            "*" => changed = Changed { email: true, display_name: true },
            "email" => changed.email = true,
            "display_name" => changed.display_name = true,
            _ => violations.add(format!("update_mask.paths[{i}]"), "must be \"email\", \"display_name\" or \"*\""),
        }
    }
    changed
}

#[cfg(test)]
mod tests;
