//! Ours and Toxiproxy 2.12 side by side: over the API, a published client, the
//! command line, and by what clients of the proxied server see. One program, so
//! that the table of docs/CONFORMANCE.md is of the same looks as the tests.

mod api;
mod behaviour;
mod cli;
mod client;
mod differences;
mod table;
