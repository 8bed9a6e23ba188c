//! A file that appears whole or not at all, and that only its owner can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file in the making. Dropped before [`AtomicFile::finish`], it leaves nothing behind.
pub(crate) struct AtomicFile {
    writer: BufWriter<File>,
    temporary: PathBuf,
    target: PathBuf,
    replaces: bool,
}

impl AtomicFile {
    /// Begins a file that will appear at `target`; one that is there already is only replaced if `replaces`.
    pub(crate) fn begin(target: &Path, replaces: bool) -> io::Result<Self> {
        if !replaces && target.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
        let temporary = target.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let writer = BufWriter::new(options.open(&temporary)?);
        Ok(Self { writer, temporary, target: target.to_owned(), replaces })
    }

    /// Puts what was written on disk and gives the file its name.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.writer.get_ref().sync_all()?;
        if self.replaces {
            fs::rename(&self.temporary, &self.target)?;
        } else {
            // A link fails where a file of that name has come up meanwhile; a rename would replace it.
            fs::hard_link(&self.temporary, &self.target)?;
        }
        let directory = self.target.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // After a rename it is gone already.
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_and_is_not_replaced_unasked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("codes.txt");
        let mut file = AtomicFile::begin(&path, false).unwrap();
        file.write_all(b"one\n").unwrap();
        assert!(!path.exists());
        file.finish().unwrap();

        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
        let error = AtomicFile::begin(&path, false).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        drop(AtomicFile::begin(&path, true).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
