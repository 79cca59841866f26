//! Who the client is to a registry.

/// What is shown to a registry or its token service.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    Basic {
        username: String,
        password: String,
    },
    /// A refresh token (OAuth 2), as some registries give it to helpers.
    IdentityToken(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Credential::Basic",
            Self::IdentityToken(_) => "Credential::IdentityToken",
        })
    }
}
