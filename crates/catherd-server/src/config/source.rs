//! An XML file, read with limits.
//!
//! The parser that keeps positions compares the attributes of an element pairwise and has no
//! limits of its own, so a streaming pass goes over the text first and refuses what is too much.
//! A document type is skipped, as old `web.xml` files have one: it is overwritten with spaces
//! before parsing, so nothing of it is fetched, and positions stay true. Entity declarations are
//! refused.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::diagnostic::{Location, Problems};

/// The text of a file that has passed the limits, with an index of its lines.
#[derive(Debug)]
pub(crate) struct Source {
    file: Arc<Path>,
    text: String,
    index: Index,
}

impl Source {
    /// Reads the file. `None` if it is not there, or if something was reported.
    pub(crate) fn read(file: &Path, problems: &mut Problems) -> Option<Self> {
        match read_limited(file) {
            Ok(bytes) => Self::check(file, bytes, problems),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let what = format!("cannot be read: {error}");
                problems.error(
                    &Location::whole(file),
                    what,
                    "make it a readable file, or remove it",
                );
                None
            }
        }
    }

    /// Parses the text. `None` if it is not XML, which is then reported.
    pub(crate) fn parse(&self, problems: &mut Problems) -> Option<roxmltree::Document<'_>> {
        match roxmltree::Document::parse(&self.text) {
            Ok(document) => Some(document),
            Err(error) => {
                let pos = error.pos();
                let at = Location {
                    file: self.file.clone(),
                    line: pos.row as usize,
                    column: pos.col as usize,
                };
                problems.error(&at, format!("not well-formed XML: {error}"), MEND_XML);
                None
            }
        }
    }

    /// Where the byte at `offset` is.
    pub(crate) fn location(&self, offset: usize) -> Location {
        let (line, column) = self.index.position(&self.text, offset);
        Location {
            file: self.file.clone(),
            line,
            column,
        }
    }

    fn check(file: &Path, mut bytes: Vec<u8>, problems: &mut Problems) -> Option<Self> {
        if bytes.len() > FILE_BYTES_MAX {
            let what = format!("has more than {FILE_BYTES_MAX} bytes");
            problems.error(&Location::whole(file), what, "make it smaller");
            return None;
        }
        if bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        let (text, fault) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let end = error.utf8_error().valid_up_to();
                let mut bytes = error.into_bytes();
                bytes.truncate(end);
                let text = String::from_utf8(bytes).expect("valid up to here");
                (
                    text,
                    Some(Fault::new(
                        end,
                        "not UTF-8 from here on",
                        "save the file as UTF-8",
                    )),
                )
            }
        };
        let index = Index::new(&text);
        let mut source = Self {
            file: file.into(),
            text,
            index,
        };
        let outcome = match fault {
            Some(fault) => Err(fault),
            None => check_characters(&source.text).and_then(|()| check_structure(&source.text)),
        };
        match outcome {
            Ok(None) => Some(source),
            Ok(Some(document_type)) => {
                source.blank(document_type);
                Some(source)
            }
            Err(Fault {
                offset,
                what,
                remedy,
            }) => {
                problems.error(&source.location(offset), what, remedy);
                None
            }
        }
    }

    /// Overwrites a part with spaces, one for each character.
    fn blank(&mut self, part: Range<usize>) {
        let blank: String = self.text[part.clone()]
            .chars()
            .map(|c| if c == '\n' { c } else { ' ' })
            .collect();
        self.text.replace_range(part, &blank);
        // A character of several bytes has become one of one byte.
        self.index = Index::new(&self.text);
    }
}

/// Where lines begin, and how many characters are before each block of bytes: a file may be one
/// line, of which every attribute asks for its column.
#[derive(Debug)]
struct Index {
    line_starts: Vec<usize>,
    chars_before: Vec<usize>,
}

impl Index {
    fn new(text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let line_starts = std::iter::once(0)
            .chain(breaks.map(|(offset, _)| offset + 1))
            .collect();
        let mut chars_before = vec![0];
        for block in text.as_bytes().chunks(BLOCK_BYTES) {
            let before = chars_before.last().copied().unwrap_or(0);
            chars_before.push(before + count_chars(block));
        }
        Self {
            line_starts,
            chars_before,
        }
    }

    /// Line and column, from 1, of the character that the byte at `offset` belongs to.
    fn position(&self, text: &str, offset: usize) -> (usize, usize) {
        let offset = text.floor_char_boundary(offset.min(text.len()));
        // The first start is 0, so there is always one before the offset.
        let line = self.line_starts.partition_point(|&start| start <= offset);
        let chars = |offset: usize| {
            let block = offset / BLOCK_BYTES;
            self.chars_before[block] + count_chars(&text.as_bytes()[block * BLOCK_BYTES..offset])
        };
        (line, chars(offset) - chars(self.line_starts[line - 1]) + 1)
    }
}

