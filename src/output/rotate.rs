//! `--output-file`: a file that is renamed when it is full, and what becomes of the renamed ones.
//!
//! Names are pwru's: `trace.log` becomes `trace-2026-11-21T19-56-14.198.log`, in local time, and `.gz` behind that if
//! it is compressed. Old files are removed and compressed by a thread of its own.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::clock::{self, WIDTH};
use crate::clean;
use crate::sys::process;

/// When to rotate, and what to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rotation {
    /// A file that would get larger than this many bytes is renamed before it is written to.
    pub max_bytes: u64,
    /// Renamed files that are kept; 0: all.
    pub max_backups: u64,
    /// Days for which renamed files are kept; 0: for ever.
    pub max_days: u64,
    /// Whether renamed files are compressed.
    pub compress: bool,
}

/// Tells the user.
pub(super) type Say = fn(&str);

/// A file that rotates. Whole lines must be given to [`Write::write`]: it rotates only between two pieces.
pub(super) struct RotatingFile {
    path: PathBuf,
    file: File,
    /// Bytes in `file`; `None` for a pipe or a device, which is never renamed.
    size: Option<u64>,
    /// Bytes of a piece that was taken only in part.
    rest: usize,
    rotation: Rotation,
    cleaner: Option<(Sender<()>, JoinHandle<()>)>,
    said_failure: bool,
    say: Say,
    /// Changes when the file is to be opened again, and what it was last.
    hangups: Arc<AtomicU32>,
    seen_hangups: u32,
}

impl RotatingFile {
    /// Opens `path` for appending; creates it, and its directory, if it is not there.
    pub fn open(path: &Path, rotation: Rotation, hangups: Arc<AtomicU32>, say: Say) -> io::Result<RotatingFile> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            match DirBuilder::new().recursive(true).mode(0o755).create(dir) {
                // A file, as opening says more clearly.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
        }
        let file = append(path, 0o644)?;
        let metadata = file.metadata()?;
        Ok(RotatingFile {
            path: path.into(),
            file,
            size: metadata.is_file().then_some(metadata.len()),
            rest: 0,
            rotation,
            cleaner: None,
            said_failure: false,
            say,
            seen_hangups: hangups.load(Ordering::SeqCst),
            hangups,
        })
    }

    /// Opens the file of this name, which can be another one by now. If that fails the old one goes on.
    fn reopen(&mut self) {
        let opened = append(&self.path, 0o644).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((metadata, file)) => {
                self.size = metadata.is_file().then_some(metadata.len());
                self.file = file;
            }
            Err(error) => {
                let path = clean::path(&self.path);
                (self.say)(&format!("warning: {path} cannot be opened again, the old file goes on: {error}"));
            }
        }
    }

    /// Renames the file and starts a new one with the same mode and owner.
    fn rotate(&mut self) -> io::Result<()> {
        let old = self.file.metadata()?;
        let mut millis = now_millis();
        let mut backup = backup_path(&self.path, millis);
        while backup.exists() {
            millis += 1;
            backup = backup_path(&self.path, millis);
        }
        fs::rename(&self.path, &backup)?;
        let file = match append(&self.path, old.mode() & 0o7777) {
            Ok(file) => file,
            Err(error) => {
                // Without a new file the old one goes on, under its old name.
                let _ = fs::rename(&backup, &self.path);
                return Err(error);
            }
        };
        // The umask may have taken bits away; the owner may be given away only by root.
        let _ = file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777));
        let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
        self.file = file;
        self.size = Some(0);
        self.clean_up();
        Ok(())
    }

    /// Has the thread look after the renamed files, if there is anything to do with them.
    fn clean_up(&mut self) {
        let Rotation { max_backups, max_days, compress, .. } = self.rotation;
        if max_backups == 0 && max_days == 0 && !compress {
            return;
        }
        if self.cleaner.is_none() {
            let (path, rotation, say) = (self.path.clone(), self.rotation, self.say);
            let (sender, work) = channel();
            let thread = thread::Builder::new().name("rotate".into()).spawn(move || clean(&path, rotation, &work, say));
            match thread {
                Ok(thread) => self.cleaner = Some((sender, thread)),
                Err(error) => (self.say)(&stays(&self.path, &error)),
            }
        }
        if let Some((sender, _)) = &self.cleaner {
            let _ = sender.send(());
        }
    }
}

