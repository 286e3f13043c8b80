//! ntpstat's command line; what it says of a daemon is in its unit tests and in tests/compat.

use crate::support::cli::run;
use crate::support::schema::check_output;

#[test]
fn a_wrong_command_line_is_exit_code_3() {
    for words in [&["-Z"][..], &["-m"], &["-m", "x"], &["-m", "-1"], &["host"], &["--nosuch"]] {
        let ran = run("ntpstat", words);
        assert_eq!((ran.code(), ran.stdout.as_str()), (3, ""), "{words:?}");
        assert!(ran.stderr.starts_with("ntpstat: "), "{words:?}: {}", ran.stderr);
        let json = run("ntpstat", &[words, &["--json"]].concat());
        let object = &check_output(&json.stdout)[0];
        // a last `-m` takes the word after it
        assert_eq!((object["error"]["code"].as_str(), json.code()), (Some("usage"), 3), "{words:?}");
    }
    assert_eq!(run("ntpstat", &["-h"]).code(), 0);
}
