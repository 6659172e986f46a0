//! What can be captured: behind this trait there is X11 today.
//!
//! Whoever captures gives the whole display and says whether it changed; no picture is kept here.

use crate::picture::Canvas;

/// Why nothing can be seen.
#[derive(Debug, thiserror::Error)]
#[error("the display cannot be captured: {0}")]
pub struct CaptureError(pub String);

/// A display.
pub trait Capture {
    /// Looks at what changed since the last look; whether anything did. The canvas is the whole
    /// display, all monitors, cursor included.
    ///
    /// # Errors
    /// When the display is gone.
    fn look(&mut self) -> Result<bool, CaptureError>;

    /// What was seen.
    fn canvas(&self) -> &Canvas;

    /// Forgets everything seen: the next look sees all anew.
    fn forget(&mut self);
}
