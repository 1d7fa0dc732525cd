//! The inputs to begin with: small, valid, made from the golden files of the core.

use std::fs;
use std::path::PathBuf;

/// The files of `corpus/TARGET`, by name, in the order of names.
///
/// # Panics
///
/// The target has no corpus, or it cannot be read.
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut seeds: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|file| {
            let path = file.expect("an entry of the corpus is readable").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let data = fs::read(&path).expect("a file of the corpus is readable");
            (name.into_owned(), data)
        })
        .collect();
    seeds.sort();
    seeds
}
