//! A desktop for one test: X server, message bus, window manager, panel with a tray, notification
//! service, and a bus monitor.
//!
//! `xdotool` sends input, ImageMagick's `import` takes screenshots. A missing program fails the
//! test with the remedy. All programs are killed on drop. With `BLESS` set, screenshots go to
//! `docs/pictures`.

use crate::daemon::{let_pass, wait_for};
use crate::programs::root;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PANEL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="dark-mode" type="bool" value="true"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=10;x=0;y=0"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="length" type="uint" value="100"/>
      <property name="size" type="uint" value="32"/>
      <property name="icon-size" type="uint" value="24"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="systray"/>
  </property>
</channel>
"#;

/// Screen size in pixels; the panel is at the lower edge.
const SIZE: (u32, u32) = (1280, 800);
/// Centre of the first tray icon.
const ICON: (u32, u32) = (12, 784);

/// A screen region: width, height, left, top.
pub type Part = (u32, u32, u32, u32);

/// Region of the tray icon.
pub const TRAY: Part = (24, 32, 0, 768);
/// Region in which the menu opens.
const MENU: Part = (420, 440, 0, 327);

/// Red, green and blue of each pixel, row by row from the top.
pub type Pixels = Vec<[u8; 3]>;

pub struct Screen {
    folder: PathBuf,
    programs: Vec<Child>,
    /// Environment for programs on this desktop.
    pub env: Vec<(String, String)>,
}

impl Screen {
    /// Starts the desktop with a dark panel; files go below `folder`.
    pub fn new(folder: &Path) -> Screen {
        Screen::with_panel(folder, PANEL)
    }

    /// Starts the desktop with a light panel.
    pub fn light(folder: &Path) -> Screen {
        let dark = r#"name="dark-mode" type="bool" value="#;
        let (on, off) = (format!("{dark}\"true\""), format!("{dark}\"false\""));
        Screen::with_panel(folder, &PANEL.replace(&on, &off))
    }

