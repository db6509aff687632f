//! Ids and page tokens.

use seawall_error::Violations;
use seawall_resource::{Page, check_id};

/// The list that tokens are of.
const LIST: &str = "user/orders";

/// A token that is taken is the one that we would have made, and what is in it is an id.
pub(crate) fn page_token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut violations = Violations::default();
    let page = Page::check(1, &text, LIST, &mut violations);
    let is_good = violations == Violations::default();
    assert!(is_good || page.after().is_empty());
    if is_good && !text.is_empty() {
        assert_eq!(page.token_after(page.after()), text);
        assert_eq!(check_id("id", page.after(), &mut violations), page.after());
        assert!(violations == Violations::default());
    }
    let id = check_id("id", &text, &mut Violations::default());
    assert!(id.is_empty() || id.eq_ignore_ascii_case(&text));
}
