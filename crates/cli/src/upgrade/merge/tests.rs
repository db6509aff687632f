//! Scripted edits of an owner, against scripted edits of a template.

use super::*;

const FILE: &str = "services/billing/src/lib.rs";
const SHARED: &str = "docker-compose.yml";
const LINES: usize = 12;
/// Edits this far apart do not touch each other, which is what git needs to merge them.
const APART: usize = 2;

/// One edit of a file of numbered lines, at a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    Nothing,
    Replace(usize),
    Remove(usize),
    InsertAfter(usize),
    /// In place of a line and the one after it.
    ReplaceTwo(usize),
}
use Edit::{InsertAfter, Nothing, Remove, Replace, ReplaceTwo};

impl Edit {
    /// What becomes of each line of the file, as lines.
    fn slots(self, who: &str) -> Vec<Vec<String>> {
        let mut slots: Vec<Vec<String>> = (0..LINES).map(|line| vec![format!("line {line}")]).collect();
        match self {
            Nothing => {}
            Replace(at) => slots[at] = vec![format!("{who} replaces {at}")],
            Remove(at) => slots[at].clear(),
            InsertAfter(at) => slots[at].push(format!("{who} adds after {at}")),
            ReplaceTwo(at) => {
                slots[at] = vec![format!("{who} replaces {at} and the next")];
                slots[at + 1].clear();
            }
        }
        slots
    }

    fn text(self, who: &str) -> String {
        to_text(&self.slots(who))
    }

    /// The lines that it touches, first and last.
    fn reach(self) -> Option<(usize, usize)> {
        match self {
            Nothing => None,
            Replace(at) | Remove(at) => Some((at, at)),
            InsertAfter(at) | ReplaceTwo(at) => Some((at, at + 1)),
        }
    }
}

fn to_text(slots: &[Vec<String>]) -> String {
    slots.iter().flatten().map(|line| format!("{line}\n")).collect()
}

fn are_apart(one: Edit, other: Edit) -> bool {
    let (Some((first, last)), Some((their_first, their_last))) = (one.reach(), other.reach()) else { return true };
    last + APART <= their_first || their_last + APART <= first
}

/// Both edits, as they are when each leaves the lines of the other alone.
fn together(owner: Edit, template: Edit) -> String {
    let base = Nothing.slots("");
    let (owner, template) = (owner.slots("owner"), template.slots("template"));
    let slots = base.iter().zip(owner.into_iter().zip(template));
    to_text(&slots.map(|(base, (owner, template))| if owner == *base { template } else { owner }).collect::<Vec<_>>())
}

fn one(path: &str, text: Option<&str>) -> Rendered {
    let files = text.map(|text| (path.to_owned(), text.to_owned())).into_iter().collect();
    Rendered { files, parts: BTreeMap::new() }
}

/// The merge of one file, of which each side has a text or none.
fn merged(path: &str, base: Option<&str>, ours: Option<&str>, theirs: Option<&str>) -> Merged {
    let root = tempfile::tempdir().unwrap();
    if let Some(ours) = ours {
        std::fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
        std::fs::write(root.path().join(path), ours).unwrap();
    }
    merge(root.path(), &Sides { name: "billing", base: one(path, base), theirs: one(path, theirs) }).unwrap()
}

/// The owner's edits at each of these places, against each of the template's: 12 × 9 cases.
#[test]
fn no_edit_is_lost_and_what_cannot_be_merged_is_marked() {
    let owners = [
        Nothing,
        Replace(0),
        Replace(5),
        Replace(11),
        Remove(0),
        Remove(6),
        Remove(11),
        InsertAfter(0),
        InsertAfter(5),
        InsertAfter(11),
        ReplaceTwo(4),
        ReplaceTwo(10),
    ];
    let templates = [
        Replace(0),
        Replace(5),
        Remove(5),
        Remove(11),
        InsertAfter(5),
        InsertAfter(11),
        ReplaceTwo(5),
        ReplaceTwo(0),
        Replace(8),
    ];
    let (mut cases, mut conflicts) = (0, 0);
    for owner in owners {
        for template in templates {
            let case = format!("the owner's {owner:?}, the template's {template:?}");
            let (base, ours, theirs) = (Nothing.text(""), owner.text("owner"), template.text("template"));
            let found = merged(FILE, Some(&base), Some(&ours), Some(&theirs));
            let text = found.files.get(FILE).cloned().flatten().unwrap_or_else(|| ours.clone());
            let is_marked = text.contains("<<<<<<< billing\n") && text.contains(">>>>>>> the template\n");
            assert_eq!(is_marked, found.conflicts.contains_key(FILE), "{case}:\n{text}");
            if are_apart(owner, template) {
                assert_eq!(text, together(owner, template), "{case}");
            }
            // What the owner has written is there, whatever became of it.
            for line in ours.lines().filter(|line| line.starts_with("owner")) {
                assert!(text.contains(line), "{case}: {line:?} is lost:\n{text}");
            }
            for line in theirs.lines().filter(|line| line.starts_with("template")) {
                assert!(text.contains(line), "{case}: {line:?} has not come:\n{text}");
            }
            // What the owner has removed is gone, unless it is between marks.
            for line in base.lines().filter(|line| !ours.lines().any(|ours| ours == *line)) {
                let is_back = text.lines().any(|there| there == line);
                assert!(!is_back || is_marked, "{case}: {line:?} has come back:\n{text}");
            }
            cases += 1;
            conflicts += usize::from(is_marked);
        }
    }
    assert!(cases >= 100 && conflicts >= 10, "{cases} cases, {conflicts} with conflicts");
}

