//! Who redeems from this machine: a token of one's own makes the same voucher the same request, in every run.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::codes;
use crate::system::{hex, random_secret};

/// The token that proves who began a redemption.
pub(super) struct Holder {
    token: String,
}

impl Holder {
    /// The token kept in `$XDG_STATE_HOME/mintcode/holder`, made at the first call. Where it cannot be kept, one for
    /// this run alone.
    pub(super) fn load() -> Self {
        let kept = place().ok_or(io::ErrorKind::NotFound.into()).and_then(|path| read_or_make(&path));
        let token = kept.unwrap_or_else(|error: io::Error| {
            eprintln!("warning: a later run cannot come back to what this one begins: no token can be kept ({error})");
            random_secret()
        });
        Self { token }
    }

    /// The `Idempotency-Key` for the voucher with this code, however it is written.
    pub(super) fn key(&self, code: &str) -> String {
        let written = codes::read_any(code).map_or_else(|_| code.to_owned(), |code| code.reveal());
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.token.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(written.as_bytes());
        let bytes = mac.finalize().into_bytes();
        hex(&bytes[..16])
    }
}

fn place() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("mintcode/holder"))
}

fn read_or_make(path: &Path) -> io::Result<String> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    // Made beside its place, so that a run at the same time never reads half a token; a link never replaces one.
    let made = path.with_extension(format!("{}.part", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&made)?.write_all(random_secret().as_bytes())?;
    let linked = fs::hard_link(&made, path);
    fs::remove_file(&made)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => read(path),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let token = fs::read_to_string(path)?.trim().to_owned();
    if token.len() < 32 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} holds no token", path.display())));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_made_once_and_belongs_to_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/mintcode/holder");
        let token = read_or_make(&path).unwrap();
        assert_eq!(read_or_make(&path).unwrap(), token);
        assert_eq!(token.len(), 64);
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_voucher_has_one_key_however_it_is_written() {
        let holder = Holder { token: "t".repeat(64) };
        let code = "0".repeat(32);
        assert_eq!(holder.key(&code), holder.key(&"oooo-".repeat(8)));
        assert_ne!(holder.key(&code), holder.key(&"1".repeat(32)));
        let other = Holder { token: "u".repeat(64) };
        assert_ne!(holder.key(&code), other.key(&code));
    }
}
