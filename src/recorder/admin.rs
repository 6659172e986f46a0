//! Commands of technicians and administrators: status, self-test, setup, enrolment.

pub(super) mod about;
pub(super) mod enrolment;
pub(super) mod meters;
pub(super) mod selftest;
pub(super) mod setup;
pub(super) mod status;
