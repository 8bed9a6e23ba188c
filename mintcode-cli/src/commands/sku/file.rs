//! The SKU file: reading it with errors that name line and key, and writing one SKU as such a file.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use mintcode_core::ports::SkuError;
use mintcode_core::sku::{FieldError, Sku, SkuSpec};
use serde::Deserialize;

use crate::exit::{Failure, chain};
use crate::toml_place::{Step, key_on, line_at, line_of};

/// A SKU file whose SKUs are each in order.
pub(in crate::commands) struct SkuFile {
    pub(in crate::commands) skus: Vec<Sku>,
    path: PathBuf,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    sku: Vec<SkuSpec>,
}

impl SkuFile {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path);
        let text =
            text.map_err(|error| Failure::work(format!("{} cannot be read: {error}", path.display())))?;
        Self::parse(path, text)
    }

    pub(in crate::commands) fn parse(path: &Path, text: String) -> Result<Self, Failure> {
        let tables: Tables = toml::from_str(&text).map_err(|error| unreadable(path, &text, &error))?;
        let mut file = Self { skus: Vec::new(), path: path.to_owned(), text };
        if tables.sku.is_empty() {
            return Err(Failure::work(format!(
                "{} has no [[sku]]; `mintcode sku apply --help` shows one",
                path.display()
            )));
        }
        for (index, spec) in tables.sku.into_iter().enumerate() {
            let sku = Sku::try_from(spec).map_err(|errors| file.malformed(index, &errors))?;
            let twin = |other: &Sku| match (other.id == sku.id, other.label == sku.label) {
                (true, _) => Some("id"),
                (false, true) => Some("label"),
                (false, false) => None,
            };
            if let Some(field) = file.skus.iter().find_map(twin) {
                return Err(
                    file.malformed(index, &[FieldError::new(field, "is that of another SKU of this file")])
                );
            }
            file.skus.push(sku);
        }
        Ok(file)
    }

    /// What is said about SKU number `index`, from 0, that is not taken.
    pub(super) fn refused(&self, index: usize, error: &SkuError) -> Failure {
        let (field, message) = match error {
            SkuError::Fixed(field) => {
                (*field, "is fixed once a batch exists; give the change an id of its own")
            }
            SkuError::LabelTaken => ("label", "belongs to another SKU; choose another one"),
            SkuError::Invalid(error) => return self.malformed(index, std::slice::from_ref(error)),
            SkuError::Denied(errors) => return self.malformed(index, errors),
            SkuError::NoSku | SkuError::NoPlan | SkuError::Exists | SkuError::Storage(_) => {
                return Failure::work(format!("{}: {}", self.path.display(), chain(error)));
            }
        };
        self.malformed(index, &[FieldError::new(field, message)])
    }

    fn malformed(&self, index: usize, errors: &[FieldError]) -> Failure {
        let lines = errors.iter().map(|FieldError { field, message }| {
            let fields = steps(field);
            let line =
                line_of(&self.text, &[&[Step::Key("sku"), Step::Index(index)], fields.as_slice()].concat());
            format!("{}:{line}: sku[{index}].{field} {message}", self.path.display())
        });
        let mut lines: Vec<_> = lines.collect();
        if lines.len() > 3 {
            let more = lines.len() - 2;
            lines.truncate(2);
            lines.push(format!("and {more} more"));
        }
        Failure::work(lines.join("\n"))
    }
}

/// The steps of a path such as `plan[1].operator`.
fn steps(field: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for part in field.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, rest)) => (name, rest.trim_end_matches(']').parse().ok()),
            None => (part, None),
        };
        steps.push(Step::Key(name));
        steps.extend(index.map(Step::Index));
    }
    steps
}

fn unreadable(path: &Path, text: &str, error: &toml::de::Error) -> Failure {
    let line = line_at(text, error.span().map_or(0, |span| span.start));
    let message = error.message().trim().replace('\n', " ");
    let key = key_on(text, line)
        .filter(|key| !message.contains(*key))
        .map_or_else(String::new, |key| format!("{key}: "));
    Failure::work(format!("{}:{line}: {key}{message}", path.display()))
}

/// `sku` as a file that can be applied.
pub(super) fn written(sku: &Sku) -> Result<String, Box<dyn Error>> {
    let mut value = toml::Value::try_from(sku)?;
    if let Some(table) = value.as_table_mut() {
        table.remove("archived");
        if let Some(plans) = table.remove("plans") {
            table.insert("plan".to_owned(), plans);
        }
    }
    let note = if sku.archived { "# archived: applying this puts it back on sale\n" } else { "" };
    let file = toml::Table::from_iter([("sku".to_owned(), toml::Value::Array(vec![value]))]);
    Ok(format!("{note}{}", toml::to_string(&file)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[sku]]
id = "one"
name = { en = "One", zh = "一" }
label = "ONE"
product = "telegram"
price = "0.80"
[sku.policy]
max_duration = "3s"
max_cost = "0.30"
[[sku.plan]]
id = "A"
country = "canada"
operator = "virtual4"
expected_cost = "0.12"
max_cost = "0.20"
"#;

    fn error_of(text: &str) -> String {
        let failure = SkuFile::parse(Path::new("s.toml"), text.to_owned()).err().expect("the file is bad");
        format!("{failure:?}")
    }

    #[test]
    fn what_is_shown_can_be_applied_again() {
        let file = SkuFile::parse(Path::new("s.toml"), GOOD.to_owned()).unwrap();
        let again = SkuFile::parse(Path::new("t.toml"), written(&file.skus[0]).unwrap()).unwrap();
        assert_eq!(again.skus, file.skus);
    }

    #[test]
    fn an_error_names_file_line_and_key() {
        for (from, to, expected) in [
            (
                "operator = \"virtual4\"",
                "operator = \"any\"",
                "s.toml:14: sku[0].plan[0].operator must name one operator",
            ),
            ("max_duration = \"3s\"", "max_duration = \"3\"", "s.toml:9: max_duration: "),
            ("max_duration", "max_durations", "s.toml:9: unknown field `max_durations`"),
            ("price = \"0.80\"", "price = 0.80", "s.toml:7: price: "),
            ("label = \"ONE\"\n", "", "missing field `label`"),
            ("id = \"one\"", "id = ", "s.toml:3: "),
            ("\n[[sku]]", "extra = 1\n[[sku]]", "s.toml:1: unknown field `extra`"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            let error = error_of(&text);
            assert!(error.contains(expected), "{from}: {error}");
        }
    }

    #[test]
    fn two_skus_of_one_file_share_neither_id_nor_label() {
        let other = GOOD.replace("\"one\"", "\"two\"");
        assert!(error_of(&format!("{GOOD}{GOOD}")).contains(":19: sku[1].id is that of another"));
        assert!(error_of(&format!("{GOOD}{other}")).contains(":21: sku[1].label is that of another"));
    }
}
