//! Functions that are found while the run goes on.

use super::{AttachError, Hooks, kprobe, kprobe_multi};
use crate::load::Program;
use crate::plan::{Backend, Plan};
use crate::sys::bpf::Site;
use crate::sys::stop::Stop;
use std::os::fd::AsFd;

impl Hooks {
    /// Attaches programs to places: the index of each place's target, where it is, and its cookie. By kprobes this goes
    /// on in the background, and must not be called again before [`Hooks::is_attaching`] says that it is done.
    pub fn more(
        &mut self,
        places: &[(&Program, Vec<(u32, Site)>)],
        plan: &Plan,
        stop: &Stop,
    ) -> Result<(), AttachError> {
        match plan.backend {
            Backend::KprobeMulti => {
                places.iter().try_for_each(|(program, sites)| kprobe_multi::link(program.fd.as_fd(), sites, self, stop))
            }
            Backend::Kprobe => {
                self.background = Some(kprobe::more(places, plan.layout.identity)?);
                Ok(())
            }
            Backend::Fentry | Backend::Tracepoint => Ok(()),
        }
    }
}
