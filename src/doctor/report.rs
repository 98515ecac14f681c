//! What was found, as a table and as JSON.

use super::facts::Facts;
use super::reason::Reason;
use crate::cli::Backend;
use crate::host::features::Lockdown;
use std::fmt;

/// Everything that was found.
pub struct Report {
    release: String,
    lockdown: Option<Lockdown>,
    missing: Vec<&'static str>,
    /// What was tried, in groups.
    pub checks: Vec<Check>,
    /// What a run would do.
    pub verdict: Verdict,
}

/// One thing that was tried.
pub struct Check {
    group: &'static str,
    name: &'static str,
    answer: Answer,
}

/// What came of it.
pub enum Answer {
    /// It works; with what was seen.
    Yes(String),
    /// It does not, and nothing is lost by that.
    Without(String),
    /// It does not.
    No(Reason),
}

/// What a run would do.
pub struct Verdict {
    /// Whether it would trace.
    pub works: bool,
    /// By which way in.
    pub backend: Option<Backend>,
    /// What it would say.
    pub says: String,
}

impl Answer {
    /// It works.
    pub fn yes(detail: impl Into<String>) -> Answer {
        Answer::Yes(detail.into())
    }
}

impl Verdict {
    /// It would not trace.
    pub fn no(says: String) -> Verdict {
        Verdict { works: false, backend: None, says: says.trim_end().to_owned() }
    }
}

impl Check {
    /// An answer in a group.
    pub fn new(group: &'static str, name: &'static str, answer: Answer) -> Check {
        Check { group, name, answer }
    }
}

impl Report {
    /// Nothing is tried yet.
    pub fn new(facts: &Facts) -> Report {
        Report {
            release: facts.release.clone(),
            lockdown: facts.lockdown,
            missing: facts.missing(),
            checks: Vec::new(),
            verdict: Verdict::no(String::new()),
        }
    }

    /// One JSON object.
    pub fn json(&self) -> String {
        let mut out = String::from("{");
        pair(&mut out, "release", Some(&self.release));
        pair(&mut out, "arch", Some(std::env::consts::ARCH));
        pair(&mut out, "lockdown", self.lockdown.map(Lockdown::word));
        out += "\"missing\":[";
        for (n, name) in self.missing.iter().enumerate() {
            out += if n > 0 { "," } else { "" };
            string(&mut out, name);
        }
        out += "],\"checks\":[";
        for (n, check) in self.checks.iter().enumerate() {
            out += if n > 0 { ",{" } else { "{" };
            pair(&mut out, "group", Some(check.group));
            pair(&mut out, "name", Some(check.name));
            let (detail, cause, unlock) = match &check.answer {
                Answer::Yes(detail) | Answer::Without(detail) => (detail, None, None),
                Answer::No(reason) => (&reason.text, Some(reason.cause.word()), reason.unlock.as_deref()),
            };
            pair(&mut out, "detail", Some(detail));
            pair(&mut out, "cause", cause);
            pair(&mut out, "unlock", unlock);
            out += if matches!(check.answer, Answer::Yes(_)) { "\"works\":true}" } else { "\"works\":false}" };
        }
        out += "],\"run\":{";
        pair(&mut out, "backend", self.verdict.backend.map(Backend::word));
        pair(&mut out, "says", Some(&self.verdict.says));
        out += &format!("\"works\":{}}}}}\n", self.verdict.works);
        out
    }
}

/// `"key":"value",` with null for none.
fn pair(out: &mut String, key: &str, value: Option<&str>) {
    string(out, key);
    out.push(':');
    match value {
        Some(value) => string(out, value),
        None => *out += "null",
    }
    out.push(',');
}

/// Without control characters, which a terminal would obey.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => *out += &format!("\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lockdown = self.lockdown.map_or("unknown", Lockdown::word);
        writeln!(f, "Linux {}, {}, lockdown={lockdown}", self.release, std::env::consts::ARCH)?;
        if !self.missing.is_empty() {
            let missing = self.missing.join(", ");
            writeln!(f, "without {missing}: this is what can be known without; run it as root to be certain")?;
        }
        let mut group = "";
        for check in &self.checks {
            if check.group != group {
                group = check.group;
                writeln!(f, "\n{group}")?;
            }
            let (word, text) = match &check.answer {
                Answer::Yes(text) => ("yes", text.clone()),
                Answer::Without(text) => ("-", text.clone()),
                Answer::No(reason) => ("no", format!("{}: {}", reason.cause.word(), reason.text)),
            };
            writeln!(f, "{}", format!("  {:28} {word:4} {}", check.name, clean(&text)).trim_end())?;
            if let Answer::No(Reason { unlock: Some(unlock), .. }) = &check.answer {
                writeln!(f, "  {:28}      to unlock: {unlock}", "")?;
            }
        }
        let what = if self.verdict.works { "a run says" } else { "a run fails" };
        writeln!(f, "\n{what}\n  {}", self.verdict.says.replace('\n', "\n  "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::reason::Cause;
    use super::*;

    #[test]
    fn a_table_is_read_from_top_to_bottom() {
        let facts = Facts { release: "6.1".into(), capabilities: Some(0), ..Facts::default() };
        let mut report = Report::new(&facts);
        let reason = Reason { cause: Cause::Lockdown, text: "no".into(), unlock: Some("boot".into()) };
        report.checks.push(Check::new("kernel", "types", Answer::yes("here")));
        report.checks.push(Check::new("ways in", "kprobe", Answer::No(reason)));
        report.verdict = Verdict::no("error: nothing works\nhint: none\n".into());
        let arch = std::env::consts::ARCH;
        let text = format!(
            "Linux 6.1, {arch}, lockdown=unknown
without CAP_BPF, CAP_PERFMON, CAP_SYSLOG: this is what can be known without; run it as root to be certain

kernel
  types                        yes  here

ways in
  kprobe                       no   lockdown: no
                                    to unlock: boot

a run fails
  error: nothing works
  hint: none
"
        );
        assert_eq!(report.to_string(), text);
        report.verdict = Verdict { works: true, backend: Some(Backend::Kprobe), says: "Tracing by kprobe".into() };
        assert!(report.to_string().ends_with("\na run says\n  Tracing by kprobe\n"));
    }

    #[test]
    fn json_is_json() {
        let facts = Facts { release: "6.1\"\n".into(), capabilities: Some(0), ..Facts::default() };
        let mut report = Report::new(&facts);
        report.checks.push(Check::new("kernel", "types", Answer::yes("a\\b")));
        let reason = Reason { cause: Cause::Config, text: "no".into(), unlock: None };
        report.checks.push(Check::new("kernel", "more", Answer::No(reason)));
        let value: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
        assert_eq!(value["release"], "6.1\"\n");
        assert_eq!(value["missing"][0], "CAP_BPF");
        assert_eq!(value["checks"][0]["detail"], "a\\b");
        assert_eq!(value["checks"][1]["cause"], "config");
        assert_eq!(value["run"]["works"], false);
        assert!(value["lockdown"].is_null());
    }
}
