//! A bar for what takes long, on stderr and only where somebody looks.
//!
//! It has no colours. Nothing here waits for it.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// A bar over so many bytes.
pub fn new_byte_bar(bytes: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left");
    // The template is ours; should it be refused, the default does as well.
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}
