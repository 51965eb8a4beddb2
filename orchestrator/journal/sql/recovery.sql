-- Integrity checks and recovery of journals.

-- name: trouble
SELECT trouble FROM mark WHERE trouble IS NOT NULL;

-- name: tables
-- All but the journal's own mark.
SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'mark';

-- name: holds_run
SELECT EXISTS (SELECT 1 FROM run) OR EXISTS (SELECT 1 FROM source) OR EXISTS (SELECT 1 FROM action);

-- name: admitted
-- Every row of one source that was read, in the order of the source.
SELECT row, bulk_key, tenant FROM (
    SELECT row, bulk_key, tenant, position FROM action WHERE source = :source
    UNION ALL
    SELECT duplicate.row, bulk_key, tenant, duplicate.position FROM duplicate JOIN action ON seq = first
    WHERE duplicate.source = :source
) ORDER BY position, row;

-- name: broken_seals
-- Completed rows that are not what they were when they were completed.
SELECT seq FROM action
WHERE (settled_at IS NOT NULL OR stage = 3 AND outcome IS NOT 'malformed') AND seal IS NOT
      seal(tenant, bulk_key, source, row, labels, outcome, status, attempts, accepted_at,
           request_id, lost, total, processed, succeeded, failed, unprocessed, error, settled_at)
LIMIT 1;

-- name: texts
-- Texts that are not JSON: fetching them shows whether they are valid UTF-8.
SELECT bulk_key, tenant, status, action_type, track_id, request_id, output_url FROM action;

-- name: unsound
-- Tables with values from which no report can be built. A text that is not JSON where JSON belongs is an error.
SELECT 'run' WHERE (SELECT COUNT(*) FROM run) <> 1
UNION ALL
SELECT 'run' FROM run WHERE json_type(org_ids) <> 'array' OR json_type(settings) <> 'object'
    OR typeof(process_started_at) NOT IN ('real', 'integer') OR length(started_at) <> 24 OR julianday(started_at) IS NULL
UNION ALL
SELECT 'session' WHERE NOT EXISTS (SELECT 1 FROM session)
UNION ALL
SELECT 'session' FROM session WHERE state NOT IN ('running', 'finished', 'interrupted', 'aborted')
    OR typeof(token_calls) <> 'integer'
    OR ended_at IS NOT NULL AND (length(ended_at) <> 24 OR julianday(ended_at) IS NULL)
    OR operator IS NOT NULL AND (json_type(operator, '$.user') IS NOT 'text' OR json_type(operator, '$.host') IS NOT 'text')
UNION ALL
SELECT 'verification' FROM verification WHERE typeof(keys) <> 'integer' OR typeof(over) <> 'integer'
    OR julianday(started_at) IS NULL OR julianday(ended_at) IS NULL
UNION ALL
SELECT 'finding' FROM finding WHERE kind NOT IN ('not_over', 'changed', 'unread') OR typeof(message) <> 'text'
    OR verification NOT IN (SELECT n FROM verification) OR seq NOT IN (SELECT seq FROM action)
UNION ALL
SELECT 'tenant' FROM tenant WHERE state NOT IN ('unused', 'running', 'finished', 'interrupted', 'aborted')
    OR typeof(token_calls) <> 'integer' OR json_type(org_ids) <> 'array'
UNION ALL
SELECT 'failure' FROM failure WHERE json_type(problem) <> 'object'
UNION ALL
SELECT 'action' FROM action WHERE json_type(provenance) <> 'object'
UNION ALL
SELECT 'action' FROM action WHERE NOT (
    typeof(row) = 'integer' AND source IN (SELECT id FROM source) AND stage IN (0, 1, 2, 3)
    AND (outcome IS NULL OR outcome IN (SELECT value FROM json_each(:outcomes)))
    AND typeof(attempts) = 'integer' AND typeof(lost) = 'integer' AND typeof(status_calls) = 'integer'
    AND typeof(file_calls) = 'integer' AND typeof(retried) = 'integer' AND typeof(throttled) = 'integer'
    AND typeof(hedged) = 'integer'
    AND typeof(speed) IN ('null', 'real') AND counts_from IN ('none', 'status', 'response_file')
    AND (total IS NULL OR typeof(total) = 'integer' AND total < 1e12)
    AND (processed IS NULL OR typeof(processed) = 'integer' AND processed < 1e12)
    AND (succeeded IS NULL OR typeof(succeeded) = 'integer' AND succeeded < 1e12)
    AND (failed IS NULL OR typeof(failed) = 'integer' AND failed < 1e12)
    AND (unprocessed IS NULL OR typeof(unprocessed) = 'integer' AND unprocessed < 1e12)
    AND (held_by_group IS NULL OR typeof(held_by_group) = 'integer' AND held_by_group <= unprocessed)
    AND (sent_at IS NULL OR length(sent_at) = 24 AND julianday(sent_at) IS NOT NULL)
    AND (accepted_at IS NULL OR length(accepted_at) = 24 AND julianday(accepted_at) IS NOT NULL)
    AND (settled_at IS NULL OR length(settled_at) = 24 AND julianday(settled_at) IS NOT NULL)
    AND (labels IS NULL OR json_type(labels) = 'object')
    AND (error IS NULL OR json_extract(error, '$.kind') IS NOT NULL)
    AND (mismatch IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(mismatch) WHERE type <> 'object'))
)
LIMIT 1;

