//! Both ends of TLS over real sockets, with certificates from files.

mod files;
mod handshakes;
mod mesh;
mod openssl;
mod rotation;
