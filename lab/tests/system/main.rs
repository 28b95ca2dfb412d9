//! The lab as its users have it: real processes on real ports, killed for real.
//!
//! Not part of `cargo test`; `lab test system` runs it, one test at a time. The shop's programs
//! are taken from `LAB_BIN_DIR`, which `lab test` sets, else from beside `lab`.

mod chaos;
mod cleanup;
mod crash;
mod crowd;
mod faults;
mod flood;
mod harness;
mod integrity;
mod keys;
mod policy;
mod processes;
mod readme;
mod replicas;
mod rerun;
mod rolling;
mod runs;
mod up;
