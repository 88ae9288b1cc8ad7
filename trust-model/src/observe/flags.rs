//! Command lines: words, flags, and what upstream's parsers make of them.

use std::collections::BTreeMap;

/// The words of a command line as a shell separates them: quotes, backslashes, white space. Nothing is expanded.
/// Octet 0 separates too, as `/proc/<pid>/cmdline` writes it.
pub(super) fn words(text: &str, max: usize) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let (mut word, mut begun, mut quote) = (String::new(), false, None);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), character) if character == open => quote = None,
            // A backslash before the end of a line continues the line, and begins no word.
            (None | Some('"'), '\\') => {
                if let Some(next) = characters.next().filter(|next| *next != '\n') {
                    begun = true;
                    word.push(next);
                }
            }
            (Some(_), character) => word.push(character),
            (None, '\'' | '"') => (quote, begun) = (Some(character), true),
            (None, character) if character.is_whitespace() || character == '\0' => {
                if core::mem::take(&mut begun) {
                    words.push(core::mem::take(&mut word));
                }
            }
            (None, character) => {
                begun = true;
                word.push(character);
            }
        }
        if words.len() > max {
            return Err(format!("more than {max} words"));
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    if begun {
        words.push(word);
    }
    Ok(words)
}

/// The flags that a component knows.
pub(super) struct Known {
    /// Those that stand alone when they are true.
    pub(super) switches: &'static [&'static str],
    /// Those that the model is made of, and have a value.
    pub(super) used: &'static [&'static str],
    /// Those that decide about no path.
    pub(super) indifferent: &'static [&'static str],
}

impl Known {
    fn is_switch(&self, name: &str) -> bool {
        self.switches.contains(&name)
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        [self.switches, self.used, self.indifferent, COMMON].iter().any(|flags| flags.contains(&name))
    }
}

/// What every component of Kubernetes takes: logging (`k8s.io/component-base/logs`) and feature gates.
const COMMON: &[&str] = &[
    "v",
    "vmodule",
    "logging-format",
    "log-dir",
    "log-file",
    "log-file-max-size",
    "log-flush-frequency",
    "log-json-info-buffer-size",
    "log-json-split-stream",
    "log-text-info-buffer-size",
    "log-text-split-stream",
    "logtostderr",
    "alsologtostderr",
    "stderrthreshold",
    "one-output",
    "skip-headers",
    "skip-log-headers",
    "add-dir-header",
    "log-backtrace-at",
    "feature-gates",
    "profiling",
    "contention-profiling",
    "help",
    "version",
    "emulated-version",
    "emulation-forward-compatible",
    "runtime-config-emulation-forward-compatible",
    "show-hidden-metrics-for-version",
    "disabled-metrics",
    "allow-metric-labels",
    "allow-metric-labels-manifest",
];

/// The switches among [`COMMON`].
const COMMON_SWITCHES: &[&str] = &[
    "logtostderr",
    "alsologtostderr",
    "one-output",
    "skip-headers",
    "skip-log-headers",
    "add-dir-header",
    "profiling",
    "contention-profiling",
    "help",
    "log-json-split-stream",
    "log-text-split-stream",
    "emulation-forward-compatible",
];

/// The flags of one command line: each with its values, in the order in which they stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Flags {
    values: BTreeMap<String, Vec<String>>,
}