    fn with_panel(folder: &Path, panel_xml: &str) -> Screen {
        let mut screen =
            Screen { folder: folder.to_owned(), programs: Vec::new(), env: Vec::new() };
        let set = |screen: &mut Screen, name: &str, value: String| {
            screen.env.push((name.to_owned(), value));
        };
        set(&mut screen, "LIBGL_ALWAYS_SOFTWARE", "1".to_owned());
        set(&mut screen, "NO_AT_BRIDGE", "1".to_owned());
        set(&mut screen, "HOME", folder.display().to_string());
        for (name, part) in [("XDG_CONFIG_HOME", "config"), ("XDG_RUNTIME_DIR", "run")] {
            set(&mut screen, name, folder.join(part).display().to_string());
        }
        let panel = folder.join("config/xfce4/xfconf/xfce-perchannel-xml");
        std::fs::create_dir_all(&panel).unwrap();
        std::fs::write(panel.join("xfce4-panel.xml"), panel_xml).unwrap();
        let size = format!("{}x{}x24", SIZE.0, SIZE.1);
        let words = ["-displayfd", "1", "-screen", "0", &size, "-nolisten", "tcp", "-noreset"];
        let number = screen.start_and_read("Xvfb", &words);
        set(&mut screen, "DISPLAY", format!(":{number}"));
        let words = ["--session", "--nofork", "--nopidfile", "--print-address=1"];
        let address = screen.start_and_read("dbus-daemon", &words);
        set(&mut screen, "DBUS_SESSION_BUS_ADDRESS", address);
        screen.start("dbus-monitor", &["--session", "interface='org.freedesktop.Notifications'"]);
        screen.start("openbox", &[]);
        screen.start("dunst", &[]);
        screen.start("xfce4-panel", &["--disable-wm-check"]);
        screen.await_name("org.freedesktop.Notifications");
        screen.await_name("org.kde.StatusNotifierWatcher");
        screen
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::null()).envs(self.env.iter().cloned());
        command.env_remove("WAYLAND_DISPLAY").current_dir(&self.folder);
        command
    }

    fn spawn(&mut self, program: &str, mut command: Command) -> &mut Child {
        let log = File::create(self.folder.join(format!("{program}.err"))).unwrap();
        let child = command.stderr(log).spawn();
        let child = child.unwrap_or_else(|error| panic!("{program}: {error}; run: make setup"));
        self.programs.push(child);
        self.programs.last_mut().unwrap()
    }

    fn start(&mut self, program: &str, words: &[&str]) {
        let mut command = self.command(program, words);
        command.stdout(File::create(self.folder.join(format!("{program}.out"))).unwrap());
        self.spawn(program, command);
    }

    /// Starts a program and returns the first line it prints.
    fn start_and_read(&mut self, program: &str, words: &[&str]) -> String {
        let mut command = self.command(program, words);
        command.stdout(Stdio::piped());
        let output = self.spawn(program, command).stdout.take().unwrap();
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "{program} ended at once");
        line.trim().to_owned()
    }

    fn output(&self, program: &str, words: &[&str]) -> Vec<u8> {
        let output = self.command(program, words).output();
        output.unwrap_or_else(|error| panic!("{program}: {error}; run: make setup")).stdout
    }

    /// Waits until this bus name is owned.
    fn await_name(&self, name: &str) {
        wait_for(name, || {
            let to = ["--session", "--print-reply", "--dest=org.freedesktop.DBus", "/"];
            let what = ["org.freedesktop.DBus.NameHasOwner".to_owned(), format!("string:{name}")];
            let words = [&to[..], &[what[0].as_str(), what[1].as_str()]].concat();
            let reply = self.output("dbus-send", &words);
            String::from_utf8_lossy(&reply).contains("boolean true").then_some(())
        });
    }

    /// Waits until a notification with this text was requested on the bus.
    pub fn await_balloon(&self, text: &str) {
        let wanted = format!("string \"{text}");
        wait_for(text, || self.balloons().contains(&wanted).then_some(()));
    }

    /// All requests to the notification service.
    pub fn balloons(&self) -> String {
        std::fs::read_to_string(self.folder.join("dbus-monitor.out")).unwrap_or_default()
    }

    /// Presses keys, by their xdotool names.
    pub fn key(&self, keys: &[&str]) {
        self.output("xdotool", &[&["key"], keys].concat());
    }

    pub fn layout(&self, name: &str) {
        self.output("setxkbmap", &[name]);
    }

    pub fn type_text(&self, text: &str) {
        self.output("xdotool", &["type", "--delay", "50", text]);
    }

    fn click(&self, button: &str, (x, y): (u32, u32)) {
        let (x, y) = (x.to_string(), y.to_string());
        self.output("xdotool", &["mousemove", &x, &y, "click", button]);
    }

    pub fn pixels(&self, part: Part) -> Pixels {
        let (width, height, x, y) = part;
        let crop = format!("{width}x{height}+{x}+{y}");
        let words = ["-window", "root", "-crop", &crop, "+repage", "-depth", "8", "rgb:-"];
        let bytes = self.output("import", &words);
        bytes.chunks_exact(3).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
    }

    /// Waits until a region matches and stays so for a moment.
    pub fn await_look(&self, what: &str, part: Part, is: impl Fn(&Pixels) -> bool) {
        wait_for(what, || {
            let pixels = self.pixels(part);
            (is(&pixels) && self.pixels(part) == pixels).then_some(())
        });
    }

    /// Opens the tray menu and returns its first and last screen row.
    pub fn open_menu(&self) -> (u32, u32) {
        let is_open = |pixels: &Pixels| lit_rows(pixels, MENU.0).len() > 100;
        wait_for("the menu", || {
            self.click("3", ICON);
            let look = || {
                let pixels = self.pixels(MENU);
                (is_open(&pixels) && self.pixels(MENU) == pixels).then_some(pixels)
            };
            // Several looks for each click: a panel that has just started may miss one.
            (0..20).find_map(|_| look())
        });
        let rows = lit_rows(&self.pixels(MENU), MENU.0);
        (MENU.3 + rows[0], MENU.3 + rows[rows.len() - 1])
    }

    /// Clicks item `index` of a menu with `count` items, the heading included.
    pub fn choose(&self, index: u32, count: u32) {
        let (top, bottom) = self.open_menu();
        let y = top + (bottom - top) * (2 * index + 1) / (2 * count);
        self.click("1", (80, y));
        self.await_no_menu();
    }

    /// Closes the menu, which holds the keyboard. Moves the pointer away, because its tooltip would
    /// cover the icon.
    pub fn close_menu(&self) {
        self.key(&["Escape"]);
        self.await_no_menu();
        self.output("xdotool", &["mousemove", "640", "300"]);
    }

    fn await_no_menu(&self) {
        self.await_look("the menu is gone", MENU, |pixels| lit_rows(pixels, MENU.0).len() < 100);
    }

    /// Waits for a window with this title and content, and returns its id.
    pub fn await_window(&self, title: &str) -> String {
        wait_for(title, || {
            let found = self.output("xdotool", &["search", "--onlyvisible", "--name", title]);
            let found = String::from_utf8_lossy(&found);
            let window = found.lines().last()?.to_owned();
            let bytes = self.output("import", &["-window", &window, "-depth", "8", "gray:-"]);
            let first = bytes.first()?;
            let drawn = bytes.iter().filter(|byte| byte.abs_diff(*first) > 60).count();
            (drawn > 300).then_some(window)
        })
    }

    /// Grey values of a window's pixels, 0 to 255.
    pub fn greys(&self, window: &str) -> Vec<u8> {
        self.output("import", &["-window", window, "-depth", "8", "-colorspace", "gray", "gray:-"])
    }

    /// Width of a window in pixels.
    pub fn width(&self, window: &str) -> u32 {
        let told = self.output("xdotool", &["getwindowgeometry", "--shell", window]);
        let told = String::from_utf8(told).unwrap();
        let width = told.lines().find_map(|line| line.strip_prefix("WIDTH="));
        width.unwrap_or_else(|| panic!("{told:?}")).parse().unwrap()
    }

    pub fn await_no_window(&self, title: &str) {
        wait_for("the window is gone", || {
            let found = self.output("xdotool", &["search", "--onlyvisible", "--name", title]);
            found.is_empty().then_some(())
        });
    }

    pub fn focus(&self, window: &str) {
        self.output("xdotool", &["windowfocus", "--sync", window]);
    }

    /// Saves a screenshot of a window, with `BLESS`.
    pub fn picture_of_window(&self, name: &str, window: &str) {
        self.picture(name, &["-window", window]);
    }

    /// Saves a screenshot of a region, with `BLESS`.
    pub fn picture_of_part(&self, name: &str, (width, height, x, y): Part) {
        let crop = format!("{width}x{height}+{x}+{y}");
        self.picture(name, &["-window", "root", "-crop", &crop, "+repage"]);
    }

    fn picture(&self, name: &str, words: &[&str]) {
        if std::env::var_os("BLESS").is_none() {
            return;
        }
        let folder = root().join("docs/pictures");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("desktop-{name}.png"));
        let plain = ["-define", "png:exclude-chunks=date,time", "-strip"];
        self.output("import", &[words, &plain, &[path.to_str().unwrap()]].concat());
    }
}

