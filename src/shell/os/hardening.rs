//! Process hardening that keeps audio and keys in RAM: no core dumps, not dumpable, locked memory
//! and no new privileges.
//!
//! Locking memory needs a capability or a resource limit. Without it the daemon runs and raises
//! an alarm. Privileges are not dropped here, because the service manager starts the daemon as
//! its own user.

use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// Hardens the process. Returns why memory is not locked, if it is not.
///
/// # Errors
/// A mandatory system call failed.
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
