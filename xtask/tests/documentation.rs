//! The pages of the project hang together: every link leads somewhere, and every page can be
//! reached from the README.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("this package lies in the workspace").to_owned()
}

/// Where the links of a page lead, without those that leave the project.
fn links(page: &Path) -> Vec<PathBuf> {
    let text =
        fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let parent = page.parent().expect("a page lies in a directory");
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'));
    targets
        .map(|(target, _)| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .map(|target| normal(&parent.join(target)))
        .collect()
}

fn normal(path: &Path) -> PathBuf {
    path.components()
        .fold(PathBuf::new(), |mut normal, component| {
            if component == Component::ParentDir {
                normal.pop();
            } else if component != Component::CurDir {
                normal.push(component);
            }
            normal
        })
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

#[test]
fn every_link_leads_somewhere_and_every_page_is_reached_from_the_readme() {
    let (mut reached, mut next) = (BTreeSet::new(), vec![root().join("README.md")]);
    while let Some(page) = next.pop() {
        if !reached.insert(page.clone()) {
            continue;
        }
        for link in links(&page) {
            assert!(
                link.exists(),
                "{} links to {}",
                page.display(),
                link.display()
            );
            if is_page(&link) {
                next.push(link);
            }
        }
    }
    let docs = fs::read_dir(root().join("docs")).expect("the pages can be listed");
    let pages = docs.map(|entry| entry.expect("the pages can be listed").path());
    for page in pages.filter(|path| is_page(path)) {
        assert!(
            reached.contains(&page),
            "nothing leads from the README to {}",
            page.display()
        );
    }
}
