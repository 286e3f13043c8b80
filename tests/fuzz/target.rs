//! One source for every target: the binary's name says which body it runs.
#![no_main]

mod bodies;

use std::sync::LazyLock;

static BODY: LazyLock<bodies::Body> = LazyLock::new(|| {
    let name = env!("CARGO_BIN_NAME");
    bodies::BODIES.iter().find(|(body, _)| *body == name).expect("a row in bodies.rs").1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| BODY(data));
