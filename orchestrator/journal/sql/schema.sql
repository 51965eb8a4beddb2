-- The journal of one run. The report is made from nothing else.

-- One row, which every commit writes: see mark.py. The table must be the first.
CREATE TABLE mark (
    text    TEXT NOT NULL,                        -- id of the journal and number of its latest commit
    trouble TEXT                                  -- a sentence, if the files were removed or replaced during a session
);

CREATE TABLE run (
    id                 TEXT NOT NULL,
    command            TEXT NOT NULL,
    version            TEXT NOT NULL,
    process_started_at REAL NOT NULL,             -- seconds since the epoch
    started_at         TEXT NOT NULL,
    base_url           TEXT NOT NULL,
    entity_id          TEXT,
    org_ids            TEXT NOT NULL,             -- JSON list
    settings           TEXT NOT NULL              -- JSON object, without secrets
);

-- One row a process that worked on the run: the first, and one for each resume.
CREATE TABLE session (
    n           INTEGER PRIMARY KEY,
    started_at  TEXT NOT NULL,
    ended_at    TEXT,
    state       TEXT NOT NULL DEFAULT 'running',  -- running, finished, interrupted, aborted
    reason      TEXT,
    exit_status INTEGER,
    token_calls INTEGER NOT NULL DEFAULT 0,       -- of a run of one tenant; where there are several: tenant
    operator    TEXT                              -- JSON: orchestrator.journal.entries.Operator
);

-- A run of several tenants: who they are, and how each ended. A run of one has none here, and '' as its name below.
CREATE TABLE tenant (
    name        TEXT PRIMARY KEY,
    base_url    TEXT NOT NULL,
    entity_id   TEXT,
    org_ids     TEXT NOT NULL,                    -- JSON list
    state       TEXT NOT NULL DEFAULT 'unused',   -- or as a session's
    reason      TEXT,
    token_calls INTEGER NOT NULL DEFAULT 0
);

-- Shards that were merged: each is merged once.
CREATE TABLE merged (
    shard TEXT PRIMARY KEY
);

CREATE TABLE source (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL,
    path     TEXT,                                -- NULL for standard input
    sha256   TEXT,
    rows     INTEGER NOT NULL DEFAULT 0,
    last_row INTEGER NOT NULL DEFAULT 0,          -- physical line of the last row admitted
    chain    TEXT NOT NULL DEFAULT '',            -- digest over all rows admitted: shows that a source was changed
    complete INTEGER NOT NULL DEFAULT 0,
    bytes    INTEGER,                             -- of a file, before its first row was admitted
    digest   TEXT,                                -- SHA-256 of those bytes
    doubted  INTEGER NOT NULL DEFAULT 0           -- rows read later may have been stopped in commits that are lost
);

CREATE TABLE action (
    seq           INTEGER PRIMARY KEY,            -- input order
    tenant        TEXT NOT NULL DEFAULT '',
    source        INTEGER NOT NULL REFERENCES source (id),
    row           INTEGER NOT NULL,
    bulk_key      TEXT NOT NULL,
    malformed     INTEGER NOT NULL DEFAULT 0,     -- the row holds no key, and what it holds may stand there twice
    labels        TEXT,                           -- JSON object
    rank          REAL NOT NULL DEFAULT 0,        -- the lower is stopped first
    stage         INTEGER NOT NULL,               -- orchestrator.model.Stage
    outcome       TEXT,
    status        TEXT,
    action_type   TEXT,
    provenance    TEXT,                           -- JSON: orchestrator.model.Provenance
    attempts      INTEGER NOT NULL DEFAULT 0,     -- stop calls intended: written before each leaves
    accepted_at   TEXT,
    track_id      TEXT,
    request_id    TEXT,
    lost          INTEGER NOT NULL DEFAULT 0,     -- a stop may have worked although its response was not seen
    sent_at       TEXT,                           -- when the first stop left
    due_at        REAL NOT NULL DEFAULT 0,        -- when the status is to be read next, in the session's seconds
    claimed       INTEGER NOT NULL DEFAULT 0,     -- held in memory by the session at work
    read_from     REAL,                           -- when it was first read, in the session's seconds
    polls         INTEGER NOT NULL DEFAULT 0,
    output_url    TEXT,
    status_calls  INTEGER NOT NULL DEFAULT 0,
    file_calls    INTEGER NOT NULL DEFAULT 0,
    retried       INTEGER NOT NULL DEFAULT 0,
    throttled     INTEGER NOT NULL DEFAULT 0,
    hedged        INTEGER NOT NULL DEFAULT 0,     -- calls sent once more because they were slow
    total         INTEGER,
    processed     INTEGER,
    succeeded     INTEGER,
    failed        INTEGER,
    unprocessed   INTEGER,
    held_by_group INTEGER,                        -- unprocessed behind a failed record of their group
    counts_from   TEXT NOT NULL DEFAULT 'none',   -- response_file, status, none
    mismatch      TEXT,                           -- JSON: both counts, where file and status disagree
    speed         REAL,                           -- plan: records a second
    error         TEXT,                           -- JSON: orchestrator.model.Problem
    settled_at    TEXT,
    seal          INTEGER,                        -- checksum over the evidence, once settled: see the statement settled
    position      INTEGER NOT NULL DEFAULT 0      -- the n-th row admitted from its source: a line may have several
);

