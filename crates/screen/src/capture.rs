//! A display that can be captured: the trait of the X11 display.
//!
//! The display captures its whole area and says whether anything changed; it stores no old frames.
//! Its size may change at any moment, when a monitor is connected or removed.

use crate::picture::Canvas;

/// Why the display cannot be captured.
#[derive(Debug, thiserror::Error)]
#[error("cannot capture the display: {0}")]
pub struct CaptureError(pub String);

/// What a capture has changed on the canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameChange {
    Unchanged,
    Changed,
    /// The display changes its size now, and the canvas is invalid: capture again.
    Resizing,
}

/// A display.
pub trait Capture {
    /// Captures what has changed since the last capture. The canvas holds the whole display, with
    /// all monitors and the cursor.
    ///
    /// # Errors
    /// If the display is gone.
    fn capture_frame(&mut self) -> Result<FrameChange, CaptureError>;

    /// Processes the display's events while nothing is captured.
    ///
    /// # Errors
    /// If the display is gone.
    fn process_events(&mut self) -> Result<(), CaptureError>;

    /// The width and height of the display, as last reported.
    fn display_size(&self) -> (usize, usize);

    /// The last captured frame.
    fn canvas(&self) -> &Canvas;

    /// Wipes the last frame. The next capture fetches everything.
    fn wipe_frame(&mut self);
}
