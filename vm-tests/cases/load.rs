//! Loads many programs, two tracers at a time.

use std::sync::Mutex;

use crate::error::{Error, Result};
use crate::guest::trace::Launch;

/// Starts whither with each of `runs` and stops it; reports all that were refused.
pub fn loads(runs: Vec<String>) -> Result<()> {
    let count = runs.len();
    let (queue, refused) = (Mutex::new(runs.into_iter()), Mutex::new(Vec::new()));
    let next = || queue.lock().ok().and_then(|mut queue| queue.next());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(arguments) = next() {
                    if let Err(error) = Launch::whither(&arguments).start().and_then(|trace| trace.stop()) {
                        refused.lock().map(|mut refused| refused.push(format!("{arguments}\n{error}"))).ok();
                    }
                }
            });
        }
    });
    let refused = refused.into_inner().unwrap_or_default();
    if refused.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!("{} of {count} do not run:\n{}", refused.len(), refused.join("\n"))))
}
