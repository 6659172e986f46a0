//! What keeps audio and keys in RAM: no core dumps, not dumpable, memory locked, and no program
//! that is started from here ever gets more rights.
//!
//! Locking everything needs the right or the limit for it; where it is not given the daemon runs
//! all the same, and says so with an alarm. Nothing here drops privileges: the boot service starts
//! the daemon as its own user.

use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// Makes the process keep its memory to itself. Returns why memory is not locked, if it is not.
///
/// # Errors
/// What the system says, where it must not fail.
pub fn harden_process() -> nix::Result<Option<String>> {
    nix::sys::prctl::set_dumpable(false)?;
    nix::sys::prctl::set_no_new_privs()?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    let (limit, _) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    if limit != RLIM_INFINITY && !nix::unistd::geteuid().is_root() {
        return Ok(Some(format!(
            "memory is not locked: the limit is {limit} bytes; allow LimitMEMLOCK=infinity"
        )));
    }
    let locked = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE);
    Ok(locked.err().map(|error| format!("memory is not locked: {error}")))
}
