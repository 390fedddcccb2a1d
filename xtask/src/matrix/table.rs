//! What came of each target, as a table: for people, for programs, and put together from several machines' tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::ValueEnum;
use conformance::family::Family;
use serde::{Deserialize, Serialize};

/// What came of one area on one target. These four are never mixed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", content = "of", rename_all = "snake_case")]
pub(super) enum Cell {
    /// It ran, with so many of each verdict.
    Ran { verdicts: BTreeMap<String, usize> },
    /// It was built, and nothing here runs it.
    BuiltOnly,
    /// It was not tried, for this reason.
    Skipped(String),
    /// It was tried and could not be done.
    Failed(String),
}

/// What is found where all is well: of a pair, and of a fault.
const GOOD: [&str; 2] = ["pass", "found"];

/// What is not found where all is well.
pub(super) fn is_bad(verdict: &str) -> bool {
    ["fail", "warn", "harness_fault", "missed"].contains(&verdict)
}

/// A target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) target: String,
    /// What it is, and what ran it, with its version.
    pub(super) system: String,
    pub(super) cells: BTreeMap<String, Cell>,
}

/// All of them.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
}

impl Cell {
    fn in_words(&self) -> String {
        match self {
            Cell::Ran { verdicts } => {
                let mut counts: Vec<_> = verdicts.iter().collect();
                // Most first: what is rare is what is looked for, and stands alone at the end.
                counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
                let counts = counts.iter().map(|(verdict, count)| format!("{count} {}", verdict.replace('_', " ")));
                format!("ran: {}", counts.collect::<Vec<_>>().join(", "))
            }
            Cell::BuiltOnly => "built only".into(),
            Cell::Skipped(reason) => format!("skipped ({reason})"),
            Cell::Failed(reason) => format!("failed: {reason}"),
        }
    }

    /// It ran, something was found to hold, and nothing not to.
    fn conforms(&self) -> bool {
        let Cell::Ran { verdicts } = self else { return false };
        GOOD.iter().any(|good| verdicts.contains_key(*good)) && verdicts.keys().all(|verdict| !is_bad(verdict))
    }
}

impl Row {
    pub(super) fn in_words(&self) -> String {
        let cells = self.cells.iter().map(|(area, cell)| format!("   {area}: {}", cell.in_words()));
        std::iter::once(format!("   {}", self.system)).chain(cells).collect::<Vec<_>>().join("\n")
    }
}

impl Table {
    /// Adds a row; of two of the same target, by whatever runs it, the later one stays.
    pub(super) fn add(&mut self, row: Row) {
        self.rows.retain(|before| (&before.target, &before.system) != (&row.target, &row.system));
        self.rows.push(row);
    }

    /// What does not hold for targets that must run and conform.
    pub(super) fn lacking(&self, required: &[String]) -> Vec<String> {
        let mut lacking = Vec::new();
        for triple in required {
            let rows: Vec<_> = self.rows.iter().filter(|row| row.target == *triple).collect();
            if rows.is_empty() {
                lacking.push(format!("{triple} is not in the table"));
            }
            for (area, cell) in rows.iter().flat_map(|row| &row.cells).filter(|(_, cell)| !cell.conforms()) {
                lacking.push(format!("{triple}, {area}: {}", cell.in_words()));
            }
        }
        lacking
    }

    /// As a table for people.
    pub(super) fn markdown(&self) -> String {
        let mut areas: Vec<&String> = self.rows.iter().flat_map(|row| row.cells.keys()).collect();
        // The families in the order in which everything has them, and what is no family behind them.
        let place = |area: &String| Family::value_variants().iter().position(|family| family.to_string() == *area);
        areas.sort_by_key(|area| (place(area).unwrap_or(usize::MAX), *area));
        areas.dedup();
        let mut text = String::from("| target | what ran it |");
        areas.iter().for_each(|area| _ = write!(text, " {area} |"));
        text.push_str("\n| --- | --- |");
        areas.iter().for_each(|_| text.push_str(" --- |"));
        for row in &self.rows {
            let _ = write!(text, "\n| `{}` | {} |", row.target, row.system);
            for area in &areas {
                let cell = row.cells.get(*area).map(Cell::in_words).unwrap_or_default();
                // What a tool said may have anything in it.
                let _ = write!(text, " {} |", cell.replace(['|', '\n'], " "));
            }
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(verdicts: &[(&str, usize)]) -> Cell {
        Cell::Ran { verdicts: verdicts.iter().map(|(verdict, count)| ((*verdict).to_owned(), *count)).collect() }
    }

    fn row(target: &str, system: &str, cell: Cell) -> Row {
        Row { target: target.into(), system: system.into(), cells: BTreeMap::from([("watchdog".to_owned(), cell)]) }
    }

    #[test]
    fn each_status_has_its_own_words_and_none_breaks_the_table() {
        let mut table = Table::default();
        table.add(row("a", "x", ran(&[("fail", 1), ("pass", 20), ("not_applicable", 3)])));
        table.add(row("b", "x", Cell::BuiltOnly));
        table.add(row("c", "x", Cell::Skipped("no | runner".into())));
        table.add(row("d", "x", Cell::Failed("two\nlines".into())));
        let expected = "| target | what ran it | watchdog |\n| --- | --- | --- |\n\
                        | `a` | x | ran: 20 pass, 3 not applicable, 1 fail |\n| `b` | x | built only |\n\
                        | `c` | x | skipped (no   runner) |\n| `d` | x | failed: two lines |\n";
        assert_eq!(table.markdown(), expected);
    }

    #[test]
    fn what_is_required_has_to_run_and_to_conform() {
        let mut table = Table::default();
        table.add(row("good", "x", ran(&[("pass", 1), ("inconclusive", 1)])));
        table.add(row("bad", "x", ran(&[("pass", 1), ("fail", 1)])));
        table.add(row("built", "x", Cell::BuiltOnly));
        table.add(row("missed", "x", ran(&[("found", 1), ("missed", 1)])));
        table.add(row("nothing", "x", ran(&[("inconclusive", 1)])));
        let lacking =
            |names: &[&str]| table.lacking(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).len();
        assert_eq!(lacking(&["good"]), 0);
        for other in ["bad", "built", "missed", "nothing", "not there"] {
            assert_eq!(lacking(&["good", other]), 1, "{other}");
        }
    }

    #[test]
    fn tables_of_several_machines_are_put_together() {
        let mut table = Table::default();
        table.add(row("a", "here", Cell::BuiltOnly));
        table.add(row("a", "there", ran(&[("pass", 1)])));
        table.add(row("a", "here", Cell::Skipped("later".into())));
        let text = serde_json::to_string(&table).unwrap();
        let again: Table = serde_json::from_str(&text).unwrap();
        assert_eq!(again, table);
        assert_eq!(again.rows.iter().map(|row| row.system.as_str()).collect::<Vec<_>>(), ["there", "here"]);
    }
}
