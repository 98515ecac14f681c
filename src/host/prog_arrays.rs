//! The arrays of BPF programs that tail calls go through, whoever made them.

use crate::sys::prog_arrays as sys;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An array of programs, as `bpftool map` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgArray {
    /// Its id.
    pub id: u32,
    /// Its name, which may be empty.
    pub name: String,
    /// How many programs there is room for.
    pub places: u32,
}

impl fmt::Display for ProgArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name[..] {
            "" => write!(f, "map (id {})", self.id),
            name => write!(f, "map `{}` (id {})", name.escape_debug(), self.id),
        }
    }
}

/// Finds them, and what is in them.
#[derive(Debug)]
pub struct ProgArrays {
    /// Ids of maps grow.
    last: u32,
    arrays: Vec<Arc<ProgArray>>,
    /// When they were read, and how long that took.
    read: Option<(Instant, Duration)>,
    /// Until when programs are likely to be put into them.
    unsettled: Instant,
}

/// Loaders fill arrays soon after they have loaded what goes there: so long they are read in every round.
const SETTLING: Duration = Duration::from_secs(1);
/// How often they are read when nothing is new. Only reading tells that a program was put in or taken out.
const REST: Duration = Duration::from_secs(1);
/// Reading takes at most a part in so many of the time: there are hosts with thousands of places.
const SHARE: u32 = 100;

impl ProgArrays {
    /// To begin with.
    pub fn none_known() -> ProgArrays {
        ProgArrays { last: 0, arrays: Vec::new(), read: None, unsettled: Instant::now() }
    }

    /// The programs in all arrays by their ids, each with an array that has it; `None` if it is not yet time to look
    /// again. `news`: programs were loaded since the last call.
    ///
    /// Costs one system call if there are no new maps and it is not time.
    pub fn look(&mut self, news: bool) -> io::Result<Option<BTreeMap<u32, Arc<ProgArray>>>> {
        let now = Instant::now();
        if self.find_new()? || news {
            self.unsettled = now + SETTLING;
        }
        let rest = if now < self.unsettled { Duration::ZERO } else { REST };
        if self.read.is_some_and(|(read, took)| now - read < rest.max(took * SHARE)) {
            return Ok(None);
        }
        let mut members = BTreeMap::new();
        self.arrays.retain(|array| add_members(array, &mut members));
        self.read = Some((now, now.elapsed()));
        Ok(Some(members))
    }

    /// Whether there are new ones.
    fn find_new(&mut self) -> io::Result<bool> {
        let known = self.arrays.len();
        while let Some(id) = sys::next_id(self.last)? {
            self.last = id;
            // It may be gone already.
            let Ok(Some((places, name))) = sys::open(id).and_then(|map| sys::info(map.as_fd())) else { continue };
            let name = String::from_utf8_lossy(&name).into_owned();
            self.arrays.push(Arc::new(ProgArray { id, name, places }));
        }
        Ok(self.arrays.len() > known)
    }
}

/// Adds what is in `array`; whether that is still there. It is opened anew each time: the kernel empties an array when
/// nobody has it open or pinned any more (`map_release_uref`, kernel/bpf/arraymap.c), which is not ours to prevent.
fn add_members(array: &Arc<ProgArray>, members: &mut BTreeMap<u32, Arc<ProgArray>>) -> bool {
    let Ok(map) = sys::open(array.id) else { return false };
    for place in 0..array.places {
        match sys::element(map.as_fd(), place) {
            Ok(Some(program)) => {
                members.entry(program).or_insert_with(|| array.clone());
            }
            Ok(None) => {}
            // One that nobody may read.
            Err(_) => break,
        }
    }
    true
}