impl Write for RotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let hangups = self.hangups.load(Ordering::SeqCst);
        if self.rest == 0 && hangups != self.seen_hangups {
            self.seen_hangups = hangups;
            self.reopen();
        }
        if let Some(size) = self.size.filter(|_| self.rest == 0) {
            let is_full = size > 0 && size.saturating_add(bytes.len() as u64) > self.rotation.max_bytes;
            if is_full && let Err(error) = self.rotate() {
                // Better a file that is too large than lines that are lost; the next try is one file's size away.
                self.size = Some(0);
                if !std::mem::replace(&mut self.said_failure, true) {
                    (self.say)(&format!(
                        "warning: {} cannot be rotated and grows on: {error}",
                        clean::path(&self.path)
                    ));
                }
            }
        }
        self.rest = bytes.len();
        let written = self.file.write(bytes)?;
        self.rest -= written;
        self.size = self.size.map(|size| size + written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for RotatingFile {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.cleaner.take() {
            drop(sender);
            let _ = thread.join();
        }
    }
}

fn append(path: &Path, mode: u32) -> io::Result<File> {
    let _reader = process::reader_of_pipe(path)?;
    OpenOptions::new().append(true).create(true).mode(mode).open(path)
}

fn now_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// `DIR/STEM-TIME.EXTENSION`
fn backup_path(path: &Path, unix_millis: i64) -> PathBuf {
    let (mut name, extension) = stem_and_extension(path);
    name.push(clock::for_file_name(unix_millis));
    name.push(extension);
    path.with_file_name(name)
}

/// `STEM-` and `.EXTENSION`, which may be empty.
fn stem_and_extension(path: &Path) -> (OsString, OsString) {
    let mut stem = path.file_stem().unwrap_or_default().to_owned();
    stem.push("-");
    let mut extension = OsString::new();
    if let Some(text) = path.extension() {
        extension.push(".");
        extension.push(text);
    }
    (stem, extension)
}

/// A renamed file.
#[derive(Debug, PartialEq, Eq)]
struct Backup {
    /// The time in its name, which sorts as the times do.
    time: String,
    path: PathBuf,
    is_compressed: bool,
}

/// The renamed files of `path`, newest first. Only names that we would give are among them.
fn backups(path: &Path) -> io::Result<Vec<Backup>> {
    let (stem, extension) = stem_and_extension(path);
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut backups = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let middle = name.as_encoded_bytes().strip_prefix(stem.as_encoded_bytes());
        let plain = middle.map(|middle| middle.strip_suffix(b".gz").unwrap_or(middle));
        let time = plain.and_then(|plain| plain.strip_suffix(extension.as_encoded_bytes()));
        if let Some(time) = time.filter(|time| is_time(time)).and_then(|time| str::from_utf8(time).ok()) {
            let is_compressed = name.as_encoded_bytes().ends_with(b".gz") && extension != ".gz";
            backups.push(Backup { time: time.into(), path: entry.path(), is_compressed });
        }
    }
    backups.sort_unstable_by(|a, b| (&b.time, b.is_compressed).cmp(&(&a.time, a.is_compressed)));
    Ok(backups)
}

/// Whether `text` has the form of `2026-11-21T19-56-14.198`.
fn is_time(text: &[u8]) -> bool {
    let form = b"0000-00-00T00-00-00.000";
    text.len() == WIDTH
        && text.iter().zip(form).all(|(byte, form)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form })
}

/// The life of the thread: cleans up after each rotation; several that happened meanwhile are one.
fn clean(path: &Path, rotation: Rotation, work: &Receiver<()>, say: Say) {
    while work.recv().is_ok() {
        while work.try_recv().is_ok() {}
        if let Err(error) = clean_once(path, rotation, now_millis()) {
            say(&stays(path, &error));
        }
    }
}

fn stays(path: &Path, error: &io::Error) -> String {
    format!("warning: old files of {} stay as they are: {error}", clean::path(path))
}

