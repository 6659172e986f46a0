//! What the kernel knows of a running daemon.

use super::Daemon;

impl Daemon {
    /// A number of `/proc/PID/status`, in MB.
    pub fn memory_mb(&self, name: &str) -> f64 {
        let status = self.proc_file("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kb.expect("a number of kB") / 1024.0
    }

    /// Processor time it has used, all threads, in seconds.
    pub fn processor_s(&self) -> f64 {
        let stat = self.proc_file("stat");
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let ticks = fields.split_whitespace().skip(11).take(2).map(|t| t.parse::<f64>().unwrap());
        let per_s = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
        #[allow(clippy::cast_precision_loss, reason = "a small number")]
        let per_s = per_s.map_or(100.0, |per_s| per_s as f64);
        ticks.sum::<f64>() / per_s
    }

    fn proc_file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.pid())).unwrap()
    }
}
