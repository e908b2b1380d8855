//! How much waits in the spool.

use std::path::Path;

/// Messages in a store's spool, counted for each node. It reads the names of all files, so it takes
/// about a second for a million.
pub(crate) fn count_files(store: &Path) -> std::io::Result<usize> {
    let mut count = 0;
    for directory in std::fs::read_dir(store.join(mqlib::spool::ROOT))? {
        let directory = directory?;
        let ours = !directory.file_name().to_string_lossy().starts_with('.')
            && directory.file_type().is_ok_and(|kind| kind.is_dir());
        if !ours {
            continue;
        }
        // A directory may go away while we look.
        let Ok(files) = std::fs::read_dir(directory.path()) else { continue };
        count += files.count();
    }
    Ok(count)
}