-- No index holds a value that changes often: keys are random, and each change writes another page of the index.
CREATE UNIQUE INDEX action_key ON action (tenant, bulk_key) WHERE malformed = 0;
CREATE INDEX action_waiting ON action (tenant, rank, seq) WHERE stage = 0;
CREATE INDEX action_following ON action (tenant, due_at) WHERE stage = 2 AND claimed = 0;

CREATE TABLE duplicate (
    first  INTEGER NOT NULL REFERENCES action (seq),
    source INTEGER NOT NULL,
    row    INTEGER NOT NULL,
    position INTEGER NOT NULL DEFAULT 0           -- as in action
);
CREATE INDEX duplicate_first ON duplicate (first);

-- Every call that failed, for the audit.
CREATE TABLE failure (
    seq      INTEGER NOT NULL REFERENCES action (seq),
    at       TEXT NOT NULL,
    call     TEXT NOT NULL,                       -- stop, status, file
    track_id TEXT,
    problem  TEXT NOT NULL                        -- JSON: orchestrator.model.Problem
);

-- Each time that all statuses were read again after the run.
CREATE TABLE verification (
    n          INTEGER PRIMARY KEY,
    started_at TEXT NOT NULL,
    ended_at   TEXT NOT NULL,
    keys       INTEGER NOT NULL,
    over       INTEGER NOT NULL                   -- keys whose action was over
);

-- Findings of a verification: an action that is not over, that changed after its end, or that could not be read.
CREATE TABLE finding (
    verification INTEGER NOT NULL REFERENCES verification (n),
    seq          INTEGER NOT NULL REFERENCES action (seq),
    kind         TEXT NOT NULL,                   -- not_over, changed, unread
    message      TEXT NOT NULL
);

-- How fast it went: a row a second while calls were made, and one at the end of each session.
CREATE TABLE pace (
    at        TEXT NOT NULL,
    tenant    TEXT NOT NULL DEFAULT '',
    slots     INTEGER NOT NULL,                   -- calls in flight at most, as believed
    in_flight INTEGER NOT NULL,
    others    REAL,                               -- calls of others in flight, as estimated; NULL: not known
    throttled INTEGER NOT NULL,                   -- calls refused for a limit since the row before
    waiting   INTEGER NOT NULL                    -- stops not accepted yet
);

-- The rows of the report. An action without an outcome gets one from what the tenant said so far. The function
-- outcome_without_status in engine/verdict.py decides alike for actions in memory.
CREATE VIEW reported_action AS
SELECT seq, bulk_key, source, row, labels,
       COALESCE(outcome, CASE
           WHEN accepted_at IS NOT NULL OR lost OR (stage = 1 AND attempts > 0) THEN 'unconfirmed'
           WHEN json_extract(error, '$.kind') = 'unauthenticated' THEN 'not_attempted'
           WHEN stage <> 2 AND attempts = 0 THEN 'not_attempted'
           WHEN status IS NULL AND json_extract(error, '$.kind') IN ('connect_failed', 'connection_lost', 'timeout')
           THEN 'unreachable'
           ELSE 'unconfirmed' END) AS outcome,
       status, action_type, provenance, attempts, accepted_at, track_id, request_id, lost,
       total, processed, succeeded, failed, unprocessed, held_by_group, counts_from, mismatch, speed, error, settled_at, tenant
FROM action;
