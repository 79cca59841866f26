-- Webhooks: policies of projects, and the events that are still to be delivered. PostgreSQL.
-- Times with `_ms` are the database's own, in milliseconds since the epoch.

CREATE TABLE webhook_policy (
    id               BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id       BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    name             TEXT COLLATE "C" NOT NULL,
    description      TEXT NOT NULL,
    is_enabled       BOOLEAN NOT NULL,
    -- With commas between.
    event_types      TEXT NOT NULL,
    address          TEXT NOT NULL,
    -- What deliveries are signed in with. As it is: the receiver wants it so.
    auth_header      TEXT,
    skip_cert_verify BOOLEAN NOT NULL,
    payload_format   TEXT NOT NULL,
    creator          TEXT NOT NULL,
    created_at       TIMESTAMPTZ NOT NULL,
    updated_at       TIMESTAMPTZ NOT NULL,
    UNIQUE (project_id, name)
);

-- A repository's events for one policy, one after another. Whoever adds an event locks this row first, so that events have
-- their ids in the order of their commits.
CREATE TABLE webhook_queue (
    policy_id  BIGINT NOT NULL REFERENCES webhook_policy (id) ON DELETE CASCADE,
    repository TEXT COLLATE "C" NOT NULL,
    -- Events that wait; a queue without any has no row.
    pending    BIGINT NOT NULL,
    -- Failed deliveries of the first event.
    attempts   BIGINT NOT NULL DEFAULT 0,
    -- When the first event may be delivered, or the end of the lease of whoever delivers it.
    due_at_ms  BIGINT NOT NULL,
    lease_id   UUID,
    PRIMARY KEY (policy_id, repository)
);
CREATE INDEX webhook_queue_due ON webhook_queue (policy_id, due_at_ms, repository);

CREATE TABLE webhook_event (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    policy_id   BIGINT NOT NULL REFERENCES webhook_policy (id) ON DELETE CASCADE,
    repository  TEXT COLLATE "C" NOT NULL,
    event_type  TEXT NOT NULL,
    -- What it is about: a digest and a tag, or, pushed or pulled by digest, the digest twice. Null for quotas.
    digest      BYTEA,
    tag         TEXT,
    -- What a quota's event says.
    details     TEXT,
    operator    TEXT NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX webhook_event_queue ON webhook_event (policy_id, repository, id);
CREATE INDEX webhook_event_policy ON webhook_event (policy_id, id);

-- When an event of a type was last delivered.
CREATE TABLE webhook_trigger (
    policy_id         BIGINT NOT NULL REFERENCES webhook_policy (id) ON DELETE CASCADE,
    event_type        TEXT NOT NULL,
    last_delivered_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (policy_id, event_type)
);
