//! Fails, on purpose, and only with `--features deliberate-failure`: `.ci/run` proves with it that a failing test in
//! this folder would be seen.

#[test]
fn deliberate_failure() {
    panic!("deliberate failure in tests/");
}
