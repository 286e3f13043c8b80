//! `ntpbox list`.

use crate::support::cli::check_goldens;

#[test]
fn goldens() {
    check_goldens("list");
}
