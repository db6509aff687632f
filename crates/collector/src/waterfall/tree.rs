//! The order in which the spans of a trace are shown, and how deep each stands.

use std::collections::HashMap;

use crate::trace::Span;

/// Levels of which a node knows, so that a chain of spans does not take the square of its length.
pub(super) const LEVELS_MAX: usize = 24;

/// A span's place in the tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Which of the spans.
    pub(super) index: usize,
    pub(super) place: Place,
    /// Zero for a root.
    pub(super) depth: usize,
    /// For the span and the levels above it but the root's, whether a sibling follows further down;
    /// the span's own comes last. No more than [`LEVELS_MAX`] of them, the nearest.
    pub(super) follows: Vec<bool>,
    pub(super) has_children: bool,
}

/// Why a span stands where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It has no parent.
    Root,
    /// Below its parent.
    Child,
    /// Shown as a root: its parent is not in the trace.
    ParentMissing,
    /// Shown as a root: its parents lead back to itself.
    Cycle,
}

/// Every span exactly once, whatever their parents say. Without recursion: a trace may be a chain as
/// long as the store has room for.
pub(super) fn order(spans: &[Span]) -> Vec<Node> {
    let mut by_id: HashMap<&str, usize> = HashMap::new();
    for (index, span) in spans.iter().enumerate() {
        by_id.entry(&span.span_id).or_insert(index);
    }
    let parents: Vec<Option<usize>> = spans.iter().map(|span| by_id.get(span.parent_id.as_deref()?).copied()).collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    let mut by_start: Vec<usize> = (0..spans.len()).collect();
    // Among spans that start together the longest comes first, as it is most often the outer one.
    by_start.sort_by_key(|&index| (spans[index].start_ns, std::cmp::Reverse(spans[index].duration_ns)));
    for &index in &by_start {
        if let Some(parent) = parents[index] {
            children[parent].push(index);
        }
    }
    let mut walk = Walk { children, seen: vec![false; spans.len()], nodes: Vec::with_capacity(spans.len()) };
    for &index in &by_start {
        match (&spans[index].parent_id, parents[index]) {
            (None, _) => walk.from(index, Place::Root),
            (Some(_), None) => walk.from(index, Place::ParentMissing),
            (Some(_), Some(_)) => {}
        }
    }
    // What no root leads to is in a cycle or hangs on one. A span that hangs on one is reached from
    // the cycle, so the walk must begin in the cycle itself.
    for &index in &by_start {
        if !walk.seen[index] {
            walk.from(in_cycle(index, &parents, spans), Place::Cycle);
        }
    }
    walk.nodes
}

/// The earliest span of the cycle that the parents of `index` lead into. Two pointers, of which one
/// is twice as fast, meet in it (Floyd).
fn in_cycle(index: usize, parents: &[Option<usize>], spans: &[Span]) -> usize {
    let step = |at: usize| parents[at].unwrap_or(at);
    let (mut slow, mut fast) = (step(index), step(step(index)));
    while slow != fast {
        (slow, fast) = (step(slow), step(step(fast)));
    }
    let (mut earliest, mut at) = (slow, step(slow));
    while at != slow {
        earliest = if spans[at].start_ns < spans[earliest].start_ns { at } else { earliest };
        at = step(at);
    }
    earliest
}

struct Walk {
    children: Vec<Vec<usize>>,
    seen: Vec<bool>,
    nodes: Vec<Node>,
}

impl Walk {
    fn from(&mut self, root: usize, place: Place) {
        let mut stack = vec![(root, place, 0, Vec::new())];
        self.seen[root] = true;
        while let Some((index, place, depth, follows)) = stack.pop() {
            let children: Vec<usize> = self.children[index]
                .iter()
                .copied()
                .filter(|&child| !std::mem::replace(&mut self.seen[child], true))
                .collect();
            for (at, &child) in children.iter().enumerate().rev() {
                let mut follows: Vec<bool> = follows[follows.len().saturating_sub(LEVELS_MAX - 1)..].to_vec();
                follows.push(at + 1 < children.len());
                stack.push((child, Place::Child, depth + 1, follows));
            }
            self.nodes.push(Node { index, place, depth, follows, has_children: !children.is_empty() });
        }
    }
}
