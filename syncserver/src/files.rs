//! Files that may have several names.

use std::path::{Path, PathBuf};

/// Whether both lead to one file, be it there already or not: by links, or by paths that are written in another way.
pub(crate) fn are_one(one: &Path, other: &Path) -> bool {
    resolved(one) == resolved(other) || is_one_file(one, other)
}

/// The file itself, as far as it is there yet.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    let by_folder = || {
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        Some(folder.canonicalize().ok()?.join(path.file_name()?))
    };
    path.canonicalize()
        .ok()
        .or_else(by_folder)
        .or_else(|| std::path::absolute(path).ok())
        .unwrap_or_else(|| path.into())
}

/// Whether two names, such as hard links, are of one file.
#[cfg(unix)]
fn is_one_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let file = |path: &Path| path.metadata().ok().map(|file| (file.dev(), file.ino()));
    file(one).is_some_and(|found| file(other) == Some(found))
}

#[cfg(not(unix))]
fn is_one_file(_: &Path, _: &Path) -> bool {
    false
}
