//! VP9 by libvpx, behind the trait that any coder could have.
//!
//! A coder codes a run of pictures so that they can be shown by themselves: the first is a key
//! picture. Nothing is kept from one run to the next.

use crate::picture::Picture;
use vpx_encode::{Config, Encoder, VideoCodecId};

/// One coded picture.
pub struct Coded {
    /// Since the run's beginning.
    pub ms: i64,
    pub key: bool,
    pub data: Vec<u8>,
}

/// Why pictures could not be coded.
#[derive(Debug, thiserror::Error)]
#[error("pictures cannot be coded: {0}")]
pub struct CodeError(String);

/// Something that codes pictures.
pub trait Coder {
    /// Matroska's name of what it makes.
    fn codec(&self) -> &'static str;

    /// Codes pictures of one size with their times, at so many kilobit per second.
    ///
    /// # Errors
    /// When the library refuses.
    fn code(&mut self, run: &[(i64, &Picture)], kbps: u32) -> Result<Vec<Coded>, CodeError>;
}

/// libvpx.
pub struct Vp9;

impl Coder for Vp9 {
    fn codec(&self) -> &'static str {
        "V_VP9"
    }

    fn code(&mut self, run: &[(i64, &Picture)], kbps: u32) -> Result<Vec<Coded>, CodeError> {
        let failed = |error: vpx_encode::Error| CodeError(error.to_string());
        let Some((_, first)) = run.first() else { return Ok(Vec::new()) };
        let size = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let mut encoder = Encoder::new(Config {
            width: size(first.width),
            height: size(first.height),
            timebase: [1, 1000],
            bitrate: kbps,
            codec: VideoCodecId::VP9,
        })
        .map_err(failed)?;
        let mut coded = Vec::new();
        for (ms, picture) in run {
            for frame in encoder.encode(*ms, &picture.planes).map_err(failed)? {
                coded.push(Coded { ms: frame.pts, key: frame.key, data: frame.data.to_vec() });
            }
        }
        let mut rest = encoder.finish().map_err(failed)?;
        while let Some(frame) = rest.next().map_err(failed)? {
            coded.push(Coded { ms: frame.pts, key: frame.key, data: frame.data.to_vec() });
        }
        Ok(coded)
    }
}
