//! What each method has of its own, remade when its part of the policy changes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use crate::{MethodId, MethodPolicy, Policies};

type ConfigOf<C> = fn(&MethodPolicy) -> Option<&C>;
type Make<C, T> = dyn Fn(&str, &MethodPolicy, &C) -> Option<Arc<T>> + Send + Sync;

/// A breaker, a limiter or the like for each method, made when its method is first called.
///
/// It goes on with all that it has learnt while its own settings stay the same, and begins afresh
/// when a reload changes them. Finding it takes no lock and does not allocate.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Instant;
/// use seawall_breaker::Breaker;
/// use seawall_policy::{Contract, PerMethod, Policies};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policies = Policies::try_new(Contract::try_new(&[seawall_proto::FILE_DESCRIPTOR_SET])?, None)?;
/// let breakers = PerMethod::new(policies, |policy| Some(&policy.breaker), |method, _, config| {
///     Breaker::try_new("user", method, config.clone(), Instant::now()).ok().map(Arc::new)
/// });
/// assert!(breakers.get("/seawall.user.v1.UserService/GetUser").is_some());
/// # Ok(())
/// # }
/// ```
pub struct PerMethod<C, T> {
    policies: Policies,
    config_of: ConfigOf<C>,
    make: Box<Make<C, T>>,
    hand_on: Option<fn(&T, &T)>,
    slots: Box<[ArcSwapOption<Slot<T>>]>,
    /// Held while one is made, so that there are never two for the same settings.
    making: Mutex<()>,
}

struct Slot<T> {
    policy: Arc<MethodPolicy>,
    made: Option<Arc<T>>,
}

impl<C: PartialEq, T> PerMethod<C, T> {
    /// `config_of` is the part of a policy that matters; `make` makes one from it, given the name of
    /// the method (`package.Service/Method`, or `other`).
    pub fn new(
        policies: Policies,
        config_of: ConfigOf<C>,
        make: impl Fn(&str, &MethodPolicy, &C) -> Option<Arc<T>> + Send + Sync + 'static,
    ) -> Self {
        let slots = (0..policies.contract().ids()).map(|_| ArcSwapOption::empty()).collect();
        Self { policies, config_of, make: Box::new(make), hand_on: None, slots, making: Mutex::new(()) }
    }

    /// Calls `hand_on` with a new one and the one whose place it takes when a reload changes its
    /// settings: for what is not of the settings, such as what an operator has it do.
    #[must_use]
    pub fn handing_on(mut self, hand_on: fn(&T, &T)) -> Self {
        self.hand_on = Some(hand_on);
        self
    }

    /// The one of the method with this path; `None` if its policy asks for none.
    pub fn get(&self, path: &str) -> Option<Arc<T>> {
        let id = self.policies.contract().id_or_other(path);
        let slot = self.slots[id.index()].load();
        match &*slot {
            Some(slot) if self.policies.with_id(id, |policy| Arc::ptr_eq(&slot.policy, policy)) => slot.made.clone(),
            _ => self.remake(id),
        }
    }

    /// The one of the method with this path as it was last called; `None` if it never was.
    pub fn made(&self, path: &str) -> Option<Arc<T>> {
        let id = self.policies.contract().id_or_other(path);
        self.slots[id.index()].load().as_ref()?.made.clone()
    }

    #[cold]
    fn remake(&self, id: MethodId) -> Option<Arc<T>> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let policy = self.policies.get(id);
        let slot = &self.slots[id.index()];
        let before = slot.load_full();
        let kept = before.as_ref().filter(|slot| (self.config_of)(&slot.policy) == (self.config_of)(&policy));
        let made = match kept {
            Some(slot) => slot.made.clone(),
            None => (self.config_of)(&policy).and_then(|config| {
                let name = self.policies.contract().method(id).map_or("other", |method| &method.name);
                (self.make)(name, &policy, config)
            }),
        };
        if let (Some(hand_on), Some(made), Some(before)) = (self.hand_on, &made, before.and_then(|it| it.made.clone()))
            && !Arc::ptr_eq(made, &before)
        {
            hand_on(made, &before);
        }
        slot.store(Some(Arc::new(Slot { policy, made: made.clone() })));
        made
    }
}

impl<C, T> fmt::Debug for PerMethod<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerMethod").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use seawall_breaker::{Breaker, Forced};

    use super::*;
    use crate::Contract;

    const PATH: &str = "/seawall.user.v1.UserService/GetUser";

    #[test]
    fn a_breaker_that_is_forced_open_stays_so_when_its_settings_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.toml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write("");
        let contract = Contract::try_new(&[seawall_proto::FILE_DESCRIPTOR_SET]).unwrap();
        let policies = Policies::try_new(contract, Some(file.clone())).unwrap();
        let breakers = PerMethod::new(
            policies.clone(),
            |policy| Some(&policy.breaker),
            |method, _, config| Breaker::try_new("user", method, config.clone(), Instant::now()).ok().map(Arc::new),
        )
        .handing_on(Breaker::take_over);
        breakers.get(PATH).unwrap().force(Forced::Open);
        write("[default]\nbreaker.kind = \"three_state\"");
        policies.reload().unwrap();
        assert_eq!(breakers.get(PATH).unwrap().forced(), Some(Forced::Open));
    }

    #[test]
    fn one_is_kept_until_its_own_settings_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.toml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write("");
        let contract = Contract::try_new(&[seawall_proto::FILE_DESCRIPTOR_SET]).unwrap();
        let policies = Policies::try_new(contract, Some(file.clone())).unwrap();
        let breakers = PerMethod::new(
            policies.clone(),
            |policy| Some(&policy.breaker),
            |method, _, config| Breaker::try_new("user", method, config.clone(), Instant::now()).ok().map(Arc::new),
        );
        let first = breakers.get(PATH).unwrap();
        assert!(Arc::ptr_eq(&first, &breakers.get(PATH).unwrap()));

        write("[default]\nbudget = \"7s\"");
        policies.reload().unwrap();
        assert!(Arc::ptr_eq(&first, &breakers.get(PATH).unwrap()), "its settings are the same");

        write("[default]\nbreaker.kind = \"three_state\"");
        policies.reload().unwrap();
        let second = breakers.get(PATH).unwrap();
        assert!(!Arc::ptr_eq(&first, &second), "it must have the new settings");
        assert!(breakers.made(PATH).is_some() && breakers.made("/nobody.Knows/This").is_none());
        assert!(!Arc::ptr_eq(&second, &breakers.get("/nobody.Knows/This").unwrap()));
    }
}
