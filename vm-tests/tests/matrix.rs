//! Every case on every kernel of the matrix, one trial each: `6.12::tcp_two_netns`.
//!
//! A case that a kernel cannot run is shown as ignored with the reason; one that no kernel of the matrix could run fails
//! the last trial.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Completion, Failed};
use vm_tests::cases::CASES;
use vm_tests::host::arch;
use vm_tests::host::suite::{self, Board, Trial};
use vm_tests::matrix::Matrix;
use vm_tests::protocol::Verdict;

/// Verdicts of what was started, and the trials that were.
type Shared = Arc<OnceLock<(Arc<Board>, Vec<Trial>)>>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let matrix = Matrix::load().expect("kernels.toml is part of the crate and has its own test");
    let all = match suite::trials(&matrix) {
        Ok(all) => all,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let shared = Shared::default();
    let mut tests: Vec<_> = all.iter().map(|trial| test(trial.clone(), Arc::clone(&shared))).collect();
    let chosen: Vec<_> = all
        .iter()
        .zip(&tests)
        .filter(|(_, test)| !arguments.is_filtered_out(test))
        .map(|(trial, _)| trial.clone())
        .collect();
    let kernels = all.len() / CASES.len();
    tests.push(needs(Arc::clone(&shared), kernels));
    // Trials only wait for verdicts, so each may have its thread; the machines are limited elsewhere.
    arguments.test_threads.get_or_insert(tests.len());
    if !arguments.list && !arguments.ignored && !chosen.is_empty() {
        shared.get_or_init(|| (suite::start(matrix, chosen.clone()), chosen));
    }
    libtest_mimic::run(&arguments, tests).exit_code()
}

fn test(trial: Trial, shared: Shared) -> libtest_mimic::Trial {
    let name = format!("{}::{}", trial.kernel, trial.case);
    libtest_mimic::Trial::ignorable_test(name, move || {
        let (board, _) = shared.get().ok_or("no machine was started")?;
        match board.wait(&trial).verdict {
            Verdict::Passed => Ok(Completion::Completed),
            Verdict::Failed(text) => Err(Failed::from(text)),
            Verdict::Skipped(reason) => Ok(Completion::ignored_with(reason)),
        }
    })
}

/// A need that no kernel of the usual processor meets would turn a case into one that never runs. Says nothing about a case that a filter kept
/// from some of the `kernels`.
fn needs(shared: Shared, kernels: usize) -> libtest_mimic::Trial {
    libtest_mimic::Trial::test("matrix::every_case_runs_somewhere", move || {
        let Some((board, trials)) = shared.get() else { return Ok(()) };
        if !arch::chosen()?.is_usual() {
            return Ok(());
        }
        for (case, _) in CASES {
            let skipped =
                trials.iter().filter(|trial| trial.case == *case).filter_map(|trial| match board.wait(trial).verdict {
                    Verdict::Skipped(reason) => Some(format!("{}: {reason}", trial.kernel)),
                    Verdict::Passed | Verdict::Failed(_) => None,
                });
            let reasons: Vec<_> = skipped.collect();
            if reasons.len() == kernels {
                return Err(format!("{case} runs on no kernel:\n{}", reasons.join("\n")).into());
            }
        }
        Ok(())
    })
}
