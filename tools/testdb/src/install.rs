//! Installing what is missing, where that can be done without a question.

use crate::programs::{Programs, package};
use crate::{Engine, ServerError};
use std::path::Path;
use std::process::{Command, Stdio};

/// Installs the programs of an engine with apt where they are missing, if this is a system like Debian and this process
/// is root or may become so without a password. Says `false` if they are there already.
pub fn install(engine: Engine) -> Result<bool, ServerError> {
    let Err(missing) = Programs::find(engine) else { return Ok(false) };
    if !Path::new("/etc/debian_version").exists() {
        return Err(missing);
    }
    let sudo = if rustix::process::geteuid().is_root() {
        None
    } else if quiet(Command::new("sudo").args(["-n", "true"])) {
        Some("sudo")
    } else {
        return Err(missing);
    };
    let package = package(engine);
    apt(sudo, &["update", "-qq"], package)?;
    apt(sudo, &["install", "-y", "-qq", "--no-install-recommends", package], package)?;
    Programs::find(engine).map(|_| true)
}

/// Another program may be installing something, and a mirror may be busy.
const PATIENT: [&str; 4] = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"];

fn apt(sudo: Option<&str>, arguments: &[&str], package: &'static str) -> Result<(), ServerError> {
    let mut command = Command::new(sudo.unwrap_or("env"));
    if sudo.is_some() {
        command.arg("env");
    }
    // On runlevel 1 the package starts no server of the system's; what is wanted here is the programs.
    command
        .args(["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"])
        .args(PATIENT)
        .args(arguments)
        .stdin(Stdio::null());
    let output = command.output().map_err(ServerError::file("apt-get"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let why = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("apt-get failed").to_owned();
    Err(ServerError::Install { package, why })
}

fn quiet(command: &mut Command) -> bool {
    let done = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}
