-- Who may do what: users, projects, robots, and what they sign in with. SQLite.
-- No secret is in here: passwords are argon2id, the rest of what people sign in with is SHA-256 of 256 random bits.

CREATE TABLE user_account (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT NOT NULL UNIQUE,
    -- argon2id in PHC form; null for whoever signs in with tokens alone.
    password_hash TEXT,
    is_admin      BOOLEAN NOT NULL DEFAULT FALSE,
    -- Whose OIDC tokens are this user's.
    oidc_issuer   TEXT,
    oidc_subject  TEXT,
    created_at    TEXT NOT NULL,
    UNIQUE (oidc_issuer, oidc_subject),
    CHECK ((oidc_issuer IS NULL) = (oidc_subject IS NULL))
);

-- Personal access tokens: what a user's programs sign in with.
CREATE TABLE access_token (
    id          BLOB PRIMARY KEY,
    user_id     BIGINT NOT NULL REFERENCES user_account (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
    created_at  TEXT NOT NULL,
    expires_at  TEXT,
    UNIQUE (user_id, name)
);

-- Public keys (Ed25519) whose signatures a user signs in with.
CREATE TABLE user_key (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id    BIGINT NOT NULL REFERENCES user_account (id) ON DELETE CASCADE,
    -- What stands behind the key in its file.
    comment    TEXT NOT NULL,
    public_key BLOB NOT NULL UNIQUE CHECK (length(public_key) = 32),
    created_at TEXT NOT NULL
);
CREATE INDEX user_key_user ON user_key (user_id);

-- What has been signed in with, for as long as it would be taken: the SHA-256 of each nonce.
CREATE TABLE used_nonce (
    key_id     BIGINT NOT NULL REFERENCES user_key (id) ON DELETE CASCADE,
    nonce_hash BLOB NOT NULL CHECK (length(nonce_hash) = 32),
    used_at    TEXT NOT NULL,
    PRIMARY KEY (key_id, nonce_hash)
);
CREATE INDEX used_nonce_used ON used_nonce (used_at);

-- Sessions of browsers. Whoever has the id is the user; here is its SHA-256.
CREATE TABLE browser_session (
    id_hash    BLOB PRIMARY KEY CHECK (length(id_hash) = 32),
    user_id    BIGINT NOT NULL REFERENCES user_account (id) ON DELETE CASCADE,
    -- Without another request; and at the latest.
    expires_at TEXT NOT NULL,
    ends_at    TEXT NOT NULL
);
CREATE INDEX browser_session_user ON browser_session (user_id, ends_at);
CREATE INDEX browser_session_expires ON browser_session (expires_at);

-- The first segment of a repository's name.
CREATE TABLE project (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT NOT NULL UNIQUE,
    is_public     BOOLEAN NOT NULL,
    -- Bytes and tags; -1 for no limit.
    storage_limit BIGINT NOT NULL DEFAULT -1 CHECK (storage_limit >= -1),
    count_limit   BIGINT NOT NULL DEFAULT -1 CHECK (count_limit >= -1),
    -- What whoever runs the service has granted: the project's own admins set the limits, and set them within this.
    storage_granted BIGINT NOT NULL DEFAULT -1 CHECK (storage_granted >= -1),
    count_granted BIGINT NOT NULL DEFAULT -1 CHECK (count_granted >= -1),
    owner_name    TEXT NOT NULL,
    created_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL
);
-- Those that everybody sees.
CREATE INDEX project_public ON project (name) WHERE is_public;
-- Whose robots count with whom.
CREATE INDEX project_owner ON project (owner_name);

-- Limits that an administrator had set for projects that are gone: they hold for whoever makes one of the name anew.
CREATE TABLE former_project (
    name            TEXT PRIMARY KEY,
    storage_granted BIGINT NOT NULL CHECK (storage_granted >= -1),
    count_granted   BIGINT NOT NULL CHECK (count_granted >= -1)
);

CREATE TABLE project_member (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    user_id    BIGINT NOT NULL REFERENCES user_account (id) ON DELETE CASCADE,
    role       TEXT NOT NULL CHECK (role IN ('guest', 'developer', 'maintainer', 'admin')),
    created_at TEXT NOT NULL,
    UNIQUE (project_id, user_id)
);
CREATE INDEX project_member_user ON project_member (user_id);

-- Accounts of programs, each in one project: `robot$<project>+<name>`.
CREATE TABLE robot (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id  BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    -- Of 'pull', 'push' and 'delete', with commas.
    actions     TEXT NOT NULL,
    secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
    is_disabled BOOLEAN NOT NULL DEFAULT FALSE,
    created_at  TEXT NOT NULL,
    expires_at  TEXT,
    UNIQUE (project_id, name)
);

-- What access tokens are signed with: the newest signs, older ones verify what they have signed until it has expired.
CREATE TABLE token_key (
    key_id      BLOB PRIMARY KEY,
    -- PKCS#8, of the curve P-256.
    private_key BLOB NOT NULL,
    created_at  TEXT NOT NULL
);

-- Sign-ins that are limited, counted before what they bring is looked at. Times are the database's own, in milliseconds
-- since the epoch: replicas whose clocks differ share one count.
CREATE TABLE sign_in_attempt (
    -- What is counted: an address, a network, a name from one of them. Names are hashed: people type passwords there.
    subject    TEXT PRIMARY KEY,
    -- Those that failed in a row, and those that are being looked at.
    attempts   BIGINT NOT NULL,
    last_at_ms BIGINT NOT NULL
);
CREATE INDEX sign_in_attempt_last ON sign_in_attempt (last_at_ms);