/// The characters that begin in a piece of UTF-8.
fn count_chars(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte & 0xc0 != 0x80).count()
}

/// Why a text is refused.
struct Fault {
    offset: usize,
    what: String,
    remedy: &'static str,
}

impl Fault {
    fn new(offset: usize, what: impl Into<String>, remedy: &'static str) -> Self {
        Self {
            offset,
            what: what.into(),
            remedy,
        }
    }
}

/// The bytes of a regular file, one more than allowed at most. Anything else is not opened: a
/// pipe would make the start hang.
fn read_limited(file: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(file)?
        .take(FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check_characters(text: &str) -> Result<(), Fault> {
    let is_allowed = |c: char| match c {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        c => c >= ' ',
    };
    match text.char_indices().find(|&(_, c)| !is_allowed(c)) {
        None => Ok(()),
        Some((offset, c)) => {
            let what = format!("the character U+{:04X} is not allowed in XML", u32::from(c));
            Err(Fault::new(offset, what, "remove it"))
        }
    }
}

/// Counts everything that is bounded; answers where the document type is, if there is one.
fn check_structure(text: &str) -> Result<Option<Range<usize>>, Fault> {
    let mut reader = Reader::from_str(text);
    let mut document_type = None;
    let mut depth = 0_usize;
    let mut elements = 0_usize;
    loop {
        let start = reader.buffer_position() as usize;
        let event = reader.read_event().map_err(|error| {
            let offset = reader.error_position() as usize;
            Fault::new(offset, format!("not well-formed XML: {error}"), MEND_XML)
        })?;
        match event {
            Event::Start(element) => {
                depth += 1;
                elements += 1;
                check_attributes(&element, start)?;
            }
            Event::Empty(element) => {
                elements += 1;
                check_attributes(&element, start)?;
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::DocType(content) => {
                if content.to_ascii_uppercase().contains("<!ENTITY") {
                    let what = "entity declarations are not allowed";
                    return Err(Fault::new(start, what, "remove them from the DOCTYPE"));
                }
                if document_type.is_some() {
                    return Err(Fault::new(start, "a second DOCTYPE", "remove it"));
                }
                document_type = Some(start..reader.buffer_position() as usize);
            }
            Event::Eof => return Ok(document_type),
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::GeneralRef(_) => {}
        }
        if depth > DEPTH_MAX {
            let what = format!("elements are nested more than {DEPTH_MAX} deep");
            return Err(Fault::new(start, what, "nest them less"));
        }
        if elements > ELEMENTS_MAX {
            let what = format!("more than {ELEMENTS_MAX} elements");
            return Err(Fault::new(start, what, "make the file smaller"));
        }
    }
}

fn check_attributes(element: &BytesStart<'_>, start: usize) -> Result<(), Fault> {
    let mut count = 0_usize;
    // Without the check for duplicates, which compares pairwise: the parser does it afterwards.
    for attribute in element.attributes().with_checks(false) {
        if let Err(error) = attribute {
            let what = format!("not well-formed XML: {error}");
            return Err(Fault::new(start, what, MEND_XML));
        }
        count += 1;
        if count > ATTRIBUTES_MAX {
            let what = format!("more than {ATTRIBUTES_MAX} attributes on one element");
            return Err(Fault::new(start, what, "remove those that are not needed"));
        }
    }
    Ok(())
}

const MEND_XML: &str = "mend the XML here";
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A hundred times the stock `server.xml`.
const FILE_BYTES_MAX: usize = 1 << 20;
const DEPTH_MAX: usize = 64;
const ELEMENTS_MAX: usize = 10_000;
const ATTRIBUTES_MAX: usize = 256;
const BLOCK_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_lines_and_characters() {
        let text = format!("{}\n\nä{}€x", "ä".repeat(1000), "b".repeat(700));
        let index = Index::new(&text);
        assert_eq!(index.position(&text, 0), (1, 1));
        assert_eq!(index.position(&text, 1998), (1, 1000));
        assert_eq!(
            index.position(&text, 2000),
            (1, 1001),
            "the end of the line"
        );
        assert_eq!(index.position(&text, 2001), (2, 1));
        assert_eq!(index.position(&text, text.len() - 1), (3, 703));
        assert_eq!(
            index.position(&text, text.len() - 2),
            (3, 702),
            "inside of a character"
        );
        assert_eq!(index.position(&text, usize::MAX), (3, 704));
    }
}
