//! Generates the gRPC code with protox, a compiler of `.proto` files in Rust, so
//! that a machine with Rust alone can build (no `protoc`).

use std::{env, fs, io, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 3] = [
    "shop/user/v1/user.proto",
    "shop/product/v1/product.proto",
    "shop/payment/v1/payment.proto",
];

fn main() -> io::Result<()> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."]).map_err(io::Error::other)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)
}
