//! The real `hushboxd`, as a process, with real sockets, disks and sound cards.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod alsa;
mod archive;
mod disk;
mod enrolment;
mod faulty_parts;
mod half_closed;
mod hostile;
mod log;
mod playback_log;
mod power;
mod recording;
mod reload;
mod selftest;
mod service_manager;
mod siprec;
mod startup;
mod syscall_filter;
mod worker_failure;
