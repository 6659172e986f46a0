//! What can be captured: behind this trait there is X11 today.
//!
//! Whoever captures gives the whole display and says whether it changed; no picture is kept here.
//! A display's size is its own business: it changes when a monitor comes or goes, at any moment.

use crate::picture::Canvas;

/// Why nothing can be seen.
#[derive(Debug, thiserror::Error)]
#[error("the display cannot be captured: {0}")]
pub struct CaptureError(pub String);

/// What a look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The canvas is as it was.
    Same,
    /// There is something new on it.
    Changed,
    /// The display changes its size right now, and what is on the canvas is nothing: look again.
    Unsettled,
}

/// A display.
pub trait Capture {
    /// Looks at what changed since the last look. The canvas is the whole display, all monitors,
    /// cursor included.
    ///
    /// # Errors
    /// When the display is gone.
    fn look(&mut self) -> Result<Look, CaptureError>;

    /// Hears what the display has to say while nobody looks.
    ///
    /// # Errors
    /// When the display is gone.
    fn hear(&mut self) -> Result<(), CaptureError>;

    /// How large the display is, as far as was heard.
    fn size(&self) -> (usize, usize);

    /// What was seen.
    fn canvas(&self) -> &Canvas;

    /// Forgets everything seen: the next look sees all anew.
    fn forget(&mut self);
}
