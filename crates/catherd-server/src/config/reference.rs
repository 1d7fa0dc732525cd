//! The tables of docs/configuration.md, made from the words that the reader knows.
//!
//! So that the page cannot lag behind: a word that is not on it, or says something else there,
//! fails the test. `UPDATE_REFERENCE=1 cargo test -p catherd-server reference` writes the page.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::word::{Element, Part, Rule};
use super::words::ALL;

#[test]
fn the_reference_page_says_what_the_reader_knows() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let text = fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page has the mark");
    let (_, after) = rest.split_once(END).expect("the page has the second mark");
    let wanted = format!("{before}{BEGIN}\n{}{END}{after}", tables());
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(&page, &wanted).unwrap();
        return;
    }
    assert_eq!(text, wanted, "UPDATE_REFERENCE=1 writes it");
}

#[test]
fn every_spelling_leads_to_a_word_that_is_read() {
    for (title, element) in ALL {
        for word in element.attributes {
            if let Part::SameAs(other) = word.part {
                let part = element.word(other).map(|word| word.part);
                assert!(
                    matches!(part, Some(Part::Used | Part::NotYet)),
                    "{}",
                    word.name
                );
            }
            let count = element
                .attributes
                .iter()
                .filter(|it| it.name == word.name)
                .count();
            assert_eq!(count, 1, "{} of {title}", word.name);
        }
    }
}

fn tables() -> String {
    let mut page = String::new();
    for (title, element) in ALL {
        write_element(&mut page, title, element);
    }
    page
}

fn write_element(page: &mut String, title: &str, element: &Element) {
    writeln!(page, "\n### {title}\n").unwrap();
    if !element.classes.is_empty() {
        let classes: Vec<_> = element
            .classes
            .iter()
            .map(|class| format!("`{class}`"))
            .collect();
        writeln!(page, "`className`: {}.\n", classes.join(", ")).unwrap();
    }
    writeln!(page, "| attribute | default | |\n|---|---|---|").unwrap();
    for word in element.attributes {
        let (default, meaning) = match word.part {
            Part::Used => (word.default, word.meaning.to_owned()),
            Part::SameAs(other) => ("", format!("as `{other}`")),
            Part::NotYet => (
                word.default,
                format!("**no effect in this release**: {}", word.meaning),
            ),
            Part::NoMeaning => ("", format!("no meaning: {}", word.meaning)),
            Part::Refused => (word.default, format!("refused: {}", word.meaning)),
        };
        writeln!(page, "| `{}` | {default} | {meaning} |", word.name).unwrap();
    }
    if element.children.is_empty() {
        return;
    }
    let (skipped, read): (Vec<_>, Vec<_>) = element
        .children
        .iter()
        .partition(|child| matches!(child.rule, Rule::Skipped(_)));
    if !read.is_empty() {
        let names: Vec<_> = read
            .iter()
            .map(|child| match child.rule {
                Rule::One => format!("`{}` (one)", child.name),
                Rule::Many | Rule::Skipped(_) => format!("`{}`", child.name),
            })
            .collect();
        writeln!(page, "\nInside: {}.", names.join(", ")).unwrap();
    }
    for (index, child) in skipped.into_iter().enumerate() {
        if index == 0 {
            writeln!(page).unwrap();
        }
        if let Rule::Skipped(reason) = child.rule {
            writeln!(page, "- `{}` has no part: {reason}", child.name).unwrap();
        }
    }
}

const BEGIN: &str = "<!-- made from the reader's words: begin -->";
const END: &str = "<!-- made from the reader's words: end -->";
