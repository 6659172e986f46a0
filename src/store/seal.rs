//! To come with its branch.
