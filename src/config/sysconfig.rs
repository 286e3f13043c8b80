//! /etc/sysconfig/ntpdate and /etc/sysconfig/ntpd: shell assignments, of which one is ours to obey.

/// Whether `SYNC_HWCLOCK=yes` stands in a text of shell assignments: quotes allowed, the last one wins, only `yes` counts
/// (decisions.md). `None`: it is not set here.
pub fn sync_hwclock(text: &str) -> Option<bool> {
    assignments(text).filter(|(name, _)| *name == "SYNC_HWCLOCK").map(|(_, value)| value == "yes").last()
}

/// The assignments of a text, one a line, `export` allowed, with the quotes taken off.
fn assignments(text: &str) -> impl Iterator<Item = (&str, String)> {
    text.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let (name, value) = line.split_once('=')?;
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        is_name.then(|| (name, first_word(value)))
    })
}

/// The first word of a shell text, without its quotes; ends at an unquoted blank, `;` or `#`-comment.
fn first_word(text: &str) -> String {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, c) if c.is_whitespace() || c == ';' => break,
            (None | Some('"'), '\\') => word.extend(chars.next()),
            (_, c) => word.push(c),
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_counts_and_the_last_wins() {
        assert_eq!(sync_hwclock("SYNC_HWCLOCK=yes\n"), Some(true));
        assert_eq!(sync_hwclock("SYNC_HWCLOCK=\"yes\" # set it\n"), Some(true));
        assert_eq!(sync_hwclock("  export SYNC_HWCLOCK='yes'"), Some(true));
        assert_eq!(sync_hwclock("SYNC_HWCLOCK=yes\nSYNC_HWCLOCK=no\n"), Some(false));
        for no in ["SYNC_HWCLOCK=YES", "SYNC_HWCLOCK=true", "SYNC_HWCLOCK=", "SYNC_HWCLOCK=yes1"] {
            assert_eq!(sync_hwclock(no), Some(false), "{no}");
        }
        for absent in
            ["", "#SYNC_HWCLOCK=yes", "XSYNC_HWCLOCK=yes", "SYNC_HWCLOCK", "OPTIONS=\"SYNC_HWCLOCK=yes\""]
        {
            assert_eq!(sync_hwclock(absent), None, "{absent}");
        }
    }

    #[test]
    fn rhel6s_file_reads() {
        let text = "# Options for ntpdate\nOPTIONS=\"-U ntp -s -b\"\n\n# Number of retries before giving up\nRETRIES=2\n\n# Set to 'yes' to sync hw clock after successful ntpdate\nSYNC_HWCLOCK=no\n";
        assert_eq!(sync_hwclock(text), Some(false));
    }
}
