//! The words of a line of ntp.conf (ntp-legacy 3.1).

/// Characters that are a word of their own where a keyword may stand.
const SPECIAL: [u8; 8] = *b"{}(),;|=";

/// A word and where it begins, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) column: usize,
}

/// Why a line is left out: what stands where something else should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unexpected {
    pub(super) column: usize,
    /// `None`: the end of the line.
    pub(super) word: Option<String>,
    /// What could stand there instead, as the original names it; empty: too much to be named.
    pub(super) wanted: &'static str,
}

impl Unexpected {
    pub(super) fn at(word: Word<'_>) -> Self {
        Self { column: word.column, word: Some(word.text.to_owned()), wanted: "" }
    }

    /// With what could stand there instead.
    pub(super) const fn wants(mut self, wanted: &'static str) -> Self {
        self.wanted = wanted;
        self
    }

    /// What the original says: the class of the word, not the word. Sent to ntpq, which marks the column.
    pub(super) fn class(&self) -> String {
        let class = match self.word.as_deref() {
            None => "T_EOC",
            Some(word) if integer(word).is_some() => "T_Integer",
            Some(word) if number(word).is_some() => "T_Double",
            Some(_) => "T_String",
        };
        let wanted = if self.wanted.is_empty() { "" } else { ", expecting " };
        format!("syntax error, unexpected {class}{wanted}{}", self.wanted)
    }

    /// The complaint with the word itself.
    pub(super) fn text(&self) -> String {
        match &self.word {
            Some(word) => format!("syntax error, unexpected '{}'", super::printable(word)),
            None => "syntax error, unexpected end of line".to_owned(),
        }
    }
}

/// The words that are left of a line.
#[derive(Debug, Clone)]
pub(super) struct Words<'a> {
    line: &'a str,
    at: usize,
    /// Where the last word began: there a line is said to end too early.
    last: usize,
}

impl<'a> Words<'a> {
    pub(super) const fn new(line: &'a str) -> Self {
        Self { line, at: 0, last: 0 }
    }

    /// The next word; `=` and its like are words of their own unless a string is wanted.
    fn take(&mut self, string: bool) -> Option<Word<'a>> {
        let bytes = self.line.as_bytes();
        let start = self.at + bytes.get(self.at..)?.iter().position(|&b| !is_space(b))?;
        let first = *bytes.get(start)?;
        if first == b'#' {
            self.at = bytes.len();
            return None;
        }
        self.last = start;
        let ends = |from: usize, stop: &dyn Fn(u8) -> bool| {
            let rest = bytes.get(from..).unwrap_or_default();
            from + rest.iter().position(|&b| stop(b)).unwrap_or(rest.len())
        };
        let (from, to) = if first == b'"' {
            // a string ends at its quote or, silently, with the line
            let to = ends(start + 1, &|b| b == b'"');
            self.at = (to + 1).min(bytes.len());
            (start + 1, to)
        } else if !string && SPECIAL.contains(&first) {
            self.at = start + 1;
            (start, start + 1)
        } else {
            let to = ends(start, &|b| is_space(b) || b == b'#' || (!string && SPECIAL.contains(&b)));
            self.at = to;
            (start, to)
        };
        Some(Word { text: self.line.get(from..to)?, column: start })
    }

    /// The next word where a keyword may stand.
    pub(super) fn next(&mut self) -> Option<Word<'a>> {
        self.take(false)
    }

    /// The next word without taking it.
    pub(super) fn peek(&self) -> Option<Word<'a>> {
        self.clone().take(false)
    }

    /// Takes the next word if it is this one.
    pub(super) fn skip(&mut self, text: &str) -> bool {
        let found = self.peek().is_some_and(|word| word.text == text);
        if found {
            self.take(false);
        }
        found
    }

    /// The end of the line as a complaint.
    pub(super) fn ended(&self) -> Unexpected {
        Unexpected { column: self.last, word: None, wanted: "" }
    }

    /// A keyword that must be there.
    pub(super) fn keyword(&mut self) -> Result<Word<'a>, Unexpected> {
        self.take(false).ok_or_else(|| self.ended())
    }

    /// A string that must be there.
    pub(super) fn string(&mut self) -> Result<Word<'a>, Unexpected> {
        self.take(true).ok_or_else(|| self.ended().wants("T_String"))
    }

    /// All words up to the end of the line, as strings.
    pub(super) fn strings(&mut self) -> Vec<Word<'a>> {
        std::iter::from_fn(|| self.take(true)).collect()
    }

    /// An integer that must be there.
    pub(super) fn integer(&mut self) -> Result<i64, Unexpected> {
        let word = self.keyword().map_err(|ended| ended.wants("T_Integer"))?;
        integer(word.text).ok_or_else(|| Unexpected::at(word).wants("T_Integer"))
    }

    /// A number that must be there, with or without a point.
    pub(super) fn number(&mut self) -> Result<f64, Unexpected> {
        let wanted = "T_Double or T_Integer";
        let word = self.keyword().map_err(|ended| ended.wants(wanted))?;
        number(word.text).ok_or_else(|| Unexpected::at(word).wants(wanted))
    }

    /// Nothing may follow.
    pub(super) fn end(&mut self) -> Result<(), Unexpected> {
        match self.take(false) {
            Some(word) => Err(Unexpected::at(word).wants("T_EOC")),
            None => Ok(()),
        }
    }
}

const fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// Digits with a sign in front at most.
pub(super) fn integer(word: &str) -> Option<i64> {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| word.parse().ok()).flatten()
}

/// An integer, or digits with a point and perhaps an exponent.
fn number(word: &str) -> Option<f64> {
    if !word.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E')) {
        return None;
    }
    word.parse::<f64>().ok().filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<(&str, usize)> {
        let mut words = Words::new(line);
        std::iter::from_fn(|| words.next()).map(|word| (word.text, word.column)).collect()
    }

    #[test]
    fn comments_begin_anywhere_but_in_quotes() {
        assert_eq!(words("  server 10.0.0.1#x y"), [("server", 2), ("10.0.0.1", 9)]);
        assert_eq!(words("keys \"/a b#c\" # d"), [("keys", 0), ("/a b#c", 5)]);
        assert_eq!(words("keys \"/a b"), [("keys", 0), ("/a b", 5)]);
        assert_eq!(words("\t# all"), []);
        assert_eq!(words("end\r"), [("end", 0)]);
    }

    #[test]
    fn special_characters_are_words_where_keywords_stand() {
        assert_eq!(words("a=b").iter().map(|w| w.0).collect::<Vec<_>>(), ["a", "=", "b"]);
        assert_eq!(words("(1 ... 5)").iter().map(|w| w.0).collect::<Vec<_>>(), ["(", "1", "...", "5", ")"]);
        let mut strings = Words::new("a=b(c)  d");
        assert_eq!(strings.strings().iter().map(|w| w.text).collect::<Vec<_>>(), ["a=b(c)", "d"]);
    }

    #[test]
    fn numbers_are_decimal() {
        assert_eq!(
            (integer("-3"), integer("0x3"), integer(""), integer("3.5")),
            (Some(-3), None, None, None)
        );
        assert_eq!(
            (number("0.128"), number("1e-3"), number("nan"), number("x")),
            (Some(0.128), Some(0.001), None, None)
        );
    }
}
