//! Who is there, who somebody is, and what they may do.

// Public keys of users.
pub(super) mod keys;
// Members of projects.
pub(super) mod members;
// Projects.
pub(super) mod projects;
// Accounts of programs.
pub(super) mod robots;
// Access tokens of users.
pub(super) mod tokens;
// Accounts of people.
pub(super) mod users;
// Webhook policies of projects.
pub(super) mod webhooks;
