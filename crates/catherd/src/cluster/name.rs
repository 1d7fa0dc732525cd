//! What nodes and clusters may be called. A configuration that is read elsewhere asks here too, so
//! that what it lets pass starts.

/// Whether a text may be the name of a node: 1 to 64 letters, digits, `-` and `_`.
///
/// There is no dot in it, for the name stands behind one in a cookie.
pub fn is_node_name(text: &str) -> bool {
    is_name(text, b"-_")
}

/// Whether a text may be the id of a cluster, or a domain: 1 to 64 letters, digits, `-`, `_` and
/// `.`, with no dot in front.
pub fn is_cluster_name(text: &str) -> bool {
    is_name(text, b"-_.") && !text.starts_with('.')
}

fn is_name(text: &str, signs: &[u8]) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || signs.contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_is_part_of_a_cluster_and_not_of_a_node() {
        for text in ["a", "node-01_B", &"x".repeat(64)] {
            assert!(is_node_name(text) && is_cluster_name(text), "{text}");
        }
        assert!(is_cluster_name("shop.example") && !is_node_name("shop.example"));
        for text in ["", ".shop", "a b", "a/b", "é", &"x".repeat(65)] {
            assert!(!is_node_name(text) && !is_cluster_name(text), "{text}");
        }
    }
}
