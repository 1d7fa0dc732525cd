//! The `catherd` command: what can be called, and what is called then.
//!
//! | file | what it holds |
//! |---|---|
//! | `run` | one node |
//! | `demo` | a cluster on this machine, and what to try with it |
//! | `check` | what is wrong with a configuration, and what has no effect |
//! | `status` | how a node and its cluster are |
//! | `members` | who is a member, who is missing, and that somebody will not come back |
//! | `console` | lines and tables for whoever called |
//! | `client` | pages of nodes |

mod check;
mod client;
mod console;
mod demo;
mod members;
mod run;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::log::LogFormat;

/// Web applications whose sessions survive their servers.
///
/// Without a command it runs the demo.
#[derive(Debug, Parser)]
#[command(name = "catherd", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs one node until SIGTERM or SIGINT.
    Run(Run),
    /// Runs a cluster on this machine and says what to try.
    Demo(Demo),
    /// Says what is wrong with a configuration and what in it has no effect.
    Check {
        /// The directory with conf/server.xml; what is missing there has a default.
        #[arg(long, value_name = "DIR", default_value = ".")]
        base: PathBuf,
    },
    /// Says how a node and its cluster are.
    Status {
        /// An HTTP port of the node. It must be on this machine.
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
        url: String,
        /// As the node says it, in JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists the members, or says that a missing one will not come back.
    Members {
        #[command(subcommand)]
        what: Members,
        /// An HTTP port of the node. It must be on this machine.
        #[arg(
            long,
            value_name = "URL",
            default_value = "http://127.0.0.1:8080",
            global = true
        )]
        url: String,
    },
}

#[derive(Debug, Subcommand)]
enum Members {
    /// Who is a member, and who is missing.
    List,
    /// A member that is missing will not come back.
    Forget {
        /// Its jvmRoute.
        name: String,
    },
}

#[derive(Args, Debug)]
struct Run {
    /// The directory with conf/server.xml and webapps/; what is missing there has a default.
    #[arg(long, value_name = "DIR", default_value = ".")]
    base: PathBuf,
    /// What is logged: error, warn, info, debug or trace, also by part: warn,catherd=debug. The
    /// variable CATHERD_LOG says the same; info is the default.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How it is logged, on standard error.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    /// Ends as if by SIGTERM when standard input ends.
    #[arg(long, hide = true)]
    end_with_stdin: bool,
}

#[derive(Args, Debug)]
struct Demo {
    /// How many nodes.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(demo::NODES_MAX)),
    )]
    nodes: u16,
    /// The HTTP port of the first node; the others have the ones behind it.
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 8080,
        value_parser = clap::value_parser!(u16).range(1..),
    )]
    port: u16,
}

impl Default for Demo {
    fn default() -> Self {
        Self {
            nodes: 3,
            port: 8080,
        }
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let command = Arguments::parse().command;
    match command.unwrap_or_else(|| Command::Demo(Demo::default())) {
        Command::Run(run) => run::run(&run),
        Command::Demo(Demo { nodes, port }) => demo::demo(nodes, port),
        Command::Check { base } => check::check(&base),
        Command::Status { url, json } => status::status(&url, json),
        Command::Members {
            what: Members::List,
            url,
        } => members::list(&url),
        Command::Members {
            what: Members::Forget { name },
            url,
        } => members::forget(&url, &name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Option<Command>, clap::Error> {
        Arguments::try_parse_from(line.split(' ')).map(|arguments| arguments.command)
    }

    #[test]
    fn nothing_is_the_demo_with_three_nodes() {
        assert!(parsed("catherd").unwrap().is_none());
        let Demo { nodes, port } = Demo::default();
        assert_eq!((nodes, port), (3, 8080));
        let same = parsed("catherd demo").unwrap();
        assert!(matches!(
            same,
            Some(Command::Demo(Demo {
                nodes: 3,
                port: 8080
            }))
        ));
    }

    #[test]
    fn a_base_is_the_current_directory_unless_it_is_given() {
        let Some(Command::Run(run)) = parsed("catherd run").unwrap() else {
            panic!("not run")
        };
        assert_eq!(run.base, PathBuf::from("."));
        let checked = parsed("catherd check --base /srv/node").unwrap();
        assert!(matches!(checked, Some(Command::Check { base }) if base == *"/srv/node"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "catherd demo --nodes 0",
            "catherd demo --nodes 21",
            "catherd demo --port 0",
            "catherd demo --port 65536",
            "catherd run --log-format xml",
            "catherd start",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
