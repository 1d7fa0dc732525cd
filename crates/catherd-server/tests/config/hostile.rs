//! Files made to hurt.

use std::fmt::Write as _;

use crate::base::Base;

fn answer(text: impl AsRef<[u8]>) -> Vec<String> {
    let base = Base::with_server_xml(text);
    assert_eq!(base.load().config, None);
    base.lines()
}

#[test]
fn a_billion_laughs_are_refused() {
    let text = "<?xml version=\"1.0\"?>\n<!DOCTYPE lolz [<!ENTITY lol \"lol\">\
                <!ENTITY lol2 \"&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;\">]>\
                <Server shutdown=\"&lol2;\"/>";
    assert_eq!(
        answer(text),
        [
            "conf/server.xml:2:1: error: entity declarations are not allowed; remove them from the \
          DOCTYPE"
        ]
    );
}

/// Neither fetched, nor is what it declares known.
#[test]
fn an_external_entity_is_refused() {
    let text =
        "<!DOCTYPE Server [ <!entity x SYSTEM \"file:///etc/passwd\"> ]><Server>&x;</Server>";
    assert_eq!(
        answer(text),
        [
            "conf/server.xml:1:1: error: entity declarations are not allowed; remove them from the \
          DOCTYPE"
        ]
    );
    let unknown = answer("<Server shutdown=\"&x;\"/>");
    assert!(unknown[0].contains("not well-formed XML"), "{unknown:?}");
}

/// Positions behind it are those of the file, whatever it contains.
#[test]
fn a_document_type_is_skipped() {
    let base = Base::with_server_xml(
        "<!DOCTYPE Server SYSTEM\n \"http://example.org/größe.dtd\"\n \
         [<!ELEMENT x ANY>]><Server x=\"\"/>",
    );
    assert_eq!(
        base.lines(),
        ["conf/server.xml:3:29: error: attribute \"x\" of Server is unknown; remove it"]
    );
}

#[test]
fn a_depth_bomb_is_refused() {
    let bomb = "<Server>".repeat(100_000);
    assert_eq!(
        answer(&bomb),
        ["conf/server.xml:1:513: error: elements are nested more than 64 deep; nest them less"]
    );
}

#[test]
fn three_hundred_attributes_are_refused() {
    let mut text = "\n<Server".to_owned();
    for number in 0..300 {
        write!(text, " a{number}=\"\"").unwrap();
    }
    text.push_str("/>");
    assert_eq!(
        answer(&text),
        [
            "conf/server.xml:2:1: error: more than 256 attributes on one element; remove those \
          that \
          are not needed"
        ]
    );
}

#[test]
fn too_many_elements_are_refused() {
    let text = format!("<Server>{}</Server>", "<a/>".repeat(20_000));
    assert_eq!(
        answer(&text),
        ["conf/server.xml:1:40005: error: more than 10000 elements; make the file smaller"]
    );
}

#[test]
fn two_mebibytes_are_refused() {
    let text = format!("<Server>{}</Server>", " ".repeat(2 << 20));
    assert_eq!(
        answer(&text),
        ["conf/server.xml:1:1: error: has more than 1048576 bytes; make it smaller"]
    );
}

#[test]
fn characters_that_xml_does_not_have_are_refused() {
    assert_eq!(
        answer("<Server>\n \0</Server>"),
        ["conf/server.xml:2:2: error: the character U+0000 is not allowed in XML; remove it"]
    );
    assert_eq!(
        answer(b"<Server>\n\xc3\xa4\xff</Server>"),
        ["conf/server.xml:2:2: error: not UTF-8 from here on; save the file as UTF-8"]
    );
    assert_eq!(
        answer(b"\xff\xfe<\0S\0"),
        ["conf/server.xml:1:1: error: not UTF-8 from here on; save the file as UTF-8"]
    );
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let base = Base::with_server_xml("\u{feff}<Server x=\"\"/>");
    assert_eq!(
        base.lines(),
        ["conf/server.xml:1:9: error: attribute \"x\" of Server is unknown; remove it"]
    );
}

#[test]
fn many_problems_are_answered_soon_and_with_few_lines() {
    let service = "<Connector sslProtokol=\"\" keystorFile=\"\" portt=\"\"/>".repeat(9_000);
    let lines = answer(format!("<Server><Service>{service}</Service></Server>"));
    assert_eq!(lines.len(), 501);
}

/// Names from a file never become a path that leaves the base directory.
#[test]
fn names_that_are_paths_are_refused() {
    for engine in ["..", ".", "a/b", "/etc", ""] {
        let text = format!("<Server><Service><Engine name=\"{engine}\"/></Service></Server>");
        assert!(answer(&text)[0].contains("is not 1 to 64 of"), "{engine}");
    }
}

/// A file that is cut off or damaged anywhere is answered, and never with both or neither of a
/// configuration and an error.
#[test]
fn no_damage_makes_the_reader_stumble() {
    let text = include_bytes!("quick-start.xml");
    let cut = (0..text.len()).step_by(37).map(|end| text[..end].to_vec());
    let damaged = (0..text.len()).step_by(13).map(|place| {
        let mut bytes = text.to_vec();
        bytes[place] = b"<>&\"'$\xff/=-"[place % 10];
        bytes
    });
    let swallowed = (0..text.len() - 9).step_by(17).map(|place| {
        let mut bytes = text.to_vec();
        bytes.drain(place..place + 9);
        bytes
    });
    for bytes in cut.chain(damaged).chain(swallowed) {
        let base = Base::with_server_xml(&bytes);
        let report = base.load();
        let places: Vec<_> = report
            .diagnostics
            .iter()
            .map(|it| (it.line, it.column))
            .collect();
        assert!(places.is_sorted_by(|a, b| a <= b) && places.iter().all(|&(l, c)| l > 0 && c > 0));
    }
}

/// The name of a directory is anybody's text.
#[test]
fn control_characters_of_a_file_name_do_not_reach_the_terminal() {
    let base = Base::empty().with_directory("webapps/a\u{1b}[2J\nb");
    assert_eq!(
        base.lines(),
        [
            "webapps/a\\u{1b}[2J\\nb:1:1: warning: the name of this directory is not the path of a \
          context; rename it"
        ]
    );
}
