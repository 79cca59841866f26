//! Who is there, who somebody is, and what they may do.

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
