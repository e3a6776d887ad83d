//! Reads a Dockerfile.

/// An instruction, with the lines that continue it joined.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// Its name, in capitals.
    pub(crate) name: String,
    /// What stands behind it.
    pub(crate) rest: String,
}

impl Instruction {
    /// The words behind it that are no options.
    pub(crate) fn words(&self) -> Vec<&str> {
        self.rest.split_whitespace().filter(|word| !word.starts_with("--")).collect()
    }

    /// The value of an option, such as `from` of `COPY`.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        let options = self.rest.split_whitespace().take_while(|word| word.starts_with("--"));
        options.filter_map(|word| word.strip_prefix("--")?.strip_prefix(name)?.strip_prefix('=')).next()
    }

    /// The command in its exec form, a JSON array.
    pub(crate) fn exec(&self) -> Vec<String> {
        let array = self.rest.find('[').unwrap_or_else(|| panic!("not the exec form: {self:?}"));
        serde_json::from_str(&self.rest[array..]).unwrap()
    }

    /// The `name=value` pairs of `ENV` and `LABEL`, without quotes.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        let mut rest = self.rest.trim();
        while let Some((name, value)) = rest.split_once('=') {
            let end = match value.strip_prefix('"') {
                Some(quoted) => quoted.find('"').unwrap() + 2,
                None => value.find(' ').unwrap_or(value.len()),
            };
            pairs.push((name.to_owned(), value[..end].trim_matches('"').to_owned()));
            rest = value[end..].trim_start();
        }
        assert!(rest.is_empty(), "{self:?}");
        pairs
    }
}

/// One stage of a build.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The image that it begins with, or an earlier stage.
    pub(crate) image: String,
    /// What later stages call it.
    pub(crate) name: Option<String>,
    /// The rest of it.
    pub(crate) instructions: Vec<Instruction>,
}

impl Stage {
    /// The instructions of a name.
    pub(crate) fn all(&self, name: &str) -> Vec<&Instruction> {
        self.instructions.iter().filter(|instruction| instruction.name == name).collect()
    }

    /// The only instruction of a name.
    #[track_caller]
    pub(crate) fn one(&self, name: &str) -> &Instruction {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name} has to stand once in the last stage");
        all[0]
    }
}

/// The stages of a Dockerfile.
pub(crate) fn stages(text: &str) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for instruction in instructions(text) {
        if instruction.name == "FROM" {
            let words = instruction.words();
            let name = match words[1..] {
                [] => None,
                [word, name] if word.eq_ignore_ascii_case("as") => Some(name.to_owned()),
                _ => panic!("{instruction:?}"),
            };
            stages.push(Stage { image: words[0].to_owned(), name, instructions: Vec::new() });
        } else {
            let stage = stages.last_mut().unwrap_or_else(|| panic!("before any FROM: {instruction:?}"));
            stage.instructions.push(instruction);
        }
    }
    stages
}

fn instructions(text: &str) -> Vec<Instruction> {
    let mut instructions = Vec::new();
    let mut joined = String::new();
    // A comment may stand between the lines of one instruction.
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        match line.strip_suffix('\\') {
            Some(line) => joined.push_str(line),
            None => {
                joined.push_str(line);
                let whole = std::mem::take(&mut joined);
                if let Some((name, rest)) = whole.trim().split_once(' ') {
                    instructions.push(Instruction { name: name.to_owned(), rest: rest.trim().to_owned() });
                } else {
                    assert!(whole.trim().is_empty(), "an instruction with nothing behind it: {whole}");
                }
            }
        }
    }
    assert!(joined.is_empty(), "the last line is continued: {joined}");
    instructions
}

#[test]
fn a_dockerfile_is_taken_apart() {
    let text = "# a comment\nFROM a:1 AS one\nRUN first \\\n    # why\n    && second\n\nFROM b\nCOPY --from=one /x /y\n\
        ENV A=1 B=\"two words\"\nENTRYPOINT [\"x\", \"y z\"]\n";
    let stages = stages(text);
    assert_eq!((stages[0].image.as_str(), stages[0].name.as_deref()), ("a:1", Some("one")));
    assert_eq!(stages[0].one("RUN").rest.split_whitespace().collect::<Vec<_>>(), ["first", "&&", "second"]);
    assert_eq!((stages[1].image.as_str(), stages[1].name.as_deref()), ("b", None));
    assert_eq!(stages[1].one("COPY").option("from"), Some("one"));
    assert_eq!(stages[1].one("COPY").words(), ["/x", "/y"]);
    assert_eq!(stages[1].one("ENV").pairs(), [("A".into(), "1".into()), ("B".into(), "two words".into())]);
    assert_eq!(stages[1].one("ENTRYPOINT").exec(), ["x", "y z"]);
}