/// Removes what is too old or too many, and compresses the rest if asked to.
fn clean_once(path: &Path, rotation: Rotation, now_millis: i64) -> io::Result<()> {
    let days = i64::try_from(rotation.max_days).unwrap_or(i64::MAX);
    let oldest = (days > 0).then(|| clock::for_file_name(now_millis.saturating_sub(days.saturating_mul(86_400_000))));
    let (mut kept, mut last) = (0, String::new());
    for backup in backups(path)? {
        if backup.time != last {
            kept += 1;
            last.clone_from(&backup.time);
        }
        let is_too_many = rotation.max_backups > 0 && kept > rotation.max_backups;
        if is_too_many || oldest.as_ref().is_some_and(|oldest| backup.time < *oldest) {
            fs::remove_file(&backup.path)?;
        } else if rotation.compress && !backup.is_compressed {
            compress(&backup.path)?;
        }
    }
    Ok(())
}

/// Makes `FILE.gz` of `FILE`. Until it is whole it is called `FILE.gz.tmp`.
fn compress(path: &Path) -> io::Result<()> {
    let named = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let mut plain = File::open(path)?;
    let metadata = plain.metadata()?;
    let file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(metadata.mode()).open(named(".gz.tmp"))?;
    let _ = fchown(&file, Some(metadata.uid()), Some(metadata.gid()));
    let mut encoder = GzEncoder::new(file, Compression::default());
    io::copy(&mut plain, &mut encoder)?;
    encoder.finish()?;
    fs::rename(named(".gz.tmp"), named(".gz"))?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Mutex;

    use flate2::read::GzDecoder;

    use super::*;

    /// A directory that is removed at the end.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Dir {
            let dir = std::env::temp_dir().join(format!("whither-rotate-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            Dir(dir)
        }

        /// All text, oldest first, of the renamed files and of the file itself.
        fn text(&self, file: &Path) -> String {
            let mut text = String::new();
            for backup in backups(file).unwrap().iter().rev() {
                let file = File::open(&backup.path).unwrap();
                let mut reader: Box<dyn Read> =
                    if backup.is_compressed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
                reader.read_to_string(&mut text).unwrap();
            }
            text + &fs::read_to_string(file).unwrap()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

    fn said(text: &str) {
        SAID.lock().unwrap().push(text.to_owned());
    }

    /// What was said of files in this directory, and no more.
    fn said_of(dir: &Dir) -> Vec<String> {
        let dir = dir.0.display().to_string();
        let of_it = SAID.lock().unwrap().extract_if(.., |text| text.contains(&dir)).collect::<Vec<String>>();
        of_it.into_iter().map(|text| text.replace(&dir, "DIR")).collect()
    }

    const KEEP_ALL: Rotation = Rotation { max_bytes: 20, max_backups: 0, max_days: 0, compress: false };

    fn write(file: &Path, rotation: Rotation, lines: &[&str]) {
        let mut file = RotatingFile::open(file, rotation, Arc::default(), said).unwrap();
        for line in lines {
            file.write_all(line.as_bytes()).unwrap();
        }
    }

    #[test]
    fn a_full_file_is_renamed_and_nothing_is_lost() {
        let dir = Dir::new("full");
        let file = dir.0.join("a/b/trace.log");
        write(&file, KEEP_ALL, &["1234567\n", "abcdefg\n", "hijklmn\n"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "hijklmn\n");
        assert_eq!(backups(&file).unwrap().len(), 1);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        // A file that is there is appended to; one that is full already is renamed at once.
        write(&file, KEEP_ALL, &["opqrstu\n"]);
        write(&file, KEEP_ALL, &["vwxyz\n", "a line that is longer than a whole file may be\n", "end\n"]);
        let all = "1234567\nabcdefg\nhijklmn\nopqrstu\nvwxyz\na line that is longer than a whole file may be\nend\n";
        assert_eq!(dir.text(&file), all);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        let name = backups(&file).unwrap()[0].path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("trace-20") && name.ends_with(".log") && name.len() == "trace-.log".len() + WIDTH);
    }

    #[test]
    fn old_files_are_compressed() {
        let dir = Dir::new("gzip");
        let file = dir.0.join("trace");
        write(&file, Rotation { compress: true, ..KEEP_ALL }, &["1234567890\n", "abcdefghij\n", "klmnopqrst\n"]);
        let old = backups(&file).unwrap();
        assert_eq!(old.len(), 2);
        assert!(old.iter().all(|backup| backup.is_compressed), "{old:?}");
        assert_eq!(dir.text(&file), "1234567890\nabcdefghij\nklmnopqrst\n");
    }

    #[test]
    fn too_many_and_too_old_files_are_removed_and_no_others() {
        let dir = Dir::new("old");
        let file = dir.0.join("trace.log");
        fs::create_dir_all(&dir.0).unwrap();
        let now = 1_795_290_974_198;
        let day = 86_400_000;
        for age in 0..6 {
            fs::write(backup_path(&file, now - age * day), "x").unwrap();
        }
        let strangers =
            ["trace-old.log", "trace-2026-11-21T19-56-14.198.txt", "other-2026-11-21T19-56-14.198.log", "trace.log"];
        strangers.iter().for_each(|name| fs::write(dir.0.join(name), "x").unwrap());
        clean_once(&file, Rotation { max_backups: 4, ..KEEP_ALL }, now).unwrap();
        assert_eq!(backups(&file).unwrap().len(), 4);
        clean_once(&file, Rotation { max_days: 2, ..KEEP_ALL }, now + 1).unwrap();
        let left: Vec<_> = backups(&file).unwrap().into_iter().map(|backup| backup.time).collect();
        assert_eq!(left, [now, now - day].map(clock::for_file_name));
        assert!(strangers.iter().all(|name| dir.0.join(name).exists()));
    }

    #[test]
    fn a_file_that_was_renamed_is_opened_again_when_asked() {
        let dir = Dir::new("reopen");
        let file = dir.0.join("trace.log");
        let hangups = Arc::new(AtomicU32::new(0));
        let mut output = RotatingFile::open(&file, KEEP_ALL, hangups.clone(), said).unwrap();
        output.write_all(b"1\n").unwrap();
        fs::rename(&file, dir.0.join("old")).unwrap();
        output.write_all(b"2\n").unwrap();
        hangups.store(1, Ordering::SeqCst);
        output.write_all(b"3\n").unwrap();
        output.write_all(b"4\n").unwrap();
        assert_eq!(fs::read_to_string(dir.0.join("old")).unwrap(), "1\n2\n");
        assert_eq!(fs::read_to_string(&file).unwrap(), "3\n4\n");
        // Where there can be no new one the old one goes on.
        let whole = dir.0.clone();
        fs::rename(&whole, whole.with_extension("moved")).unwrap();
        hangups.store(2, Ordering::SeqCst);
        output.write_all(b"5\n").unwrap();
        fs::rename(whole.with_extension("moved"), &whole).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "3\n4\n5\n");
        let text = "warning: DIR/trace.log cannot be opened again, the old file goes on: No such file or directory \
                    (os error 2)";
        assert_eq!(said_of(&dir), [text]);
    }

    #[test]
    fn a_device_is_never_renamed() {
        let mut file = RotatingFile::open(Path::new("/dev/null"), KEEP_ALL, Arc::default(), said).unwrap();
        for _ in 0..10 {
            file.write_all(b"0123456789").unwrap();
        }
        assert_eq!(file.size, None);
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_error() {
        assert!(RotatingFile::open(Path::new("/dev/null/x/trace.log"), KEEP_ALL, Arc::default(), said).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_renamed_grows_on() {
        let dir = Dir::new("stays");
        let file = dir.0.join("trace.log");
        let mut output = RotatingFile::open(&file, KEEP_ALL, Arc::default(), said).unwrap();
        // Somebody else has moved it.
        fs::remove_file(&file).unwrap();
        for _ in 0..9 {
            output.write_all(b"0123456789").unwrap();
        }
        assert_eq!(output.file.metadata().unwrap().len(), 90);
        let text = "warning: DIR/trace.log cannot be rotated and grows on: No such file or directory (os error 2)";
        assert_eq!(said_of(&dir), [text], "once is enough");
    }

    #[test]
    fn old_files_that_cannot_be_looked_at_stay() {
        let dir = Dir::new("unseen");
        let (done, work) = channel();
        done.send(()).unwrap();
        drop(done);
        clean(&dir.0.join("trace.log"), KEEP_ALL, &work, said);
        let text = "warning: old files of DIR/trace.log stay as they are: No such file or directory (os error 2)";
        assert_eq!(said_of(&dir), [text]);
    }
}
