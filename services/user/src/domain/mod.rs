//! Types and rules of accounts: no I/O, no wire, no SQL.

pub mod account;
pub mod password;
pub mod profile;
pub mod session;
pub mod slowdown;
pub mod two_factor;

pub use account::{Account, NewAccount, ProfileChange};
