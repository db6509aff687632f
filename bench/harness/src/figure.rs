//! What is measured beside what it should be.

use std::fmt;

use crate::statistics::Spread;

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(goal) => write!(f, ">={goal}"),
            Self::AtMost(goal) => write!(f, "<={goal}"),
        }
    }
}

/// What can be said of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it should be.
    Ok,
    /// It is not.
    Short,
    /// It was not measured, or differs from its goal by less than its spread.
    Unclear,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Short => "short",
            Self::Unclear => "unclear",
        })
    }
}

/// A figure. Printed, it is one line: `figure NAME VALUE goal GOAL ok|short|unclear`, and what there is to say of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    name: String,
    /// Without a spread, if it is the same each time; `None` if it was not measured.
    value: Option<Spread>,
    goal: Goal,
    note: String,
}

impl Figure {
    /// One that is counted.
    pub fn counted(name: impl Into<String>, value: f64, goal: Goal) -> Self {
        Self::measured(name, Spread { low: value, median: value, high: value }, goal)
    }

    /// One that is measured.
    pub fn measured(name: impl Into<String>, value: Spread, goal: Goal) -> Self {
        Self { name: name.into(), value: Some(value), goal, note: String::new() }
    }

    /// One that could not be measured, with the reason.
    pub fn missing(name: impl Into<String>, goal: Goal, reason: impl Into<String>) -> Self {
        Self { name: name.into(), value: None, goal, note: reason.into() }
    }

    /// Says something of it.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// What can be said of it: nothing, where the goal lies within the spread.
    pub fn verdict(&self) -> Verdict {
        let Some(Spread { low, high, .. }) = self.value else { return Verdict::Unclear };
        match self.goal {
            Goal::AtLeast(goal) if low >= goal => Verdict::Ok,
            Goal::AtLeast(goal) if high < goal => Verdict::Short,
            Goal::AtMost(goal) if high <= goal => Verdict::Ok,
            Goal::AtMost(goal) if low > goal => Verdict::Short,
            _ => Verdict::Unclear,
        }
    }

    /// The same as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name,
            "value": self.value.map(|value| value.median),
            "low": self.value.map(|value| value.low),
            "high": self.value.map(|value| value.high),
            "goal": self.goal.to_string(),
            "verdict": self.verdict().to_string(),
            "note": self.note,
        })
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "figure {} ", self.name)?;
        match self.value {
            Some(value) => write!(f, "{}", number(value.median))?,
            None => f.write_str("-")?,
        }
        write!(f, " goal {} {}", self.goal, self.verdict())?;
        match self.value {
            Some(Spread { low, high, .. }) if low < high => write!(f, " [{} to {}]", number(low), number(high))?,
            _ => {}
        }
        if !self.note.is_empty() {
            write!(f, " ({})", self.note)?;
        }
        Ok(())
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(low: f64, high: f64, goal: Goal) -> Verdict {
        Figure::measured("a", Spread { low, median: f64::midpoint(low, high), high }, goal).verdict()
    }

    #[test]
    fn there_is_no_verdict_where_the_goal_lies_within_the_spread() {
        assert_eq!(verdict(1.1, 1.3, Goal::AtLeast(1.2)), Verdict::Unclear);
        assert_eq!(verdict(1.2, 1.3, Goal::AtLeast(1.2)), Verdict::Ok);
        assert_eq!(verdict(1.0, 1.1, Goal::AtLeast(1.2)), Verdict::Short);
        assert_eq!(verdict(1.1, 1.3, Goal::AtMost(1.2)), Verdict::Unclear);
        assert_eq!(verdict(1.0, 1.2, Goal::AtMost(1.2)), Verdict::Ok);
        assert_eq!(verdict(1.3, 1.4, Goal::AtMost(1.2)), Verdict::Short);
    }

    #[test]
    fn a_figure_is_a_line() {
        let figure = Figure::counted("size/added", 2.456, Goal::AtMost(2.5));
        assert_eq!(figure.to_string(), "figure size/added 2.46 goal <=2.5 ok");
        let missing = Figure::missing("size/added", Goal::AtMost(2.5), "no valgrind");
        assert_eq!(missing.to_string(), "figure size/added - goal <=2.5 unclear (no valgrind)");
        let spread = Spread { low: 1.0, median: 1.5, high: 12.04 };
        let measured = Figure::measured("time", spread, Goal::AtLeast(0.5));
        assert_eq!(measured.to_string(), "figure time 1.50 goal >=0.5 ok [1.00 to 12.0]");
    }
}
