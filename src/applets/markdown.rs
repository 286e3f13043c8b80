//! The Markdown of the `about.md` files, as roff for man pages and as plain text for a terminal.
//!
//! Understood: `#` and `##` headings, paragraphs, `-` and `1.` lists (an item `` `term`: text `` is a definition), fenced
//! code, tables (each row a definition), and inline `` `code` ``, `*emphasis*`, `**strong**` and `[text](address)`.

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// `#`: the title of a section.
    Section(String),
    /// `##`: the title of a part of a section.
    Subsection(String),
    /// Running text, one line.
    Paragraph(String),
    /// A list item with its mark, `•` or a number.
    Item(String, String),
    /// A term and what is said about it.
    Definition(String, String),
    /// Lines that stay as they are.
    Code(Vec<String>),
}

/// How a stretch of text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    Roman,
    Bold,
    Italic,
}

/// Cuts a document into its pieces; what is not understood is a paragraph.
pub fn parse(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open = String::new();
    let mut code: Option<Vec<String>> = None;
    let mut table_row = 0;
    for line in text.lines() {
        let bare = line.trim();
        if let Some(mut lines) = code.take() {
            if bare.starts_with("```") {
                blocks.push(Block::Code(lines));
            } else {
                lines.push(line.to_owned());
                code = Some(lines);
            }
            continue;
        }
        let starts_item = item_mark(bare).is_some();
        if bare.is_empty() || starts_item || bare.starts_with(['#', '|']) || bare.starts_with("```") {
            close(&mut open, &mut blocks);
        }
        table_row = if bare.starts_with('|') { table_row + 1 } else { 0 };
        if bare.starts_with("```") {
            code = Some(Vec::new());
        } else if let Some(title) = bare.strip_prefix("## ") {
            blocks.push(Block::Subsection(title.to_owned()));
        } else if let Some(title) = bare.strip_prefix("# ") {
            blocks.push(Block::Section(title.to_owned()));
        } else if table_row > 2 {
            blocks.push(row(bare));
        } else if table_row == 0 && !bare.is_empty() {
            if !open.is_empty() {
                open.push(' ');
            }
            open.push_str(bare);
        }
    }
    close(&mut open, &mut blocks);
    blocks
}

/// Ends a paragraph or an item.
fn close(open: &mut String, blocks: &mut Vec<Block>) {
    let text = std::mem::take(open);
    match item_mark(&text) {
        _ if text.is_empty() => {}
        None => blocks.push(Block::Paragraph(text)),
        Some((mark, rest)) => {
            let definition = rest.starts_with('`').then(|| rest.split_once("`: ")).flatten();
            blocks.push(match definition {
                Some((term, text)) => Block::Definition(format!("{term}`"), text.to_owned()),
                None => Block::Item(mark, rest.to_owned()),
            });
        }
    }
}

/// `- text`, `* text` and `12. text`: the mark as it is shown, and the text.
fn item_mark(text: &str) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix("- ").or_else(|| text.strip_prefix("* ")) {
        return Some(("•".to_owned(), rest));
    }
    let (number, rest) = text.split_once(". ")?;
    let is_number = !number.is_empty() && number.len() <= 2 && number.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| (format!("{number}."), rest))
}

/// A table row: the first cell is the term, the others are what is said about it. `\|` is no border.
fn row(line: &str) -> Block {
    let line = line.replace("\\|", "\u{0}");
    let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().replace('\u{0}', "|"));
    let term = cells.next().unwrap_or_default();
    Block::Definition(term, cells.filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join("; "))
}

