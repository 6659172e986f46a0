//! *Check status*: all of it in words, and what happened lately as a timeline (requirement A12).
//!
//! The lanes are those of `history`, told apart by their headings; there is no level, because a box
//! tells agents none. Nothing here can be changed.

use super::{Desk, Page};
use crate::shell::clock;
use crate::ui::button::minutes;
use crate::ui::model::capital;
use eframe::egui::{self, RichText, Sense, vec2};

/// The timeline shows so much of the past.
const SHOWN_MS: u64 = 10 * 60_000;
const HEADING: f32 = 110.0;

pub(super) struct Status;

impl Page for Status {
    fn draw(&mut self, ui: &mut egui::Ui, desk: &mut Desk) -> bool {
        ui.heading(capital(&desk.snapshot.headline));
        ui.separator();
        let mut stays = true;
        egui::ScrollArea::vertical().max_height(ui.available_height() - 44.0).show(ui, |ui| {
            words(ui, desk);
            ui.separator();
            timeline(ui, desk);
        });
        ui.horizontal(|ui| {
            let reconnect = egui::Button::new("Reconnect");
            if ui.add_enabled(!desk.snapshot.connected, reconnect).clicked() {
                desk.command("reconnect");
            }
            stays = !ui.button("Close (Esc)").clicked();
        });
        stays
    }
}

fn words(ui: &mut egui::Ui, desk: &Desk) {
    egui::Grid::new("words").num_columns(2).spacing([16.0, 8.0]).show(ui, |ui| {
        for (heading, words) in &desk.snapshot.status {
            ui.label(RichText::new(heading).strong());
            let words = match heading.as_str() {
                "Blackout" if desk.snapshot.blackout => {
                    format!("on for {}", minutes(desk.blackout_ms()))
                }
                _ => words.clone(),
            };
            ui.add(egui::Label::new(words).wrap());
            ui.end_row();
        }
    });
}

fn timeline(ui: &mut egui::Ui, desk: &Desk) {
    ui.label(RichText::new("The last ten minutes").strong());
    let passed = clock::now_ms().saturating_sub(desk.came_ms);
    for (lane, spans) in &desk.snapshot.timeline {
        ui.horizontal(|ui| {
            let left = egui::Layout::left_to_right(egui::Align::Center);
            ui.allocate_ui_with_layout(vec2(HEADING, 16.0), left, |ui| {
                ui.set_min_width(HEADING);
                ui.label(lane);
            });
            let size = vec2(ui.available_width(), 16.0);
            let (area, response) = ui.allocate_exact_size(size, Sense::hover());
            let painter = ui.painter_at(area);
            let (fill, edge) =
                (ui.visuals().extreme_bg_color, ui.visuals().widgets.noninteractive.bg_stroke);
            painter.rect(area, 3.0, fill, edge, egui::StrokeKind::Inside);
            for (from, to) in spans {
                // What was still so when the snapshot was made is so now.
                let from = from + passed;
                let to = if *to == 0 { 0 } else { to + passed };
                let place = |ago: u64| area.right() - share(ago) * area.width();
                let mut bar = area;
                (bar.min.x, bar.max.x) = (place(from), place(to).max(place(from) + 1.0));
                painter.rect_filled(bar, 2.0, ui.visuals().text_color());
            }
            let seconds: u64 = spans.iter().map(|(from, to)| (from - to) / 1000).sum();
            response.on_hover_text(format!("{lane}: on for {} in all", minutes(seconds * 1000)));
        });
    }
    ui.horizontal(|ui| {
        ui.add_space(HEADING + 10.0);
        ui.small("10 min ago");
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| ui.small("now"));
    });
}

/// How far back in the timeline something is, 0 to 1.
fn share(ago_ms: u64) -> f32 {
    let seconds = u16::try_from(ago_ms.min(SHOWN_MS) / 1000).unwrap_or(u16::MAX);
    let all = u16::try_from(SHOWN_MS / 1000).unwrap_or(u16::MAX);
    f32::from(seconds) / f32::from(all)
}
