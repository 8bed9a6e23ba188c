//! Collecting values from a file, the environment and the flags.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mintcode_core::money::Currency;
use toml::{Table, Value};

use super::keys::{self, KEYS, Key};
use super::value::{Given, Origin, Setting};
use crate::exit::Failure;
use crate::toml_place::{Step, line_at, line_of};

/// The file that is read where none is named and there is one.
const DEFAULT_FILE: &str = "mintcode.toml";
/// Variables that say something to commands which read no configuration.
const OTHER_VARIABLES: &[&str] = &["MINTCODE_SERVER"];

/// A flag of the command line: the key it sets, its own name, and its value if it was given.
pub(crate) type Flag<'a> = (&'static str, &'static str, Option<&'a str>);

/// All values by the names of their keys, each with where it was given.
#[derive(Default)]
pub(crate) struct Sources {
    values: BTreeMap<String, Given>,
    /// Defaults that a mode of running has instead of the usual ones.
    defaults: BTreeMap<&'static str, String>,
}

impl Sources {
    /// Reads `file`, or `mintcode.toml` where there is one, then the process's environment, then `flags`.
    ///
    /// Keys that are not known stop it; variables that are not known are warned about.
    pub(crate) fn load(file: Option<&Path>, flags: &[Flag<'_>]) -> Result<Self, Failure> {
        let mut sources = Self::default();
        match file {
            Some(path) => sources.read_file(path, &read(path)?)?,
            None => match fs::read_to_string(DEFAULT_FILE) {
                Ok(text) => sources.read_file(Path::new(DEFAULT_FILE), &text)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(Path::new(DEFAULT_FILE), &error)),
            },
        }
        for unknown in sources.read_environment(std::env::vars_os())? {
            eprintln!("warning: the variable {unknown} is not known and has no effect");
        }
        sources.read_flags(flags);
        Ok(sources)
    }

