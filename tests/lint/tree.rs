//! The project's own sources, for the tests that judge them.
//!
//! Every `.rs` file below the root counts, whether it is tracked yet or not, so that a file is
//! judged before it is committed. Hidden folders and whatever cargo builds are left out.
//!
//! Nothing here judges anything (see `tidy.rs` and `rules.rs`).

use std::path::Path;

/// One file: its path from the root, with `/`, and its text.
pub struct Source {
    pub path: String,
    pub text: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }
}

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file, sorted by path.
pub fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    walk(root(), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.iter().any(|source| source.path == "src/lib.rs"), "looked in the wrong place");
    found
}

fn walk(folder: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().expect("a file name that is not UTF-8");
        if path.is_dir() {
            let built = path.join("CACHEDIR.TAG").exists();
            let data = folder == root() && name == "data";
            if !built && !data && !name.starts_with('.') {
                walk(&path, found);
            }
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push(Source { path, text });
        }
    }
}
