//! Pages of a list (AIP-158): their size, and the opaque token that says where the next one starts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use seawall_error::Violations;
use uuid::Uuid;

const SIZE_DEFAULT: usize = 50;
const SIZE_MAX: usize = 1_000;

/// The first part of each token. Another number when the meaning of tokens changes.
const FORMAT: &str = "1";

/// Which part of a list, sorted by id, is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    list: String,
    size: usize,
    after: String,
}

impl Page {
    /// Notes what is wrong with the fields `page_size` (0 to 1,000; 0 means 50) and `page_token`.
    /// `list` tells this list from others, such as by the id of whose it is: a token is good only for
    /// the list that it is from.
    pub fn check(page_size: i32, page_token: &str, list: &str, violations: &mut Violations) -> Self {
        let size = usize::try_from(page_size).ok().filter(|size| *size <= SIZE_MAX);
        violations.check(size.is_some(), "page_size", "must be 0 to 1000");
        let after = decode(page_token, list);
        violations.check(
            after.is_some(),
            "page_token",
            "must be the next_page_token of the page before, of the same list",
        );
        Self {
            list: list.to_owned(),
            size: size.filter(|size| *size > 0).unwrap_or(SIZE_DEFAULT),
            after: after.unwrap_or_default(),
        }
    }

    /// How many the page has at most.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The last id of the page before: "", which sorts before every id, for the first page.
    pub fn after(&self) -> &str {
        &self.after
    }

    /// How many to select: one more than the page has tells whether there is a next one.
    pub fn limit(&self) -> i64 {
        self.size as i64 + 1
    }

    /// The page out of what was selected with [`limit`](Self::limit), and the token of the next one:
    /// "" if this is the last.
    pub fn cut<T>(&self, mut selected: Vec<T>, id: impl Fn(&T) -> &str) -> (Vec<T>, String) {
        let has_more = selected.len() > self.size;
        selected.truncate(self.size);
        let token = selected.last().filter(|_| has_more).map(|last| self.token_after(id(last)));
        (selected, token.unwrap_or_default())
    }

    /// The token of the page that starts after an id.
    pub fn token_after(&self, id: &str) -> String {
        token(&self.list, id)
    }
}

fn token(list: &str, last_id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{FORMAT}/{list}/{last_id}"))
}

fn decode(page_token: &str, list: &str) -> Option<String> {
    if page_token.is_empty() {
        return Some(String::new());
    }
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(page_token).ok()?).ok()?;
    let last_id = Uuid::try_parse(text.rsplit_once('/')?.1).ok()?.to_string();
    (token(list, &last_id) == page_token).then_some(last_id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(page_size: i32, page_token: &str, list: &str) -> (Page, usize) {
        let mut violations = Violations::default();
        let page = Page::check(page_size, page_token, list, &mut violations);
        (page, violations.iter().count())
    }

    #[test]
    fn a_size_is_1_to_1000_and_0_means_50() {
        for (asked, size) in [(0, 50), (1, 1), (1_000, 1_000)] {
            let (page, violations) = check(asked, "", "u");
            assert_eq!((page.size(), page.after(), violations), (size, "", 0));
        }
        for wrong in [-1, 1_001, i32::MIN, i32::MAX] {
            assert_eq!(check(wrong, "", "u").1, 1);
        }
    }

    #[test]
    fn only_a_page_with_more_behind_it_has_a_next() {
        let (page, _) = check(2, "", "u");
        let ids: Vec<String> = (1..=3).map(|n| Uuid::from_u128(n).to_string()).collect();
        let (last, token) = page.cut(ids[..2].to_vec(), |id| id);
        assert_eq!((last.as_slice(), token.as_str()), (&ids[..2], ""));
        let (first, token) = page.cut(ids.clone(), |id| id);
        assert_eq!(first, ids[..2]);
        assert_eq!(check(2, &token, "u").0.after(), ids[1]);
    }

    #[test]
    fn a_token_of_another_format_is_noticed() {
        let forged = URL_SAFE_NO_PAD.encode(format!("2/u/{}", Uuid::now_v7()));
        assert_eq!(check(1, &forged, "u").1, 1);
    }

    proptest! {
        #[test]
        fn a_token_comes_back_as_the_id_it_was_made_of(list in "[a-z0-9-]{0,40}", id: u128) {
            let id = Uuid::from_u128(id).to_string();
            let token = token(&list, &id);
            prop_assert!(token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'));
            let (page, violations) = check(1, &token, &list);
            prop_assert_eq!((page.after(), violations), (id.as_str(), 0));
        }

        #[test]
        fn a_token_of_another_list_is_noticed(list in "[a-z]{0,9}", other in "[a-z]{0,9}", id: u128) {
            prop_assume!(list != other);
            prop_assert_eq!(check(1, &token(&list, &Uuid::from_u128(id).to_string()), &other).1, 1);
        }

        #[test]
        fn anything_else_is_noticed(forged in ".{1,120}") {
            prop_assert_eq!(check(1, &forged, "u").1, 1);
        }
    }
}
