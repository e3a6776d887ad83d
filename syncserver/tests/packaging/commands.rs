//! The commands of the program that the pages name.

use std::process::Command;

use crate::program::{BINARY, bare, run};
use crate::{compose_files, pages, text};

/// The help of the program, or of a command and those below it.
fn help(path: &[String]) -> String {
    let mut command = bare(Command::new(BINARY));
    command.args(path).arg("--help");
    String::from_utf8(run(command).stdout).unwrap()
}

/// The commands that `--help` lists.
fn commands(help: &str) -> Vec<&str> {
    let listed = help.split("Commands:\n").nth(1).unwrap_or_default().lines();
    // A description that is long has lines of its own, further to the right.
    let listed = listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("    "));
    listed.filter_map(|line| line.split_whitespace().next()).collect()
}

/// The pieces of code of a page: lines of code blocks, and what stands between backticks.
fn code(page: &str) -> Vec<String> {
    let mut code = Vec::new();
    let mut in_block = false;
    let mut prose = String::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block || line.starts_with("    ") {
            code.push(line.to_owned());
        } else {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    code.extend(prose.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")));
    code
}

/// The words behind the program's name in a piece of code that say what it is to do: a command, and options.
fn arguments(code: &str) -> Vec<String> {
    // What comes after is the shell's.
    let words: Vec<_> = code.split_whitespace().take_while(|word| !matches!(*word, ">" | "|" | "#" | "&&")).collect();
    let is_compose = code.contains("compose ") && code.contains(" run ");
    // Behind an option it is a name: of a package, of an image, of a unit.
    let program = (0..words.len()).find(|at| {
        let is_option = *at > 0 && words[at - 1].starts_with('-');
        (words[*at] == "syncserver" && !is_option) || (is_compose && words[*at] == "server")
    });
    let mut words = words.into_iter().skip(program.map_or(usize::MAX, |at| at + 1));
    let mut arguments = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "--config" => drop(words.next()),
            word if word.starts_with("--") => arguments.push(word.to_owned()),
            word if word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') => arguments.push(word.to_owned()),
            _ => break,
        }
    }
    arguments
}

#[test]
fn commands_are_found_in_code() {
    let page = "To `syncserver --config x\ncheck-config` and\n\n```sh\nsudo syncserver settings > all.toml\n```\n";
    let found: Vec<_> = code(page).iter().flat_map(|code| arguments(code)).collect();
    assert_eq!(found, ["settings", "check-config"]);
    assert_eq!(arguments("docker compose -f x.yml run --rm server migrate --dry-run"), ["migrate", "--dry-run"]);
    assert!(arguments("cargo test -p syncserver --test http").is_empty());
    assert!(arguments("install target/release/syncserver /usr/local/bin").is_empty());
    assert_eq!(
        commands("Usage\n\nCommands:\n  one  Does\n          it\n  two  Too\n\nOptions:\n  x\n"),
        ["one", "two"]
    );
}

#[test]
fn every_command_that_the_pages_name_is_in_the_help() {
    let all = help(&[]);
    assert!(commands(&all).contains(&"serve"), "{all}");
    let mut found = 0;
    let texts = pages().into_iter().chain(compose_files());
    for (page, text) in texts.map(|page| (page.clone(), text(&page))) {
        for code in code(&text) {
            let mut path = Vec::new();
            for argument in arguments(&code) {
                let help = help(&path);
                let known = if argument.starts_with("--") {
                    help.split_whitespace().any(|word| word == argument)
                } else if !path.is_empty() && commands(&help).is_empty() {
                    // A value.
                    continue;
                } else {
                    path.push(argument.clone());
                    commands(&help).contains(&argument.as_str())
                };
                assert!(known, "{page}: {code}: the program does not know {argument}");
                found += 1;
            }
        }
    }
    assert!(found >= 8, "only {found} commands");
}
