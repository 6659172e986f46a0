//! The terminal: raw mode, line editing, paging, level meters, and serial ports.

pub mod canvas;
pub mod completion;
pub mod input;
pub mod meter_bar;
pub mod meters;
pub mod pager;
pub mod prompt;
pub mod raw;
pub mod serial;
