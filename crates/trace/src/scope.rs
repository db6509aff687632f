//! What is current while a span runs.

use std::borrow::Cow;
use std::cell::RefCell;
use std::mem;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::KeyValue;

use crate::{Carried, TraceContext};

/// How many events a span keeps; further ones are counted (the default of OpenTelemetry's SDKs).
pub const EVENTS_MAX: usize = 128;
/// How many attributes can be added to a span; further ones are not (the same default).
pub const ATTRIBUTES_MAX: usize = 128;

thread_local! {
    static CURRENT: RefCell<Scope> = const { RefCell::new(Scope::NONE) };
}

/// Something that happened in a span.
#[derive(Debug, Clone)]
pub struct Event {
    /// What.
    pub name: Cow<'static, str>,
    /// When.
    pub time: SystemTime,
    /// How.
    pub attributes: Vec<KeyValue>,
}

/// What was noted about a span.
#[derive(Debug, Default)]
pub struct Notes {
    /// The first [`EVENTS_MAX`] things that happened in it, in order.
    pub events: Vec<Event>,
    /// How many came after those.
    pub dropped: u32,
    /// What else is known of it, [`ATTRIBUTES_MAX`] at most.
    pub attributes: Vec<KeyValue>,
}

impl Notes {
    fn add(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(event);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    fn describe(&mut self, attributes: Vec<KeyValue>) {
        let room = ATTRIBUTES_MAX.saturating_sub(self.attributes.len());
        self.attributes.extend(attributes.into_iter().take(room));
    }

    /// Adds those of another.
    pub fn extend(&mut self, other: Self) {
        self.dropped = self.dropped.saturating_add(other.dropped);
        other.events.into_iter().for_each(|event| self.add(event));
        self.describe(other.attributes);
    }
}

/// What belongs to a span, or to a call that is not recorded, while it runs.
#[derive(Debug, Default)]
pub struct Scope {
    context: TraceContext,
    carried: Option<Arc<Carried>>,
    /// On the heap once there are any: a scope is moved around at each poll of a call.
    notes: Option<Box<Notes>>,
    is_recorded: bool,
}

impl Scope {
    const NONE: Self = Self { context: TraceContext::NONE, carried: None, notes: None, is_recorded: false };

    /// A scope in which nothing is recorded.
    pub fn new(context: TraceContext) -> Self {
        Self { context, ..Self::NONE }
    }

    /// The same with what travels with the trace.
    #[must_use]
    pub fn with_carried(mut self, carried: Option<Arc<Carried>>) -> Self {
        self.carried = carried;
        self
    }

    /// The same, keeping the events that happen in it.
    #[must_use]
    pub fn recorded(mut self) -> Self {
        self.is_recorded = true;
        self
    }

    /// The ids.
    pub fn context(&self) -> TraceContext {
        self.context
    }

    /// What travels with the trace.
    pub fn carried(&self) -> Option<&Arc<Carried>> {
        self.carried.as_ref()
    }

    /// What was noted so far.
    pub fn take_notes(&mut self) -> Notes {
        self.notes.take().map(|notes| *notes).unwrap_or_default()
    }

    /// Runs `f` with this scope as the current one. What was current before is so again afterwards, also
    /// if `f` panics.
    pub fn enter<T>(&mut self, f: impl FnOnce() -> T) -> T {
        let entered = Entered::new(self);
        let result = f();
        drop(entered);
        result
    }

    /// Makes this the current scope, and returns what was.
    ///
    /// For spans that are entered and left by two calls; [`enter`](Self::enter) cannot be forgotten.
    #[must_use = "what was current before is to be so again"]
    pub fn replace_current(self) -> Self {
        CURRENT.with_borrow_mut(|current| mem::replace(current, self))
    }

    /// What travels with the current trace.
    pub fn current_carried() -> Option<Arc<Carried>> {
        CURRENT.try_with(|current| current.borrow().carried.clone()).ok().flatten()
    }