/// Whether each side has the file, and what becomes of it.
#[test]
fn files_that_come_and_go() {
    let new = |text: &str| Some(Some(text.to_owned()));
    let cases = [
        ("unchanged in the template", Some("a\n"), Some("mine\n"), Some("a\n"), None, 0),
        ("untouched by the owner", Some("a\n"), Some("a\n"), Some("b\n"), new("b\n"), 0),
        ("the same on both sides", Some("a\n"), Some("b\n"), Some("b\n"), None, 0),
        ("new in the template", None, None, Some("b\n"), new("b\n"), 0),
        ("new on both sides and the same", None, Some("b\n"), Some("b\n"), None, 0),
        ("gone from the template", Some("a\n"), Some("a\n"), None, Some(None), 0),
        ("gone from the template, edited here", Some("a\n"), Some("mine\n"), None, None, 1),
        ("gone here", Some("a\n"), None, Some("a\n"), None, 0),
        ("gone here, changed in the template", Some("a\n"), None, Some("b\n"), None, 1),
        ("gone on both sides", Some("a\n"), None, None, None, 0),
    ];
    for (case, base, ours, theirs, expected, notes) in cases {
        let found = merged(FILE, base, ours, theirs);
        assert_eq!(found.files.get(FILE).cloned(), expected, "{case}");
        assert_eq!((found.notes.len(), found.conflicts.len()), (notes, 0), "{case}");
    }
    let both_new = merged(FILE, None, Some("mine\n"), Some("theirs\n"));
    assert_eq!(both_new.conflicts.get(FILE), Some(&1), "new on both sides");
    let text = both_new.files[FILE].clone().unwrap();
    assert_eq!(text, "<<<<<<< billing\nmine\n=======\ntheirs\n>>>>>>> the template\n");
}

#[test]
fn a_migration_that_may_have_run_stays_and_a_new_one_comes() {
    let path = "services/billing/migrations/0001_items.sql";
    let found = merged(path, Some("a\n"), Some("mine\n"), Some("b\n"));
    assert!(found.files.is_empty() && found.notes.len() == 1, "{found:?}");
    assert_eq!(merged(path, None, None, Some("b\n")).files.len(), 1);
}

/// The merge of a part of a file, which is there as `ours` between other things.
fn merged_part(base: &str, ours: &str, theirs: &str) -> Merged {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join(SHARED), shared(ours)).unwrap();
    let part = |text: &str| Rendered { parts: [(SHARED.to_owned(), text.to_owned())].into(), ..Rendered::default() };
    merge(root.path(), &Sides { name: "billing", base: part(base), theirs: part(theirs) }).unwrap()
}

fn shared(part: &str) -> String {
    format!("services:\n  user:\n    image: u\n\n{part}\n  # cargo seawall new adds above this line\nvolumes:\n")
}

#[test]
fn a_part_is_merged_where_it_stands() {
    let base = "  billing:\n    image: a\n    ports:\n      - 1\n    restart: no\n";
    let theirs = base.replace("restart: no", "restart: always");
    let text = |found: &Merged| found.files[SHARED].clone().unwrap();
    assert_eq!(text(&merged_part(base, base, &theirs)), shared(&theirs));

    let ours = base.replace("image: a", "image: mine");
    let both = ours.replace("restart: no", "restart: always");
    assert_eq!(text(&merged_part(base, &ours, &theirs)), shared(&both));

    let ours = base.replace("restart: no", "restart: on-failure");
    let found = merged_part(base, &ours, &theirs);
    assert_eq!(found.conflicts.get(SHARED), Some(&1));
    assert!(text(&found).contains("<<<<<<< billing\n    restart: on-failure\n=======\n    restart: always\n"));
}
