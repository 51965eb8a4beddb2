-- Queries for report.html and the Markdown form: sums by group, errors by kind, the course of the run.

-- name: groups
-- One scan for every breakdown: the caller adds up what it needs. A sum is NULL if no action has that count.
SELECT tenant, reported.outcome, COALESCE(reported.action_type, ''), reported.source, COUNT(*),
       COUNT(reported.total), SUM(reported.total), SUM(reported.processed), SUM(reported.succeeded),
       SUM(reported.failed), SUM(reported.unprocessed), SUM(reported.held_by_group)
FROM reported_action AS reported
GROUP BY 1, 2, 3, 4;

-- name: errors
-- The errors at the end, the most frequent first; MIN(seq) makes the message that of the first.
SELECT outcome, json_extract(error, '$.kind') AS kind, json_extract(error, '$.code') AS code,
       json_extract(error, '$.http_status') AS http_status, COUNT(*) AS actions, MIN(seq), bulk_key,
       json_extract(error, '$.message') AS message, tenant, json_group_array(DISTINCT tenant)
FROM reported_action WHERE error IS NOT NULL
GROUP BY 1, 2, 3, 4 ORDER BY actions DESC, kind, code, outcome;

-- name: cases
SELECT reported.bulk_key, source.name, reported.row, reported.tenant,
       COALESCE(json_extract(reported.error, '$.message'), '')
FROM reported_action AS reported JOIN source ON source.id = reported.source
WHERE reported.outcome = :outcome ORDER BY reported.seq LIMIT :most;

-- name: setbacks
-- Calls that failed on the way; most were repeated. A stop that was refused because its action was over is harmless.
SELECT call, json_extract(problem, '$.kind') AS kind,
       json_extract(problem, '$.kind') = 'wrong_state'
       AND COALESCE(status IN ('Stopped', 'Completed', 'Failed'), 0) AS harmless,
       COUNT(*) AS calls, MIN(at), MAX(at)
FROM failure JOIN action USING (seq) GROUP BY 1, 2, 3 ORDER BY calls DESC, call, kind;

-- name: last_event
SELECT MAX(at) FROM (
    SELECT MAX(accepted_at) AS at FROM action WHERE accepted_at < :before
    UNION ALL SELECT MAX(settled_at) FROM action WHERE settled_at < :before
    UNION ALL SELECT MAX(at) FROM failure WHERE at < :before
);

-- name: accepted_over_time
-- Buckets of :width seconds from :origin, each with the mean of its moments. Moments are seconds since the epoch, which
-- is 2440587.5 as a Julian day.
WITH moment AS (SELECT (julianday(accepted_at) - 2440587.5) * 86400 AS at FROM action WHERE accepted_at IS NOT NULL)
SELECT AVG(at), COUNT(*) FROM moment GROUP BY CAST((at - :origin) / :width AS INTEGER);

-- name: settled_over_time
WITH moment AS (SELECT (julianday(settled_at) - 2440587.5) * 86400 AS at FROM action WHERE settled_at IS NOT NULL)
SELECT AVG(at), COUNT(*) FROM moment GROUP BY CAST((at - :origin) / :width AS INTEGER);

-- name: failures_over_time
-- Calls that failed, were throttled, or were refused because the action was over already: see setbacks.
WITH moment AS (
    SELECT (julianday(at) - 2440587.5) * 86400 AS at,
           CASE WHEN json_extract(problem, '$.kind') = 'throttled' THEN 'throttled'
                WHEN json_extract(problem, '$.kind') = 'wrong_state'
                     AND status IN ('Stopped', 'Completed', 'Failed') THEN 'harmless'
                ELSE 'failed' END AS sort
    FROM failure JOIN action USING (seq))
SELECT AVG(at), COUNT(*) FILTER (WHERE sort = 'failed'), COUNT(*) FILTER (WHERE sort = 'throttled'),
       COUNT(*) FILTER (WHERE sort = 'harmless')
FROM moment GROUP BY CAST((at - :origin) / :width AS INTEGER);

-- name: said_over
SELECT tenant, COUNT(*) FROM reported_action
WHERE outcome = 'unconfirmed' AND json_extract(error, '$.kind') = 'wrong_state' AND accepted_at IS NULL AND NOT lost
      AND status IS NULL
GROUP BY tenant;

-- name: pace_over_time
WITH moment AS (SELECT (julianday(at) - 2440587.5) * 86400 AS at, tenant, slots, in_flight, others FROM pace)
SELECT AVG(at), tenant, AVG(slots), AVG(in_flight), AVG(others)
FROM moment GROUP BY CAST((at - :origin) / :width AS INTEGER), tenant ORDER BY 1;
