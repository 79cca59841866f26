//! What proves who somebody is: passwords, secrets, signed tokens. Knows no database and no header.

pub mod oidc;
pub mod password;
pub mod ring;
pub mod secret;
pub mod token;
