//! *Settings*: servers, mode, keys, looks, and start at log-in.
//!
//! What the administrator has locked is shown and cannot be changed. Everything is looked at before
//! it is sent. Nothing here writes a file: the resident client does.

use super::{Desk, Page, complaint};
use crate::ipc::Ask;
use crate::keys::Key;
use crate::settings::{Mode, Settings as Values, Theme};
use eframe::egui::{self, RichText, TextEdit};

#[derive(Default)]
pub(super) struct Settings {
    edited: Option<(Values, bool)>,
    servers: String,
    told: Option<Result<String, String>>,
    due: Option<u64>,
}

impl Page for Settings {
    fn draw(&mut self, ui: &mut egui::Ui, desk: &mut Desk) -> bool {
        for (id, answer) in desk.answers.drain(..) {
            if self.due == Some(id) {
                self.told = Some(answer);
            }
        }
        if self.edited.is_none() {
            let Some(values) = desk.snapshot.settings.clone() else { return true };
            self.servers = values.servers.join("\n");
            self.edited = Some((values, desk.snapshot.autostart));
        }
        let mut stays = true;
        let bottom = ui.available_height() - 76.0;
        egui::ScrollArea::vertical().max_height(bottom).show(ui, |ui| self.form(ui, desk));
        match &self.told {
            Some(Ok(text)) => drop(ui.label(text.clone())),
            Some(Err(text)) => drop(ui.label(complaint(text))),
            None => drop(ui.label("")),
        }
        ui.horizontal(|ui| {
            if ui.button("Save").clicked() {
                self.save(desk);
            }
            stays = !ui.button("Close (Esc)").clicked();
        });
        stays
    }
}

impl Settings {
    fn form(&mut self, ui: &mut egui::Ui, desk: &Desk) {
        let Some((values, autostart)) = &mut self.edited else { return };
        let open = |key: &str| !values.locked.iter().any(|locked| locked == key);
        let locks = ["servers", "mode", "theme", "bar", "hotkeys", "panel"].map(open);
        let heading = heading(ui, "Servers, one a line, tried in this order", locks[0]);
        ui.add_enabled_ui(locks[0], |ui| {
            let edit = TextEdit::multiline(&mut self.servers).desired_rows(3);
            ui.add(edit.desired_width(f32::INFINITY)).labelled_by(heading.id);
        });
        self::heading(ui, "When the box cannot be reached", locks[1]);
        ui.add_enabled_ui(locks[1], |ui| {
            let text = "Come back by itself, even after standby";
            ui.radio_value(&mut values.mode, Mode::SelfHealing, text);
            ui.radio_value(&mut values.mode, Mode::Strict, "Strict: in standby only Reconnect");
        });
        self::heading(ui, "Keys that work in every program", locks[4]);
        ui.add_enabled_ui(locks[4], |ui| {
            egui::Grid::new("keys").num_columns(2).show(ui, |ui| {
                let keys = &mut values.hotkeys;
                for (name, key) in
                    [("Blackout", &mut keys.blackout), ("Recording", &mut keys.recording)]
                {
                    let label = ui.label(name);
                    ui.add(TextEdit::singleline(key).hint_text("none")).labelled_by(label.id);
                    ui.end_row();
                }
            });
            ui.add(egui::Label::new(RichText::new(&desk.snapshot.hotkeys).small()).wrap());
        });
        self::heading(ui, "Looks", locks[2]);
        ui.add_enabled_ui(locks[2], |ui| {
            ui.horizontal(|ui| {
                ui.radio_value(&mut values.theme, Theme::System, "As the desktop");
                ui.radio_value(&mut values.theme, Theme::Dark, "Dark");
                ui.radio_value(&mut values.theme, Theme::Light, "Light");
            });
        });
        self::heading(ui, "The panel with the icon", locks[5]);
        ui.add_enabled_ui(locks[5], |ui| {
            ui.horizontal(|ui| {
                ui.radio_value(&mut values.panel, Theme::System, "As the desktop");
                ui.radio_value(&mut values.panel, Theme::Dark, "Dark");
                ui.radio_value(&mut values.panel, Theme::Light, "Light");
            });
        });
        ui.add_enabled_ui(locks[3], |ui| {
            ui.checkbox(&mut values.bar, "Open the button bar at start");
        });
        ui.checkbox(autostart, "Start when I log in");
    }

    /// Looks at everything and sends it.
    fn save(&mut self, desk: &mut Desk) {
        let Some((values, autostart)) = &mut self.edited else { return };
        let lines = self.servers.lines().map(str::trim).filter(|line| !line.is_empty());
        values.servers = lines.map(str::to_owned).collect();
        let servers = values.servers.iter().map(|server| server.parse::<client::Address>());
        let bad_server = servers.filter_map(Result::err).map(|error| error.to_string()).next();
        let keys = [&values.hotkeys.blackout, &values.hotkeys.recording];
        let bad_key = keys.into_iter().filter_map(|key| Key::parse(key).err()).next();
        let none = values.servers.is_empty().then(|| "name at least one server".to_owned());
        let bad = none.or(bad_server).or(bad_key.map(|error| error.to_string()));
        if let Some(bad) = bad {
            self.told = Some(Err(bad));
            return;
        }
        let settings = Box::new(values.clone());
        self.due = Some(desk.send(Ask::Settings { settings, autostart: *autostart }));
    }
}

fn heading(ui: &mut egui::Ui, text: &str, open: bool) -> egui::Response {
    ui.add_space(6.0);
    let text = if open { text.to_owned() } else { format!("{text} (set by your administrator)") };
    ui.label(RichText::new(text).strong())
}
