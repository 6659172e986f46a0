//! What the clients call in Windows, behind safe functions. Each `unsafe` block of Hushbox stands
//! in this crate and says why it is sound. On other systems the crate is empty.

#![cfg(windows)]
