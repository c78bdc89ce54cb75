# The common acts. `just --list` shows them; each is one plain command that also works without just.

data := env("DUYNHAT_DATA", justfile_directory() / ".." / "shared" / "data")
out := justfile_directory() / "out"

# what CI runs, all of it
default: check test

# format, lints, API documentation
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# every test, the documentation's examples included
test:
    cargo test --workspace --locked

# criterion; `just bench screen` runs those whose name holds `screen`
bench filter="":
    cargo bench -p duynhat-benches -- {{ filter }}

# the demonstration, as a newcomer sees it
demo *arguments:
    cargo run --release --locked -- demo {{ arguments }}

# predicted against measured false positives of synthetic strangers; minutes
thresholds people="4000":
    DUYNHAT_PEOPLE={{ people }} cargo test --release --locked -p duynhat-tests --test thresholds_hold -- --nocapture

# error rates over the collections in $DUYNHAT_DATA/finger
eval:
    cargo run --release --locked -- evaluate finger {{ data }}/finger/* --out {{ out }}/evaluate-finger

# each decoder for five minutes; needs the nightly toolchain and cargo-fuzz
fuzz seconds="300":
    for target in $(cargo +nightly fuzz list); do \
        mkdir -p "fuzz/corpus/$target"; \
        cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
            -max_total_time={{ seconds }} -max_len=4096 || exit 1; \
    done

# the book, links checked, into target/book
docs:
    mdbook build docs

# licences, banned crates and sources, offline
deny:
    cargo fetch --locked
    cargo deny --offline check licenses bans sources

# everything CI does, with the time of each step
ci:
    .ci/run
