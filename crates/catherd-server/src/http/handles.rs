//! How many connections clients may have, by the file handles of the process.
//!
//! A connection is a file handle. If clients could take all of them, no member could connect and
//! nobody could be probed: a crowd at the HTTP port would split the cluster.

use std::fs;

/// What is left of so many connections for each of `connectors`, if clients together may have three
/// quarters of the handles that the operating system gives this process; at least one.
///
/// Where the operating system does not say how many there are, as everywhere but on Linux, the
/// connections stay as they are.
pub(crate) fn within(connections: usize, connectors: usize) -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    share(handles(&limits), connections, connectors)
}

fn share(handles: Option<usize>, connections: usize, connectors: usize) -> usize {
    let Some(handles) = handles else {
        return connections;
    };
    let for_clients = handles - handles / 4;
    connections.min((for_clients / connectors.max(1)).max(1))
}

/// The soft limit in a text as in `/proc/self/limits`.
fn handles(limits: &str) -> Option<usize> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units
Max processes             63436                63436                processes
Max open files            1024                 524288               files
Max locked memory         8388608              8388608              bytes
";

    #[test]
    fn the_soft_limit_counts() {
        assert_eq!(handles(LIMITS), Some(1024));
        assert_eq!(handles(&LIMITS.replace("1024  ", "unlimited")), None);
        assert_eq!(handles(""), None);
    }

    #[test]
    fn clients_get_three_quarters_and_members_the_rest() {
        assert_eq!(share(Some(1024), 10_000, 1), 768);
        assert_eq!(share(Some(1024), 10_000, 2), 384);
        assert_eq!(share(Some(524_288), 10_000, 2), 10_000);
        assert_eq!(share(Some(0), 10_000, 1), 1);
        assert_eq!(share(None, 10_000, 1), 10_000);
    }
}
