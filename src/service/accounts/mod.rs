//! Who is there, who somebody is, and what they may do.

// Decides who may do what.
pub(super) mod access;
// Sessions of browsers.
mod browser_sessions;
// Finds out who asks: passwords, secrets and tokens.
pub(super) mod identity;
// Members of projects.
pub(super) mod members;
// Hashes passwords, few at a time.
pub(super) mod passwords;
// Access tokens of users.
pub(super) mod personal_tokens;
// Projects and their quotas.
pub(super) mod projects;
// Accounts of programs.
pub(super) mod robots;
// URLs of ours that permit one request.
mod signed_calls;
// Keys that users sign in with.
mod user_keys;
// Accounts of people.
pub(super) mod users;
// Whom projects tell of what happens in them.
mod webhook_policies;
