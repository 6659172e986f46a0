//! Serial consoles: the port, and the line discipline on top of it.

pub mod line_discipline;
pub mod port;