    /// Whether events that happen now are kept.
    pub fn is_current_recorded() -> bool {
        CURRENT.try_with(|current| current.borrow().is_recorded).unwrap_or(false)
    }
}

/// Swaps a scope with the current one, twice.
struct Entered<'a>(&'a mut Scope);

impl<'a> Entered<'a> {
    fn new(scope: &'a mut Scope) -> Self {
        CURRENT.with_borrow_mut(|current| mem::swap(current, scope));
        Self(scope)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(|current| mem::swap(current, self.0));
    }
}

impl TraceContext {
    /// That of the call that is served or made, or of the span that is entered;
    /// [`NONE`](Self::NONE) outside of all.
    pub fn current() -> Self {
        CURRENT.try_with(|current| current.borrow().context).unwrap_or(Self::NONE)
    }
}

/// Adds an event to the span that is current. `attributes` are asked for only if it is recorded.
pub fn note(name: impl Into<Cow<'static, str>>, attributes: impl FnOnce() -> Vec<KeyValue>) {
    if !Scope::is_current_recorded() {
        return;
    }
    // Before the borrow: whoever makes attributes may look at what is current.
    let event = Event { name: name.into(), time: SystemTime::now(), attributes: attributes() };
    CURRENT.with_borrow_mut(|current| current.notes.get_or_insert_default().add(event));
}

/// Adds to what is known of the span that is current. `attributes` are asked for only if it is recorded.
pub fn describe(attributes: impl FnOnce() -> Vec<KeyValue>) {
    if Scope::is_current_recorded() {
        let attributes = attributes();
        CURRENT.with_borrow_mut(|current| current.notes.get_or_insert_default().describe(attributes));
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn names(scope: &mut Scope) -> Vec<Cow<'static, str>> {
        scope.take_notes().events.into_iter().map(|event| event.name).collect()
    }

    #[test]
    fn each_scope_has_its_own_events() {
        let mut outer = Scope::new(TraceContext::root(true)).recorded();
        let mut inner = Scope::new(outer.context().child()).recorded();
        outer.enter(|| {
            note("before", Vec::new);
            inner.enter(|| note("inside", Vec::new));
            note("after", Vec::new);
        });
        assert_eq!(
            (names(&mut outer), names(&mut inner)),
            (vec!["before".into(), "after".into()], vec!["inside".into()])
        );
        assert_eq!(TraceContext::current(), TraceContext::NONE);
    }

    #[test]
    fn nothing_is_asked_for_what_is_not_recorded() {
        let mut scope = Scope::new(TraceContext::root(true));
        scope.enter(|| note("event", || panic!("asked for")));
        note("event", || panic!("asked for"));
        assert!(names(&mut scope).is_empty());
    }

    #[test]
    fn a_panic_leaves_the_scope() {
        let mut scope = Scope::new(TraceContext::root(false));
        let caught = catch_unwind(AssertUnwindSafe(|| scope.enter(|| panic!("in the scope"))));
        assert!(caught.is_err());
        assert_eq!(TraceContext::current(), TraceContext::NONE);
        assert!(scope.context().is_valid(), "it went with the panic");
    }

    #[test]
    fn events_are_bounded_and_the_others_counted() {
        let mut scope = Scope::new(TraceContext::root(true)).recorded();
        scope.enter(|| (0..EVENTS_MAX + 3).for_each(|_| note("event", Vec::new)));
        let mut notes = scope.take_notes();
        assert_eq!((notes.events.len(), notes.dropped), (EVENTS_MAX, 3));
        notes.extend(Notes { events: notes.events[..2].to_vec(), dropped: 1, attributes: Vec::new() });
        assert_eq!((notes.events.len(), notes.dropped), (EVENTS_MAX, 6));
        scope.enter(|| describe(|| vec![KeyValue::new("a", 1); ATTRIBUTES_MAX + 1]));
        assert_eq!(scope.take_notes().attributes.len(), ATTRIBUTES_MAX);
    }
}
