//! The gRPC messages, clients and servers of the shop, generated from the
//! `.proto` files beside this crate.

/// Package `user`.
pub mod user {
    #![allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications)]
    tonic::include_proto!("user");
}

/// Package `product`.
pub mod product {
    #![allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications)]
    tonic::include_proto!("product");
}

/// Package `payment`.
pub mod payment {
    #![allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications)]
    tonic::include_proto!("payment");
}

/// The encoded descriptors of all packages, for the reflection service.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