impl Flags {
    /// As pflag and Go's flag read them: `--a=b`, `--a b`, `-a`, and a switch that stands alone is true. Names may be
    /// written with `_` (`k8s.io/component-base/cli/flag`). What is no flag is passed over, as a redirection is.
    pub(super) fn parse(words: &[String], known: &Known) -> Self {
        let mut flags = Self::default();
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            if word == "--" {
                break;
            }
            let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else { continue };
            if !flag.starts_with(|first: char| first.is_ascii_alphanumeric()) {
                continue;
            }
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            let name = name.replace('_', "-");
            let is_switch = known.is_switch(&name) || COMMON_SWITCHES.contains(&name.as_str());
            let value = match value {
                Some(value) => value,
                None if is_switch => "true".to_owned(),
                // The value of a flag may begin with a hyphen too, but one of an unknown flag is not guessed to.
                None if known.knows(&name) => words.next().cloned().unwrap_or_default(),
                None => words.next_if(|next| !next.starts_with('-')).cloned().unwrap_or_else(|| "true".to_owned()),
            };
            flags.values.entry(name).or_default().push(value);
        }
        flags
    }

    /// A value from elsewhere than the command line, which goes before.
    pub(super) fn fall_back(&mut self, name: &str, value: &str) {
        self.values.entry(name.to_owned()).or_insert_with(|| vec![value.to_owned()]);
    }

    /// Takes over what another command line says; its flags win.
    pub(super) fn overlay(&mut self, other: Self) {
        self.values.extend(other.values);
    }

    /// The last value: the one that counts where a flag has one.
    pub(super) fn last(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.last().map(String::as_str)
    }

    /// As [`last`](Self::last), where an empty value says as much as none.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.last(name).filter(|value| !value.is_empty())
    }

    /// Every value of a flag that may be repeated.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values.get(name).into_iter().flatten().map(String::as_str)
    }

    /// Every element of a flag that may be repeated, and whose values are lists (pflag's `StringSlice`).
    pub(super) fn elements(&self, name: &str) -> Option<Vec<&str>> {
        self.values.get(name)?;
        Some(self.all(name).flat_map(|value| value.split(',')).map(str::trim).filter(|one| !one.is_empty()).collect())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// What a gate is set to.
    pub(super) fn gate(&self, gate: &str) -> Option<bool> {
        let settings = self.all("feature-gates").flat_map(|value| value.split(','));
        settings
            .filter_map(|setting| setting.split_once('='))
            .filter(|(name, _)| name.trim() == gate)
            .last()
            .and_then(|(_, value)| boolean(value.trim()))
    }
}

/// As Go's `strconv.ParseBool`.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Known = Known { switches: &["switch"], used: &["list", "one"], indifferent: &[] };

    fn flags(line: &str) -> Flags {
        Flags::parse(&words(line, 100).unwrap(), &KNOWN)
    }

    #[test]
    fn words_are_those_of_a_shell() {
        let split = |text| words(text, 100).unwrap();
        assert_eq!(split("a 'b c' \"d \\\" e\" f\\ g ''"), ["a", "b c", "d \" e", "f g", ""]);
        assert_eq!(split("kubelet\0--config=/x\0"), ["kubelet", "--config=/x"]);
        assert_eq!(split("a \\\n  b"), ["a", "b"]);
        assert_eq!(words("a 'b", 100).unwrap_err(), "a quote is not closed");
        assert_eq!(words(&"a ".repeat(102), 100).unwrap_err(), "more than 100 words");
    }

    #[test]
    fn a_flag_has_its_value_behind_a_sign_or_as_the_next_word() {
        let flags = flags("x --one=1 -list a,b --list c --switch --switch=false --unknown y --other -v 2 -- --one=2");
        assert_eq!(flags.last("one"), Some("1"));
        assert_eq!(flags.elements("list").unwrap(), ["a", "b", "c"]);
        assert_eq!(flags.all("switch").collect::<Vec<_>>(), ["true", "false"]);
        assert_eq!((flags.last("unknown"), flags.last("other")), (Some("y"), Some("true")));
        assert_eq!(flags.last("v"), Some("2"));
        assert_eq!(flags.elements("absent"), None);
    }

    #[test]
    fn the_last_value_counts_and_underscores_are_hyphens() {
        assert_eq!(flags("--one=1 --one=").last("one"), Some(""));
        assert_eq!(flags("--one=1 --one=").text("one"), None);
        assert_eq!(flags("--feature_gates=A=true,B=false --feature-gates=A=false").gate("A"), Some(false));
        // A switch does not take the next word.
        assert_eq!(flags("--switch one").last("switch"), Some("true"));
    }
}
