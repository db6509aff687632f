//! What a field must be.

use seawall_error::Violations;
use __root___proto::__root__::__name__::v1::Item;
//% if calls
use seawall_resource::check_id;
//% end

/// Checks the fields that a caller chooses, and brings them into the form in which they are kept.
pub(crate) fn check_item(item: &mut Item, violations: &mut Violations) {
    item.title = item.title.trim().to_owned();
    let is_clean = !item.title.chars().any(char::is_control);
    violations.check(
        is_clean && (1..=100).contains(&item.title.chars().count()),
        "item.title",
        "must be 1 to 100 characters, none of them a control character",
    );
//% each calls
    item.__peer___id = check_id("item.__peer___id", &item.__peer___id, violations);
//% end
}

#[cfg(test)]
mod tests;
