//! Translates the call events of telephone exchanges into the line protocol.
