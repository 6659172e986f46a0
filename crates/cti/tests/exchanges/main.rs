//! Tests of the real `hushbox-cti`: a made-up exchange on one side, the real box on the other.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod asterisk;
mod call_log;
mod feed;
mod freeswitch;
