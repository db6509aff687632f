//! What the resources of every contract have in common: ids, pages of a list, points in time.
//!
//! ```
//! use seawall_error::Violations;
//! use seawall_resource::{Page, check_id, new_id};
//!
//! let mut violations = Violations::default();
//! let shop_id = check_id("shop_id", &new_id(), &mut violations);
//! let page = Page::check(0, "", &shop_id, &mut violations);
//! assert_eq!((page.size(), page.after()), (50, ""));
//! // … SELECT … WHERE id > $1 ORDER BY id LIMIT $2, with page.after() and page.limit() …
//! let (ids, next_page_token) = page.cut(vec!["a", "b"], |id| id);
//! assert_eq!((ids.len(), next_page_token.as_str()), (2, ""));
//! ```

mod id;
mod page;
mod time;

pub use id::{check_id, new_id};
pub use page::Page;
pub use time::{now_us, timestamp};
