//! Waveform of a recording as SVG: level, and masked, held and lost spans.
//!
//! The SVG contains numbers only; the style sheet sets colours and patterns. A span that is silent
//! on purpose fills the whole height, so that it is not mistaken for silence. A loss of one side
//! fills that side's half.

use crate::media::decode_service::Waveform;
use protocol::client::Pairs;
use serde::Serialize;
use std::fmt::Write;

const WIDTH: u64 = 1000;
const HEIGHT: u32 = 160;
/// Largest magnitude of a sample.
const SAMPLE_MAX: u32 = 32_768;
/// Minimum width of a span in SVG units.
const SPAN_WIDTH_MIN: u64 = 2;

/// Horizontal position of a frame.
fn frame_to_x(frame: u64, frames: u64) -> u64 {
    let frame = u128::from(frame.min(frames)) * u128::from(WIDTH);
    u64::try_from(frame / u128::from(frames.max(1))).unwrap_or(WIDTH)
}

/// Text alternative for screen readers.
fn aria_label(shape: &Waveform) -> String {
    let count = |fate: &str| shape.spans.iter().filter(|span| span.fate == fate).count();
    let (masked, held, lost) = (count("masked"), count("held"), count("lost"));
    let label = format!("Timeline: {masked} blacked out, {held} held, {lost} lost stretches");
    match count("side-lost") {
        0 => label,
        sides => format!("{label}, {sides} lost on one side"),
    }
}

/// What a span row of `show` says, for the history of a record: `held: `, `lost: network`,
/// `customer's side lost 40 ms, network`. `rate` is in frames per second.
#[must_use]
pub fn describe_span(row: &Pairs, rate: u64) -> String {
    let word = |key| row.get(key).unwrap_or_default();
    let (fate, why) = (word("fate"), word("why"));
    let Some(side) = row.get("side") else { return format!("{fate}: {why}") };
    let position = |key| word(key).parse::<u64>().unwrap_or(0);
    let frames = position("to").saturating_sub(position("from"));
    let ms = frames.saturating_mul(1000) / rate.max(1);
    format!("{side}'s side lost {ms} ms, {why}")
}

/// Level of one side, as an SVG path.
#[derive(Debug, Serialize)]
pub struct PeakPath {
    class: String,
    d: String,
}

/// Level paths of all sides. For a long recording they are loaded later than the page.
#[must_use]
pub fn peak_paths(shape: &Waveform) -> Vec<PeakPath> {
    let sides = u32::try_from(shape.peaks.len().max(1)).unwrap_or(1);
    let half = HEIGHT / sides / 2;
    let path = |(side, peaks): (u32, &Vec<u16>)| {
        let (middle, mut d) = (half * (2 * side + 1), String::new());
        let count = u64::try_from(peaks.len()).unwrap_or(1);
        for (at, peak) in (0..).zip(peaks) {
            let x = frame_to_x(at, count);
            let high = (u32::from(*peak) * half / SAMPLE_MAX).max(1);
            let _ = write!(d, "M{x} {}V{}", middle.saturating_sub(high), middle + high);
        }
        PeakPath { class: format!("loud side-{side}"), d }
    };
    (0..).zip(&shape.peaks).map(path).collect()
}

/// Renders the SVG.
#[must_use]
pub fn render_svg(shape: &Waveform) -> String {
    let mut svg = format!(
        "<svg id=\"wave\" class=\"wave\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         preserveAspectRatio=\"none\" aria-label=\"{}\">",
        aria_label(shape)
    );
    for PeakPath { class, d } in peak_paths(shape) {
        let _ = write!(svg, "<path class=\"{class}\" d=\"{d}\"/>");
    }
    for span in &shape.spans {
        let (from, to) = (frame_to_x(span.from, shape.frames), frame_to_x(span.to, shape.frames));
        let class = match span.fate.as_str() {
            "masked" => "masked",
            "held" => "held",
            _ => "lost",
        };
        let width = to.saturating_sub(from).max(SPAN_WIDTH_MIN);
        let (y, height) = match span.side.as_deref() {
            Some("agent") => (0, HEIGHT / 2),
            Some("customer") => (HEIGHT / 2, HEIGHT / 2),
            _ => (0, HEIGHT),
        };
        let _ = write!(
            svg,
            "<rect class=\"{class}\" x=\"{from}\" y=\"{y}\" width=\"{width}\" \
             height=\"{height}\"/>"
        );
    }
    let _ = write!(svg, "<path id=\"now\" class=\"now\" d=\"M0 0V{HEIGHT}\"/></svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::decode_service::Span;

    #[test]
    fn what_is_silent_on_purpose_is_drawn_where_it_is() {
        let stretch = |fate: &str, from, to| Span { fate: fate.to_owned(), side: None, from, to };
        let side = Some("customer".to_owned());
        let spans = vec![
            stretch("masked", 2000, 4000),
            Span { side, ..stretch("side-lost", 4000, 4160) },
            stretch("<b>", 7999, 8000),
        ];
        let peaks = vec![vec![0, 32_768], vec![16_384, 0]];
        let svg = render_svg(&Waveform { rate: 8000, frames: 8000, peaks, spans });
        assert!(svg.contains("class=\"masked\" x=\"250\" y=\"0\" width=\"250\""), "{svg}");
        assert!(svg.contains("class=\"lost\" x=\"999\" y=\"0\" width=\"2\""), "{svg}");
        let side = "class=\"lost\" x=\"500\" y=\"80\" width=\"20\" height=\"80\"";
        assert!(svg.contains(side) && svg.contains("1 lost on one side"), "{svg}");
        assert!(svg.contains("M500 0V80") && svg.contains("1 blacked out"), "{svg}");
        assert!(!svg.contains("<b>") && !svg.contains("style"));
        assert!(render_svg(&Waveform::default()).contains("0 blacked out"));
    }

    #[test]
    fn a_lost_side_is_told_with_its_length_and_reason() {
        let row = |text: &str| {
            let words = text.split(' ').filter_map(|word| word.split_once('='));
            Pairs(words.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
        };
        let side = row("fate=side-lost from=8000 to=8320 side=customer why=network");
        assert_eq!(describe_span(&side, 8000), "customer's side lost 40 ms, network");
        assert_eq!(describe_span(&row("fate=lost from=1 to=2 why=ring"), 8000), "lost: ring");
    }
}