/// Cuts text into stretches of one face.
fn inline(text: &str) -> Vec<(Face, String)> {
    let mut spans: Vec<(Face, String)> = Vec::new();
    let mut push = |face, text: &str| match spans.last_mut() {
        _ if text.is_empty() => {}
        Some((last, open)) if *last == face => open.push_str(text),
        _ => spans.push((face, text.to_owned())),
    };
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '[', '\\']) {
        let (before, marked) = rest.split_at(at);
        push(Face::Roman, before);
        let span = if marked.starts_with('\\') {
            let escaped = marked.chars().nth(1).filter(char::is_ascii_punctuation);
            escaped.map(|c| (Face::Roman, c.to_string(), 2))
        } else {
            enclosed(marked, "**", Face::Bold)
                .or_else(|| enclosed(marked, "`", Face::Bold))
                .or_else(|| enclosed(marked, "*", Face::Italic))
                .or_else(|| link(marked))
        };
        match span {
            Some((face, text, length)) => {
                push(face, &text);
                rest = marked.get(length..).unwrap_or_default();
            }
            None => {
                let (mark, after) = marked.split_at(1);
                push(Face::Roman, mark);
                rest = after;
            }
        }
    }
    push(Face::Roman, rest);
    spans
}

/// Text between two marks, with its face and the length of it all.
fn enclosed(text: &str, mark: &str, face: Face) -> Option<(Face, String, usize)> {
    let inner = text.strip_prefix(mark)?;
    let inner = inner.get(..inner.find(mark)?)?;
    let sticks = !inner.is_empty() && (mark == "`" || !inner.starts_with(' ') && !inner.ends_with(' '));
    sticks.then(|| (face, inner.to_owned(), inner.len() + 2 * mark.len()))
}

/// `[text](address)`.
fn link(text: &str) -> Option<(Face, String, usize)> {
    let (label, rest) = text.strip_prefix('[')?.split_once("](")?;
    let (address, _) = rest.split_once(')')?;
    let shown = if label == address { label.to_owned() } else { format!("{label} ({address})") };
    (!label.contains(']')).then(|| (Face::Roman, shown, label.len() + address.len() + 4))
}

/// Renders pieces as roff for the `man` macros.
pub fn to_roff(blocks: &[Block]) -> String {
    let mut roff = String::new();
    let mut after_title = false;
    for block in blocks {
        let paragraph = if std::mem::take(&mut after_title) { "" } else { ".PP\n" };
        after_title = matches!(block, Block::Section(_) | Block::Subsection(_));
        match block {
            Block::Section(title) => roff.push_str(&format!(".SH \"{}\"\n", escape(&title.to_uppercase()))),
            Block::Subsection(title) => roff.push_str(&format!(".SS \"{}\"\n", escape(title))),
            Block::Paragraph(text) => roff.push_str(&format!("{paragraph}{}\n", roff_line(text))),
            Block::Item(mark, text) => {
                let mark = if mark == "•" { "\\(bu" } else { mark };
                roff.push_str(&format!(".IP {mark} 3\n{}\n", roff_line(text)));
            }
            Block::Definition(term, text) => {
                roff.push_str(&format!(".TP\n{}\n{}\n", roff_line(term), roff_line(text)));
            }
            Block::Code(lines) => {
                roff.push_str(paragraph);
                roff.push_str(".RS 4\n.nf\n");
                lines.iter().for_each(|line| roff.push_str(&format!("{}\n", guard(escape(line)))));
                roff.push_str(".fi\n.RE\n");
            }
        }
    }
    roff
}

fn roff_line(text: &str) -> String {
    let spans = inline(text).into_iter().map(|(face, text)| match face {
        Face::Roman => escape(&text),
        Face::Bold => format!("\\fB{}\\fR", escape(&text)),
        Face::Italic => format!("\\fI{}\\fR", escape(&text)),
    });
    guard(spans.collect())
}

/// Characters that mean something to roff; a dash stays the ASCII one, so that options can be copied from the page.
fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq")
}

/// A line that begins with a control character of roff is no request.
fn guard(line: String) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

