//! The table, on the machine: what was measured beside what was promised (DESIGN.md section 11).

use std::fmt::Write;

use super::measure::Figures;

/// One line of the table.
struct Row {
    what: &'static str,
    /// From the figures to the printed number.
    value: fn(&Figures) -> Option<f64>,
    unit: Unit,
    /// Bounds for kernels with kprobe-multi, and for those without.
    multi: Bounds,
    single: Bounds,
}

/// What must hold, and what is aimed at; upper bounds.
#[derive(Clone, Copy)]
struct Bounds(Option<f64>, Option<f64>);

#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Nanoseconds,
    Times,
    Count,
    Percent,
    Megabytes,
}

const NONE: Bounds = Bounds(None, None);

const fn both(must: f64, aim: f64) -> Bounds {
    Bounds(Some(must), Some(aim))
}

const ROWS: &[Row] = &[
    Row {
        what: "start, exec to \"Listening\"",
        value: |f| Some(f.get("start_ns")? / 1e9),
        unit: Unit::Seconds,
        multi: both(0.9, 0.5),
        single: both(24.0, 24.0),
    },
    Row {
        what: "first event, from exec",
        value: |f| Some(f.get("first_event_ns")? / 1e9),
        unit: Unit::Seconds,
        multi: NONE,
        single: both(2.0, 1.0),
    },
    Row {
        what: "SIGINT to exit",
        value: |f| Some(f.get("stop_ns")? / 1e9),
        unit: Unit::Seconds,
        multi: both(0.25, 0.25),
        single: both(15.0, 1.0),
    },
    Row {
        what: "per hit, not matching, less the empty program",
        value: |f| Some(f.get("hit_ns_not_matching")? - f.get("hit_ns_empty")?),
        unit: Unit::Nanoseconds,
        multi: both(125.0, 60.0),
        single: both(300.0, 200.0),
    },
    Row {
        what: "per hit, matching, less the empty program",
        value: |f| Some(f.get("hit_ns_matching")? - f.get("hit_ns_empty")?),
        unit: Unit::Nanoseconds,
        multi: both(900.0, 500.0),
        single: Bounds(Some(1500.0), None),
    },
    Row {
        what: "cpu per packet, not matching / no tracer",
        value: |f| Some(f.get("packet_ns_not_matching")? / f.get("packet_ns_without")?),
        unit: Unit::Times,
        multi: Bounds(Some(2.5), None),
        single: Bounds(Some(4.0), None),
    },
    Row {
        what: "cpu per packet, not matching / empty program",
        value: |f| Some(f.get("packet_ns_not_matching")? / f.get("packet_ns_empty")?),
        unit: Unit::Times,
        multi: Bounds(None, Some(1.3)),
        single: Bounds(None, Some(1.3)),
    },
    Row {
        what: "cpu per packet, matching / no tracer",
        value: |f| Some(f.get("packet_ns_matching")? / f.get("packet_ns_without")?),
        unit: Unit::Times,
        multi: both(8.0, 5.0),
        single: both(8.0, 5.0),
    },
    Row {
        what: "BPF instructions per program",
        value: |f| f.get("instructions").copied(),
        unit: Unit::Count,
        multi: both(400.0, 250.0),
        single: both(400.0, 250.0),
    },
    Row {
        what: "events lost, two bursts of 2,000 packets",
        value: |f| {
            let lost = f.get("reported_lost")?;
            Some(lost / (lost + f.get("printed")?).max(1.0) * 100.0)
        },
        unit: Unit::Percent,
        multi: both(0.0, 0.0),
        single: both(0.0, 0.0),
    },
    Row {
        what: "user space per event, text",
        value: |f| f.get("user_ns_per_event").copied(),
        unit: Unit::Nanoseconds,
        multi: both(4000.0, 2000.0),
        single: both(4000.0, 2000.0),
    },
    Row {
        what: "CPU while nothing happens",
        value: |f| f.get("idle_percent").copied(),
        unit: Unit::Percent,
        multi: both(1.0, 0.1),
        single: both(1.0, 0.1),
    },
    Row {
        what: "peak RSS",
        value: |f| Some(f.get("rss_bytes")? / 1e6),
        unit: Unit::Megabytes,
        multi: both(16.0, 8.0),
        single: both(16.0, 8.0),
    },
    Row {
        what: "binary",
        value: |f| Some(f.get("binary_bytes")? / 1e6),
        unit: Unit::Megabytes,
        multi: both(3.0, 1.5),
        single: both(3.0, 1.5),
    },
    Row {
        what: "functions attached",
        value: |f| f.get("functions").copied(),
        unit: Unit::Count,
        multi: NONE,
        single: NONE,
    },
    Row {
        what: "hits per packet",
        value: |f| f.get("hits_per_packet").copied(),
        unit: Unit::Count,
        multi: NONE,
        single: NONE,
    },
    Row {
        what: "empty program, per hit",
        value: |f| f.get("hit_ns_empty").copied(),
        unit: Unit::Nanoseconds,
        multi: NONE,
        single: NONE,
    },
    Row {
        what: "packet without a tracer",
        value: |f| f.get("packet_ns_without").copied(),
        unit: Unit::Nanoseconds,
        multi: NONE,
        single: NONE,
    },
];

/// Renders the figures of one kernel: whither's, and those of another tracer where there is one. `multi` says whether the
/// kernel has kprobe-multi, which decides the bounds.
pub fn render(kernel: &str, multi: bool, ours: &Figures, theirs: Option<&Figures>) -> String {
    let mut text = format!("| {kernel} | whither | must | aim |{}\n", if theirs.is_some() { " other |" } else { "" });
    text.push_str(if theirs.is_some() { "|---|---|---|---|---|\n" } else { "|---|---|---|---|\n" });
    for row in ROWS {
        let Bounds(must, aim) = if multi { row.multi } else { row.single };
        let value = (row.value)(ours);
        let verdict = match (value, must, aim) {
            (Some(value), Some(must), _) if value > must => " (missed)",
            (Some(value), _, Some(aim)) if value <= aim => " (aim)",
            _ => "",
        };
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| show(value, row.unit));
        write!(text, "| {} | {}{verdict} | {} | {} |", row.what, shown(value), shown(must), shown(aim)).ok();
        if let Some(theirs) = theirs {
            write!(text, " {} |", shown((row.value)(theirs))).ok();
        }
        text.push('\n');
    }
    text
}

fn show(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds => format!("{value:.2} s"),
        Unit::Nanoseconds => format!("{value:.0} ns"),
        Unit::Times => format!("{value:.2}"),
        Unit::Count => format!("{value:.0}"),
        Unit::Percent => format!("{value:.2} %"),
        Unit::Megabytes => format!("{value:.1} MB"),
    }
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::bench::measure::Figures;

    #[test]
    fn figures_are_judged() {
        let figures: Figures = [("start_ns", 4e8), ("stop_ns", 1e9), ("instructions", 300.0)]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let text = render("6.12", true, &figures, Some(&Figures::new()));
        assert!(text.contains("| start, exec to \"Listening\" | 0.40 s (aim) | 0.90 s | 0.50 s | - |"), "{text}");
        assert!(text.contains("| SIGINT to exit | 1.00 s (missed) | 0.25 s | 0.25 s | - |"), "{text}");
        assert!(text.contains("| BPF instructions per program | 300 | 400 | 250 | - |"), "{text}");
        assert!(text.contains("| peak RSS | - |"), "{text}");
    }
}
