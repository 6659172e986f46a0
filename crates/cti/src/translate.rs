//! From the events of an exchange to calls, and from calls to lines for the box.
//!
//! A translator (`ami`, `esl`, `csv`) keeps what the exchange said about its channels and derives
//! the calls of the agents' devices from it. The `Reporter` compares these calls with what the box
//! has confirmed, and makes the lines that lead from one to the other. So a lost connection on
//! either side needs no queue: after it, the comparison finds what is missing.
//!
//! Pure: bytes and times are arguments, and the same input makes the same lines.

pub mod ami;
pub mod call;
pub mod csv;
pub mod device_filter;
pub mod esl;
pub mod reported_calls;
pub mod reporter;
