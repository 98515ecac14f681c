//! The line that tells, while whither runs and somebody watches, what comes, what is lost and what tracing costs.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::cli::Args;
use crate::load::Loaded;
use crate::sys::bpf;

/// How often the line is renewed.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// What the last line was made of.
pub struct Status {
    since: Instant,
    shown: u64,
    run_time_ns: u64,
    /// Lets the kernel count what programs cost, as long as it is open.
    stats: Option<OwnedFd>,
}

impl Status {
    /// `None` where nobody watches, or where the line would stand among the lines of packets.
    pub fn new(args: &Args) -> Option<Status> {
        let among_lines = args.output_file.is_none() && io::stdout().is_terminal();
        let watched = io::stderr().is_terminal() && !among_lines;
        watched.then(|| Status { since: Instant::now(), shown: 0, run_time_ns: 0, stats: bpf::enable_stats().ok() })
    }

    /// Whether it is time for the next line.
    pub fn is_due(&self) -> bool {
        self.since.elapsed() >= INTERVAL
    }

    /// The next line: of `shown` and `lost` events so far.
    pub fn line(&mut self, loaded: &Loaded, shown: u64, lost: u64) -> String {
        let stats = loaded.programs.iter().filter_map(|program| bpf::prog_stats(program.fd.as_fd()).ok());
        let run_time_ns = stats.map(|stats| stats.run_time_ns).sum();
        let text = text(
            self.since.elapsed(),
            (shown, shown - self.shown.min(shown)),
            lost,
            self.stats.as_ref().map(|_| run_time_ns - self.run_time_ns.min(run_time_ns)),
        );
        *self = Status { since: Instant::now(), shown, run_time_ns, stats: self.stats.take() };
        text
    }
}

/// `shown` in all and lately; `cost` in nanoseconds lately.
fn text(passed: Duration, shown: (u64, u64), lost: u64, cost: Option<u64>) -> String {
    let seconds = passed.as_secs_f64().max(1e-3);
    let mut text = format!("{} events shown, {:.0}/s, {lost} lost", shown.0, shown.1 as f64 / seconds);
    if let Some(cost) = cost {
        let _ = write!(text, "; programs take {:.2} % of a CPU", cost as f64 / 1e7 / seconds);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::text;
    use std::time::Duration;

    #[test]
    fn rates_are_per_second() {
        assert_eq!(
            text(Duration::from_millis(2000), (1500, 500), 3, Some(10_000_000)),
            "1500 events shown, 250/s, 3 lost; programs take 0.50 % of a CPU"
        );
        assert_eq!(text(Duration::ZERO, (0, 0), 0, None), "0 events shown, 0/s, 0 lost");
    }
}
