//! The grammar of chrony.conf as a table: tests/fixtures/conf/directives.tsv.

/// One line and what is said of it.
pub(crate) struct Row {
    /// The line.
    pub(crate) line: &'static str,
    /// What chronyd 4.9 says.
    pub(crate) theirs: &'static str,
    /// What ours says.
    pub(crate) ours: &'static str,
}

impl Row {
    /// What is said, in the words of the table; `place` is how the lines name this line. What only ours says (a directive
    /// without an effect yet) is left out.
    pub(crate) fn said<'a>(lines: impl Iterator<Item = &'a str>, place: &str) -> String {
        let lines: Vec<String> = lines
            .filter(|line| !line.contains("has no effect: "))
            .map(|line| line.replace("Fatal error : ", "! ").replace(place, " @"))
            .collect();
        if lines.is_empty() { "ok".to_owned() } else { lines.join(" | ") }
    }
}

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    let table = include_str!("../fixtures/conf/directives.tsv");
    table
        .lines()
        .skip(1)
        .map(|row| {
            let columns: Vec<&str> = row.split('\t').collect();
            match columns[..] {
                [line, theirs] => Row { line, theirs, ours: theirs },
                [line, theirs, ours] => Row { line, theirs, ours },
                _ => panic!("{row}"),
            }
        })
        .collect()
}

/// The name and text of each good chrony.conf in tests/fixtures/conf/valid.
pub(crate) fn valid() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/conf/valid");
    let mut files: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(".chrony.conf"))
        .map(|path| (path.to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() >= 10, "the fixtures are there");
    files
}
