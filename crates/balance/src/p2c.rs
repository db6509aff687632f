//! The power of two choices (Mitzenmacher 2001): of two endpoints drawn at random, the one with less
//! load. Nearly as even as asking all of them, without the herd that runs to the one best of all.

/// How many pairs are drawn before the available endpoints are counted instead.
const DRAWS: usize = 4;

/// Draws two distinct available endpoints, each pair with the same chance, and returns the index of
/// the one with the lower `load`; of equal ones, the first. `claim` is asked with the lower and the
/// higher one: true gives the call to the higher one nevertheless, so that an endpoint that once was
/// slow is tried again.
///
/// If one is available, it is that one. If none is, two of all are drawn: the endpoint itself then
/// answers why it cannot be called. `None` only if there are no endpoints. `random` gives numbers in
/// \[0, 1). Takes no lock and does not allocate; costs a pass over all endpoints only where many of
/// them are unavailable.
pub fn pick<T>(
    endpoints: &[T],
    is_available: impl Fn(&T) -> bool,
    load: impl Fn(&T) -> f64,
    claim: impl Fn(&T, &T) -> bool,
    mut random: impl FnMut() -> f64,
) -> Option<usize> {
    let compared = |(first, second): (usize, usize)| {
        let is_first_lower = load(&endpoints[first]) <= load(&endpoints[second]);
        let (lower, higher) = if is_first_lower { (first, second) } else { (second, first) };
        if claim(&endpoints[lower], &endpoints[higher]) { higher } else { lower }
    };
    if endpoints.len() < 2 {
        return (!endpoints.is_empty()).then_some(0);
    }
    for _ in 0..DRAWS {
        let (first, second) = draw(endpoints.len(), &mut random);
        if is_available(&endpoints[first]) && is_available(&endpoints[second]) {
            return Some(compared((first, second)));
        }
    }
    let available = endpoints.iter().filter(|endpoint| is_available(endpoint)).count();
    // Availability changes under us: what is not there any more is replaced by what was drawn at first.
    let nth = |n: usize| {
        endpoints.iter().enumerate().filter(|(_, endpoint)| is_available(endpoint)).nth(n).map_or(n, |(i, _)| i)
    };
    Some(match available {
        0 => compared(draw(endpoints.len(), &mut random)),
        1 => nth(0),
        _ => {
            let (first, second) = draw(available, &mut random);
            let (first, second) = (nth(first), nth(second));
            if first == second { first } else { compared((first, second)) }
        }
    })
}

/// Two distinct indexes below `len`, which is at least 2.
fn draw(len: usize, random: &mut impl FnMut() -> f64) -> (usize, usize) {
    let first = index(len, random());
    let second = index(len - 1, random());
    (first, if second >= first { second + 1 } else { second })
}

fn index(len: usize, random: f64) -> usize {
    ((random * len as f64) as usize).min(len - 1)
}

#[cfg(all(test, not(seawall_loom)))]
mod tests;