/// Rows with a pixel that is not black.
fn lit_rows(pixels: &Pixels, width: u32) -> Vec<u32> {
    let rows = pixels.chunks(usize::try_from(width).unwrap());
    let lit = (0..).zip(rows).filter(|(_, row)| row.iter().filter(|p| p[0] > 20).count() > 100);
    lit.map(|(at, _)| at).collect()
}

impl Screen {
    /// Descendant processes that are still running.
    fn left(&self) -> Vec<Pid> {
        let folder = self.folder.to_str().unwrap().as_bytes();
        let is_ours = |path: PathBuf| {
            let told = std::fs::read(path.join("environ")).unwrap_or_default();
            told.windows(folder.len()).any(|part| part == folder)
        };
        let all = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            is_ours(entry.path()).then(|| Pid::from_raw(pid))
        });
        all.collect()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        for program in self.programs.iter_mut().rev() {
            drop(program.kill());
            drop(program.wait());
        }
        // Children of the bus and the panel write into the folder as long as they run.
        for _ in 0..1000 {
            let left = self.left();
            if left.is_empty() {
                return;
            }
            for pid in left {
                // The process may have ended meanwhile.
                let _ = kill(pid, Signal::SIGKILL);
            }
            let_pass(Duration::from_millis(10));
        }
    }
}
