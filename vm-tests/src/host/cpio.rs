//! Writes the archive format that the kernel unpacks as its first root: cpio, "new ASCII".
//!
//! Format: Documentation/driver-api/early-userspace/buffer-format.rst. Archives may follow one another in one image, and
//! a later one adds to and replaces what an earlier one brought.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::{Context, Result};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// An archive under construction. Paths are relative to the root and have no leading slash; parents are made as needed.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    inode: u32,
    directories: BTreeSet<String>,
}

impl Archive {
    /// Adds a directory and its parents.
    pub fn directory(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if path.is_empty() || self.directories.contains(path) {
            return;
        }
        self.parent(path);
        self.directories.insert(path.to_owned());
        self.entry(path, DIRECTORY | 0o755, (0, 0), &[]);
    }

    /// Adds a regular file with the permissions of `mode`.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.parent(path);
        self.entry(path, REGULAR | mode, (0, 0), content);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.parent(path);
        self.entry(path, LINK | 0o777, (0, 0), target.as_bytes());
    }

    /// Adds a character device.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.parent(path);
        self.entry(path, CHARACTER | 0o600, (major, minor), &[]);
    }

    /// Adds what is below `root` on this machine under `path`: files, directories and links.
    pub fn tree(&mut self, path: &str, root: &Path) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let mut entries = std::fs::read_dir(root).context(root.display())?.collect::<std::io::Result<Vec<_>>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            let inside = format!("{path}/{}", name.to_string_lossy());
            let inside = inside.trim_start_matches('/');
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.directory(inside);
                self.tree(inside, &entry.path())?;
            } else if kind.is_symlink() {
                self.link(inside, &std::fs::read_link(entry.path())?.to_string_lossy());
            } else {
                let mode = entry.metadata()?.permissions().mode() & 0o7777;
                self.file(inside, mode, &std::fs::read(entry.path())?);
            }
        }
        Ok(())
    }

    /// The finished archive; its length is a multiple of four, so that another may follow.
    pub fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn parent(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
    }

    fn entry(&mut self, path: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        self.inode += 1;
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        let (size, name) = (content.len() as u32, path.len() as u32 + 1);
        let fields = [self.inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn an_archive_is_what_the_format_says() {
        let mut archive = Archive::default();
        archive.file("a/b", 0o644, b"hello");
        let bytes = archive.finish();
        let header = |at: usize| std::str::from_utf8(&bytes[at..at + 110]).unwrap();
        let field = |at: usize, index: usize| u32::from_str_radix(&header(at)[6 + 8 * index..][..8], 16).unwrap();
        assert_eq!(&header(0)[..6], "070701");
        assert_eq!(field(0, 1), 0o040_755);
        assert_eq!(&bytes[110..112], b"a\0");
        assert_eq!((field(112, 1), field(112, 6), field(112, 11)), (0o100_644, 5, 4));
        assert_eq!(&bytes[222..226], b"a/b\0");
        assert_eq!(&bytes[228..236], b"hello\0\0\0");
        assert_eq!(&bytes[236 + 110..236 + 120], b"TRAILER!!!");
        assert_eq!(bytes.len() % 4, 0);
    }
}
