//! What somebody may have meant by a name that is none.

/// As many edits as a slip of the fingers makes.
const EDITS_MAX: usize = 3;

/// `; did you mean …?`, if one of the names is close.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |known| format!("; did you mean {known}?"))
}

/// The name that is closest, if it is close: as good as the same but for capitals, or a few edits away and
/// no more than half of it.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let edits = |known: &str| strsim::damerau_levenshtein(&lower, &known.to_lowercase());
    let closest = known.into_iter().map(|known| (edits(known), known)).min()?;
    (closest.0 <= EDITS_MAX.min(name.chars().count() / 2)).then_some(closest.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_close_is_meant_and_what_is_far_is_not() {
        let known = ["PlaceOrder", "GetOrder"];
        assert_eq!(nearest("placeorder", known), Some("PlaceOrder"));
        assert_eq!(nearest("GteOrder", known), Some("GetOrder"));
        assert_eq!(nearest("Refund", known), None);
        assert_eq!(nearest("x", ["y"]), None, "one letter for another is no slip");
        assert_eq!(did_you_mean("PlaceOrdr", known), "; did you mean PlaceOrder?");
    }
}