/// Renders pieces as text of this width, indented as `man` does.
pub fn to_text(blocks: &[Block], width: usize) -> String {
    let mut text = String::new();
    for block in blocks {
        match block {
            Block::Section(title) => text.push_str(&format!("\n{}\n", title.to_uppercase())),
            Block::Subsection(title) => text.push_str(&format!("\n   {}\n", plain(title))),
            Block::Paragraph(words) => {
                text.push_str(blank_before(&text));
                text.push_str(&wrap(&plain(words), "       ", "       ", width));
            }
            Block::Item(mark, words) => {
                text.push_str(&wrap(&plain(words), &format!("       {mark:<2} "), "          ", width));
            }
            Block::Definition(term, words) => {
                text.push_str(&format!("       {}\n", plain(term)));
                text.push_str(&wrap(&plain(words), "              ", "              ", width));
            }
            Block::Code(lines) => {
                text.push_str(blank_before(&text));
                for line in lines {
                    text.push_str(format!("           {line}").trim_end());
                    text.push('\n');
                }
            }
        }
    }
    text
}

/// A paragraph stands apart from what is above it, unless that is a title.
fn blank_before(text: &str) -> &'static str {
    let last = text.trim_end_matches('\n').rsplit('\n').next().unwrap_or_default();
    if last.starts_with("       ") { "\n" } else { "" }
}

fn plain(text: &str) -> String {
    inline(text).into_iter().map(|(_, text)| text).collect()
}

/// Words in lines of at most `width` characters, a longer word on a line of its own.
fn wrap(text: &str, first: &str, next: &str, width: usize) -> String {
    let mut wrapped = String::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > width {
            wrapped.push_str(&line);
            wrapped.push('\n');
            line = next.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    wrapped.push_str(&line);
    wrapped.push('\n');
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "# DESCRIPTION\nSets the *clock*\nwith `-b`, see [the site](https://x).\n\n## Notes\n- `0`: done\n- a plain\n  item\n\n1. first\n\n| file | use |\n|---|---|\n| `/etc/a` | one \\| two | three |\n\n```\n.dot -x \\n\n```\n";

    #[test]
    fn pieces_of_a_document() {
        assert_eq!(
            parse(DOCUMENT),
            [
                Block::Section("DESCRIPTION".into()),
                Block::Paragraph("Sets the *clock* with `-b`, see [the site](https://x).".into()),
                Block::Subsection("Notes".into()),
                Block::Definition("`0`".into(), "done".into()),
                Block::Item("•".into(), "a plain item".into()),
                Block::Item("1.".into(), "first".into()),
                Block::Definition("`/etc/a`".into(), "one | two; three".into()),
                Block::Code(vec![".dot -x \\n".into()]),
            ]
        );
    }

    #[test]
    fn roff_escapes_what_roff_would_read() {
        let roff = to_roff(&parse(DOCUMENT));
        assert!(
            roff.contains("Sets the \\fIclock\\fR with \\fB\\-b\\fR, see the site (https://x).\n"),
            "{roff}"
        );
        assert!(roff.contains(".TP\n\\fB0\\fR\ndone\n"), "{roff}");
        assert!(roff.contains(".IP \\(bu 3\na plain item\n"), "{roff}");
        assert!(roff.contains("\n\\&.dot \\-x \\en\n"), "{roff}");
        assert_eq!(to_roff(&[Block::Paragraph("'tis \"so\"".into())]), ".PP\n\\&'tis \\(dqso\\(dq\n");
    }

    #[test]
    fn text_is_wrapped_and_indented() {
        let text = to_text(&parse(DOCUMENT), 40);
        assert!(
            text.starts_with(
                "\nDESCRIPTION\n       Sets the clock with -b, see the\n       site (https://x).\n"
            ),
            "{text}"
        );
        assert!(text.contains("       0\n              done\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
    }

    #[test]
    fn marks_that_do_not_close_are_text() {
        assert_eq!(inline("2 * 3 * 4 and a [b] `c"), [(Face::Roman, "2 * 3 * 4 and a [b] `c".to_owned())]);
        assert_eq!(
            inline("**b***i*\\*"),
            [(Face::Bold, "b".to_owned()), (Face::Italic, "i".to_owned()), (Face::Roman, "*".to_owned())]
        );
        assert_eq!(inline("é`ü`é").len(), 3);
    }
}
