//! Debian packages that tests need: balancers, databases.
//!
//! A test that needs a program says so, gets it or fails. It is never skipped in silence.

use std::process::Command;

/// Installs those of `packages` that are not there.
///
/// # Panics
///
/// One cannot be installed: there is no `apt-get`, no permission, or no such package. The message
/// has the command, what it wrote, and what to do.
pub fn install(packages: &[&str]) {
    if let Err(problem) = install_with(packages, &mut run) {
        panic!("{problem}");
    }
}

/// What a command came to.
#[derive(Debug)]
struct Done {
    success: bool,
    output: String,
}

/// Lists of packages may be missing or old on a fresh machine, so a failed installation is tried
/// once more behind an update.
fn install_with(packages: &[&str], run: &mut impl FnMut(&[&str]) -> Done) -> Result<(), String> {
    let is_there = |package: &str, run: &mut dyn FnMut(&[&str]) -> Done| {
        let done = run(&[
            "dpkg-query",
            "--show",
            "--showformat=${db:Status-Status}",
            package,
        ]);
        done.success && done.output.trim() == "installed"
    };
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|package| !is_there(package, run))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut install = vec![
        "apt-get",
        "install",
        "--yes",
        "--no-install-recommends",
        LOCK,
    ];
    install.extend(&missing);
    if run(&install).success {
        return Ok(());
    }
    let update = run(&["apt-get", "update", LOCK]);
    let done = run(&install);
    if done.success {
        return Ok(());
    }
    Err(format!(
        "this test needs the Debian packages {}, and `{}` failed:\n{}{}\nInstall them by hand \
         (as root), or run the tests where this command works.",
        missing.join(", "),
        install.join(" "),
        update.output,
        done.output,
    ))
}

/// Tests of several processes may want to install at once: they wait for each other.
const LOCK: &str = "--option=DPkg::Lock::Timeout=300";

fn run(command: &[&str]) -> Done {
    let (program, arguments) = command.split_first().expect("a command has a program");
    let output = Command::new(program)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output();
    match output {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            let output_text = String::from_utf8_lossy(&text).into_owned();
            Done {
                success: output.status.success(),
                output: output_text,
            }
        }
        Err(error) => Done {
            success: false,
            output: format!("cannot run {program}: {error}\n"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers commands from a script, and notes them.
    fn scripted(
        packages: &[&str],
        answer: impl Fn(&str, usize) -> (bool, &'static str),
    ) -> (Result<(), String>, Vec<String>) {
        let mut commands = Vec::new();
        let result = install_with(packages, &mut |command| {
            commands.push(command.join(" "));
            let last = &commands[commands.len() - 1];
            let times = commands.iter().filter(|before| *before == last).count();
            let (success, output) = answer(last, times);
            Done {
                success,
                output: output.to_owned(),
            }
        });
        commands.retain(|command| command.starts_with("apt-get"));
        (result, commands)
    }

    #[test]
    fn what_is_there_is_not_installed_again() {
        let (result, commands) = scripted(&["haproxy"], |_, _| (true, "installed"));
        assert_eq!(result, Ok(()));
        assert_eq!(commands, [""; 0]);
    }

    #[test]
    fn a_package_that_was_removed_is_missing() {
        let (result, commands) = scripted(&["haproxy", "nginx"], |command, _| {
            (
                true,
                if command.ends_with("nginx") {
                    "config-files"
                } else {
                    "installed"
                },
            )
        });
        assert_eq!(result, Ok(()));
        assert_eq!(commands.len(), 1);
        assert!(commands[0].ends_with(" nginx") && !commands[0].contains("haproxy"));
    }

    #[test]
    fn a_failed_installation_is_tried_once_more_behind_an_update() {
        let (result, commands) = scripted(&["haproxy"], |command, times| {
            (command.starts_with("apt-get update") || times == 2, "")
        });
        assert_eq!(result, Ok(()));
        let verbs: Vec<_> = commands
            .iter()
            .map(|c| c.split(' ').nth(1).unwrap())
            .collect();
        assert_eq!(verbs, ["install", "update", "install"]);
    }

    #[test]
    fn what_cannot_be_installed_is_an_error_that_says_what_to_do() {
        let (result, _) = scripted(&["haproxy"], |_, _| (false, "no permission"));
        let problem = result.unwrap_err();
        for part in ["haproxy", "apt-get install", "no permission", "by hand"] {
            assert!(problem.contains(part), "{problem}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_a_failure_and_no_panic() {
        assert!(!run(&["there-is-no-such-program"]).success);
    }

    #[test]
    fn what_every_debian_has_needs_no_installation() {
        if run(&["dpkg-query", "--version"]).success {
            install(&["dpkg"]);
        }
    }
}
