//! Which branches were reached: the counters that LLVM's sanitizer coverage puts in when it is told to (`run.sh`). Without
//! them there is nothing to see, and inputs are kept by nothing.

use std::sync::Mutex;

/// First and last byte of the counters of each object of the program, as it told them at its start.
static REGIONS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Called by every instrumented object before `main`.
#[unsafe(no_mangle)]
pub extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    let (start, stop) = (start as usize, stop as usize);
    if let Ok(mut regions) = REGIONS.lock()
        && start < stop
        && !regions.contains(&(start, stop))
    {
        regions.push((start, stop));
    }
}

/// Called beside it; the places in the program are not needed.
#[unsafe(no_mangle)]
pub extern "C" fn __sanitizer_cov_pcs_init(_start: *const usize, _stop: *const usize) {}

/// What has been reached so far.
pub struct Seen {
    /// For each counter, the classes of how often in one run.
    classes: Vec<u8>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { classes: vec![0; total()] }
    }
}

fn total() -> usize {
    REGIONS.lock().map(|regions| regions.iter().map(|(start, stop)| stop - start).sum()).unwrap_or(0)
}

impl Seen {
    /// Whether there are counters.
    pub fn is_blind(&self) -> bool {
        self.classes.is_empty()
    }

    /// Counters that were ever reached, and how many there are.
    pub fn reached(&self) -> (usize, usize) {
        (self.classes.iter().filter(|classes| **classes != 0).count(), self.classes.len())
    }

    /// What was reached since the last call was none of the target's.
    pub fn forget_since(&mut self) {
        each(|_, counter| *counter = 0);
    }

    /// Takes what the run since the last call reached; true: something new.
    pub fn take(&mut self) -> bool {
        let (classes, mut new) = (&mut self.classes, false);
        each(|at, counter| {
            if *counter != 0 {
                let class = 1u8 << counter.ilog2();
                if let Some(known) = classes.get_mut(at) {
                    new |= *known & class == 0;
                    *known |= class;
                }
                *counter = 0;
            }
        });
        new
    }
}

fn each(mut visit: impl FnMut(usize, &mut u8)) {
    let Ok(regions) = REGIONS.lock() else { return };
    let mut at = 0;
    for (start, stop) in regions.iter() {
        // SAFETY: the linker's section of counters, alive as long as the program. Only this thread feeds targets, and it is
        // in none now; a count that another thread makes at the same time may be lost, which is no harm.
        let counters = unsafe { std::slice::from_raw_parts_mut(*start as *mut u8, stop - start) };
        for counter in counters {
            visit(at, counter);
            at += 1;
        }
    }
}
