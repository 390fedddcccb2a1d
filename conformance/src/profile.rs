//! A profile: which requirements are graded, and a dialect that is stated rather than learned. A TOML file.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::dialect::Dialect;
use crate::spec::{Requirement, Source, requirements};

/// What an instructor or an engineer fixes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name, for reports; without one, its file's.
    #[serde(default)]
    pub name: String,
    /// The kinds of source whose requirements are graded; the others give advice.
    #[serde(default = "by_default")]
    pub grades: Vec<Grade>,
    /// Requirements, or areas, that are not run at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<String>,
    /// What the models file fixes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
}

/// A kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// The assignment's own sentences.
    Assignment,
    /// The notes on Go and processes.
    Notes,
    /// This project's rules.
    House,
}

fn by_default() -> Vec<Grade> {
    vec![Grade::Assignment]
}

impl Default for Profile {
    /// Silence of the document is freedom: only the assignment is graded, and nothing is stated.
    fn default() -> Self {
        Profile { name: "assignment".to_owned(), grades: by_default(), skip: Vec::new(), dialect: None }
    }
}

impl Profile {
    /// Reads a file; the error names it and says what is wrong.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("profile {}: {e}", path.display()))?;
        let mut profile: Profile = toml::from_str(&text).map_err(|e| format!("profile {}: {e}", path.display()))?;
        if profile.name.is_empty() {
            profile.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        }
        let all = requirements();
        // A typing error here would grade what was to be left out, and nobody would notice.
        match profile.skip.iter().find(|skip| !all.iter().any(|r| matches(r, skip))) {
            None => Ok(profile),
            Some(unknown) => {
                let file = path.display();
                Err(format!(
                    "profile {file}: skip `{unknown}`: expected a requirement's id or an area; --list shows them"
                ))
            }
        }
    }

    /// The requirement counts for the exit status.
    pub fn grades(&self, requirement: &Requirement) -> bool {
        match requirement.source {
            Source::Assignment(_) => self.grades.contains(&Grade::Assignment),
            Source::Notes => self.grades.contains(&Grade::Notes),
            Source::House => self.grades.contains(&Grade::House),
            // Who states a dialect wants to know when it is not spoken.
            Source::Profile => true,
        }
    }

    /// The requirement is to be run.
    pub fn selects(&self, requirement: &Requirement) -> bool {
        !self.skip.iter().any(|s| matches(requirement, s))
    }
}

/// Whether `what` is the requirement's id or its area.
pub fn matches(requirement: &Requirement, what: &str) -> bool {
    requirement.id == what || requirement.area() == what
}
