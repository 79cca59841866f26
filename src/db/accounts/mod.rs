//! Users, projects, robots, and what they sign in with.

// Personal access tokens.
pub(super) mod access_tokens;
// What a sign-in and a permission are decided by.
pub(super) mod authorization;
// Sessions of browsers.
pub(super) mod browser_sessions;
// Ends the sessions of what is deleted.
pub(super) mod ends;
// Members of projects.
pub(super) mod members;
// Projects.
pub(super) mod projects;
// Accounts of programs.
pub(super) mod robots;
// Sign-ins that failed.
pub(super) mod sign_ins;
// Keys that access tokens are signed with.
pub(super) mod token_keys;
// Public keys of users, and what was signed with them.
pub(super) mod user_keys;
// Accounts of people.
pub(super) mod users;
// Projects as somebody sees them.
pub(super) mod visible_projects;
