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

# power cuts: more of what may survive each of them, over several scripts
power-cuts cuts="20" seeds="1 2 3":
    for seed in {{ seeds }}; do \
        DUYNHAT_SEED=$seed DUYNHAT_CUTS_PER_CALL={{ cuts }} cargo test -p duynhat-tests --test power_cuts -- --nocapture || exit 1; \
    done

# an error, or no room, at every call of the storage
faults:
    DUYNHAT_FAULTS=all cargo test -p duynhat-tests --test failing_disks -- --nocapture

# flipped bits over a data folder
bitflips flips="10000":
    DUYNHAT_FLIPS={{ flips }} cargo test -p duynhat-tests --test bit_flips -- --nocapture

# what searches and checks take before, during and in the minute after many enrolments
stall enrolments="10000" seconds="60":
    DUYNHAT_ENROLMENTS={{ enrolments }} DUYNHAT_SECONDS={{ seconds }} cargo test -p duynhat-tests --test enrolments_do_not_stall -- --nocapture

# kill -9 under load, again and again
torture kills="300" clients="32":
    DUYNHAT_KILLS={{ kills }} DUYNHAT_CLIENTS={{ clients }} cargo test -p duynhat-tests --test torture -- --nocapture

# makes the fingerprint model anew, from synthetic prints, and compares it with the shipped one, bit for bit; a minute
model:
    rm -rf {{ out }}/model
    cargo run --release --locked -- synth --people 800 --seed 503 --fingers 2,7 --encounters 6 --faces 0 --out {{ out }}/model
    cargo run --release --locked -- train finger {{ out }}/model/fingers --out {{ out }}/model/finger-v1.bin
    cmp {{ out }}/model/finger-v1.bin engine/model/finger-v1.bin

# fits the fingerprint calibration anew, to the collections in $DUYNHAT_DATA, and compares it with the shipped one
calibration:
    mkdir -p {{ out }}
    cargo run --release --locked -- calibrate {{ data }}/finger/* --synthetic 800 --out {{ out }}/finger-calibration-v1.json
    cmp {{ out }}/finger-calibration-v1.json engine/model/finger-calibration-v1.json

# error rates on collections that each model has not seen
cross-validate:
    cargo run --release --locked -- evaluate finger --cross-validate {{ data }}/finger/* --out {{ out }}/cross-validate

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

# import, opening, checks, backup and rebuild with N people; about 40 KB of disk a person, left behind in `folder`
at-scale people folder:
    cargo build --release --locked
    benches/at_scale.sh {{ people }} {{ folder }} target/release/duynhat
