//! What to try, with commands to paste.

use std::fmt::Write as _;
use std::path::Path;

use super::child::Child;
use super::place::Place;

/// The text that the demo shows when all nodes are ready.
pub(super) fn text(children: &[Child], place: &Place) -> String {
    let nodes: Vec<_> = children.iter().map(Node::of).collect();
    let catherd = std::env::current_exe().unwrap_or_else(|_| "catherd".into());
    write(&nodes, &quoted(&catherd), place.path())
}

struct Node {
    name: String,
    url: String,
    process: u32,
    base: String,
}

impl Node {
    fn of(child: &Child) -> Self {
        let base = child.base();
        Self {
            name: base.name.clone(),
            url: base.url(),
            process: child.id(),
            base: quoted(&base.path),
        }
    }
}

fn write(nodes: &[Node], catherd: &str, place: &Path) -> String {
    let mut text = String::new();
    let mut line = |line: std::fmt::Arguments<'_>| {
        writeln!(text, "{line}").expect("a string takes everything");
    };
    line(format_args!("\nReady:\n"));
    for Node {
        name, url, process, ..
    } in nodes
    {
        line(format_args!(
            "  {name}  {url}/examples  (process {process})"
        ));
    }
    line(format_args!(
        "\nIn a browser: open one of these pages, set something, then open the next one.\n\
         Cookies do not separate ports, so it is the same session, on every node.\n\n\
         With curl: one session that walks from node to node, and counts.\n"
    ));
    let jar = quoted(&place.join("cookies"));
    let curl = format!("curl -sb {jar} -c {jar}");
    for Node { url, .. } in nodes {
        line(format_args!(
            "  {curl} -X POST {url}/examples/session/increment/visits"
        ));
    }
    if let [first, second, ..] = nodes {
        line(format_args!(
            "\nNow let {} crash, and ask {}:\n\n  \
             kill -9 {}\n  {curl} {}/examples/session\n  {catherd} status --url {}\n",
            first.name, second.name, first.process, second.url, second.url
        ));
        line(format_args!(
            "The session is there with all its visits, and the answer comes from {}.\n\
             Start the node again, in another terminal, and it serves the session again:\n\n  \
             {catherd} run --base {}\n",
            second.name, first.base
        ));
    }
    line(format_args!(
        "Logs: {}/node*/logs/catherd.log",
        place.display()
    ));
    line(format_args!("Ctrl-C ends all nodes."));
    text
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    if path.bytes().all(is_plain) {
        return path;
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u32) -> Node {
        Node {
            name: format!("node{number:02}"),
            url: format!("http://127.0.0.1:{}", 8079 + number),
            process: 1000 + number,
            base: format!("/tmp/demo/node{number:02}"),
        }
    }

    #[test]
    fn the_guide_walks_over_all_nodes_and_kills_one() {
        let nodes = [node(1), node(2), node(3)];
        let text = write(&nodes, "catherd", Path::new("/tmp/demo"));
        for Node { url, .. } in &nodes {
            assert!(text.contains(&format!(
                "curl -sb /tmp/demo/cookies -c /tmp/demo/cookies -X POST \
                 {url}/examples/session/increment/visits"
            )));
        }
        assert!(text.contains("kill -9 1001\n"));
        assert!(text.contains("catherd status --url http://127.0.0.1:8081\n"));
        assert!(text.contains("catherd run --base /tmp/demo/node01\n"));
    }

    #[test]
    fn one_node_alone_is_not_killed() {
        assert!(!write(&[node(1)], "catherd", Path::new("/tmp/demo")).contains("kill"));
    }

    #[test]
    fn a_path_with_spaces_and_quotes_can_be_pasted() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
        assert_eq!(quoted(Path::new("/tmp/x-1_2.d")), "/tmp/x-1_2.d");
    }
}
