//! A SIPREC recording server (RFC 7866) without I/O.
