//! Bad spells: a fault is told once when it begins and once when it ends, however often it is met.

/// Good → (`failed`) bad → (`worked`) good. Losses of a spell are counted from its first failure.
#[derive(Debug, Default)]
pub(crate) struct Spell {
    lost: Option<u64>,
}

impl Spell {
    /// Counts a failure that lost so much; true if it begins a spell.
    pub(crate) fn failed(&mut self, lost: u64) -> bool {
        let begins = self.lost.is_none();
        self.lost = Some(self.lost.unwrap_or_default() + lost);
        begins
    }

    /// A success; the losses of the spell that it ends, if it ends one.
    pub(crate) fn worked(&mut self) -> Option<u64> {
        self.lost.take()
    }

    /// Whether a spell is on.
    pub(crate) fn is_on(&self) -> bool {
        self.lost.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::Spell;

    #[test]
    fn tells_the_begin_and_the_end_once() {
        let mut spell = Spell::default();
        assert_eq!(spell.worked(), None);
        assert!(spell.failed(3));
        assert!(!spell.failed(4));
        assert!(spell.is_on());
        assert_eq!(spell.worked(), Some(7));
        assert_eq!(spell.worked(), None);
        assert!(spell.failed(0), "a new spell");
    }
}
