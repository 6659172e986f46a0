//! The icons: SVG sources of this project, drawn in any size for a light or a dark panel.
//!
//! Each icon has its own shape. The sources are drawn in dark ink for a light panel; for a dark
//! panel the colours of ink and paper are swapped.

use crate::ui::tray_view::Icon;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

const INK: &str = "#2e3436";
const PAPER: &str = "#f2f2f0";
/// The sizes that panels request, in pixels.
pub const ICON_SIZES: [u32; 6] = [16, 22, 24, 32, 48, 64];

/// The SVG source of the program's own icon.
pub const PROGRAM_SVG: &str = include_str!("../../icons/hushbox.svg");

/// A drawn icon: four bytes a pixel, rows from top to bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IconImage {
    pub size: u32,
    /// Red, green, blue, alpha; not premultiplied.
    pub rgba: Vec<u8>,
}

impl IconImage {
    /// The pixels in the order that trays use: alpha first.
    #[must_use]
    pub fn to_argb(&self) -> Vec<u8> {
        let mut argb = self.rgba.clone();
        argb.chunks_exact_mut(4).for_each(|pixel| pixel.rotate_right(1));
        argb
    }
}

fn svg_source(icon: Icon) -> &'static str {
    match icon {
        Icon::Offline => include_str!("../../icons/hushbox-offline.svg"),
        Icon::Idle => include_str!("../../icons/hushbox-idle.svg"),
        Icon::Call => include_str!("../../icons/hushbox-call.svg"),
        Icon::Recording => include_str!("../../icons/hushbox-recording.svg"),
        Icon::Blackout => include_str!("../../icons/hushbox-blackout.svg"),
        Icon::Standby => include_str!("../../icons/hushbox-standby.svg"),
        Icon::Attention => include_str!("../../icons/hushbox-attention.svg"),
    }
}

/// Draws an icon. `dark`: for a dark panel.
#[must_use]
pub fn draw_icon(icon: Icon, dark: bool, size: u32) -> Option<IconImage> {
    let source = svg_source(icon);
    if !dark {
        return draw_svg(source, size);
    }
    let swapped = source.replace(INK, "#ink").replace(PAPER, INK).replace("#ink", PAPER);
    draw_svg(&swapped, size)
}

/// Draws a square SVG.
#[must_use]
pub fn draw_svg(source: &str, size: u32) -> Option<IconImage> {
    let tree = Tree::from_str(source, &Options::default()).ok()?;
    let mut pixmap = Pixmap::new(size, size)?;
    let scale = f32::from(u16::try_from(size).ok()?) / tree.size().width();
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    let pixels = pixmap.pixels().iter().map(|pixel| pixel.demultiply());
    let rgba = pixels.flat_map(|p| [p.red(), p.green(), p.blue(), p.alpha()]).collect();
    Some(IconImage { size, rgba })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which pixels are drawn, in any colour.
    fn shape(icon: Icon, dark: bool, size: u32) -> Vec<bool> {
        let image = draw_icon(icon, dark, size).expect("an image");
        assert_eq!(image.rgba.len(), usize::try_from(size * size * 4).unwrap_or(0));
        image.rgba.chunks_exact(4).map(|pixel| pixel[3] > 127).collect()
    }

    /// Light and dark only, as a colour-blind agent sees them.
    fn grey(icon: Icon, dark: bool) -> Vec<u8> {
        let background = if dark { 30.0 } else { 235.0 };
        let image = draw_icon(icon, dark, 16).expect("an image");
        let pixel = |p: &[u8]| {
            let [red, green, blue, alpha] = [p[0], p[1], p[2], p[3]].map(f32::from);
            let grey = 0.3 * red + 0.59 * green + 0.11 * blue;
            u8::from(((grey * alpha + background * (255.0 - alpha)) / 255.0) > 130.0)
        };
        image.rgba.chunks_exact(4).map(pixel).collect()
    }

    #[test]
    fn every_icon_differs_in_shape_without_colour() {
        for dark in [false, true] {
            for (n, icon) in Icon::ALL.iter().enumerate() {
                for other in &Icon::ALL[..n] {
                    let (first, second) = (grey(*icon, dark), grey(*other, dark));
                    let differ = first.iter().zip(&second).filter(|(a, b)| a != b).count();
                    assert!(differ >= 25, "{icon:?} and {other:?} differ in {differ} of 256");
                }
            }
        }
    }

    #[test]
    fn light_and_dark_icons_have_the_same_shape_in_every_size() {
        for icon in Icon::ALL {
            for size in ICON_SIZES {
                let light = shape(icon, false, size);
                assert_eq!(light, shape(icon, true, size), "{icon:?} {size}");
                assert!(light.iter().filter(|drawn| **drawn).count() > 20, "{icon:?} {size}");
            }
            assert_ne!(draw_icon(icon, false, 22), draw_icon(icon, true, 22), "{icon:?}");
        }
        assert!(draw_svg(PROGRAM_SVG, 64).is_some());
    }

    #[test]
    fn trays_get_alpha_first() {
        let image = IconImage { size: 1, rgba: vec![1, 2, 3, 4] };
        assert_eq!(image.to_argb(), [4, 1, 2, 3]);
    }
}
