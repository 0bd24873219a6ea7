//! Runs a target under libFuzzer: `FUZZ_TARGET=flags fuzz corpus/flags`. See `.ci/fuzz`.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET is the name of a target");
    let target = fuzz::TARGETS.iter().find(|target| target.0 == name);
    target.expect("FUZZ_TARGET is the name of a target").1
});

fuzz_target!(|input: &[u8]| TARGET(input));