-- name: doubt_unsent
-- The journal lacks its latest commits, so a key without a sent stop may have one. A plan sends nothing.
UPDATE action SET lost = 1 WHERE stage IN (0, 1) AND (SELECT command FROM run) IS NOT 'plan';

-- name: doubt_unread
-- The same is true of rows of the input that the journal does not hold yet.
UPDATE source SET doubted = 1 WHERE complete = 0 AND (SELECT command FROM run) IS NOT 'plan';

-- name: complete
-- Make a rebuilt journal fit for a report.
INSERT INTO run SELECT 'lost', 'run', '', 0, '1970-01-01T00:00:00.000Z', '', NULL, '[]', '{}'
WHERE NOT EXISTS (SELECT 1 FROM run);
DELETE FROM run WHERE rowid > (SELECT MIN(rowid) FROM run);
UPDATE run SET org_ids = CASE WHEN json_valid(org_ids) THEN org_ids ELSE '[]' END,
               settings = CASE WHEN json_valid(settings) THEN settings ELSE '{}' END,
               started_at = CASE WHEN julianday(started_at) IS NOT NULL AND length(started_at) = 24 THEN started_at
                            ELSE '1970-01-01T00:00:00.000Z' END,
               process_started_at = CASE typeof(process_started_at) WHEN 'real' THEN process_started_at ELSE 0 END;
INSERT INTO session (started_at) SELECT started_at FROM run WHERE NOT EXISTS (SELECT 1 FROM session);
UPDATE session SET state = 'running' WHERE state NOT IN ('running', 'finished', 'interrupted', 'aborted');
UPDATE session SET ended_at = NULL WHERE julianday(ended_at) IS NULL OR length(ended_at) <> 24;
-- No seal vouches for these.
UPDATE session SET operator = NULL;
DELETE FROM finding;
DELETE FROM verification;
UPDATE session SET token_calls = 0 WHERE typeof(token_calls) <> 'integer';
UPDATE tenant SET state = 'running' WHERE state NOT IN ('unused', 'running', 'finished', 'interrupted', 'aborted');
UPDATE tenant SET token_calls = 0 WHERE typeof(token_calls) <> 'integer';
UPDATE tenant SET org_ids = '[]' WHERE NOT json_valid(org_ids);
UPDATE action SET sent_at = NULL WHERE julianday(sent_at) IS NULL OR length(sent_at) <> 24;
UPDATE action SET mismatch = NULL, counts_from = 'none', speed = NULL, action_type = NULL, provenance = NULL
WHERE counts_from NOT IN ('none', 'status', 'response_file') OR mismatch IS NOT NULL OR typeof(speed) = 'text';
UPDATE action SET status_calls = 0, file_calls = 0, retried = 0, throttled = 0, hedged = 0
WHERE typeof(status_calls) <> 'integer' OR typeof(file_calls) <> 'integer' OR typeof(retried) <> 'integer'
   OR typeof(throttled) <> 'integer' OR typeof(hedged) <> 'integer';
INSERT INTO source (id, name) SELECT DISTINCT source, 'an input whose name is lost' FROM action
WHERE source NOT IN (SELECT id FROM source);
DELETE FROM duplicate WHERE source NOT IN (SELECT id FROM source) OR typeof(row) <> 'integer';
DELETE FROM failure WHERE NOT json_valid(problem);

-- name: distrust
-- No seal vouches for the row: its action may have been stopped, and nothing else is claimed.
UPDATE action SET stage = 3, outcome = 'unconfirmed', error = :error, row = CAST(row AS INTEGER), labels = NULL,
                  status = NULL, action_type = NULL, provenance = NULL, attempts = 0, accepted_at = NULL, track_id = NULL,
                  request_id = NULL, lost = 1, total = NULL, processed = NULL, succeeded = NULL, failed = NULL,
                  unprocessed = NULL, held_by_group = NULL, counts_from = 'none', mismatch = NULL, speed = NULL, settled_at = NULL,
                  output_url = NULL, seal = NULL
WHERE seal IS NOT seal(tenant, bulk_key, source, row, labels, outcome, status, attempts, accepted_at, request_id, lost,
                       total, processed, succeeded, failed, unprocessed, error, settled_at)
  AND NOT (malformed = 1 AND outcome IS 'malformed' AND json_valid(error) AND typeof(row) = 'integer'
           AND COALESCE(json_valid(labels), 1))
RETURNING row;
