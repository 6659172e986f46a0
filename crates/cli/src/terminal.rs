//! The terminal: raw mode, line editing, paging, level meters, and serial ports.

pub mod completion;
pub mod line_editor;
pub mod meter_bar;
pub mod meters;
pub mod pager;
pub mod raw_mode;
pub mod screen_buffer;
pub mod serial;
pub mod stdin;