    pub(super) fn read_file(&mut self, path: &Path, text: &str) -> Result<(), Failure> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = line_at(text, error.span().map_or(0, |span| span.start));
            let problem = error.message().replace('\n', " ");
            Failure::usage(format!("{}:{line} is not TOML: {problem}", path.display()))
        })?;
        for (name, value) in &table {
            let mut steps = vec![Step::Key(name)];
            match value {
                Value::Table(further) if name == keys::SUPPLIERS => {
                    for (supplier, section) in further {
                        steps.truncate(1);
                        steps.push(Step::Key(supplier));
                        self.read_section(path, text, &steps, section)?;
                    }
                }
                Value::Table(_) => self.read_section(path, text, &steps, value)?,
                value => self.read_key(path, text, &steps, value)?,
            }
        }
        Ok(())
    }

    fn read_section(
        &mut self,
        path: &Path,
        text: &str,
        steps: &[Step<'_>],
        section: &Value,
    ) -> Result<(), Failure> {
        let Value::Table(section) = section else { return Err(unknown(path, text, steps)) };
        let name = join(steps);
        let is_known = name.starts_with("suppliers.")
            || name == keys::RATES
            || KEYS.iter().any(|key| key.name.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.')));
        if !is_known {
            return Err(unknown(path, text, steps));
        }
        for (key, value) in section {
            self.read_key(path, text, &[steps, &[Step::Key(key)]].concat(), value)?;
        }
        Ok(())
    }

    fn read_key(
        &mut self,
        path: &Path,
        text: &str,
        steps: &[Step<'_>],
        value: &Value,
    ) -> Result<(), Failure> {
        let name = join(steps);
        if keys::find(&name).is_none() {
            return Err(unknown(path, text, steps));
        }
        let origin = Origin::File(path.to_owned(), line_of(text, steps));
        self.values.insert(name, Given { value: value.clone(), origin });
        Ok(())
    }

    /// Takes what the environment says and returns the variables that say nothing known. A variable that is empty
    /// is as good as none.
    pub(super) fn read_environment(
        &mut self,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Vec<String>, Failure> {
        let known: BTreeMap<String, &str> =
            KEYS.iter().map(|key| (keys::variable(key.name), key.name)).collect();
        let mut unknown = Vec::new();
        for (variable, value) in variables {
            let Some(variable) = variable.to_str().filter(|name| name.starts_with("MINTCODE_")) else {
                continue;
            };
            let key = known.get(variable).map(|name| (*name).to_owned());
            let key = key.or_else(|| keys::of_rate(variable)).or_else(|| self.of_supplier(variable));
            let Some(key) = key else {
                if !OTHER_VARIABLES.contains(&variable) {
                    unknown.push(variable.to_owned());
                }
                continue;
            };
            let text = value
                .to_str()
                .ok_or_else(|| Failure::usage(format!("{key} from {variable} is not UTF-8")))?;
            if !text.is_empty() {
                self.values.insert(key, Given::text(text, Origin::Variable(variable.to_owned())));
            }
        }
        unknown.sort();
        Ok(unknown)
    }

    /// The key of a further supplier that `variable` sets: `MINTCODE_SUPPLIERS_NAME_KEY`.
    fn of_supplier(&self, variable: &str) -> Option<String> {
        let rest = variable.strip_prefix("MINTCODE_SUPPLIERS_")?;
        let (name, key) = keys::of_a_supplier().find_map(|key| {
            let name = rest.strip_suffix(&key.to_ascii_uppercase())?.strip_suffix('_')?;
            (!name.is_empty()).then_some((name, key))
        })?;
        // A name from the file may have characters that a variable cannot have.
        let written = self
            .further_suppliers()
            .into_iter()
            .find(|written| keys::variable(&format!("suppliers.{written}.{key}")) == variable);
        Some(format!("suppliers.{}.{key}", written.unwrap_or_else(|| name.to_ascii_lowercase())))
    }

    pub(super) fn read_flags(&mut self, flags: &[Flag<'_>]) {
        for (key, flag, value) in flags {
            if let Some(value) = value {
                self.values.insert((*key).to_owned(), Given::text(value, Origin::Flag(flag)));
            }
        }
    }

    /// Forgets what file and environment say about keys that begin so; flags stay.
    pub(crate) fn forget(&mut self, prefixes: &[&str]) {
        self.values.retain(|name, given| {
            matches!(given.origin, Origin::Flag(_)) || !prefixes.iter().any(|prefix| name.starts_with(prefix))
        });
    }

    /// Lets `value` hold where `key` is not set.
    pub(crate) fn set_default(&mut self, key: &'static str, value: impl Into<String>) {
        self.defaults.insert(key, value.into());
    }

    /// The currencies whose rates are given.
    pub(super) fn rated(&self) -> impl Iterator<Item = Currency> {
        self.values.keys().filter_map(|name| name.strip_prefix("rates.")?.parse().ok())
    }

    /// The names of the suppliers beside the default one.
    pub(super) fn further_suppliers(&self) -> BTreeSet<String> {
        let of = |name: &String| Some(name.strip_prefix("suppliers.")?.rsplit_once('.')?.0.to_owned());
        self.values.keys().filter_map(of).collect()
    }

    /// Checks every value that was given, needed or not.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        for (name, given) in &self.values {
            let key = keys::find(name).expect("only known keys are taken in");
            (key.check)(given).map_err(|expected| malformed(key, name, given, &expected))?;
        }
        Ok(())
    }

    /// Whether `name` was set anywhere.
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Where the value of `name` comes from.
    pub(super) fn origin(&self, name: &str) -> Origin {
        self.values.get(name).map_or(Origin::Default, |given| given.origin.clone())
    }

    /// The value of `name`, or its default; `None` where it has neither.
    pub(super) fn optional<T: Setting>(&self, name: &str) -> Result<Option<T>, Failure> {
        let key = keys::find(name).expect("only known keys are asked for");
        let default = self.defaults.get(name).map(String::as_str).or(key.default);
        let given = match (self.values.get(name), default) {
            (Some(given), _) => given.clone(),
            (None, Some(default)) => Given::text(default, Origin::Default),
            (None, None) => return Ok(None),
        };
        given.read().map(Some).map_err(|expected| malformed(key, name, &given, &expected))
    }

    /// The value of `name`, which has to be there.
    pub(super) fn required<T: Setting>(&self, name: &str) -> Result<T, Failure> {
        self.optional(name)?.ok_or_else(|| missing(name))
    }
}

/// What is said where `name` has to be set and is not.
pub(super) fn missing(name: &str) -> Failure {
    let place = match name.rsplit_once('.') {
        Some((section, key)) => format!("{key} under [{section}]"),
        None => name.to_owned(),
    };
    let variable = keys::variable(name);
    Failure::usage(format!("{name} is missing; set the variable {variable}, or {place} in {DEFAULT_FILE}"))
}

/// What is said about a value that cannot be used.
pub(super) fn refused(name: &str, origin: &Origin, expected: &str) -> Failure {
    Failure::usage(format!("{name}, from {origin}, cannot be used; expected {expected}"))
}

fn malformed(key: &Key, name: &str, given: &Given, expected: &str) -> Failure {
    if key.is_secret {
        return refused(name, &given.origin, expected);
    }
    Failure::usage(format!("{name}, from {}, is {}; expected {expected}", given.origin, given.shown()))
}

fn unknown(path: &Path, text: &str, steps: &[Step<'_>]) -> Failure {
    let (name, line) = (join(steps), line_of(text, steps));
    let known = "mintcode.example.toml has all keys";
    Failure::usage(format!("{name}, from {}:{line}, is not known; {known}", path.display()))
}

fn join(steps: &[Step<'_>]) -> String {
    let name = |step: &Step<'_>| match step {
        Step::Key(name) => (*name).to_owned(),
        Step::Index(index) => index.to_string(),
    };
    steps.iter().map(name).collect::<Vec<_>>().join(".")
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!(
        "the configuration file {} cannot be read: {error}",
        PathBuf::from(path).display()
    ))
}
