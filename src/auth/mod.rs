//! What proves who somebody is: passwords, secrets, signed tokens. Knows no database and no header.

pub(crate) mod oidc;
pub(crate) mod password;
pub mod ring;
pub mod secret;
pub mod signed_url;
pub mod token;
