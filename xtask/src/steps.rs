//! Commands one after another; the first that fails ends the row, and is named.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::say;

/// A command of `cargo`.
#[derive(Debug)]
pub(crate) struct Step {
    what: &'static str,
    arguments: &'static [&'static str],
    environment: Option<(&'static str, &'static str)>,
    needs: Option<Tool>,
}

/// What a step needs that may not be installed.
#[derive(Clone, Copy, Debug)]
struct Tool {
    /// Succeeds where it is.
    probe: &'static [&'static str],
    remedy: &'static str,
}

const RUSTFMT: Tool = Tool {
    probe: &["fmt", "--version"],
    remedy: "rustup component add rustfmt",
};
const CLIPPY: Tool = Tool {
    probe: &["clippy", "--version"],
    remedy: "rustup component add clippy",
};

const fn step(what: &'static str, arguments: &'static [&'static str]) -> Step {
    Step {
        what,
        arguments,
        environment: None,
        needs: None,
    }
}

/// Everything that must pass; nothing here writes a file of the project.
pub(crate) fn test() -> Vec<Step> {
    vec![
        Step {
            needs: Some(RUSTFMT),
            ..step("format", &["fmt", "--all", "--check"])
        },
        Step {
            needs: Some(CLIPPY),
            ..step(
                "lints",
                &[
                    "clippy",
                    "--workspace",
                    "--all-targets",
                    "--locked",
                    "--",
                    "-D",
                    "warnings",
                ],
            )
        },
        Step {
            environment: Some(("RUSTDOCFLAGS", "-D warnings")),
            ..step(
                "documentation",
                &["doc", "--workspace", "--no-deps", "--locked"],
            )
        },
        step("tests", &["test", "--workspace", "--locked"]),
        step(
            "planted bugs",
            &[
                "test",
                "--workspace",
                "--features",
                "catherd-sim/planted",
                // They are built anew for this, and simulate hours.
                "--config",
                "profile.dev.package.catherd-core.opt-level=1",
                "--config",
                "profile.dev.package.catherd.opt-level=1",
                "--config",
                "profile.dev.package.catherd-sim.opt-level=1",
                "--test",
                "planted",
                "--locked",
            ],
        ),
        step(
            "fuzz targets",
            &["run", "--package", "catherd-fuzz", "--release", "--locked"],
        ),
    ]
}

/// What a machine can put right.
pub(crate) fn fix() -> Vec<Step> {
    let clippy = &[
        "clippy",
        "--workspace",
        "--all-targets",
        "--fix",
        "--allow-dirty",
    ];
    vec![
        Step {
            needs: Some(CLIPPY),
            ..step("lints", clippy)
        },
        Step {
            needs: Some(RUSTFMT),
            ..step("format", &["fmt", "--all"])
        },
    ]
}

/// Runs steps in the root of the workspace.
///
/// All tools are looked for first: a missing one should not be found out after ten minutes.
pub(crate) fn run(steps: &[Step]) -> Result<(), String> {
    for tool in steps.iter().filter_map(|step| step.needs) {
        let there = cargo(tool.probe)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !there.is_ok_and(|status| status.success()) {
            let probe = tool.probe.join(" ");
            return Err(format!(
                "`cargo {probe}` fails; install it: {}",
                tool.remedy
            ));
        }
    }
    let start = Instant::now();
    for (number, step) in steps.iter().enumerate() {
        say(&format!(
            "[{}/{}] {}: {step}",
            number + 1,
            steps.len(),
            step.what
        ));
        let mut command = cargo(step.arguments);
        command.envs(step.environment);
        let status = command
            .status()
            .map_err(|error| format!("`{step}` cannot run: {error}"))?;
        if !status.success() {
            return Err(format!("{} failed ({status}):\n  {step}", step.what));
        }
    }
    say(&format!(
        "all {} steps passed in {} s",
        steps.len(),
        start.elapsed().as_secs()
    ));
    Ok(())
}

/// As it can be pasted into a shell.
impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some((name, value)) = self.environment {
            write!(f, "{name}=\"{value}\" ")?;
        }
        write!(f, "cargo {}", self.arguments.join(" "))
    }
}

/// The `cargo` that runs us, in the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    command
        .args(arguments)
        .current_dir(root.expect("this package lies in the workspace"));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_shown_as_it_can_be_pasted() {
        let shown: Vec<String> = test().iter().map(ToString::to_string).collect();
        assert_eq!(shown[0], "cargo fmt --all --check");
        assert_eq!(
            shown[2],
            "RUSTDOCFLAGS=\"-D warnings\" cargo doc --workspace --no-deps --locked"
        );
    }

    #[test]
    fn the_step_that_fails_is_named_with_its_command_and_ends_the_row() {
        let steps = [
            step("version", &["--version"]),
            step("nonsense", &["there-is-no-such-command"]),
            step("never", &["--version"]),
        ];
        let problem = run(&steps).unwrap_err();
        assert!(problem.contains("nonsense failed"), "{problem}");
        assert!(
            problem.ends_with("cargo there-is-no-such-command"),
            "{problem}"
        );
    }

    #[test]
    fn a_missing_tool_is_named_with_its_remedy_before_anything_runs() {
        let missing = Tool {
            probe: &["there-is-no-such-tool"],
            remedy: "install it so",
        };
        let steps = [
            step("first", &["nor-such-a-command"]),
            Step {
                needs: Some(missing),
                ..step("", &[])
            },
        ];
        let problem = run(&steps).unwrap_err();
        assert!(problem.contains("install it so"), "{problem}");
    }
}
