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
    line_starts: Vec<usize>,
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
        let offset = self.text.floor_char_boundary(offset.min(self.text.len()));
        // The first start is 0, so there is always one before the offset.
        let line = self.line_starts.partition_point(|&start| start <= offset);
        let column = self.text[self.line_starts[line - 1]..offset]
            .chars()
            .count()
            + 1;
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
        let line_starts = line_starts(&text);
        let mut source = Self {
            file: file.into(),
            text,
            line_starts,
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
        self.line_starts = line_starts(&self.text);
    }
}

/// The offset of the first byte of each line.
fn line_starts(text: &str) -> Vec<usize> {
    let breaks = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
    std::iter::once(0)
        .chain(breaks.map(|(offset, _)| offset + 1))
        .collect()
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
