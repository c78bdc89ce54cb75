//! Fails, on purpose, and only with `--features deliberate-failure`: `.ci/run` proves with it that a failing bench in
//! this folder would be seen.

fn main() {
    panic!("deliberate failure in benches/");
}
