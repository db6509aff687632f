//! Pages of a list: their size, and the token that says where the next one starts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use seawall_error::Violations;
use uuid::Uuid;

const SIZE_DEFAULT: i32 = 50;
const SIZE_MAX: i32 = 1_000;

/// The first part of each token. Another number when the meaning of tokens changes.
const FORMAT: &str = "1";

/// Which part of the list is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// How many at most.
    pub(crate) size: i32,
    /// The last id of the page before: "", which comes before every id, for the first page.
    pub(crate) after: String,
}

impl Page {
    /// Notes what is wrong with either.
    pub(crate) fn check(page_size: i32, page_token: &str, violations: &mut Violations) -> Self {
        violations.check((0..=SIZE_MAX).contains(&page_size), "page_size", "must be 0 to 1000");
        let after = decode(page_token);
        violations.check(after.is_some(), "page_token", "must be the next_page_token of the page before");
        Self { size: if page_size == 0 { SIZE_DEFAULT } else { page_size }, after: after.unwrap_or_default() }
    }
}

/// The token of the page after `last_id`.
pub(crate) fn token(last_id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{FORMAT}/{last_id}"))
}

fn decode(page_token: &str) -> Option<String> {
    if page_token.is_empty() {
        return Some(String::new());
    }
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(page_token).ok()?).ok()?;
    let last_id = Uuid::try_parse(text.rsplit_once('/')?.1).ok()?.to_string();
    (token(&last_id) == page_token).then_some(last_id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(page_size: i32, page_token: &str) -> (Page, usize) {
        let mut violations = Violations::default();
        let page = Page::check(page_size, page_token, &mut violations);
        (page, violations.iter().count())
    }

    #[test]
    fn a_size_is_1_to_1000_and_0_means_50() {
        for (asked, size) in [(0, 50), (1, 1), (1_000, 1_000)] {
            assert_eq!(check(asked, ""), (Page { size, after: String::new() }, 0));
        }
        for wrong in [-1, 1_001, i32::MIN, i32::MAX] {
            assert_eq!(check(wrong, "").1, 1);
        }
    }

    proptest! {
        #[test]
        fn a_token_comes_back_as_the_id_it_was_made_of(id: u128) {
            let id = Uuid::from_u128(id).to_string();
            let token = token(&id);
            prop_assert!(token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'));
            prop_assert_eq!(check(1, &token), (Page { size: 1, after: id }, 0));
        }

        #[test]
        fn anything_else_is_noticed(forged in ".{1,80}") {
            prop_assert_eq!(check(1, &forged).1, 1);
        }

        #[test]
        fn a_token_changed_in_one_place_is_another_id_or_noticed(id: u128, at in 0_usize..50, with in "[A-Za-z0-9_-]") {
            let id = Uuid::from_u128(id).to_string();
            let mut forged = token(&id);
            forged.replace_range(at..=at, &with);
            let (page, violations) = check(1, &forged);
            prop_assert!(violations == 1 || token(&page.after) == forged);
        }
    }

    #[test]
    fn a_token_of_another_format_is_noticed() {
        let forged = URL_SAFE_NO_PAD.encode(format!("2/{}", Uuid::now_v7()));
        assert_eq!(check(1, &forged).1, 1);
    }
}
