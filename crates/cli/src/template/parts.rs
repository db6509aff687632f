//! What stands for a service in files that are there: put in above a mark, found again by its first line.

use std::ops::Range;

use anyhow::{Context, Result};

/// The comment above which parts are put in.
const MARK: &str = "cargo seawall new adds above this line";

/// The text with the part above the mark. Between parts of several lines is an empty line.
pub(crate) fn put_in(text: &str, part: &str) -> Result<String> {
    let at = text.find(MARK).with_context(|| format!("it has no comment {MARK:?}, so there is no place to add to"))?;
    let at = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let air = if part.lines().count() > 1 { "\n" } else { "" };
    Ok(format!("{}{part}{air}{}", &text[..at], &text[at..]))
}

/// The text without what `range` is of, and without the empty line after it.
pub(crate) fn take_out(text: &str, range: Range<usize>, part: &str) -> String {
    let rest = &text[range.end..];
    let rest = if part.lines().count() > 1 { rest.strip_prefix('\n').unwrap_or(rest) } else { rest };
    format!("{}{rest}", &text[..range.start])
}

/// Where the part stands now, edited or not: from the line that it begins with to before the next that
/// is indented no further.
pub(crate) fn find(text: &str, part: &str) -> Option<Range<usize>> {
    let first = part.lines().next()?;
    let mut at = 0;
    let mut lines = text.split_inclusive('\n');
    for line in lines.by_ref() {
        if line.trim_end() == first.trim_end() {
            break;
        }
        at += line.len();
    }
    if at == text.len() {
        return None;
    }
    let start = at;
    let mut end = start + text[start..].split_inclusive('\n').next()?.len();
    at = end;
    for line in lines {
        at += line.len();
        if line.trim().is_empty() {
            continue;
        }
        if indentation(line) <= indentation(first) {
            break;
        }
        end = at;
    }
    Some(start..end)
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSE: &str =
        "services:\n  user:\n    image: a\n\n  # cargo seawall new adds above this line.\nvolumes:\n  postgres:\n";
    const PART: &str = "  billing:\n    image: b\n\n    ports: []\n";

    #[test]
    fn a_part_comes_above_the_mark_and_goes_without_a_trace() {
        let with = put_in(COMPOSE, PART).unwrap();
        assert_eq!(
            with,
            "services:\n  user:\n    image: a\n\n  billing:\n    image: b\n\n    ports: []\n\n  # cargo seawall new \
             adds above this line.\nvolumes:\n  postgres:\n"
        );
        let range = find(&with, PART).unwrap();
        assert_eq!(&with[range.clone()], PART);
        assert_eq!(take_out(&with, range, PART), COMPOSE);
        assert!(put_in("services: {}\n", PART).is_err());
    }

    #[test]
    fn lines_come_one_below_the_other() {
        let sql = "CREATE DATABASE a;\n-- cargo seawall new adds above this line\n";
        let part = "CREATE DATABASE b;\n";
        let with = put_in(sql, part).unwrap();
        assert_eq!(with, "CREATE DATABASE a;\nCREATE DATABASE b;\n-- cargo seawall new adds above this line\n");
        assert_eq!(take_out(&with, find(&with, part).unwrap(), part), sql);
    }

    #[test]
    fn an_edited_part_is_found_by_its_first_line() {
        let with = put_in(COMPOSE, PART).unwrap().replace("image: b", "image: c\n    restart: no");
        let found = &with[find(&with, PART).unwrap()];
        assert_eq!(found, "  billing:\n    image: c\n    restart: no\n\n    ports: []\n");
        assert_eq!(find(COMPOSE, PART), None);
    }
}
