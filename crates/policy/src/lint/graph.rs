//! Who calls whom.

use crate::contract::{Contract, MethodId};

/// The calls between the methods of a contract, in both directions. Calls of unknown methods are
/// left out.
pub(super) struct Graph {
    calls: Vec<Vec<MethodId>>,
    callers: Vec<Vec<MethodId>>,
    ids: Vec<MethodId>,
}

/// How far a walk has come with a method.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    Not,
    OnPath,
    Done,
}

impl Graph {
    pub(super) fn new(contract: &Contract) -> Self {
        let ids: Vec<MethodId> = contract.methods().map(|(id, _)| id).collect();
        let mut graph = Self { calls: vec![Vec::new(); ids.len()], callers: vec![Vec::new(); ids.len()], ids };
        for (id, method) in contract.methods() {
            for callee in method.calls.iter().filter_map(|call| contract.by_name(call)) {
                graph.calls[id.index()].push(callee);
                graph.callers[callee.index()].push(id);
            }
        }
        graph
    }

    /// What a method calls, as often as it is listed.
    pub(super) fn calls(&self, id: MethodId) -> &[MethodId] {
        &self.calls[id.index()]
    }

    pub(super) fn callers(&self, id: MethodId) -> &[MethodId] {
        &self.callers[id.index()]
    }

    /// Circles of calls, at least one of each group of methods that call each other.
    pub(super) fn cycles(&self) -> Vec<Vec<MethodId>> {
        let mut visits = vec![Visit::Not; self.ids.len()];
        let mut cycles = Vec::new();
        for id in &self.ids {
            self.walk(*id, &mut Vec::new(), &mut visits, &mut cycles);
        }
        cycles
    }

    fn walk(&self, id: MethodId, path: &mut Vec<MethodId>, visits: &mut [Visit], cycles: &mut Vec<Vec<MethodId>>) {
        match visits[id.index()] {
            Visit::Done => return,
            Visit::OnPath => {
                let cycle: Vec<MethodId> = path.iter().copied().skip_while(|visited| *visited != id).collect();
                if !cycles.contains(&cycle) {
                    cycles.push(cycle);
                }
                return;
            }
            Visit::Not => {}
        }
        visits[id.index()] = Visit::OnPath;
        path.push(id);
        for callee in self.calls(id) {
            self.walk(*callee, path, visits, cycles);
        }
        path.pop();
        visits[id.index()] = Visit::Done;
    }

    /// For each method at which the product of the weights first exceeds `max`: the path to it whose
    /// product is the greatest. Circles are cut.
    pub(super) fn heaviest_paths(&self, weight: impl Fn(MethodId) -> u64, max: u64) -> Vec<Vec<MethodId>> {
        let mut found: Vec<Option<Heaviest>> = vec![None; self.ids.len()];
        let mut is_open = vec![false; self.ids.len()];
        for id in &self.ids {
            self.heaviest(*id, &weight, &mut found, &mut is_open);
        }
        let product = |id: &MethodId| found[id.index()].map_or(1, |heaviest| heaviest.product);
        let before = |id: &MethodId| found[id.index()].and_then(|heaviest| heaviest.caller);
        let first =
            self.ids.iter().filter(|id| product(id) > max && before(id).is_none_or(|caller| product(&caller) <= max));
        first
            .map(|id| {
                let mut path: Vec<MethodId> = std::iter::successors(Some(*id), |id| before(id)).collect();
                path.reverse();
                path
            })
            .collect()
    }

    fn heaviest(
        &self,
        id: MethodId,
        weight: &impl Fn(MethodId) -> u64,
        found: &mut [Option<Heaviest>],
        is_open: &mut [bool],
    ) -> Option<u64> {
        if let Some(heaviest) = found[id.index()] {
            return Some(heaviest.product);
        }
        if is_open[id.index()] {
            return None;
        }
        is_open[id.index()] = true;
        let mut best = Heaviest { product: weight(id), caller: None };
        for caller in self.callers(id) {
            let Some(product) = self.heaviest(*caller, weight, found, is_open) else { continue };
            let product = product.saturating_mul(weight(id));
            // A path that is as heavy as none at all is still the one that calls take.
            if best.caller.is_none() || product > best.product {
                best = Heaviest { product, caller: Some(*caller) };
            }
        }
        is_open[id.index()] = false;
        found[id.index()] = Some(best);
        Some(best.product)
    }
}

/// The heaviest path to a method.
#[derive(Clone, Copy)]
struct Heaviest {
    product: u64,
    caller: Option<MethodId>,
}
