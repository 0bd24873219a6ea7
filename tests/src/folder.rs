//! Temporary folders of tests.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A temporary folder, which is removed on drop with everything in it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Creates an empty folder.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be created.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "a default value would not create a folder"
    )]
    pub fn new() -> Self {
        let folder = Self::missing();
        std::fs::create_dir(&folder.0).expect("a temporary folder can be created");
        folder
    }

    /// Returns a folder that does not exist yet, for code that creates it.
    #[must_use]
    pub fn missing() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rpc-test-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// Returns the path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns a path in the folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left-over files are the operating system's to clean up. A missing folder is no error.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
