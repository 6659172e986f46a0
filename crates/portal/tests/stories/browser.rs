//! What a browser does at the portal, beyond any page: logs in, looks for faults, takes pictures.

use super::house::PASSWORD;
pub use testkit::browser::{Browser, Look};

/// The accessibility checker, as its makers ship it.
const AXE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node_modules/axe-core/axe.min.js");

pub trait AtPortal {
    fn log_in(&self, name: &str);

    /// The page has no fault that axe knows, by WCAG 2.2 AA.
    fn assert_accessible(&self, what: &str);

    /// A picture for docs/, where BLESS=1 asks for it.
    fn picture(&self, name: &str);
}

impl AtPortal for Browser {
    fn log_in(&self, name: &str) {
        self.open("/login");
        self.types("#username", name);
        self.types("#password", PASSWORD);
        self.click("form button.main");
        self.sees("!location.pathname.startsWith('/login') && document.querySelector('.who')");
    }

    fn assert_accessible(&self, what: &str) {
        // Nothing inline runs here; the driver's scripts do, outside of the page's rules.
        let axe = std::fs::read_to_string(AXE);
        let axe = axe.unwrap_or_else(|error| panic!("{AXE}: {error}: run `make setup`"));
        self.js(&format!("{axe}; window.axe = axe; return true;"));
        let found = self.js_later(
            "window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', \
             'wcag22aa', 'best-practice'] }).then((r) => done(r.violations.map((v) => v.id + ': ' \
             + v.help + ': ' + v.nodes.map((n) => n.html + ' ' + n.failureSummary).join(' | '))))",
        );
        assert_eq!(found, serde_json::json!([]), "{what}");
    }

    fn picture(&self, name: &str) {
        if std::env::var_os("BLESS").is_none() {
            return;
        }
        let folder = testkit::root().join("docs/pictures");
        std::fs::create_dir_all(&folder).unwrap();
        self.screenshot(&folder.join(format!("portal-{name}.png")));
    }
}
