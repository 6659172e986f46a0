//! A SIPREC recording server (RFC 7866) without I/O.

pub mod address;
pub mod answer;
pub mod body;
pub mod call_facts;
pub mod codec;
pub mod crypto;
pub mod metadata;
pub mod offer;
pub mod personal;
